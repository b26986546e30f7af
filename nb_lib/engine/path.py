"""A packet goes through a host: hooks, routing, conntrack and translation in the kernel's order.

In English: a packet from a wire meets PREROUTING, is routed, and either meets INPUT and is
delivered, or loses one from its TTL, meets FORWARD and POSTROUTING and leaves. A packet of the
host's own is routed, meets OUTPUT (and is routed again if a rule changed what routing looks at)
and POSTROUTING. A packet from the host to itself then starts over at PREROUTING.

Linux: net/ipv4/ip_input.c ip_rcv(), ip_local_deliver(); ip_forward.c ip_forward();
ip_output.c __ip_local_out(), ip_output(); net/ipv4/netfilter.c ip_route_me_harder().
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from nb_lib.connection import Address
from nb_lib.engine import nat, reject
from nb_lib.engine.conntrack import confirm, track
from nb_lib.engine.context import Meeting
from nb_lib.engine.index import ChainIndex
from nb_lib.engine.routing import Refused, Routing
from nb_lib.engine.state import State
from nb_lib.engine.walk import Ending, walk
from nb_lib.headers import ICMP_ERRORS
from nb_lib.hooks import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING, stops
from nb_lib.packet import Packet
from nb_lib.rules import Ruleset
from nb_lib.trace import (
    Answered,
    AtHook,
    Entered,
    Event,
    Fate,
    Looked,
    Lost,
    Rewritten,
    Route,
    Routed,
)

_FRAMES = {"BROADCAST": "BROADCAST", "MULTICAST": "MULTICAST"}
Events = Generator[Event, None, "Fate | None"]


class Path:
    """One packet's way. ``packet`` is always its present form."""

    def __init__(self, ruleset: Ruleset, routing: Routing, state: State, meeting: Meeting, *, tracking: bool,
                 indexes: dict[tuple[str, str], ChainIndex]) -> None:  # fmt: skip
        self.ruleset = ruleset
        self.routing = routing
        self.state = state
        self.meeting = meeting
        self.tracking = tracking
        self.indexes = indexes
        self.packet: Packet
        self.route: Route
        self.device = ""
        self.last = "start"  # the last chain that was met, for packets that get lost
        self.answering = False

    def receive(self, packet: Packet, device: str) -> Events:
        """The packet comes in by ``device``, in a frame addressed as its destination suggests."""
        link = packet.link or _FRAMES.get(self.routing.address_type(packet.dst), "HOST")
        self._set(replace(packet, in_iface=device, out_iface="", link=link))
        self.device = device
        fate = yield from self._hook(PREROUTING)
        if fate:
            return fate
        return (yield from self._route_input(device))

    def send(self, packet: Packet, *, broadcast: bool = False) -> Events:
        """The host sends the packet. ``broadcast`` is the socket's SO_BROADCAST."""
        self._set(replace(packet, link=packet.link or "HOST"))
        kind = self.routing.address_type(packet.dst)
        if kind == "BROADCAST" and int(packet.dst) and not broadcast:
            self.last = "None"
            reason = f"{packet.dst} is a broadcast address and the socket has no SO_BROADCAST"
            return (yield from self._lose(Refused(reason, "send(…, broadcast=True)"), OUTPUT))
        route = self.routing.output(packet.src, packet.dst, packet.mark)
        if isinstance(route, Refused):
            self.last = "None"
            return (yield from self._lose(route, OUTPUT))
        self._leave_by(route)
        yield Routed(self.packet, route)
        fate = yield from self._hook(OUTPUT)
        if fate:
            return fate
        self._leave_by(self.route)
        fate = yield from self._hook(POSTROUTING)
        if fate:
            return fate
        if self.packet.out_iface != "lo":
            return Fate("forward", self.packet.out_iface)
        return (yield from self._come_back(self.route))

    def _come_back(self, route: Route) -> Events:
        """A packet to the host itself comes in by lo with the route it left by: it is not routed again."""
        self._set(replace(self.packet, in_iface="lo", out_iface=""))
        self.device = "lo"
        fate = yield from self._hook(PREROUTING)
        if fate:
            return fate
        yield Routed(self.packet, Route("LOCAL", "lo", rule=route.rule))
        fate = yield from self._hook(INPUT)
        return fate or Fate("local", "lo")

    # --- routing ---

    def _route_input(self, device: str) -> Events:
        packet = self.packet
        route = self.routing.input(packet.src, packet.dst, device, packet.mark)
        if isinstance(route, Refused):
            return (yield from self._lose(route, PREROUTING))
        yield Routed(packet, route)
        if route.kind == "LOCAL":
            fate = yield from self._hook(INPUT)
            return fate or Fate("local", device)
        return (yield from self._forward(route))

    def _forward(self, route: Route) -> Events:
        packet = self.packet
        refused = self._too_old(packet) or self._too_big(packet)
        if refused:
            return (yield from self._lose(refused, PREROUTING))
        self.meeting.next_hop = route.via
        before = packet
        self._set(replace(packet, out_iface=route.interface).change(ttl=packet.ttl - 1))
        yield Rewritten(self.packet, before, "forwarding")
        fate = yield from self._hook(FORWARD)
        if fate:
            return fate
        self._set(replace(self.packet, in_iface=""))
        fate = yield from self._hook(POSTROUTING)
        return fate or Fate("forward", route.interface)

    def _too_old(self, packet: Packet) -> Refused | None:
        if packet.ttl > 1:
            return None
        answer = (11, 0) if packet.family == 4 else (3, 0)
        return Refused(f"its TTL is {packet.ttl}: it may not be forwarded", answer=answer)

    def _too_big(self, packet: Packet) -> Refused | None:
        """net/ipv4/ip_forward.c ip_exceeds_mtu(); IPv6 routers never cut a packet up."""
        mtu = self.state.facts.get("mtu")
        whole = packet.dont_fragment or packet.family == 6
        if mtu is None or packet.length <= mtu or not whole:
            return None
        reason = f"it has {packet.length} bytes and may not be cut up for an MTU of {mtu}"
        answer = (3, 4) if packet.family == 4 else (2, 0)
        return Refused(reason, "facts={'mtu': …}", answer, int(mtu).to_bytes(4, "big"))

    def _leave_by(self, route: Route) -> None:
        self.route = route
        self.meeting.next_hop = route.via
        self._set(replace(self.packet, out_iface=route.interface, in_iface=""))

    def _route_again(self, before: Packet) -> Events:
        """net/ipv4/netfilter.c ip_route_me_harder(): the packet changed on its way out.

        The chains that are left at this hook still see the device of the first route: nf_hook_state
        is not touched.
        """
        packet = self.packet
        route = self.routing.output(packet.src, packet.dst, packet.mark)
        if isinstance(route, Refused):
            return (yield from self._lose(route, OUTPUT))
        self.route = route
        if route.interface != before.out_iface or packet.dst != before.dst:
            yield Routed(self.packet, route, again=True)
        return None

    def _lose(self, refused: Refused, hook: str) -> Events:
        """The kernel drops the packet itself, with an ICMP error perhaps."""
        yield Lost(self.packet, refused.reason, hook, refused.setting)
        if refused.answer is not None and not self.answering:
            speaker = self._speaker()
            made = reject.unreachable(self.packet, *refused.answer, speaker, refused.rest)
            if made is not None:
                yield self._answered(made, "the host's own stack")
                kind, code = refused.answer
                return Fate("error", detail=f"icmp {kind}/{code}")
        return Fate("lost", detail=self.last)

    # --- hooks ---

    def _hook(self, hook: str) -> Events:
        """Meet everything that is registered at a hook, in order."""
        self.meeting.hook = hook
        yield AtHook(self.packet, hook)
        for stop in stops(hook, self.ruleset.backend):
            if stop.function == "conntrack":
                yield from self._conntrack(arriving=hook == PREROUTING)
            elif stop.function == "confirm":
                fate = yield from self._confirm(hook)
            elif stop.table == "nat":
                fate = yield from self._nat(hook)
            else:
                fate = yield from self._table(stop.table, hook)
            if stop.function != "conntrack" and fate:
                return fate
        return None

    def _conntrack(self, *, arriving: bool) -> Generator[Event, None, None]:
        if not self.tracking or self.packet.attached:
            return
        packet, what, note = track(
            self.state.conntrack,
            self.packet,
            self.state.now,
            self.routing.timeouts,
            arriving=arriving,
        )
        self._set(packet)
        yield Looked(packet, what, packet.ct.connection if packet.ct else None, note)

    def _confirm(self, hook: str) -> Events:
        tracked = self.packet.ct
        packet, fine = confirm(self.state.conntrack, self.packet)
        if not fine:
            yield Looked(packet, "clash", packet.ct.connection if packet.ct else None)
            return (yield from self._lose(Refused("another connection has taken its tuple"), hook))
        if packet.ct is not tracked:
            self._set(packet)
            yield Looked(packet, "confirmed", packet.ct.connection if packet.ct else None)
        return None

    def _table(self, name: str, hook: str) -> Events:
        """Walk a table's base chain at this hook."""
        if name not in self.ruleset or hook not in self.ruleset[name]:
            return None
        before = self.packet
        ending = yield from self._walk(name, hook)
        if ending.verdict == "ACCEPT":
            if name == "mangle" and hook == OUTPUT and _routed_differently(before, self.packet):
                return (yield from self._route_again(before))
            return None
        return (yield from self._end(ending))

    def _nat(self, hook: str) -> Events:
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
            if "nat" in self.ruleset and hook in self.ruleset["nat"]:
                ending = yield from self._walk("nat", hook)
                if ending.verdict != "ACCEPT":
                    return (yield from self._end(ending))
                by, place = ending.by or by, ending.place
            self._settle(side)
        before = self.packet
        after = nat.translate(before, hook)
        if after is not before and after.data != before.data:
            self._set(after)
            yield Rewritten(after, before, by, place)
            if hook == OUTPUT and after.dst != before.dst:
                return (yield from self._route_again(before))
        return None

    def _settle(self, side: str) -> None:
        """Bind a side that no rule translated."""
        tracked = self.packet.ct
        assert tracked is not None
        assert tracked.connection is not None
        if nat.initialised(tracked.connection, side):
            return
        connection = nat.settle(self.state.conntrack, tracked.connection, side, self.meeting.draw)
        self._set(replace(self.packet, ct=tracked._replace(connection=connection)))

    def _walk(self, table: str, hook: str) -> Generator[Event, None, Ending]:
        chains = self.ruleset[table]
        ending = yield from self._noting(
            walk(chains, chains[hook], self.packet, self.meeting, self.indexes)
        )
        self._set(ending.packet)
        return ending

    def _noting(self, events: Generator[Event, None, Ending]) -> Generator[Event, None, Ending]:
        """Pass events on and remember the last chain met."""
        try:
            while True:
                event = next(events)
                if isinstance(event, Entered):
                    self.last = event.chain if event.caller is None else self.last
                yield event
        except StopIteration as stop:
            ending: Ending = stop.value
            return ending

    # --- ends ---

    def _end(self, ending: Ending) -> Events:
        """A verdict other than ACCEPT."""
        if ending.verdict == "UNDECIDED":
            return Fate("undecided", place=ending.place, detail=ending.by)
        silent = self.routing.address_type(self.packet.dst) in ("BROADCAST", "MULTICAST")
        if ending.reject is not None and not self.answering and not silent:
            made = reject.answer(self.packet, ending.reject.how, self._speaker())
            if made is not None:
                yield self._answered(made, "REJECT")
                detail = (
                    "tcp-reset"
                    if made.icmp_type is None
                    else f"icmp {made.icmp_type}/{made.icmp_code}"
                )
                return Fate("reject", place=ending.place, detail=detail)
        kind = {"DROP": "drop", "QUEUE": "queue", "STOLEN": "stolen"}.get(
            ending.verdict, ending.verdict.lower()
        )
        return Fate(kind, place=ending.place)

    def _speaker(self) -> Address | None:
        """The address that the host answers with: the one asked for if it is its own."""
        packet = self.packet
        if self.routing.is_local(packet.dst):
            return packet.dst
        entry = self.routing.lookup(packet.src)
        if entry is None:
            return self.routing.pick_source(self.device, packet.src)
        return entry.source or self.routing.pick_source(entry.device, entry.via or packet.src)

    def _answered(self, made: Packet, by: str) -> Answered:
        """Send the host's answer on its own way through OUTPUT and POSTROUTING."""
        way = Path(self.ruleset, self.routing, self.state, self._fresh_meeting(), tracking=self.tracking,
                   indexes=self.indexes)  # fmt: skip
        way.answering = True
        made = _attached(made, self.packet)
        return Answered(self.packet, made, by, tuple(way.send(made)))

    def _fresh_meeting(self) -> Meeting:
        family, backend = self.packet.family, self.ruleset.backend
        return Meeting(family, backend, self.routing, self.state, self.meeting.chooser)

    def _set(self, packet: Packet) -> None:
        self.packet = packet
        self.meeting.packet = packet


def _attached(answer: Packet, cause: Packet) -> Packet:
    """An answer belongs to the connection of what it answers: nf_conntrack_core.c nf_conntrack_attach()."""
    tracked = cause.ct
    if tracked is None or tracked.connection is None:
        return answer
    back = "REPLY" if tracked.direction == "ORIGINAL" else "ORIGINAL"
    return replace(answer, ct=tracked._replace(state="RELATED", direction=back))


def _routed_differently(before: Packet, after: Packet) -> bool:
    """Whether mangle OUTPUT changed what routing looks at: ipt_mangle_out()."""
    return (before.src, before.dst, before.tos, before.mark) != (
        after.src,
        after.dst,
        after.tos,
        after.mark,
    )
