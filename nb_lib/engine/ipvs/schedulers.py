"""How a virtual server picks a real one for a new connection.

Each scheduler is a function of the servers (the one added last comes first, as the kernel keeps them), of
what they carry, of the packet, and of what it remembered last time; it returns its pick (None: no server is
available) and what to remember. A server of weight 0 gets no new connection.

Linux: net/netfilter/ipvs/ip_vs_rr.c, ip_vs_wrr.c, ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sh.c, ip_vs_dh.c,
ip_vs_sed.c, ip_vs_nq.c, ip_vs_mh.c, ip_vs_lblc.c, ip_vs_lblcr.c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any, NamedTuple

from nb_lib.engine.ipvs import maglev
from nb_lib.packet import Packet
from nb_lib.text.ipvs import Address, RealServer, VirtualServer

TABLE = 256  # buckets of the hashing schedulers (IP_VS_SH_TAB_SIZE, IP_VS_DH_TAB_SIZE)
CACHED = 24 * 3600  # seconds for which lblc and lblcr keep a destination that nobody asks for
_GOLDEN = 0x61C88647  # include/linux/hash.h


class Load(NamedTuple):
    """The connections of a real server."""

    active: int = 0
    inactive: int = 0


class Asked(NamedTuple):
    """What a scheduler looks at. ``memory`` is what it returned last time, None at first."""

    service: VirtualServer
    servers: Sequence[RealServer]
    loads: Mapping[RealServer, Load]
    packet: Packet
    now: float
    memory: Any

    def load(self, server: RealServer) -> Load:
        """Return a server's connections."""
        return self.loads.get(server, Load())

    @property
    def open(self) -> list[RealServer]:
        """The servers that may get a connection."""
        return [one for one in self.servers if one.weight > 0 and not self.full(one)]

    def full(self, server: RealServer) -> bool:
        """Whether a server carries as much as its upper threshold allows."""
        return bool(server.upper) and sum(self.load(server)) >= server.upper


Pick = tuple[RealServer | None, Any]


# ── In turn ─────────────────────────────────────────────────────────────────────────


def _in_turn(asked: Asked) -> Pick:
    """rr: the next one that is open, in a ring."""
    where = [(one.address, one.port) for one in asked.servers]
    start = where.index(asked.memory) + 1 if asked.memory in where else 0
    ring = (*asked.servers[start:], *asked.servers[:start])
    open_ones = asked.open
    pick = next((one for one in ring if one in open_ones), None)
    return pick, (pick.address, pick.port) if pick else asked.memory


class _Turn(NamedTuple):
    """wrr's memory: of which servers, the last pick, and the weight that is wanted at present."""

    servers: tuple[RealServer, ...]
    last: RealServer | None
    wanted: int


def _rounds(servers: Sequence[RealServer]) -> tuple[int, int]:
    """Return the weight of the first round, and by how much it falls from one to the next."""
    step = gcd(*(one.weight for one in servers)) or 1
    return max((one.weight for one in servers), default=0) - (step - 1), step


def _wanted(servers: Sequence[RealServer], wanted: int) -> int:
    """Return the weight that is wanted after the servers changed: ip_vs_wrr_dest_changed()."""
    most, step = _rounds(servers)
    if wanted > most or not wanted:
        return most
    return wanted // step * step + 1 if step > 1 else wanted


def _weighted_in_turn(asked: Asked) -> Pick:
    """wrr: rounds of falling weight; a round goes to the servers that weigh at least as much as it.

    Servers that were given at once were added one by one all the same, and each moved the round.
    """
    servers = tuple(asked.servers)
    most, step = _rounds(servers)
    if most <= 0:
        return None, asked.memory
    turn: _Turn = asked.memory or _Turn((), None, 0)
    if asked.memory is None:
        for count in range(1, len(servers)):
            turn = turn._replace(wanted=_wanted(servers[-count:], turn.wanted))
    if turn.servers != servers:
        turn = _Turn(servers, None, _wanted(servers, turn.wanted))
    wanted, at = turn.wanted, servers.index(turn.last) + 1 if turn.last else 0
    for _round in range(most // step + 2):
        for one in servers[at:]:
            if one.weight >= wanted and not asked.full(one):
                return one, _Turn(servers, one, wanted)
        at, wanted = 0, wanted - step
        wanted = most if wanted <= 0 else wanted
    return None, turn


# ── By connections ──────────────────────────────────────────────────────────────────


def _least(candidates: Sequence[RealServer], cost: Callable[[RealServer], int], *,
           weighted: bool = True) -> RealServer | None:  # fmt: skip
    """Return the one of least cost a weight; of equals, the first."""
    best: RealServer | None = None
    for one in candidates:
        if best is None or cost(one) * (best.weight if weighted else 1) < cost(best) * (
            one.weight if weighted else 1
        ):
            best = one
    return best


def _overhead(asked: Asked) -> Callable[[RealServer], int]:
    """An active connection costs as much as 256 inactive ones: ip_vs_dest_conn_overhead()."""
    return lambda one: (asked.load(one).active << 8) + asked.load(one).inactive


def _delay(asked: Asked) -> Callable[[RealServer], int]:
    """What the next connection would have to wait for: ip_vs_sed_dest_overhead()."""
    return lambda one: asked.load(one).active + 1


def _least_connections(asked: Asked) -> Pick:
    """As lc: whoever has least to do, whatever the weights."""
    return _least(asked.open, _overhead(asked), weighted=False), None


def _weighted_least_connections(asked: Asked) -> Pick:
    """As wlc: whoever has least to do for its weight."""
    return _least(asked.open, _overhead(asked)), None


def _shortest_delay(asked: Asked) -> Pick:
    """As sed: whoever would be done first."""
    return _least(asked.open, _delay(asked)), None


def _never_queue(asked: Asked) -> Pick:
    """nq: whoever has nothing to do, else as sed."""
    idle = next((one for one in asked.open if not asked.load(one).active), None)
    return idle or _least(asked.open, _delay(asked)), None


# ── By a hash ───────────────────────────────────────────────────────────────────────


def _folded(address: Address) -> int:
    """Return an address as one word, an IPv6 one with its words laid over each other."""
    data, folded = address.packed, 0
    for at in range(0, len(data), 4):
        folded ^= int.from_bytes(data[at : at + 4], "big")
    return folded


def _bucket(address: Address, port: int = 0, offset: int = 0) -> int:
    """ip_vs_sh_hashkey(), ip_vs_dh_hashkey()."""
    value = (port + _folded(address)) * _GOLDEN & 0xFFFFFFFF
    return (offset + (value >> 24)) % TABLE


def _by_source(asked: Asked) -> Pick:
    """sh: buckets are dealt to the servers by weight; the client's address names its bucket."""
    dealt = [one for one in asked.servers for _share in range(max(one.weight, 1))]
    if not dealt:
        return None, None
    packet = asked.packet
    port = packet.sport or 0 if "sh-port" in asked.service.flags else 0
    first = _bucket(packet.src, port)
    tries = [first]
    if "sh-fallback" in asked.service.flags:
        tries += [_bucket(packet.src, port, (first + step) % TABLE) for step in range(TABLE)]
    open_ones = asked.open
    found = (dealt[at % len(dealt)] for at in tries)
    return next((one for one in found if one in open_ones), None), None


def _by_destination(asked: Asked) -> Pick:
    """dh: buckets are dealt to the servers in turn; the destination's address names its bucket."""
    if not asked.servers:
        return None, None
    pick = asked.servers[_bucket(asked.packet.dst) % len(asked.servers)]
    return (pick if pick in asked.open else None), None


class _Heaviest(NamedTuple):
    """mh's memory: the weight of each server, the last one above 0 if it has none now."""

    weights: Mapping[tuple[Address, int], int]


def _by_maglev(asked: Asked) -> Pick:
    """mh: the client's address names a place of a table that the servers share by weight.

    A server that lost its weight keeps its places, so that the others' clients stay where they are.
    """
    before = asked.memory.weights if asked.memory else {}
    weights = {
        (one.address, one.port): one.weight or before.get((one.address, one.port), 0)
        for one in asked.servers
    }
    setup = tuple((_folded(ip) + port, weight) for (ip, port), weight in weights.items())
    table = maglev.places(setup) if setup else []
    flags, packet, open_ones = asked.service.flags, asked.packet, asked.open
    start = _folded(packet.src) + (packet.sport or 0 if "mh-port" in flags else 0)
    first = maglev.hashed(start) % maglev.SIZE
    tries = [first]
    if "mh-fallback" in flags:
        offsets = ((first + step) % maglev.SIZE for step in range(maglev.SIZE))
        tries += [maglev.hashed(start + offset) % maglev.SIZE for offset in offsets]
    pick = None
    for place in tries:
        number = table[place] if table else None
        if number is not None and asked.servers[number] in open_ones:
            pick = asked.servers[number]
            break
    return pick, _Heaviest(weights)


# ── By locality ─────────────────────────────────────────────────────────────────────


def _overloaded(asked: Asked, server: RealServer) -> bool:
    """Whether a server has more than its share while another has less than half of its own."""
    if asked.load(server).active <= server.weight:
        return False
    return any(asked.load(one).active * 2 < one.weight for one in asked.servers)


class _Place(NamedTuple):
    """What lblc and lblcr know of a destination: its servers, when it was asked for, when changed."""

    servers: tuple[RealServer, ...]
    used: float
    changed: float


def _known(asked: Asked) -> dict[Address, _Place]:
    held: Mapping[Address, _Place] = asked.memory or {}
    return {address: place for address, place in held.items() if asked.now - place.used < CACHED}


def _by_locality(asked: Asked) -> Pick:
    """lblc: a destination keeps its server until that has too much; then as wlc."""
    known, wanted = _known(asked), asked.packet.dst
    held = known.get(wanted)
    if held and held.servers[0] in asked.open and not _overloaded(asked, held.servers[0]):
        known[wanted] = held._replace(used=asked.now)
        return held.servers[0], known
    pick = _least(asked.open, _overhead(asked))
    if pick:
        known[wanted] = _Place((pick,), asked.now, asked.now)
    return pick, known


def _by_locality_replicated(asked: Asked) -> Pick:
    """lblcr: a destination has a set of servers, which grows under load and shrinks with time."""
    known, wanted = _known(asked), asked.packet.dst
    held = known.get(wanted, _Place((), asked.now, asked.now))
    cost, members = _overhead(asked), [one for one in held.servers if one in asked.open]
    pick = _least(members, cost)
    if len(held.servers) > 1 and asked.now - held.changed > CACHED:
        costliest = max(members, key=lambda one: cost(one) / one.weight, default=None)
        held = held._replace(servers=tuple(one for one in held.servers if one != costliest),
                             changed=asked.now)  # fmt: skip
    if pick is None or _overloaded(asked, pick):
        pick = _least(asked.open, cost)
        if pick and pick not in held.servers:
            held = held._replace(servers=(pick, *held.servers), changed=asked.now)
    if held.servers:
        known[wanted] = held._replace(used=asked.now)
    return pick, known


SCHEDULERS: dict[str, Callable[[Asked], Pick]] = {
    "rr": _in_turn,
    "wrr": _weighted_in_turn,
    "lc": _least_connections,
    "wlc": _weighted_least_connections,
    "sh": _by_source,
    "dh": _by_destination,
    "mh": _by_maglev,
    "sed": _shortest_delay,
    "nq": _never_queue,
    "lblc": _by_locality,
    "lblcr": _by_locality_replicated,
}
