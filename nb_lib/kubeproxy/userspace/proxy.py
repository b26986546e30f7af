"""A small userspace proxy that really runs: it accepts, picks an endpoint, and copies bytes both ways.

Endpoints are taken in turn; with affinity a client stays with its endpoint. One that does not answer is
passed over, four times at most, each time waited for longer. Everything is bounded: connections, clients of
UDP, datagrams that wait; and ``close`` (or leaving ``async with``) ends every task and socket.

Source: pkg/proxy/userspace/proxysocket.go (endpointDialTimeouts, ProxyLoop), roundrobin.go NextEndpoint().
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Self, cast

from nb_lib.errors import LimitError
from nb_lib.kubeproxy.names import PortName, Target
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace.rules import PROTOCOLS

PATIENCE = (0.25, 0.5, 1.0, 2.0)  # seconds for each attempt at an endpoint
UDP_IDLE = 0.25  # seconds of silence after which a client of UDP is forgotten (--udp-timeout)
MOST = 1_000  # connections and clients of UDP together; services
_CHUNK = 65_536
_WAITING = 64  # datagrams of a client whose endpoint is not known yet


class RoundRobin:
    """The endpoints of one port, in turn; ``affinity`` is in seconds, 0 for none."""

    def __init__(self, affinity: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.affinity, self._clock = affinity, clock
        self.endpoints: tuple[Target, ...] = ()
        self._next = 0
        self._stays: dict[str, tuple[Target, float]] = {}

    def update(self, endpoints: Sequence[Target]) -> None:
        """Take new endpoints; clients of those that are gone are forgotten."""
        if tuple(endpoints) == self.endpoints:
            return
        self.endpoints, self._next = tuple(endpoints), 0
        self._stays = {c: held for c, held in self._stays.items() if held[0] in self.endpoints}

    def pick(self, client: str, *, anew: bool = False) -> Target | None:
        """Return the endpoint for a client, None if there is none; ``anew``: not the one it had."""
        if not self.endpoints:
            return None
        now = self._clock()
        self._stays = {c: held for c, held in self._stays.items() if now < held[1] + self.affinity}
        held = self._stays.get(client)
        found = held[0] if held and not anew else None
        if found is None:
            found = self.endpoints[self._next % len(self.endpoints)]
            self._next += 1
        if self.affinity and len(self._stays) < MOST:
            self._stays[client] = (found, now)
        return found


class Attempt(NamedTuple):
    """An endpoint was called for a client of TCP; ``answered``: it took the connection."""

    target: Target
    answered: bool


@dataclass
class Record:
    """What a proxy did: its last attempts to reach an endpoint, and how many bytes of TCP it copied."""

    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=MOST))
    copied: int = 0


class UserspaceProxy:
    """Sockets on ``host`` for every port of some Services, and what is behind them.

    ``ports`` maps each Service's port to that of its socket: what ``wanted`` writes its rules for; ``record``
    tells what it did. ``patience`` has the seconds for each attempt at an endpoint, so as many attempts as
    it is long. Use it with ``async with``, or call ``close``.
    """

    def __init__(self, host: str = "127.0.0.1", *, udp_idle: float = UDP_IDLE,
                 patience: Sequence[float] = PATIENCE) -> None:  # fmt: skip
        self.host, self.udp_idle, self.patience = host, udp_idle, tuple(patience)
        self.ports: dict[PortName, int] = {}
        self.balancers: dict[PortName, RoundRobin] = {}
        self.record = Record()
        self._listeners: dict[PortName, asyncio.Server | asyncio.DatagramTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def sync(self, tracked: Tracked) -> None:
        """Open sockets for new ports, close those of ports that are gone, take the endpoints.

        Raises LimitError for more than 1,000 ports.
        """
        served = {n: p for n, p in tracked.portals.items() if p.protocol in PROTOCOLS}
        if len(served) > MOST:
            raise LimitError(f"a userspace proxy for more than {MOST:,} ports")
        for name in self._listeners.keys() - served.keys():
            self._listeners.pop(name).close()
            del self.ports[name], self.balancers[name]
        for name, portal in served.items():
            if name not in self._listeners:
                await self._open(portal)
            balancer = self.balancers[name]
            balancer.affinity = portal.affinity
            balancer.update([one.target for one in tracked.reachable(portal).cluster])

    async def close(self) -> None:
        """Close every socket and end every task."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        self.ports.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets transports say that they are closed

    @property
    def busy(self) -> int:
        """How many connections and clients of UDP there are."""
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until there are none."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _open(self, portal: Portal) -> None:
        balancer = self.balancers[portal.name] = RoundRobin(portal.affinity)
        if portal.protocol == "tcp":
            connect = partial(_connect, balancer, self.record, self.patience)
            server = await asyncio.start_server(
                lambda reader, writer: self._start(
                    _tcp(connect, self.record, reader, writer), writer.close),
                self.host, 0,
            )  # fmt: skip
            self._listeners[portal.name] = server
            self.ports[portal.name] = server.sockets[0].getsockname()[1]
            return
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(balancer, self._start, self.udp_idle), (self.host, 0)
        )
        self._listeners[portal.name] = transport
        self.ports[portal.name] = transport.get_extra_info("sockname")[1]

    def _start(self, work: Coroutine[Any, Any, None], refuse: Callable[[], None]) -> None:
        """Run the work of one client, or refuse it if there are too many."""
        if len(self._tasks) >= MOST:
            work.close()
            refuse()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


# ── TCP ─────────────────────────────────────────────────────────────────────────────

_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Connect = Callable[[str], Awaitable[_Pair | None]]  # for a client's address


async def _tcp(
    connect: _Connect, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Connect one client to an endpoint and copy until both sides have ended."""
    behind: asyncio.StreamWriter | None = None
    try:
        found = await connect(writer.get_extra_info("peername")[0])
        if found is not None:
            answers, behind = found
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, behind, record))
                both.create_task(_copy(answers, writer, record))
    except* OSError:  # one side broke off: the other is closed below
        pass
    finally:
        for one in (writer, behind):
            if one is not None:
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()


async def _connect(
    balancer: RoundRobin, record: Record, patience: Sequence[float], client: str
) -> _Pair | None:
    """Return a connection to an endpoint that answers, None if no attempt found one."""
    for attempt, seconds in enumerate(patience):
        target = balancer.pick(client, anew=attempt > 0)
        if target is None:
            return None
        pair = None
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                pair = await asyncio.open_connection(str(target.address), target.port)
        record.attempts.append(Attempt(target, pair is not None))
        if pair:
            return pair
    return None


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, record: Record) -> None:
    """Copy bytes until the end, and pass the end on; the other direction may still be open."""
    while data := await source.read(_CHUNK):
        record.copied += len(data)
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


# ── UDP ─────────────────────────────────────────────────────────────────────────────

_Client = tuple[str, int]
_Starter = Callable[[Coroutine[Any, Any, None], Callable[[], None]], None]


class _Datagrams(asyncio.DatagramProtocol):
    """One UDP socket: each client gets an endpoint and a socket towards it, until it falls silent."""

    def __init__(self, balancer: RoundRobin, start: _Starter, idle: float) -> None:
        self.balancer, self.start, self.idle = balancer, start, idle
        self.clients: dict[_Client, asyncio.Queue[bytes]] = {}
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: _Client) -> None:
        if addr not in self.clients:
            self.clients[addr] = asyncio.Queue(_WAITING)
            self.start(self._serve(addr), lambda: self._forget(addr))
        if waiting := self.clients.get(addr):
            with contextlib.suppress(asyncio.QueueFull):  # a datagram may be lost, as any may
                waiting.put_nowait(data)

    def _forget(self, client: _Client) -> None:
        self.clients.pop(client, None)

    async def _serve(self, client: _Client) -> None:
        """Carry one client's datagrams to its endpoint until neither side has sent for a while."""
        waiting, transport = self.clients[client], None
        try:
            target = self.balancer.pick(client[0])
            if target is None:
                return
            heard = asyncio.Event()
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Answers(self.transport, client, heard),
                remote_addr=(str(target.address), target.port),
            )
            while True:
                try:
                    async with asyncio.timeout(self.idle):
                        transport.sendto(await waiting.get())
                except TimeoutError:
                    if not heard.is_set():
                        return
                    heard.clear()
        except OSError:
            pass
        finally:
            self._forget(client)
            if transport is not None:
                transport.close()


class _Answers(asyncio.DatagramProtocol):
    """What an endpoint answers goes back to the client."""

    def __init__(
        self, back: asyncio.DatagramTransport, client: _Client, heard: asyncio.Event
    ) -> None:
        self.back, self.client, self.heard = back, client, heard

    def datagram_received(self, data: bytes, _addr: _Client) -> None:
        self.heard.set()
        if not self.back.is_closing():
            self.back.sendto(data, self.client)
