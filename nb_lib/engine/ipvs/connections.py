"""What IPVS remembers: its virtual servers, the connections to them, and which client stays where.

Linux: net/netfilter/ipvs/ip_vs_conn.c ip_vs_conn_new(), ip_vs_bind_dest(); ip_vs_core.c ip_vs_schedule(),
ip_vs_sched_persist(); ip_vs_ctl.c ip_vs_service_find().
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any, NamedTuple

from nb_lib.engine.ipvs import tcp
from nb_lib.engine.ipvs.schedulers import SCHEDULERS, Asked, Load
from nb_lib.errors import HostError, LimitError, suggest
from nb_lib.packet import Packet
from nb_lib.text.ipvs import MASQ, Address, RealServer, VirtualServer, list_ipvs

Key = tuple[int, Address | None, int, int, int]  # of a virtual server
Ends = tuple[int, Address, int, Address, int]  # protocol, from, port, to, port
MOST = 1_000_000  # connections


class Held(NamedTuple):
    """One connection: from the client to the virtual address, and the real server that has it.

    ``tracked``: conntrack follows it too (net.ipv4.vs.conntrack was on). ``answered``: an answer passed.
    """

    asked: Ends
    service: Key
    server: RealServer
    tracked: bool
    state: str = tcp.NONE
    expires: float = 0.0
    answered: bool = False

    @property
    def port(self) -> int:
        """The port of the real server: its own, or the one that was asked for."""
        return self.server.port or self.asked[4]

    @property
    def answers(self) -> Ends:
        """The ends of an answer."""
        protocol, client, port, _virtual, _asked = self.asked
        return protocol, self.server.address, self.port, client, port


def ends(packet: Packet) -> Ends:
    """Return who speaks to whom."""
    assert packet.sport is not None
    assert packet.dport is not None
    return packet.protocol, packet.src, packet.sport, packet.dst, packet.dport


class Balancer:
    """IPVS of one host. ``fork`` copies it for a look at what might happen."""

    def __init__(self, services: Iterable[VirtualServer]) -> None:
        self.services: dict[Key, VirtualServer] = {}
        for service in services:
            if service.scheduler not in SCHEDULERS:
                hint = suggest(service.scheduler, SCHEDULERS)
                raise HostError(f"{service.scheduler!r} is no scheduler that is known here; {hint}")
            if service.one_packet:
                raise HostError(f"{service}: one-packet scheduling (-o) is not followed here")
            if service.key in self.services:
                raise HostError(f"two virtual servers {service}")
            self.services[service.key] = service
        self._held: dict[Ends, Held] = {}
        self._answers: dict[Ends, Ends] = {}
        self._loads: dict[tuple[Key, Address, int], Load] = {}
        self._stays: dict[tuple[Key, str], tuple[RealServer, float]] = {}
        self._memory: dict[Key, Any] = {}

    def fork(self) -> Balancer:
        """Return a copy that may change without changing this one."""
        return self.with_services(self.services.values())

    def with_services(self, services: Iterable[VirtualServer]) -> Balancer:
        """Return the same connections behind other virtual servers."""
        other = Balancer(services)
        for name in ("_held", "_answers", "_loads", "_stays", "_memory"):
            setattr(other, name, dict(getattr(self, name)))
        return other

    def __iter__(self) -> Any:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def __str__(self) -> str:
        return list_ipvs(self.services.values(), self.counts)

    @property
    def counts(self) -> dict[tuple[object, RealServer], tuple[int, int]]:
        """Active and inactive connections of each real server, as ``list_ipvs`` takes them."""
        return {
            (key, server): self._load(key, server)
            for key, service in self.services.items()
            for server in service.servers
        }

    # --- looking up ---

    def service_of(self, packet: Packet) -> VirtualServer | None:
        """Return the virtual server that a packet is for: by mark, by port, or one for all ports."""
        mark, family, protocol = packet.mark, packet.family, packet.protocol
        keys: list[Key] = [(0, None, 0, mark, family)] if mark else []
        keys += [(protocol, packet.dst, port, 0, family) for port in (packet.dport or 0, 0)]
        return next((self.services[key] for key in keys if key in self.services), None)

    def find(self, packet: Packet) -> Held | None:
        """Return the connection that a packet from the client belongs to."""
        return self._held.get(ends(packet))

    def find_answer(self, packet: Packet) -> Held | None:
        """Return the connection that a packet from a real server belongs to."""
        asked = self._answers.get(ends(packet))
        return self._held.get(asked) if asked else None

    def server_of(self, held: Held) -> RealServer | None:
        """Return the real server as it is now, None if it is gone."""
        service = self.services.get(held.service)
        return _same(service, held.server) if service else None

    # --- making and following ---

    def schedule(self, service: VirtualServer, packet: Packet, now: float, *, tracked: bool,
                 patient: bool) -> Held | None:  # fmt: skip
        """Give a new connection to a real server; None if none is available.

        ``patient``: a client stays with a server even when that has no weight left.
        """
        server = self._stay(service, packet, now, patient=patient) if service.persistence else None
        if server is None:
            server = self._pick(service, packet, now)
        if server is None:
            return None
        if len(self._held) >= MOST:
            raise LimitError(f"IPVS with more than {MOST:,} connections")
        if service.persistence:
            self._stays[service.key, _client(service, packet)] = (server, now + service.persistence)
        held = Held(ends(packet), service.key, server, tracked)
        if server.method == MASQ:
            self._answers[held.answers] = held.asked
        self._put(held)
        return held

    def _stay(
        self, service: VirtualServer, packet: Packet, now: float, *, patient: bool
    ) -> RealServer | None:
        server, until = self._stays.get((service.key, _client(service, packet)), (None, 0.0))
        known = _same(service, server) if server and now < until else None
        return known if known and (known.weight or patient) else None

    def _pick(self, service: VirtualServer, packet: Packet, now: float) -> RealServer | None:
        servers = service.servers[::-1]
        loads = {one: self._load(service.key, one) for one in servers}
        asked = Asked(service, servers, loads, packet, now, self._memory.get(service.key))
        pick, self._memory[service.key] = SCHEDULERS[service.scheduler](asked)
        return pick

    def follow(self, held: Held, packet: Packet, direction: str, now: float) -> Held:
        """Return the connection after a packet: ``in`` from the client, ``out`` from the server."""
        answered = held.answered or direction == "out"
        alone = held.server.method != MASQ and not answered
        state = tcp.follow(held.state, packet, "alone" if alone else direction)
        expires = now + tcp.lasts(packet.protocol, state)
        self._count(held, -1)
        held = held._replace(state=state, expires=expires, answered=answered)
        self._put(held)
        return held

    def forget(self, held: Held) -> None:
        """Delete a connection."""
        self._count(held, -1)
        del self._held[held.asked]
        self._answers.pop(held.answers, None)

    def expire(self, now: float) -> None:
        """Forget what has timed out; a client stays where it is as long as it has a connection."""
        for held in [one for one in self._held.values() if one.expires <= now]:
            self.forget(held)
        busy = {(one.service, one.asked[1]) for one in self._held.values()}
        for (key, net), (_server, until) in list(self._stays.items()):
            where = ip_network(net)
            if until <= now and not any(k == key and client in where for k, client in busy):
                del self._stays[key, net]

    # --- counting ---

    def _load(self, key: Key, server: RealServer) -> Load:
        return self._loads.get((key, server.address, server.port), Load())

    def _put(self, held: Held) -> None:
        self._held[held.asked] = held
        self._count(held, 1)

    def _count(self, held: Held, by: int) -> None:
        key = (held.service, held.server.address, held.server.port)
        load = self._loads.get(key, Load())
        more = Load(by, 0) if tcp.active(held.state) else Load(0, by)
        self._loads[key] = Load(load.active + more.active, load.inactive + more.inactive)


def _same(service: VirtualServer, server: RealServer) -> RealServer | None:
    """Return a real server as the virtual one has it now."""
    wanted = (server.address, server.port)
    return next((one for one in service.servers if (one.address, one.port) == wanted), None)


def _client(service: VirtualServer, packet: Packet) -> str:
    """Return the network of the client, as far as persistence tells clients apart."""
    prefix = service.prefix or packet.src.max_prefixlen
    return str(ip_network(f"{packet.src}/{prefix}", strict=False))
