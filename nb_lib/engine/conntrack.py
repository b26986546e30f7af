"""The connection table: which connection a packet belongs to, and in which state that puts it.

Theory of operation. A packet's tuple (addresses, protocol, ports) is looked up among the tuples of
all connections; each connection has two, one a direction. Not found: a new connection is made,
*unconfirmed*, carried by the packet alone; it enters the table when the packet leaves the last hook
(``confirm``), so a dropped packet leaves no trace here. Found: the direction of the tuple decides.
REPLY → ESTABLISHED. ORIGINAL → ESTABLISHED once a reply was seen, NEW until then. An ICMP error is
RELATED to the connection of the packet that it quotes. What fits nowhere is INVALID.
The whole machinery sleeps until some rule of the ruleset needs it.

Linux: net/netfilter/nf_conntrack_core.c nf_conntrack_in(), resolve_normal_ct(),
__nf_conntrack_confirm(); nf_conntrack_proto_*.c; sysctl names: nf_conntrack_*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from nb_lib import present
from nb_lib.connection import NO_ZONE, Connection, Tracked, Tuple, Zone
from nb_lib.engine import protocols
from nb_lib.engine.tuples import invert, opens, tuple_of
from nb_lib.frozen import changed
from nb_lib.headers import ICMP, ICMP_ERRORS, ICMPV6, SCTP, TCP
from nb_lib.packet import Packet

CLASH_LEFT = (
    1  # seconds that an entry lives which has lost a race and is found by its answers alone
)
_EXACT = frozenset(
    {TCP, SCTP, ICMP, ICMPV6}
)  # protocols without allow_clash: who loses a race is dropped
_NEIGHBOUR_DISCOVERY = frozenset({130, 131, 132, 133, 134, 135, 136, 143})

Timeouts = Mapping[str, int]

INVALID = Tracked("INVALID")
UNTRACKED = Tracked("UNTRACKED")


class Conntrack:
    """The table of one host. ``fork`` copies it for a look at what might happen."""

    def __init__(self) -> None:
        self._tuples: dict[tuple[Tuple, int], tuple[int, str]] = {}  # by tuple and zone
        self._connections: dict[int, Connection] = {}
        self._next = 1
        self._soonest = inf  # nothing times out before

    def fork(self) -> Conntrack:
        """Return a copy that may change without changing this one."""
        copy = Conntrack()
        copy._tuples = dict(self._tuples)
        copy._connections = dict(self._connections)
        copy._next = self._next
        copy._soonest = self._soonest
        return copy

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def __len__(self) -> int:
        return len(self._connections)

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)

    def clear(self) -> None:
        """Forget all connections: ``conntrack -F``."""
        self._tuples.clear()
        self._connections.clear()

    def expire(self, now: float) -> None:
        """Forget what has timed out."""
        if now < self._soonest:
            return
        for connection in [c for c in self._connections.values() if c.expires <= now]:
            self.delete(connection)
        self._soonest = min((c.expires for c in self._connections.values()), default=inf)

    def find(self, t: Tuple | None, zone: Zone = NO_ZONE) -> tuple[Connection, str] | None:
        """Return the connection of a zone that a tuple belongs to, and the tuple's direction."""
        if t is None:
            return None
        for direction in ("ORIGINAL", "REPLY"):
            held = self._tuples.get((t, zone.of(direction)))
            if held is not None and held[1] == direction:
                return self._connections[held[0]], direction
        return None

    def taken(self, t: Tuple | None, zone: Zone = NO_ZONE) -> bool:
        """Whether a reply tuple is in use: nf_nat_used_tuple()."""
        return self.find(t, zone) is not None

    def new_id(self) -> int:
        """Return a number that no connection has."""
        self._next += 1
        return self._next - 1

    def update(self, connection: Connection) -> None:
        """Exchange a connection of the table for its newer self; others are left alone."""
        if connection.id in self._connections:
            self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        self._connections[connection.id] = connection
        self._soonest = min(self._soonest, connection.expires)

    def insert(self, connection: Connection) -> Connection | None:
        """Confirm a connection; return None if one of its tuples is taken (a clash)."""
        if any(key in self._tuples for key in _keys(connection)):
            return None
        connection = changed(connection, status=connection.status | {"CONFIRMED"})
        self._keep(connection)
        original, reply = _keys(connection)
        self._tuples[original] = (connection.id, "ORIGINAL")
        self._tuples[reply] = (connection.id, "REPLY")
        return connection

    def insert_reply(self, connection: Connection) -> Connection | None:
        """Enter a connection for its answers alone; return None if their tuple is taken as well."""
        _, reply = _keys(connection)
        if reply in self._tuples:
            return None
        bits = {"CONFIRMED", "FIXED_TIMEOUT", "NAT_CLASH"}
        connection = changed(connection, status=connection.status | bits)
        self._keep(connection)
        self._tuples[reply] = (connection.id, "REPLY")
        return connection

    def delete(self, connection: Connection) -> None:
        """Forget one connection: ``conntrack -D``."""
        if self._connections.pop(connection.id, None) is not None:
            for key in _keys(connection):
                if self._tuples.get(key, (0,))[0] == connection.id:
                    del self._tuples[key]


def _keys(connection: Connection) -> tuple[tuple[Tuple, int], tuple[Tuple, int]]:
    """Under what a connection is found: its two tuples, each in the zone that it has in that direction."""
    zone = connection.zone
    return (connection.original, zone.of("ORIGINAL")), (connection.reply, zone.of("REPLY"))


def track(
    table: Conntrack, packet: Packet, now: float, timeouts: Timeouts, *, arriving: bool
) -> tuple[Packet, str, str]:
    """Look a packet up and return it with ``ct`` filled in, what was found, and a remark.

    ``timeouts`` are seconds, by sysctl (engine/timeouts.py). ``arriving`` is false for the host's
    own packets: their checksums are not verified. A template on the packet names the zone.
    """
    template = packet.ct.connection if packet.ct else None
    zone = template.zone if template else NO_ZONE
    table.expire(now)
    wrong = protocols.malformed(packet, arriving=arriving)
    if wrong:
        return changed(packet, ct=INVALID), "invalid", wrong
    if packet.protocol == ICMPV6 and packet.icmp_type in _NEIGHBOUR_DISCOVERY:
        return changed(packet, ct=UNTRACKED), "untracked", "neighbour discovery is not tracked"
    if packet.protocol in (ICMP, ICMPV6) and packet.icmp_type in ICMP_ERRORS[packet.family]:
        return _related(table, packet, zone)
    t = tuple_of(packet)
    assert t is not None
    held = table.find(t, zone)
    if held is None:
        return _open(table, packet, t, now, timeouts)
    return _follow(table, packet, held, now, timeouts)


def confirm(
    table: Conntrack, packet: Packet, now: float, *, resolving: bool = True
) -> tuple[Packet, str, str]:
    """Enter an unconfirmed connection into the table; return the packet, what happened, and a remark.

    What happened is nothing (``""``), ``confirmed``, or, if another connection took one of the tuples
    meanwhile, ``merged``, ``reply`` (the table finds it by its answers alone) or ``clash``: the packet
    is to be dropped. Before Linux 5.7 there was no ``reply``: ``resolving`` is false.
    Linux: nf_conntrack_core.c __nf_conntrack_confirm().
    """
    tracked = packet.ct
    if tracked is None or tracked.connection is None or tracked.direction == "REPLY":
        return packet, "", ""  # an answer does not confirm what it answers
    if "CONFIRMED" in tracked.connection.status:
        return packet, "", ""
    entered = table.insert(tracked.connection)
    if entered is not None:
        return changed(packet, ct=tracked._replace(connection=entered)), "confirmed", ""
    return _resolve(table, packet, tracked.connection, now, resolving=resolving)


def _resolve(
    table: Conntrack, packet: Packet, loser: Connection, now: float, *, resolving: bool
) -> tuple[Packet, str, str]:
    """Another packet won the race to the table: nf_ct_resolve_clash()."""
    assert packet.ct is not None
    if loser.original.protocol in _EXACT:
        return packet, "clash", f"{packet.protocol_name} allows no clash"
    held = table.find(loser.original, loser.zone)
    winner = held[0] if held and held[1] == "ORIGINAL" else None
    if winner is not None and winner.reply == loser.reply:
        merged = changed(winner, packets=_plus(winner.packets, 0, 1),
                         bytes=_plus(winner.bytes, 0, packet.length))  # fmt: skip
        table.update(merged)
        return changed(packet, ct=packet.ct._replace(connection=merged)), "merged", ""
    fresh = changed(loser, expires=now + CLASH_LEFT)
    entered = table.insert_reply(fresh) if resolving else None
    if entered is None:
        return packet, "clash", "" if resolving else "this kernel enters no second connection"
    return changed(packet, ct=packet.ct._replace(connection=entered)), "reply", ""


def _open(
    table: Conntrack, packet: Packet, t: Tuple, now: float, timeouts: Timeouts
) -> tuple[Packet, str, str]:
    """Make a connection for a packet that belongs to none: init_conntrack()."""
    reply = invert(t)
    if reply is None or not opens(t):
        return changed(packet, ct=INVALID), "invalid", f"{packet} answers nothing that was asked"
    template = packet.ct.connection if packet.ct else None
    given = {"zone": template.zone, "helper": template.helper} if template else {}
    fresh = Connection(table.new_id(), t, reply, created=now, packets=(1, 0),
                       bytes=(packet.length, 0), **given)  # type: ignore[arg-type] # fmt: skip
    verdict, connection, note = protocols.begin(fresh, packet, now, timeouts)
    if verdict == "invalid":
        return changed(packet, ct=INVALID), "invalid", note
    return changed(packet, ct=Tracked("NEW", "ORIGINAL", connection)), "new", ""


def _follow(
    table: Conntrack,
    packet: Packet,
    held: tuple[Connection, str],
    now: float,
    timeouts: Timeouts,
) -> tuple[Packet, str, str]:
    """A packet of a connection that is known, with its direction."""
    connection, direction = held
    followed = protocols.step(connection, packet, direction, now, timeouts)
    verdict, after, note = followed
    if "FIXED_TIMEOUT" in connection.status:
        after = changed(after, status=connection.status, expires=connection.expires)
    if verdict == "reopen":
        table.delete(connection)
        t = tuple_of(packet)
        assert t is not None
        return _open(table, packet, t, now, timeouts)
    if verdict == "invalid":
        table.update(after)
        return changed(packet, ct=INVALID), "invalid", note
    side = 0 if direction == "ORIGINAL" else 1
    status = after.status | {"SEEN_REPLY"} if side else after.status
    after = changed(after, status=status)
    if verdict != "ignore":
        after = changed(after, packets=_plus(after.packets, side, 1),
                          bytes=_plus(after.bytes, side, packet.length))  # fmt: skip
    if verdict == "kill":
        table.delete(connection)
    table.update(after)
    return changed(packet, ct=Tracked(_state(status, side), direction, after)), "known", note


def _state(status: frozenset[str], side: int) -> str:
    """The state that a known connection gives to a packet of one side: nf_conntrack_in()."""
    if side or "SEEN_REPLY" in status:
        return "ESTABLISHED"
    return "RELATED" if "EXPECTED" in status else "NEW"


def _related(table: Conntrack, packet: Packet, zone: Zone) -> tuple[Packet, str, str]:
    """An ICMP error belongs to the connection of the packet it quotes: nf_conntrack_inet_error()."""
    inner = packet.inner
    t = tuple_of(inner) if inner else None
    held = table.find(invert(t), zone) if t is not None else None
    if held is None:
        return changed(packet, ct=INVALID), "invalid", "an ICMP error about no known connection"
    connection, direction = held
    mine = connection.original if direction == "ORIGINAL" else connection.reply
    if packet.dst != mine.dst:
        note = f"an ICMP error to {packet.dst} about a connection to {mine.dst}"
        return changed(packet, ct=INVALID), "invalid", note
    return (
        changed(packet, ct=Tracked("RELATED", direction, connection)),
        "related",
        f"quotes {inner}",
    )


def _plus(pair: tuple[int, int], side: int, amount: int) -> tuple[int, int]:
    return (pair[0] + amount, pair[1]) if side == 0 else (pair[0], pair[1] + amount)
