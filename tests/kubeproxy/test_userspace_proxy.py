"""Real bytes through the userspace proxy, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.names import PortName, Target
from nb_lib.kubeproxy.objects import Key, read
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace import Endpoints, UdpClient, UserspaceProxy, ask
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


def go(work: Callable[[], Awaitable[None]]) -> None:
    """Run it, and see that nothing is left behind: no task, in a bounded time."""

    async def all_of_it() -> None:
        async with asyncio.timeout(20):
            await work()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(all_of_it())


def saying(endpoint: str, text: str) -> str:
    """Return what an endpoint answers: it sees the proxy, whoever the client is."""
    return f"{endpoint} saw 127.0.0.1: {text}"


def test_tcp_goes_round_and_the_client_is_not_seen():
    async def work() -> None:
        async with Endpoints(ONE, TWO) as there, UserspaceProxy() as proxy:
            assert await ask(there.port, host=ONE) == f"{ONE} saw 127.0.0.9: hello"
            await proxy.sync(service(there.port, [ONE, TWO]))
            answers = [await ask(proxy.ports[NAME]) for _ in range(4)]
            assert answers == [saying(one, "hello") for one in (ONE, TWO, ONE, TWO)]
            assert [one.answered for one in proxy.record.attempts] == [True] * 4

    go(work)


def test_much_data_and_a_half_closed_connection():
    """The client ends its side first; the answer, larger than any buffer, still comes whole."""

    async def work() -> None:
        async with Endpoints(ONE) as there, UserspaceProxy() as proxy:
            await proxy.sync(service(there.port, [ONE]))
            text = "0123456789" * 200_000
            answer = await ask(proxy.ports[NAME], text)
            assert answer == saying(ONE, text)
            await proxy.idle()
            assert proxy.record.copied == len(text) + len(answer)

    go(work)


def test_a_client_stays_with_its_endpoint():
    async def work() -> None:
        async with Endpoints(ONE, TWO) as there, UserspaceProxy() as proxy:
            await proxy.sync(service(there.port, [ONE, TWO], sticky=True))
            answers = {await ask(proxy.ports[NAME], "x") for _ in range(4)}
            assert answers == {saying(ONE, "x")}
            assert await ask(proxy.ports[NAME], "x", client="127.0.0.8") == saying(TWO, "x")

    go(work)


def test_an_endpoint_that_does_not_answer_is_passed_over():
    async def work() -> None:
        async with Endpoints(ONE, TWO) as there, UserspaceProxy() as proxy:
            await proxy.sync(service(there.port, [ONE, TWO], sticky=True))
            await there.stop(ONE)
            assert await ask(proxy.ports[NAME], "x") == saying(TWO, "x")
            assert await ask(proxy.ports[NAME], "x") == saying(TWO, "x")
            tried = [(str(one.target.address), one.answered) for one in proxy.record.attempts]
            assert tried == [(ONE, False), (TWO, True), (TWO, True)]
            await there.start(ONE)
            assert await ask(there.port, host=ONE) == f"{ONE} saw 127.0.0.9: hello"

    go(work)


def test_four_attempts_and_no_more():
    async def work() -> None:
        async with Endpoints(ONE, TWO) as there, UserspaceProxy() as proxy:
            await proxy.sync(service(there.port, [ONE, TWO]))
            await there.stop(ONE, TWO)
            assert await ask(proxy.ports[NAME]) == ""
            tried = [(str(one.target.address), one.answered) for one in proxy.record.attempts]
            assert tried == [(ONE, False), (TWO, False)] * 2

    go(work)


def test_without_endpoints_the_connection_is_closed():
    async def work() -> None:
        async with UserspaceProxy() as proxy:
            await proxy.sync(service(1, []))
            assert await ask(proxy.ports[NAME]) == ""

    go(work)


def test_endpoints_and_services_change_while_it_runs():
    async def work() -> None:
        async with Endpoints(ONE, TWO) as there, UserspaceProxy() as proxy:
            await proxy.sync(service(there.port, [ONE]))
            at = proxy.ports[NAME]
            assert await ask(at, "x") == saying(ONE, "x")
            await proxy.sync(service(there.port, [TWO]))
            assert proxy.ports[NAME] == at
            assert await ask(at, "x") == saying(TWO, "x")
            await proxy.sync(Tracked(Config(), era("1.21"), 4))
            assert proxy.ports == {}
            with pytest.raises(ConnectionRefusedError):
                await ask(at, "x")

    go(work)


def test_closing_ends_what_is_open():
    async def work() -> None:
        async with Endpoints(ONE) as there:
            proxy = UserspaceProxy()
            await proxy.sync(service(there.port, [ONE]))
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.ports[NAME])
            writer.write(b"never ended")
            await writer.drain()
            greeting = saying(ONE, "never ended").encode()
            assert await reader.readexactly(len(greeting)) == greeting
            assert proxy.busy == 1
            await proxy.close()
            assert proxy.busy == 0
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()

    go(work)


def test_endpoints_end_what_is_open():
    async def work() -> None:
        async with Endpoints(ONE) as there:
            _, writer = await asyncio.open_connection(ONE, there.port)
            await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()

    go(work)


def test_too_many_connections_are_refused(monkeypatch):
    monkeypatch.setattr("nb_lib.kubeproxy.userspace.proxy.MOST", 1)

    async def work() -> None:
        async with Endpoints(ONE) as there, UserspaceProxy() as proxy:
            await proxy.sync(service(there.port, [ONE]))
            reader, first = await asyncio.open_connection("127.0.0.1", proxy.ports[NAME])
            assert await reader.readexactly(9) == ONE.encode()
            assert await ask(proxy.ports[NAME], "") == ""
            first.close()
            await first.wait_closed()
            await proxy.idle()
            assert await ask(proxy.ports[NAME], "y") == saying(ONE, "y")

    go(work)


# ── UDP ─────────────────────────────────────────────────────────────────────────────


def test_udp_remembers_a_client_until_it_falls_silent():
    async def work() -> None:
        name = NAME._replace(protocol="UDP")
        async with Endpoints(ONE, TWO) as there, UserspaceProxy(udp_idle=0.5) as proxy:
            await proxy.sync(service(there.port, [ONE, TWO], protocol="UDP"))
            async with UdpClient(proxy.ports[name]) as client:
                assert [await client.ask(word) for word in "ab"] == [saying(ONE, w) for w in "ab"]
                assert proxy.busy == 1
                await proxy.idle()
                assert await client.ask("c") == saying(TWO, "c")

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
