"""Real bytes through the userspace proxy, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.names import PortName, Target
from nb_lib.kubeproxy.objects import Key, read
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace import UserspaceProxy
from nb_lib.kubeproxy.userspace.proxy import RoundRobin

ONE, TWO = "127.0.0.2", "127.0.0.3"
NAME = PortName(Key("default", "web"), "", "TCP")


def service(
    port: int, endpoints: list[str], *, protocol: str = "TCP", sticky: bool = False
) -> Tracked:
    """Return what a proxier holds of one Service with endpoints on loopback."""
    affinity = {"sessionAffinity": "ClientIP"} if sticky else {}
    documents = [
        {"kind": "Service", "metadata": {"name": "web"},
         "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80, "protocol": protocol}], **affinity}},
        {"kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
         "ports": [{"name": "", "port": port, "protocol": protocol}],
         "endpoints": [{"addresses": [one]} for one in endpoints]},
    ]  # fmt: skip
    return Tracked(Config(), era("1.21"), 4, read(documents))


@asynccontextmanager
async def echoing(*hosts: str) -> AsyncIterator[int]:
    """Run servers that answer with their own address and what they were sent, all on one port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = writer.get_extra_info("sockname")[0].encode()
        writer.write(host + b" " + await reader.read())  # until the client has ended its side
        await writer.drain()
        writer.close()

    servers, port = [], 0
    for host in hosts:
        servers.append(await asyncio.start_server(serve, host, port))
        port = servers[0].sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


async def ask(port: int, data: bytes) -> bytes:
    """Send bytes, end that side, and return the answer; a reset is no answer either."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()


async def until(proxy: UserspaceProxy, *, busy: bool) -> None:
    """Wait until the proxy has something to do, or nothing any more."""
    while bool(proxy.busy) is not busy:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0.01)


def go(work: Callable[[], Awaitable[None]]) -> None:
    """Run it, and see that nothing is left behind: no task, in a bounded time."""

    async def all_of_it() -> None:
        async with asyncio.timeout(20):
            await work()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(all_of_it())


def test_tcp_goes_round():
    async def work() -> None:
        async with echoing(ONE, TWO) as port, UserspaceProxy() as proxy:
            await proxy.sync(service(port, [ONE, TWO]))
            answers = [await ask(proxy.ports[NAME], b"hello") for _ in range(4)]
            assert answers == [f"{one} hello".encode() for one in (ONE, TWO, ONE, TWO)]

    go(work)


def test_much_data_and_a_half_closed_connection():
    """The client ends its side first; the answer, larger than any buffer, still comes whole."""

    async def work() -> None:
        async with echoing(ONE) as port, UserspaceProxy() as proxy:
            await proxy.sync(service(port, [ONE]))
            data = bytes(range(256)) * 8_000
            assert await ask(proxy.ports[NAME], data) == ONE.encode() + b" " + data

    go(work)


def test_a_client_stays_with_its_endpoint():
    async def work() -> None:
        async with echoing(ONE, TWO) as port, UserspaceProxy() as proxy:
            await proxy.sync(service(port, [ONE, TWO], sticky=True))
            answers = {await ask(proxy.ports[NAME], b"x") for _ in range(4)}
            assert answers == {f"{ONE} x".encode()}

    go(work)


def test_an_endpoint_that_does_not_answer_is_passed_over():
    async def work() -> None:
        async with echoing(TWO) as port, UserspaceProxy() as proxy:
            await proxy.sync(service(port, [ONE, TWO], sticky=True))
            assert await ask(proxy.ports[NAME], b"x") == f"{TWO} x".encode()
            assert await ask(proxy.ports[NAME], b"x") == f"{TWO} x".encode()

    go(work)


def test_without_endpoints_the_connection_is_closed():
    async def work() -> None:
        async with UserspaceProxy() as proxy:
            await proxy.sync(service(1, []))
            assert await ask(proxy.ports[NAME], b"x") == b""

    go(work)


def test_endpoints_and_services_change_while_it_runs():
    async def work() -> None:
        async with echoing(ONE, TWO) as port, UserspaceProxy() as proxy:
            await proxy.sync(service(port, [ONE]))
            at = proxy.ports[NAME]
            assert await ask(at, b"x") == f"{ONE} x".encode()
            await proxy.sync(service(port, [TWO]))
            assert proxy.ports[NAME] == at
            assert await ask(at, b"x") == f"{TWO} x".encode()
            await proxy.sync(Tracked(Config(), era("1.21"), 4))
            assert proxy.ports == {}
            with pytest.raises(ConnectionRefusedError):
                await ask(at, b"x")

    go(work)


def test_closing_ends_what_is_open():
    async def work() -> None:
        async with echoing(ONE) as port:
            proxy = UserspaceProxy()
            await proxy.sync(service(port, [ONE]))
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.ports[NAME])
            writer.write(b"never ended")
            await writer.drain()
            await until(proxy, busy=True)
            await proxy.close()
            assert proxy.busy == 0
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()

    go(work)


def test_too_many_connections_are_refused(monkeypatch):
    monkeypatch.setattr("nb_lib.kubeproxy.userspace.proxy.MOST", 1)

    async def work() -> None:
        async with echoing(ONE) as port, UserspaceProxy() as proxy:
            await proxy.sync(service(port, [ONE]))
            _, first = await asyncio.open_connection("127.0.0.1", proxy.ports[NAME])
            await until(proxy, busy=True)
            assert await ask(proxy.ports[NAME], b"") == b""
            first.close()
            await first.wait_closed()
            await until(proxy, busy=False)
            assert await ask(proxy.ports[NAME], b"y") == f"{ONE} y".encode()

    go(work)


# ── UDP ─────────────────────────────────────────────────────────────────────────────


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        host = self.transport.get_extra_info("sockname")[0].encode()
        self.transport.sendto(host + b" " + data, addr)


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.heard = asyncio.Queue()

    def datagram_received(self, data, _addr):
        self.heard.put_nowait(data)


def test_udp_remembers_a_client_until_it_falls_silent():
    async def work() -> None:
        loop, name = asyncio.get_running_loop(), NAME._replace(protocol="UDP")
        first, _ = await loop.create_datagram_endpoint(Echo, (ONE, 0))
        port = first.get_extra_info("sockname")[1]
        second, _ = await loop.create_datagram_endpoint(Echo, (TWO, port))
        async with UserspaceProxy(udp_idle=0.2) as proxy:
            await proxy.sync(service(port, [ONE, TWO], protocol="UDP"))
            at = ("127.0.0.1", proxy.ports[name])
            transport, client = await loop.create_datagram_endpoint(Client, remote_addr=at)
            answers = []
            for word in (b"a", b"b"):
                transport.sendto(word)
                answers.append(await asyncio.wait_for(client.heard.get(), 5))
            assert answers == [f"{ONE} a".encode(), f"{ONE} b".encode()]
            await until(proxy, busy=False)
            transport.sendto(b"c")
            assert await asyncio.wait_for(client.heard.get(), 5) == f"{TWO} c".encode()
            transport.close()
        first.close()
        second.close()

    go(work)


# ── The choice alone ────────────────────────────────────────────────────────────────

A, B, C = (Target(f"10.0.0.{n}", 80) for n in (1, 2, 3))


def test_affinity_runs_out():
    now = [0.0]
    robin = RoundRobin(10, lambda: now[0])
    robin.update([A, B])
    assert [robin.pick("x"), robin.pick("x"), robin.pick("y")] == [A, A, B]
    now[0] = 9.0
    assert robin.pick("x") == A  # and its time starts anew
    now[0] = 18.0
    assert robin.pick("x") == A
    now[0] = 29.0
    assert robin.pick("x") == A  # the ring has come around
    assert robin.pick("y") == B


def test_clients_of_an_endpoint_that_is_gone_get_another():
    robin = RoundRobin(10, lambda: 0.0)
    robin.update([A, B])
    robin.pick("x")
    robin.update([B, C])
    assert robin.pick("x") == B
    robin.update([])
    assert robin.pick("x") is None
