"""Where a packet enters a host: by a port of a bridge, by ARP, or straight to IP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nb_lib.engine.bridge import BridgePath, both
from nb_lib.engine.context import Meeting
from nb_lib.engine.link import Bridge, Events, Layer, Speaker, end
from nb_lib.engine.path import Path
from nb_lib.engine.routing import Refused, Routing
from nb_lib.errors import HostError
from nb_lib.frame import BROADCAST, Arp, Other
from nb_lib.net import ARP, BRIDGE
from nb_lib.trace import Fate, Lost, Route, Routed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nb_lib.connection import Address
    from nb_lib.engine.chance import Chooser
    from nb_lib.engine.host import Host
    from nb_lib.engine.state import State
    from nb_lib.packet import Packet
    from nb_lib.trace import Event


class Entry:
    """One packet at a host's door; what it meets there shares the host's memory and luck."""

    def __init__(self, host: Host, routing: Routing, state: State, chooser: Chooser, *,
                 waits: bool = False) -> None:  # fmt: skip
        self.host = host
        self.links = host.links
        self.routing = routing
        self.state = state
        self.chooser = chooser
        self.waits = waits

    # --- in and out ---

    def receive(self, packet: Packet, device: str) -> Events:
        """The packet comes in by a device."""
        bridge = self.links.bridge_of(device)
        if bridge is not None:
            return self._bridging(bridge).receive(self._framed(packet, bridge), device)
        if isinstance(packet, Arp):
            link = "BROADCAST" if packet.mac_dst == BROADCAST else "HOST"
            return self._speaker().hear(replace(packet, link=link), device, self._speak)
        if isinstance(packet, Other):
            raise HostError(
                f"{packet}: {device} is no port of a bridge, and the host knows only IP and ARP"
            )
        return self._path(packet.family).receive(packet, device)

    def send(self, packet: Packet, *, broadcast: bool) -> Events:
        """The host sends the packet."""
        if isinstance(packet, Other):
            raise HostError(f"{packet}: the host sends only IP and ARP")
        if isinstance(packet, Arp):
            return self._send_arp(packet)
        return self._path(packet.family).send(packet, broadcast=broadcast)

    def _send_arp(self, message: Arp) -> Events:
        route = self.routing.output(None, message.dst)
        if isinstance(route, Refused):
            yield Lost(message, route.reason, "OUTPUT", route.setting)
            return Fate("lost", detail="None")
        device = route.interface
        yield Routed(message, Route("OUTPUT", device, rule=route.rule))
        ending = yield from self._speaker().speak(message, device)
        fate = end(ending)
        if fate:
            return fate
        if device in self.links.bridges:
            way = self._bridging(self.links.bridges[device])
            return (yield from way.transmit(replace(ending.packet, link="HOST")))
        return Fate("forward", device)

    def _speak(self, message: Packet, device: str) -> Iterable[Event]:
        """Send an answer of ARP by a device that is no bridge."""
        yield from self._speaker().speak(message, device)

    # --- what a packet meets ---

    def _path(self, family: int) -> Path:
        ruleset = self.host.family(family)
        path = Path(ruleset, self.routing, self.state, self._meeting(family),
                    tracking=self.host.tracks(family), gathering=self.host.gathers(family),
                    indexes=self.host.indexes(family), nftables=self.host.nftables)  # fmt: skip
        path.waits = self.waits
        path.onward = self._onward if self.links.bridges else None
        return path

    def _bridging(self, bridge: Bridge) -> BridgePath:
        return BridgePath(bridge, self._layer(BRIDGE), self._speaker(), self.state, self._path)

    def _speaker(self) -> Speaker:
        return Speaker(self._layer(ARP), self.routing, self.links)

    def _layer(self, family: int) -> Layer:
        return Layer(self.host.family(family), self._meeting(family), self.host.indexes(family))

    def _meeting(self, family: int) -> Meeting:
        backend = self.host.family(family).backend
        return Meeting(family, backend, self.routing, self.state, self.chooser)

    # --- between IP and a bridge ---

    def _onward(self, path: Path) -> Events:
        """A packet of IP goes out of a bridge."""
        packet = path.packet
        bridge = self.links.bridges.get(packet.out_iface)
        if bridge is None:
            return None
        group = self.routing.address_type(packet.dst) in ("BROADCAST", "MULTICAST")
        asked = packet.dst if group else path.meeting.next_hop or packet.dst
        mac = self._mac(asked)
        if mac is None:
            missing = f"who has {asked}? give neighbours={{'{asked}': …}}"
            return Fate("undecided", detail=missing)
        fate: Fate | None = None
        for part in path.parts:
            frame = replace(part, mac_src=bridge.mac, mac_dst=mac)
            fate = both(fate, (yield from self._bridging(bridge).transmit(frame)))
        return fate

    def _mac(self, address: Address) -> str | None:
        if self.routing.address_type(address) == "BROADCAST":
            return BROADCAST
        return self.links.mac_of(address)

    def _framed(self, packet: Packet, bridge: Bridge) -> Packet:
        """Give a frame the Ethernet addresses that it lacks, if they are known."""
        source, destination = packet.mac_src, packet.mac_dst
        if not source:
            source = self.links.mac_of(packet.src) or ""
        if not destination and self.routing.is_local(packet.dst):
            destination = bridge.mac
        elif not destination:
            destination = self._mac(packet.dst) or ""
        if not (source and destination):
            raise HostError(
                f"{packet}: a frame needs mac_src and mac_dst, or the host neighbours={{…}}"
            )
        return replace(packet, mac_src=source, mac_dst=destination)
