"""A packet meets one hook: conntrack, tables and translation in the kernel's order.

What stops it there is returned and not acted upon: a verdict (``Ending``), the kernel's own reason to
drop it (``Refused``), or that IPVS sends it on itself (``Taken``). ``engine/path.py`` strings the hooks
together and deals with the ends.

Linux: net/netfilter/core.c nf_hook_slow(); net/ipv4/netfilter.c ip_route_me_harder().
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from heapq import merge

from nb_lib.effects import Copy
from nb_lib.engine import nat
from nb_lib.engine.conntrack import confirm, track
from nb_lib.engine.context import Meeting
from nb_lib.engine.defrag import Pieces, is_fragment
from nb_lib.engine.index import ChainIndex
from nb_lib.engine.ipvs import crossing as ipvs
from nb_lib.engine.ipvs.crossing import Taken
from nb_lib.engine.nft.tables import Base, Nftables
from nb_lib.engine.nft.walk import walk as nft_walk
from nb_lib.engine.routing import Refused, Routing
from nb_lib.engine.state import State
from nb_lib.engine.walk import Ending, Walker, walk
from nb_lib.frozen import changed
from nb_lib.headers import ICMP_ERRORS
from nb_lib.hooks import OUTPUT, PREROUTING, Stop, stops
from nb_lib.packet import Packet
from nb_lib.rules import Ruleset
from nb_lib.trace import AtHook, Event, Gathered, Looked, Rewritten, Route, Routed

# How long a datagram may wait for its fragments: the setting, and its default in seconds.
_FRAGMENT_TIME = {
    4: ("net.ipv4.ipfrag_time", 30),
    6: ("net.netfilter.nf_conntrack_frag6_timeout", 60),
}
Stopped = Generator[Event, None, "Ending | Refused | Taken | None"]


class Waiting(Event):
    """The packet is about to be confirmed. Only a race hears of it: no trace holds it."""


class Crossing:
    """A packet and the host that it crosses. ``packet`` is always its present form."""

    def __init__(self, ruleset: Ruleset, routing: Routing, state: State, meeting: Meeting, *, tracking: bool,
                 gathering: bool, indexes: dict[tuple[str, str], ChainIndex],
                 nftables: Nftables | None = None) -> None:  # fmt: skip
        self.ruleset = ruleset
        self.routing = routing
        self.state = state
        self.meeting = meeting
        meeting.copy = self.copied
        self.tracking = tracking
        self.gathering = gathering
        self.indexes = indexes
        self.nftables = nftables
        self.packet: Packet
        self.route: Route
        self.pieces: Pieces | None = None  # how the packet came, if it came in fragments
        self.waits = False  # just before it is confirmed, for those that are under way with it
        self.last = "start"  # the last chain that was met, for packets that get lost

    def set(self, packet: Packet) -> None:
        """Go on with another form of the packet."""
        self.packet = packet
        self.meeting.packet = packet

    def take(self, route: Route) -> None:
        """Go by a route from here on."""
        self.route = self.meeting.route = route

    def copied(self, _wish: Copy, _packet: Packet) -> Event | None:
        """Send a copy of the packet; a crossing alone has no way to send it."""
        return None

    def meet(self, hook: str) -> Stopped:
        """Meet everything that is registered at a hook, in order."""
        self.meeting.hook = hook
        yield AtHook(self.packet, hook)
        for each in self._registered(hook):
            way = self._base(each, hook) if isinstance(each, Base) else self._stop(each, hook)
            stopped = yield from way
            if stopped:
                return stopped
        return None

    def _registered(self, hook: str) -> Iterable[Stop | Base]:
        """Return what is registered at a hook, nft's base chains among it, by priority."""
        own = stops(hook, self.ruleset.backend, balancing=self.state.ipvs is not None)
        bases = self._bases(hook, nat=False)
        both = (bases, own) if self.nftables and self.nftables.newer else (own, bases)
        return merge(*both, key=lambda each: each.priority) if bases else own

    def _bases(self, hook: str, *, nat: bool) -> tuple[Base, ...]:
        """Return nft's base chains at a hook."""
        return self.nftables.at(self.packet.family, hook, nat=nat) if self.nftables else ()

    def _stop(self, stop: Stop, hook: str) -> Stopped:
        match stop.function or stop.table:
            case "defrag":
                return self._defrag(hook)
            case "conntrack":
                verified = hook == PREROUTING and self.routing.timeouts["checksum"] != 0
                return self._conntrack(arriving=verified)
            case "confirm":
                return self._confirm()
            case "nat":
                return self._nat(hook)
            case "balance":
                return ipvs.balance(self, hook)
            case "answer":
                return ipvs.answer(self, hook)
        return self._table(stop.table, hook)

    def _defrag(self, hook: str) -> Stopped:
        """Hold fragments until the datagram is whole, for the sake of conntrack, TPROXY or -m socket.

        Those that come back by lo are known: IPv6 lets them pass, IPv4 gathers them once more, so that
        their translation can be reverted (ipv6_defrag(); ipv4_conntrack_defrag() with CONFIG_NF_NAT).
        """
        tracked = self.packet.ct
        known = tracked is not None and (tracked.connection is None or self.packet.family == 6)
        if not self.gathering or (known and self.packet.attached):
            return None
        return (yield from self.gather(hook))

    def gather(self, hook: str) -> Stopped:
        """Put a fragment to the others of its datagram; go on with the whole, or not at all."""
        if not is_fragment(self.packet):
            return None
        timeout = self.routing.setting(*_FRAGMENT_TIME[self.packet.family])
        found = self.state.fragments.gather(self.packet, hook, self.state.now, timeout)
        if found.what == "dropped":
            return Refused(found.note)
        self.set(found.packet)
        yield Gathered(found.packet, found.what, found.note)
        self.pieces = found.pieces
        return Ending("HELD", found.packet) if found.what == "kept" else None

    def _conntrack(self, *, arriving: bool) -> Stopped:
        if not self.tracking or self.packet.tracked:
            return None
        packet, what, note = track(
            self.state.conntrack,
            self.packet,
            self.state.now,
            self.routing.timeouts,
            arriving=arriving,
        )
        self.set(packet)
        yield Looked(packet, what, packet.ct.connection if packet.ct else None, note)
        return None

    def _confirm(self) -> Stopped:
        if self.waits and _unconfirmed(self.packet):
            yield Waiting(self.packet)
        packet, what, note = confirm(self.state.conntrack, self.packet, self.state.now,
                                     resolving=self.state.facts.get("resolves_clashes", True))  # fmt: skip
        if not what:
            return None
        self.set(packet)
        yield Looked(packet, what, packet.ct.connection if packet.ct else None, note)
        return Refused("another connection has taken its tuple") if what == "clash" else None

    def _table(self, name: str, hook: str) -> Stopped:
        """Walk a table's base chain at this hook."""
        if name not in self.ruleset or hook not in self.ruleset[name]:
            return None
        before = self.packet
        ending = yield from self._walk(name, hook)
        if ending.verdict in ("ACCEPT", "BYPASS"):
            if name == "mangle" and hook == OUTPUT and _routed_differently(before, self.packet):
                return (yield from self.route_again(before))
            return None
        return ending

    def _base(self, base: Base, hook: str) -> Stopped:
        """Walk a base chain of nft; one of type route has the packet routed anew: nft_chain_route.c."""
        before = self.packet
        ending = yield from self._walk_base(base)
        if ending.verdict not in ("ACCEPT", "BYPASS"):
            return ending
        if base.kind == "route" and hook == OUTPUT and _routed_differently(before, self.packet):
            return (yield from self.route_again(before))
        return None

    def _walk_base(self, base: Base) -> Generator[Event, None, Ending]:
        self.last = base.chain
        if base.runner is not None:
            ending = yield from nft_walk(base, self.packet, self.meeting)
        else:
            walker = Walker(
                base.table, base.table[base.chain], self.packet, self.meeting, self.indexes
            )
            walker.priority, walker.kind = base.priority, base.kind
            self.meeting.backend = "nft"
            ending = yield from walker.run()
            self.meeting.backend = self.ruleset.backend
        self.set(ending.packet)
        return ending

    def _nat(self, hook: str) -> Stopped:
        """net/netfilter/nf_nat_core.c nf_nat_inet_fn(): rules for the first packet, the record for all."""
        tracked = self.packet.ct
        if tracked is None or tracked.connection is None:
            return None
        by, place, side = "conntrack", None, nat.SIDE[hook]
        error = self.packet.icmp_type in ICMP_ERRORS[self.packet.family]
        if (
            tracked.state in ("NEW", "RELATED")
            and not error
            and not nat.initialised(tracked.connection, side)
        ):
            ending = yield from self._nat_chains(hook, side)
            if ending is not None:
                if ending.verdict == "BYPASS":
                    return None  # nothing is settled: the next packet asks again
                if ending.verdict != "ACCEPT":
                    return ending
                by, place = ending.by or by, ending.place
            self._settle(side)
        before = self.packet
        after = nat.translate(before, hook)
        if isinstance(after, Refused):
            return after
        if after is not before and after.data != before.data:
            self.set(after)
            yield Rewritten(after, before, by, place)
            if hook == OUTPUT and after.dst != before.dst:
                return (yield from self.route_again(before))
        return None

    def _nat_chains(self, hook: str, side: str) -> Generator[Event, None, Ending | None]:
        """Walk the chains of type nat, iptables' and nft's by priority, until one has translated."""
        ending: Ending | None = None
        mine = next(s.priority for s in stops(hook, self.ruleset.backend) if s.table == "nat")
        bases: list[Base | None] = [*self._bases(hook, nat=True)]
        if "nat" in self.ruleset and hook in self.ruleset["nat"]:
            older = self.nftables is not None and self.nftables.written and not self.nftables.newer
            bases.insert(0 if older else len(bases), None)
        for base in sorted(bases, key=lambda b: b.priority if b else mine):
            self.meeting.translates = True
            ending = yield from self._walk_base(base) if base else self._walk("nat", hook)
            self.meeting.translates = False
            tracked = self.packet.ct
            assert tracked is not None
            settled = tracked.connection is None or nat.initialised(tracked.connection, side)
            if ending.verdict != "ACCEPT" or settled:
                break
        return ending

    def _settle(self, side: str) -> None:
        """Bind a side that no rule translated."""
        tracked = self.packet.ct
        assert tracked is not None
        assert tracked.connection is not None
        if nat.initialised(tracked.connection, side):
            return
        connection = nat.settle(self.state.conntrack, tracked.connection, side, self.meeting.draw)
        self.set(changed(self.packet, ct=tracked._replace(connection=connection)))

    def _walk(self, table: str, hook: str) -> Generator[Event, None, Ending]:
        chains = self.ruleset[table]
        self.last = hook
        ending = yield from walk(chains, chains[hook], self.packet, self.meeting, self.indexes)
        self.set(ending.packet)
        return ending

    def route_again(self, before: Packet) -> Stopped:
        """net/ipv4/netfilter.c ip_route_me_harder(): the packet changed on its way out.

        The chains that are left at this hook still see the device of the first route: nf_hook_state
        is not touched.
        """
        packet = self.packet
        route = self.routing.output(packet.src, packet.dst, packet.mark)
        if isinstance(route, Refused):
            return route
        self.take(route)
        if route.interface != before.out_iface or packet.dst != before.dst:
            yield Routed(self.packet, route, again=True)
        return None


def _routed_differently(before: Packet, after: Packet) -> bool:
    """Whether mangle OUTPUT changed what routing looks at: ipt_mangle_out()."""
    return (before.src, before.dst, before.tos, before.mark) != (
        after.src,
        after.dst,
        after.tos,
        after.mark,
    )


def _unconfirmed(packet: Packet) -> bool:
    """Whether conntrack has still to confirm the connection that the packet has opened."""
    held = packet.ct.connection if packet.ct else None
    return held is not None and "CONFIRMED" not in held.status
