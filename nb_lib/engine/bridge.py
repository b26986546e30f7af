"""A frame goes through a bridge: its own hooks, and those of IP and ARP that it calls.

In English: a frame comes in by a port and meets PREROUTING. Then the bridge looks where its receiver
is: behind a port it meets FORWARD and POSTROUTING and leaves; nobody knows: a copy goes out of every
other port; the bridge itself, or a group: it meets INPUT and goes up to the host, which takes it for
a packet that came in by the bridge. A packet of the host meets OUTPUT and POSTROUTING at each port.

br_netfilter (sysctl net.bridge.bridge-nf-call-iptables and its kin) shows IP packets to the chains of
iptables at the bridge's PREROUTING, FORWARD and POSTROUTING, as if they were routed. A destination
that is translated there leads to the host, or to another station behind the bridge. What PREROUTING
has seen there is not seen by it again when the frame goes up.

Linux: net/bridge/br_input.c br_handle_frame(), br_handle_frame_finish(); br_forward.c br_flood(),
__br_forward(); br_device.c br_dev_xmit(); br_netfilter_hooks.c br_nf_pre_routing(),
br_nf_pre_routing_finish(), br_nf_forward(), br_nf_post_routing(), ip_sabotage_in().
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace

from nb_lib.engine.conntrack import confirm
from nb_lib.engine.link import Bridge, Events, Layer, Links, Speaker, end, link_of
from nb_lib.engine.path import Path
from nb_lib.engine.routing import Refused, Routing
from nb_lib.engine.state import State
from nb_lib.frame import Arp, is_group
from nb_lib.hooks import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING, stops
from nb_lib.net import ARP, BRIDGE
from nb_lib.packet import Packet
from nb_lib.trace import Answered, AtHook, Event, Fate, Gone, Lost, Rewritten, Route, Routed

_RESERVED = "01:80:c2:00:00:0"  # addresses that a bridge keeps for itself: IEEE 802.1D, table 7-10
_STP, _PAUSE, _LLDP = "0", "1", "e"
_CALLS = {4: "iptables", 6: "ip6tables", ARP: "arptables"}


class BridgePath:
    """One frame's way through one bridge. ``packet`` is always its present form."""

    def __init__(self, bridge: Bridge, layer: Layer, speaker: Speaker, state: State,
                 path: Callable[[int], Path]) -> None:  # fmt: skip
        self.bridge = bridge
        self.layer = layer
        self.speaker = speaker
        self.links: Links = speaker.links
        self.routing: Routing = speaker.routing
        self.state = state
        self.make_path = path
        layer.meeting.own_mac = bridge.mac
        self.packet: Packet
        self.port = ""  # by which it came, empty for the host's own
        self.path: Path | None = (
            None  # its way through IP's chains, if br_netfilter shows it to them
        )

    # --- in by a port ---

    def receive(self, packet: Packet, port: str) -> Events:
        """The frame comes in by a port."""
        self.port = port
        own = self.bridge.ports.get(port, "")
        packet = replace(packet, in_port=port, in_iface=self.bridge.name, out_port="", out_iface="")
        self.packet = replace(packet, link=link_of(packet.mac_dst, own))
        if is_group(packet.mac_src) or not packet.mac_src.strip("0:"):
            return (yield from self._lose("no station sends from that address", PREROUTING))
        if packet.mac_dst[:-1] == _RESERVED and packet.mac_dst[-1] != _STP:
            return (yield from self._reserved(packet.mac_dst[-1]))
        if packet.mac_dst == self.bridge.mac:
            self.packet = replace(self.packet, link="HOST")
        fate = yield from self._hook(PREROUTING)
        return fate or (yield from self._switch())

    def _reserved(self, last: str) -> Events:
        """A frame for the bridge's neighbours alone is never passed on."""
        if last == _PAUSE:
            return (yield from self._lose("it is a pause frame", PREROUTING))
        if last != _LLDP:
            fate = yield from self._hook(INPUT)
            if fate:
                return fate
        self._learn()
        return Fate("local", self.port)

    def _learn(self) -> None:
        """Remember behind which port the sender is."""
        self.state.memory["station", self.bridge.name, self.packet.mac_src] = self.port

    def _switch(self) -> Events:
        """br_handle_frame_finish(): learn where the sender is, find out where the receiver is."""
        packet, name = self.packet, self.bridge.name
        self._learn()
        group = is_group(packet.mac_dst)
        if group:
            word = "BROADCAST" if packet.mac_dst == "ff:ff:ff:ff:ff:ff" else "MULTICAST"
            self.packet = replace(packet, link=word)
        where = self._station(packet.mac_dst)
        if where == name:
            return (yield from self._up())
        if where and not self.bridge.delivers(where, self.port):
            return (yield from self._lose("its receiver is behind the port it came by", PREROUTING,
                                          f"hairpin mode of {where}"))  # fmt: skip
        ports = reversed([*self.bridge.ports])
        others = [port for port in ports if self.bridge.delivers(port, self.port)]
        fate = yield from self._copies(where, others, FORWARD)
        if group:
            fate = both(fate, (yield from self._up()))
        return fate

    def _station(self, mac: str) -> str:
        """Return the port behind which a station is, the bridge's name for its own, or nothing."""
        if mac == self.bridge.mac or mac in self.bridge.ports.values():
            return self.bridge.name
        return str(self.state.memory.get(("station", self.bridge.name, mac), ""))

    def _up(self) -> Events:
        """br_pass_frame_up(): the frame is for the host."""
        self.packet = replace(self.packet, out_port="", out_iface="")
        yield Routed(self.packet, Route("BRIDGE", self.bridge.name, rule="the bridge itself"))
        fate = yield from self._hook(INPUT)
        if fate:
            return fate
        packet = _untagged(self._confirmed(self.packet))
        if isinstance(packet, Arp):
            return (yield from self.speaker.hear(packet, self.bridge.name, self._answer))
        if packet.link == "OTHERHOST":
            return (yield from self._lose("IP does not listen: it is for another host", INPUT))
        if packet.family not in (4, 6):
            return Fate("local", self.bridge.name)
        name, path = self.bridge.name, self.path or self.make_path(packet.family)
        packet = replace(packet, in_iface=name, in_port=packet.in_port if self.path else "")
        return (yield from path.arrive(packet, name, seen=self.path is not None))

    def _confirm(self, packet: Packet) -> Packet:
        return confirm(self.state.conntrack, packet, self.state.now)[0]

    def _confirmed(self, packet: Packet) -> Packet:
        """br_nf_local_in(): what goes to a group enters the table of connections here at the latest."""
        return packet if packet.link == "HOST" else self._confirm(packet)

    # --- out by ports ---

    def transmit(self, packet: Packet) -> Events:
        """br_dev_xmit(): the host sends a frame by the bridge."""
        self.packet = replace(packet, out_iface=self.bridge.name)
        ports = {mac: port for port, mac in self.bridge.ports.items()}
        where = ports.get(packet.mac_dst) or self._station(packet.mac_dst)
        if where == self.bridge.name:
            return (yield from self._lose("it is addressed to the bridge that sends it", OUTPUT))
        return (yield from self._copies(where, [*reversed([*self.bridge.ports])], OUTPUT))

    def _copies(self, where: str, others: list[str], hook: str) -> Events:
        """Send the frame out of the port behind which its receiver is, or a copy out of each other."""
        mac, fate = self.packet.mac_dst, None
        ports, reason = ([where], f"{mac} is behind it") if where else (others, "")
        reason = reason or (
            f"a copy for {mac}" if is_group(mac) else f"nobody knows where {mac} is"
        )
        whole = self.packet
        for port in ports:
            self.packet = replace(
                whole, out_port=port, out_iface=self.bridge.name, ct=self.packet.ct
            )
            yield Routed(self.packet, Route("BRIDGE", port, rule=reason))
            fate = both(fate, (yield from self._out(hook)))
        self.packet = replace(whole, ct=self.packet.ct)
        return fate or Fate("lost", detail=PREROUTING)

    def _out(self, hook: str) -> Events:
        """__br_forward(): the frame meets FORWARD or OUTPUT, then POSTROUTING, and leaves."""
        fate = yield from self._hook(hook)
        if fate:
            return fate
        fate = yield from self._hook(POSTROUTING)
        if fate:
            return fate
        port = self.packet.out_port
        parts: tuple[Packet, ...] = (self.packet,)
        if self.path is not None:
            yield from self.path.cut(self.packet)
            parts = self.path.parts
        for part in parts:
            yield Gone(part, port)
        return Fate("forward", port)

    # --- hooks ---

    def _hook(self, hook: str) -> Events:
        """Meet what is registered at one of the bridge's hooks."""
        yield AtHook(self.packet, hook, self.layer.name)
        for stop in stops(hook, self.layer.backend, BRIDGE):
            if stop.table:
                fate = yield from self._table(stop.table, hook)
            else:
                fate = yield from self._netfilter(hook)
            if fate:
                return fate
        return None

    def _table(self, name: str, hook: str) -> Events:
        packet = self.packet
        seen = replace(
            packet,
            in_port="" if hook in (OUTPUT, POSTROUTING) else packet.in_port,
            in_iface="" if hook in (OUTPUT, POSTROUTING) else self.bridge.name,
        )
        ending = yield from self.layer.table(seen, name, hook)
        self.packet = replace(ending.packet, in_port=packet.in_port, in_iface=packet.in_iface)
        messages, self.layer.meeting.messages = self.layer.meeting.messages, []
        for message in messages:
            yield Answered(self.packet, message, "arpreply", tuple(self._by_port(message)))
        return end(ending)

    def _by_port(self, message: Packet) -> Iterable[Event]:
        """Send an answer out of the very port that asked; no chain of the bridge sees it."""
        ending = yield from self.speaker.speak(message, self.port)
        if end(ending) is None:
            yield Gone(ending.packet, self.port)

    # --- br_netfilter ---

    def _netfilter(self, hook: str) -> Events:
        packet = self.packet
        if isinstance(packet, Arp):
            return (yield from self._arp_forward(packet)) if hook == FORWARD else None
        if packet.family not in (4, 6) or packet.vlan is not None or not self.port:
            return None
        if hook == PREROUTING and self._calls(packet.family):
            self.path = self.make_path(packet.family)
        if self.path is None:
            return None
        path = self.path
        name = self.bridge.name
        shown = replace(
            packet,
            link="HOST" if packet.link == "OTHERHOST" else packet.link,
            in_iface="" if hook == POSTROUTING else name,
            out_iface="" if hook == PREROUTING else name,
        )
        fate = yield from path.visit(shown, hook)
        after = path.packet
        self.packet = replace(after, link=packet.link, in_iface=name, out_iface=packet.out_iface)
        if fate is None and hook == PREROUTING and after.dst != packet.dst:
            return (yield from self._redirected())
        return fate

    def _calls(self, family: int) -> bool:
        """Whether br_netfilter shows this family's packets to its chains; the kernel's default is yes."""
        setting = f"net.bridge.bridge-nf-call-{_CALLS[family]}"
        return self.routing.sysctls.get(setting, "1") != "0"

    def _redirected(self) -> Events:
        """br_nf_pre_routing_finish(): iptables translated the destination; find out who has it now."""
        packet, name = self.packet, self.bridge.name
        route = self.routing.input(packet.src, packet.dst, name, packet.mark)
        if isinstance(route, Refused) and not self.routing.forwarding[packet.family]:
            route = self.routing.output(None, packet.dst)
            if not isinstance(route, Refused) and route.interface != name:
                route = Refused(
                    f"{packet.dst} is not behind {name}, and this host does not forward"
                )
        if isinstance(route, Refused):
            return (yield from self._lose(route.reason, PREROUTING))
        yield Routed(packet, route)
        if route.interface == name and route.kind != "LOCAL":
            mac = self.links.mac_of(route.via or packet.dst)
            if mac is None:
                return _unknown(route.via or packet.dst)
            self.packet = replace(packet, mac_dst=mac)
        else:
            self.packet = replace(packet, mac_dst=self.bridge.mac, link="HOST")
        yield Rewritten(self.packet, packet, "br_netfilter")
        return None

    def _arp_forward(self, message: Arp) -> Events:
        """br_nf_forward_arp(): only the legacy arptables has a chain FORWARD."""
        if message.vlan is not None or message.sizes[1] != 4 or not self._calls(ARP):
            return None
        shown = replace(message, in_iface=message.in_port, out_iface=message.out_port)
        ending = yield from self.speaker.layer.table(shown, "filter", FORWARD)
        self.packet = replace(ending.packet, in_iface=message.in_iface, out_iface=message.out_iface)
        return end(ending)

    # --- ends ---

    def _answer(self, message: Packet, device: str) -> Iterable[Event]:
        """The host's ARP answers: arptables OUTPUT, then out by the bridge."""
        ending = yield from self.speaker.speak(message, device)
        if end(ending) is None:
            way = BridgePath(self.bridge, self.layer, self.speaker, self.state, self.make_path)
            yield from way.transmit(replace(ending.packet, link="HOST"))

    def _lose(self, reason: str, hook: str, setting: str = "") -> Generator[Event, None, Fate]:
        yield Lost(self.packet, reason, hook, setting)
        return Fate("lost", detail=hook)


def _untagged(packet: Packet) -> Packet:
    """Return what the host takes a tagged frame for: no VLAN but 0 is its own. __netif_receive_skb_core()."""
    if packet.vlan is None:
        return packet
    return replace(packet, vlan=None, link="OTHERHOST" if packet.vlan & 0xFFF else packet.link)


def _unknown(address: object) -> Fate:
    return Fate("undecided", detail=f"who has {address}? give neighbours={{'{address}': …}}")


def both(one: Fate | None, other: Fate | None) -> Fate | None:
    """Return the fate of a frame of which there are copies: delivered, gone by some ports, or dropped."""
    if one is None or other is None:
        return one or other
    if "local" in (one.kind, other.kind):
        return one if one.kind == "local" else other
    if one.kind == other.kind == "forward":
        return one._replace(device=f"{one.device}, {other.device}")
    return one if one.kind == "forward" else other
