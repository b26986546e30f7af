"""The link layer of a host: its bridges, its neighbours, the chains of arptables and ebtables.

Sources: net/bridge/br_device.c, net/ipv4/arp.c arp_rcv(), arp_process(), arp_xmit().
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nb_lib.connection import Address
from nb_lib.engine.context import Meeting
from nb_lib.engine.index import ChainIndex
from nb_lib.engine.routing import Refused, Routing
from nb_lib.engine.walk import Ending, walk
from nb_lib.errors import HostError
from nb_lib.frame import BROADCAST, Arp, read_mac, write_mac
from nb_lib.hooks import INPUT, OUTPUT
from nb_lib.net import ARP, BRIDGE, parse_address
from nb_lib.packet import Packet
from nb_lib.rules import Ruleset
from nb_lib.trace import Answered, AtHook, Event, Fate, Lost

Events = Generator[Event, None, "Fate | None"]
Send = Callable[[Packet, str], Iterable[Event]]


@dataclass(frozen=True)
class Bridge:
    """A bridge: its name and Ethernet address; its ports, in the order in which they were added, and theirs.

    An address that is not known is empty. A port in hairpin mode sends a frame back by the way it came.
    """

    name: str
    mac: str
    ports: Mapping[str, str]
    hairpin: frozenset[str] = frozenset()

    def delivers(self, port: str, came_by: str) -> bool:
        """Whether a frame that came by one port may leave by another: br_forward.c should_deliver()."""
        return port != came_by or port in self.hairpin


@dataclass(frozen=True)
class Links:
    """A host's bridges by name, and the Ethernet addresses of IP addresses: ``ip neigh``."""

    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    neighbours: Mapping[Address, str] = field(default_factory=dict)

    def bridge_of(self, port: str) -> Bridge | None:
        """Return the bridge that a device is a port of."""
        return next((b for b in self.bridges.values() if port in b.ports), None)

    def mac_of(self, address: Address) -> str | None:
        """Return the Ethernet address for an IP address: its group's, or the one that was given."""
        if address.is_multicast and address.version == 4:
            return write_mac((0x01005E000000 | int(address) & 0x7FFFFF).to_bytes(6, "big"))
        if address.is_multicast:
            return write_mac((0x333300000000 | int(address) & 0xFFFFFFFF).to_bytes(6, "big"))
        return self.neighbours.get(address)


def make_links(bridges: Mapping[str, Any], neighbours: Mapping[str, str]) -> Links:
    """Return the links that ``Host`` was told of. Raise HostError."""
    made = {}
    for name, given in bridges.items():
        try:
            hairpin = frozenset(given.get("hairpin", ()))
            made[name] = Bridge(name, _mac(given["mac"]), _ports(given["ports"]), hairpin)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            hint = '{"mac": "02:00:00:00:00:01", "ports": ["p0", "p1"]}'
            raise HostError(f"bridge {name}: {error}; {hint} is expected") from None
    try:
        known = {parse_address(address): _mac(mac) for address, mac in neighbours.items()}
    except (AttributeError, ValueError) as error:
        raise HostError(f"neighbours: {error}") from None
    ports = [port for bridge in made.values() for port in bridge.ports]
    twice = sorted({port for port in ports if ports.count(port) > 1})
    if twice:
        raise HostError(f"{', '.join(twice)}: a device is a port of one bridge, once")
    return Links(made, known)


def _ports(given: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    """Read the ports' names, and their addresses if a mapping gives them."""
    if isinstance(given, Mapping):
        return {name: _mac(mac) for name, mac in given.items()}
    return dict.fromkeys(given, "")


def _mac(text: str) -> str:
    return write_mac(read_mac(text))


_NAMES = {ARP: "arp", BRIDGE: "bridge"}


def layer_name(family: int, table: str) -> str:
    """Return what traces and counters call a table: ``filter``, ``bridge filter``, ``arp filter``."""
    return f"{_NAMES[family]} {table}" if family in _NAMES else table


class Layer:
    """The chains of one family below IP, and how a frame meets them."""

    def __init__(self, ruleset: Ruleset, meeting: Meeting,
                 indexes: dict[tuple[str, str], ChainIndex]) -> None:  # fmt: skip
        self.name = _NAMES[ruleset.family]
        self.backend = ruleset.backend
        self.meeting = meeting
        self._tables = {
            t.name: replace(t, name=layer_name(ruleset.family, t.name)) for t in ruleset
        }
        self._indexes = indexes

    def table(self, packet: Packet, name: str, hook: str) -> Generator[Event, None, Ending]:
        """Walk a table's base chain at a hook."""
        table = self._tables.get(name)
        if table is None or hook not in table:
            return Ending("ACCEPT", packet)
        self.meeting.hook, self.meeting.packet = hook, packet
        return (yield from walk(table, table[hook], packet, self.meeting, self._indexes))


def end(ending: Ending) -> Fate | None:
    """Return what a verdict other than ACCEPT makes of a frame."""
    if ending.verdict == "ACCEPT":
        return None
    if ending.verdict == "UNDECIDED":
        return Fate("undecided", place=ending.place, detail=ending.by)
    return Fate(ending.verdict.lower(), place=ending.place)


class Speaker:
    """The ARP of a host: it hears messages, answers requests, and sends."""

    def __init__(self, layer: Layer, routing: Routing, links: Links) -> None:
        self.layer = layer
        self.routing = routing
        self.links = links

    def hear(self, message: Arp, device: str, send: Send) -> Events:
        """A message came in by ``device``; ``send`` takes the answer out of it."""
        if message.link == "OTHERHOST" or message.sizes != (6, 4):
            why = "it is addressed to another host" if message.link == "OTHERHOST" else "its sizes"
            yield Lost(message, f"ARP does not listen: {why}", INPUT)
            return Fate("lost", detail="arp")
        message = replace(message, in_iface=device, in_port="", out_iface="", out_port="")
        ending = yield from self.meet(message, INPUT)
        fate = end(ending)
        if fate:
            return fate
        assert isinstance(ending.packet, Arp)
        reply = self.reply(ending.packet, device)
        if reply is not None:
            events = tuple(send(reply, device))
            yield Answered(ending.packet, reply, "the host's own stack", events)
        return Fate("local", device)

    def speak(self, message: Packet, device: str) -> Generator[Event, None, Ending]:
        """The host sends a message by ``device``."""
        message = replace(message, in_iface="", in_port="", out_iface=device, out_port="")
        return (yield from self.meet(message, OUTPUT))

    def meet(self, message: Packet, hook: str) -> Generator[Event, None, Ending]:
        """Take a message through the chain of one hook."""
        yield AtHook(message, hook, self.layer.name)
        return (yield from self.layer.table(message, "filter", hook))

    def reply(self, message: Arp, device: str) -> Arp | None:
        """Return the answer to a request for one of the host's addresses: arp_process()."""
        if message.operation != 1 or not message.readable:
            return None
        if not self.routing.is_local(message.dst) or message.dst.is_loopback:
            return None
        if self._ignored(message, device) or self._filtered(message, device):
            return None
        route = self.routing.input(message.src, message.dst, device)
        if int(message.src) and isinstance(route, Refused):
            return None
        bridge = self.links.bridges.get(device)
        mac = bridge.mac if bridge else self.links.mac_of(message.dst)
        if mac is None:
            hint = f"neighbours={{'{message.dst}': …}}"
            raise HostError(f"the Ethernet address of {device} is not known: give {hint}")
        made = message.reply(mac_src=mac)
        assert isinstance(made, Arp)
        return made

    def _filtered(self, message: Arp, device: str) -> bool:
        """Whether ``arp_filter`` forbids the answer: what goes to the asker leaves by another device."""
        if not self.routing.sysctl("arp_filter", device) or not int(message.src):
            return False
        route = self.routing.output(message.dst, message.src)
        return isinstance(route, Refused) or route.interface != device

    def _ignored(self, message: Arp, device: str) -> bool:
        """Whether conf.all or the device's ``arp_ignore`` forbids the answer: arp_ignore()."""
        names = (f"net.ipv4.conf.{who}.arp_ignore" for who in ("all", device))
        mode = max(self.routing.setting(name) for name in names)
        if mode not in (1, 2):
            return mode == 8
        asker = message.src if mode == 2 and int(message.src) else None
        return not any(
            one.device == device and one.address == message.dst and (not asker or asker in one.net)
            for one in self.routing.interfaces
        )


def link_of(mac: str, own: str) -> str:
    """Return to whom a device with the address ``own`` takes a frame to be sent: eth_type_trans()."""
    if mac == BROADCAST:
        return "BROADCAST"
    if int(mac[:2], 16) & 1:
        return "MULTICAST"
    return "HOST" if mac == own else "OTHERHOST"
