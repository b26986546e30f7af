"""A packet goes through a host: from hook to hook, with routing between them, to its end.

In English: a packet from a wire meets PREROUTING, is routed, and either meets INPUT and is
delivered, or loses one from its TTL, meets FORWARD and POSTROUTING and leaves. A packet of the
host's own is routed, meets OUTPUT (and is routed again if a rule changed what routing looks at)
and POSTROUTING. A packet from the host to itself then starts over at PREROUTING. What the host answers
of its own goes such a way too, and may be answered on it: a RST is, by an ICMP error; an ICMP message
is not, for the kernel makes no second one while it sends one (``busy``).

Linux: net/ipv4/ip_input.c ip_rcv(), ip_local_deliver(); ip_forward.c ip_forward();
ip_output.c __ip_local_out(), ip_output(); icmp.c icmp_xmit_lock().
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from nb_lib.connection import Address, Tracked
from nb_lib.effects import Copy
from nb_lib.engine import arrival, reject, sockets, tcp
from nb_lib.engine.conntrack import UNTRACKED
from nb_lib.engine.context import Meeting
from nb_lib.engine.crossing import Crossing
from nb_lib.engine.fragment import cut, too_big
from nb_lib.engine.ipvs.crossing import Taken
from nb_lib.engine.routing import LOOPBACK_MTU, Refused
from nb_lib.engine.walk import Ending
from nb_lib.errors import LimitError
from nb_lib.frozen import changed
from nb_lib.hooks import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from nb_lib.packet import Packet
from nb_lib.trace import (
    Answered,
    Copied,
    Event,
    Fate,
    Fragmented,
    Gone,
    Lost,
    Rewritten,
    Route,
    Routed,
)

_FRAMES = {"BROADCAST": "BROADCAST", "MULTICAST": "MULTICAST"}
_NOBODY = "00:00:00:00:00:00"  # the Ethernet addresses of loopback's frames
MAX_COPIES = 32  # of a copy of a copy …; each costs a hop, so the kernel may make 255
_STACK = "the host's own stack"
Events = Generator[Event, None, "Fate | None"]


class Path(Crossing):
    """One packet's way. ``onward`` takes it where IP has done with it: into a bridge, perhaps."""

    device = ""  # by which it came
    onward: Callable[[Path], Events] | None = None
    parts: tuple[Packet, ...] = ()  # what left, if it left in fragments
    copying = False  # TEE's copy is being sent: nothing is copied before it comes back by lo
    copies = 0  # how often it was copied
    busy = False  # it is an ICMP message of the host's own, or answers one

    def receive(self, packet: Packet, device: str) -> Events:
        """The packet comes in by ``device``, in a frame addressed as its destination suggests."""
        link = packet.link or _FRAMES.get(self.routing.address_type(packet.dst), "HOST")
        packet = changed(packet, in_iface=device, out_iface="", link=link)
        refused = arrival.refused(packet, device)
        if refused:
            self.set(packet)
            return (yield from self._lose(refused, PREROUTING))
        packet = arrival.trimmed(packet)
        return (yield from self.arrive(packet, device))

    def visit(self, packet: Packet, hook: str) -> Events:
        """Meet one hook alone: a bridge shows the packet to it."""
        self.set(packet)
        return (yield from self._hook(hook))

    def arrive(self, packet: Packet, device: str, *, seen: bool = False) -> Events:
        """The packet is here; ``seen``: a bridge has shown it to PREROUTING already."""
        self.set(packet)
        self.device = device
        fate = None if seen else (yield from self._hook(PREROUTING))
        if fate:
            return fate
        packet = self.packet
        route = self.routing.input(packet.src, packet.dst, device, packet.mark)
        if isinstance(route, Refused):
            return (yield from self._lose(route, PREROUTING))
        yield Routed(packet, route)
        if route.kind == "LOCAL":
            return (yield from self._deliver())
        return (yield from self._forward(route))

    def send(self, packet: Packet, *, broadcast: bool = False) -> Events:
        """The host sends the packet. ``broadcast`` is the socket's SO_BROADCAST."""
        self.set(changed(packet, link=packet.link or "HOST"))
        route = self._first_route(broadcast=broadcast)
        if isinstance(route, Refused):
            self.last = "None"
            return (yield from self._lose(route, OUTPUT))
        if sender := sockets.sender(packet):
            self.state.sockets |= {sender}
        return (yield from self.go(route))

    def go(self, route: Route) -> Events:
        """Leave by a route, through OUTPUT and POSTROUTING."""
        self._leave_by(route)
        yield Routed(self.packet, route)
        fate = yield from self._hook(OUTPUT)
        if fate:
            return fate
        self._leave_by(self.route)
        fate = yield from self._leave()
        if fate is None or fate.device != "lo":
            return fate
        return (yield from self._come_back())

    def _first_route(self, *, broadcast: bool) -> Route | Refused:
        packet = self.packet
        kind = self.routing.address_type(packet.dst)
        if kind == "BROADCAST" and int(packet.dst) and not broadcast:
            reason = f"{packet.dst} is a broadcast address and the socket has no SO_BROADCAST"
            return Refused(reason, "send(…, broadcast=True)")
        return self.routing.output(packet.src, packet.dst, packet.mark)

    def _come_back(self) -> Events:
        """A packet to the host itself comes in by lo with the route it left by: it is not routed again.

        Its fragments, if it was cut up, come one by one, each known to conntrack already.
        """
        self.busy, self.copying, self.device, self.pieces = False, False, "lo", None
        rule = self.route.rule
        fate = None
        for part in self.parts:
            self.set(changed(part, in_iface="lo", out_iface="", mac_src=_NOBODY, mac_dst=_NOBODY))
            fate = yield from self._hook(PREROUTING)
            if fate is None:
                yield Routed(self.packet, Route("LOCAL", "lo", rule=rule))
                fate = yield from self._deliver()
        return fate

    # --- the ways on ---

    def _deliver(self) -> Events:
        """net/ipv4/ip_input.c ip_local_deliver(): IPv4 is put together before INPUT, IPv6 behind it."""
        if self.packet.family == 4:
            fate = yield from self._ended((yield from self.gather(INPUT)), INPUT)
            if fate:
                return fate
        fate = yield from self._hook(INPUT)
        if fate:
            return fate
        yield from self._from_socket()
        return Fate("local", self.device)

    def _from_socket(self) -> Generator[Event, None, None]:
        """The packet is at its socket: what comes back of itself, if the host's sockets are known."""
        named = self.state.facts.get("listening")
        if named is None:
            return
        listening = sockets.read((named,) if isinstance(named, str) else tuple(named))
        made, who = sockets.answer(self.packet, listening | self.state.sockets)
        if made is None or (self.busy and made.icmp_type is not None):
            return
        # What TCP, UDP and ICMP take has forgotten its connection by then (nf_reset_ct()).
        forgotten = self.packet.protocol in sockets.HANDLED
        yield (self._sent if forgotten else self._answered)(made, who)

    def _forward(self, route: Route) -> Events:
        packet = self.packet
        refused = self._too_common(packet) or self._too_old(packet) or _astray(packet)
        refused = refused or self._too_big(packet)
        if refused:
            return (yield from self._lose(refused, PREROUTING))
        self.take(route)
        before = packet
        self.set(packet.change(ttl=packet.ttl - 1, out_iface=route.interface))
        yield Rewritten(self.packet, before, "forwarding")
        fate = yield from self._hook(FORWARD)
        if fate:
            return fate
        return (yield from self._leave())

    def _leave(self) -> Events:
        """Meet POSTROUTING and go, in fragments if need be."""
        fate = yield from self._hook(POSTROUTING)
        if fate:
            return fate
        packet = self.packet
        yield from self.cut(packet)
        fate = (yield from self.onward(self)) if self.onward else None
        return fate or Fate("forward", packet.out_iface)

    def cut(self, packet: Packet) -> Generator[Event, None, None]:
        """Find the ``parts`` in which the packet leaves: it is too large, or came in fragments."""
        self.parts = cut(packet, self._mtu(), self.pieces, lambda: self.meeting.draw(1, 2**32 - 1))
        if len(self.parts) > 1:
            yield Fragmented(packet, self.parts)

    def _leave_by(self, route: Route) -> None:
        self.take(route)
        self.set(changed(self.packet, out_iface=route.interface, in_iface=""))

    # --- what does not fit ---

    def _mtu(self) -> int:
        loopback = LOOPBACK_MTU[self.packet.family]
        if self.packet.out_iface == "lo":
            return loopback
        return int(self.state.facts.get("mtu") or loopback)

    def _too_common(self, packet: Packet) -> Refused | None:
        """ip_forward(), ip6_forward(): only what was sent to this host alone is passed on."""
        if packet.link in ("", "HOST"):
            return None
        return Refused(
            f"the frame was sent to a {packet.link.lower()} address: it may not be forwarded"
        )

    def _too_old(self, packet: Packet) -> Refused | None:
        if packet.ttl > 1:
            return None
        answer = (11, 0) if packet.family == 4 else (3, 0)
        return Refused(f"its TTL is {packet.ttl}: it may not be forwarded", answer=answer)

    def _too_big(self, packet: Packet) -> Refused | None:
        """net/ipv4/ip_forward.c ip_exceeds_mtu(); IPv6 routers never cut a packet up."""
        mtu = self._mtu()
        if not too_big(packet, mtu, self.pieces):
            return None
        reason = f"it has {packet.length} bytes and may not be cut up for an MTU of {mtu}"
        answer = (3, 4) if packet.family == 4 else (2, 0)
        return Refused(reason, "facts={'mtu': …}", answer, mtu.to_bytes(4, "big"))

    # --- ends ---

    def _hook(self, hook: str) -> Events:
        """Meet a hook; return the packet's fate if that ends its way."""
        stopped = yield from self.meet(hook)
        return (yield from self._ended(stopped, hook)) if stopped else None

    def _ended(self, stopped: Ending | Refused | Taken | None, hook: str) -> Events:
        if isinstance(stopped, Refused):
            return (yield from self._lose(stopped, hook))
        if isinstance(stopped, Taken):
            return (yield from self.go(stopped.route))  # ip_vs_xmit.c ip_vs_nat_send_or_cont()
        return (yield from self._end(stopped)) if stopped else None

    def _lose(self, refused: Refused, hook: str) -> Events:
        """The kernel drops the packet itself, with an ICMP error perhaps."""
        yield Lost(self.packet, refused.reason, hook, refused.setting)
        if refused.answer is not None and not self.busy:
            made = reject.unreachable(self.packet, *refused.answer, self._speaker(), refused.rest)
            if made is not None:
                yield self._answered(made, _STACK)
                kind, code = refused.answer
                return Fate("error", detail=f"icmp {kind}/{code}")
        return Fate("lost", detail=self.last)

    def _end(self, ending: Ending) -> Events:
        """A verdict other than ACCEPT."""
        if ending.verdict == "UNDECIDED":
            return Fate("undecided", place=ending.place, detail=ending.by)
        if ending.reject is not None:
            made = self._rejection(ending.reject.how)
            if made is not None:
                detail = f"icmp {made.icmp_type}/{made.icmp_code}"
                if made.icmp_type is None:
                    detail = "tcp-reset"
                    self._close()
                yield self._answered(made, "REJECT")
                return Fate("reject", place=ending.place, detail=detail)
        for message in self.meeting.messages:  # SYNPROXY's, in the place of the destination
            yield self._sent(_attached(message, self.packet, "ESTABLISHED"), "SYNPROXY")
        return Fate(ending.verdict.lower(), place=ending.place)

    def _rejection(self, how: str) -> Packet | None:
        """REJECT's answer, if it gives one."""
        packet = self.packet
        bridged = packet.out_port and packet.family == 4  # it has no route that could tell
        if not bridged and self.routing.address_type(packet.dst) in ("BROADCAST", "MULTICAST"):
            return None
        group = packet.link not in ("", "HOST")  # icmp_send() answers no frame that was for many
        made = reject.answer(packet, how, self._speaker())
        silent = self.busy or group
        return None if made is not None and made.icmp_type is not None and silent else made

    def _close(self) -> None:
        """The connection of the packet ends with a RST of the host's own: nf_ct_set_closing()."""
        tracked = self.packet.ct
        if tracked is None or tracked.connection is None:
            return
        ended = tcp.closed(tracked.connection, self.state.now, self.routing.timeouts)
        self.state.conntrack.update(ended)
        self.set(changed(self.packet, ct=tracked._replace(connection=ended)))

    def _speaker(self) -> Address | None:
        """The address that the host answers with: the one asked for if it is its own.

        Otherwise IPv4 takes that of the device the answer leaves by (icmp_route_lookup()), IPv6 that of
        the device the packet came by (icmp6_send()).
        """
        packet = self.packet
        asked = not (self.copying and packet.family == 4)  # a copy has the neighbour's route
        if asked and self.routing.is_local(packet.dst):
            return packet.dst
        if packet.family == 6 and self.device:
            return self.routing.pick_source(self.device, packet.src)
        entry = self.routing.lookup(packet.src)
        if entry is None:
            return self.routing.pick_source(self.device, packet.src)
        return entry.source or self.routing.pick_source(entry.device, entry.via or packet.src)

    def _answered(self, made: Packet, by: str) -> Answered:
        """Send the host's answer on its own way through OUTPUT and POSTROUTING.

        A bridge sends a reset straight back by the port, as if the receiver had: nf_send_reset().
        """
        asked = self.packet
        if asked.in_port and asked.mac_src and made.icmp_type is None:
            frame = changed(made, mac_src=asked.mac_dst, mac_dst=asked.mac_src)
            return Answered(asked, made, by, (Gone(frame, asked.in_port),))
        return self._sent(_attached(made, self.packet, "RELATED"), by)

    def _sent(self, made: Packet, by: str) -> Answered:
        way = self._another()
        way.busy = self.busy or made.icmp_type is not None
        return Answered(self.packet, made, by, tuple(way.send(made)))

    def copied(self, wish: Copy, packet: Packet) -> Copied | None:
        """Send TEE's copy: untracked, not to be cut up, nearer to its end: nf_dup_ipv4(), nf_dup_ipv6().

        It goes to a neighbour and keeps its destination. A copy is not copied again.
        """
        route = self.routing.output(None, wish.gateway, packet.mark)
        if self.copying or isinstance(route, Refused):
            return None
        ttl = packet.ttl - (self.meeting.hook in (PREROUTING, INPUT))
        made = changed(packet, ct=UNTRACKED, facts=()).change(ttl=ttl)
        if packet.family == 4:
            made = made.change(dont_fragment=True)
        way = self._another()
        way.copying, way.copies = True, self.copies + 1
        if way.copies > MAX_COPIES:
            raise LimitError(
                f"{self.meeting.place}: TEE copies its own copies, more than {MAX_COPIES} times"
            )
        way.set(made)
        return Copied(packet, made, "TEE", tuple(way.go(route._replace(via=wish.gateway))))

    def _another(self) -> Path:
        """Return the way of another packet through the same host, while this one is on its own."""
        family, backend = self.packet.family, self.ruleset.backend
        meeting = Meeting(family, backend, self.routing, self.state, self.meeting.chooser)
        way = Path(self.ruleset, self.routing, self.state, meeting, tracking=self.tracking,
                   gathering=self.gathering, indexes=self.indexes, nftables=self.nftables)  # fmt: skip
        way.onward, way.copying, way.copies = self.onward, self.copying, self.copies
        return way


def _astray(packet: Packet) -> Refused | None:
    """A source that must not leave its link: net/ipv6/ip6_output.c ip6_forward()."""
    if packet.family == 6 and packet.src.is_unspecified:
        return Refused(f"the source {packet.src} is nobody's: it may not be forwarded")
    if packet.family == 6 and packet.src.is_link_local:
        return Refused(f"the source {packet.src} belongs to its link", answer=(1, 2))
    return None


def _attached(answer: Packet, cause: Packet, state: str) -> Packet:
    """An answer belongs to the connection of what it answers: nf_conntrack_core.c nf_conntrack_attach()."""
    tracked = cause.ct
    if tracked is not None and tracked.state == "UNTRACKED" and state == "RELATED":
        # Nothing is attached, and yet NOTRACK takes it for tracked; conntrack then looks it up.
        return replace(answer, ct=Tracked("RELATED"))
    if tracked is None or tracked.connection is None:
        return answer
    back = "REPLY" if tracked.direction == "ORIGINAL" or state == "ESTABLISHED" else "ORIGINAL"
    return replace(answer, ct=tracked._replace(state=state, direction=back))
