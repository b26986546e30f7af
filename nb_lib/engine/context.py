"""What a match or a target may know of the host while one packet passes.

One ``Meeting`` accompanies one packet. It answers the extensions' questions (nb_lib.options.Context)
from the host's facts and state, and carries out what targets ask for (nb_lib.effects).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from nb_lib import effects
from nb_lib.connection import Address, Connection, Tracked, Tuple
from nb_lib.engine import nat
from nb_lib.engine.conntrack import UNTRACKED
from nb_lib.engine.routing import LOOPBACK_MTU
from nb_lib.engine.sets import change_member, contains
from nb_lib.errors import RulesetError
from nb_lib.frame import BROADCAST, is_group
from nb_lib.frozen import changed
from nb_lib.packet import Packet
from nb_lib.trace import Chance, Event, Noted, Place, Rewritten, Route

if TYPE_CHECKING:
    from nb_lib.engine.chance import Chooser
    from nb_lib.engine.routing import Routing
    from nb_lib.engine.state import State


class Meeting:
    """Implements ``nb_lib.options.Context`` for one packet on one host."""

    def __init__(
        self, family: int, backend: str, routing: Routing, state: State, chooser: Chooser
    ) -> None:
        self.family = family
        self.backend = backend
        self.routing = routing
        self.state = state
        self.chooser = chooser
        self.hook = self.table = self.chain = ""
        self.number = 0
        self.part = 0
        self.depth = 0
        self.packet: Packet | None = None
        self.route: Route | None = None  # by which the packet goes on, once that is known
        self.events: list[Event] = []
        self.ipvs: dict[str, Any] | None = None  # what IPVS made of the packet: skb->ipvs_property
        self.translates = False  # the chain is one of nat: only there connections get translations
        self.own_mac = ""  # the bridge's, while a frame passes its chains
        self.messages: list[Packet] = []  # what a target wants to be sent at once
        self.copy: Callable[[effects.Copy, Packet], Event | None] = lambda _wish, _packet: None

    @property
    def place(self) -> Place:
        """Where the packet is: the rule that is being tried."""
        return Place(self.table, self.chain, self.number)

    @property
    def next_hop(self) -> Address | None:
        """The gateway that the packet goes to, None if it goes to its destination at once."""
        return self.route.via if self.route else None

    @property
    def now(self) -> float:
        """Seconds since the epoch, on the host's clock."""
        return self.state.now

    def address_type(self, address: Address, interface: str = "") -> str | None:
        """Return the address' type in the host's local table."""
        return self.routing.address_type(address, interface)

    def addresses_of(self, interface: str) -> Sequence[Address] | None:
        """Return the addresses of a device, None if the host has none there."""
        found = [i.address for i in self.routing.interfaces if i.device == interface]
        return found or None

    def in_set(self, name: str, values: Sequence[str], packet: Packet) -> bool | None:
        """Tell whether the packet's fields are in an ipset; None if there is no such set."""
        return contains(self.state.sets, name, tuple(values), packet, self.state.now)

    def reverse_route(self, packet: Packet) -> str | None:
        """Return the device by which an answer to the packet would leave."""
        if self.routing.is_local(packet.src):
            return "lo"
        entry = self.routing.lookup(packet.src, packet.mark)
        return entry.device if entry is not None else None

    def path_mtu(self, packet: Packet) -> int | None:
        """Return the least MTU of the packet's way out and of the way back; the fact ``mtu`` is a wire's."""
        if self.route and self.route.interface == "lo" and self.reverse_route(packet) == "lo":
            return LOOPBACK_MTU[packet.family]
        given: int | None = self.fact("mtu")
        return given

    def fact(self, name: str) -> Any:
        """Return a fact that no header holds: given with the packet, or with the host."""
        given = dict(self.packet.facts) if self.packet is not None else {}
        known = given.get(name, self.state.facts.get(name))
        if known is None and name == "ipvs" and self.state.ipvs is not None:
            return self.ipvs or False
        return known

    def choose(self, probability: Fraction) -> bool:
        """Take a chance of ``probability``, and note how it came out."""
        taken = self.chooser.choose(probability)
        assert self.packet is not None
        chance = probability if taken else 1 - probability
        self.events.append(Chance(self.packet, self.place, chance, taken, self.depth))
        return taken

    def draw(self, low: int, high: int) -> int:
        """Draw a port or an address from low to high."""
        return self.chooser.draw(low, high)

    def recall(self, key: tuple[Any, ...], default: Any) -> Any:
        """Return what a match remembered."""
        return self.state.memory.get(key, default)

    def remember(self, key: tuple[Any, ...], value: Any) -> None:
        """Keep what a match wants to know next time."""
        self.state.memory[key] = value

    def connections(self) -> Sequence[Connection]:
        """Return the entries of the conntrack table."""
        return tuple(self.state.conntrack)

    def apply(self, effect: object, packet: Packet) -> Packet:
        """Carry out what a target asked for; return the packet after it."""
        match effect:
            case effects.NoTrack():
                before, packet = packet, changed(packet, ct=UNTRACKED)
                self.events.append(Rewritten(packet, before, "NOTRACK", self.place))
            case effects.Track():
                packet = self._attach_template(packet, effect)
            case effects.ConnMark(mark):
                packet = self._mark_connection(packet, mark)
            case effects.Redirect(mac):
                before, packet = packet, self._redirect(packet, mac)
                by = "dnat" if mac else "redirect"
                self.events.append(Rewritten(packet, before, by, self.place))
            case effects.Nat():
                packet = self._translate(effect, packet)
            case _:
                self._aside(effect, packet)
        return packet

    def _aside(self, effect: object, packet: Packet) -> None:
        """Carry out what leaves the packet as it is."""
        match effect:
            case effects.Note(text):
                self._note(packet, text)
            case effects.SetMember():
                self._note(packet, change_member(self.state.sets, effect, packet, self.now))
            case effects.Copy():
                if (copied := self.copy(effect, packet)) is not None:
                    self.events.append(copied)
            case effects.Respond(message):
                self.messages.append(message)

    def _note(self, packet: Packet, text: str) -> None:
        self.events.append(Noted(packet, self.place, text, self.depth))

    def _redirect(self, packet: Packet, mac: str) -> Packet:
        """Address a frame anew: net/bridge/netfilter/ebt_dnat.c, ebt_redirect.c."""
        mac = mac or self.own_mac
        if is_group(mac):
            link = "BROADCAST" if mac == BROADCAST else "MULTICAST"
        elif self.hook == "OUTPUT":
            link = packet.link  # its port is chosen already
        else:
            link = "HOST" if mac == self.own_mac else "OTHERHOST"
        return changed(packet, mac_dst=mac, link=link)

    def _attach_template(self, packet: Packet, wish: effects.Track) -> Packet:
        """Give the packet what the connection to come shall have: each rule has one template."""
        self._note(packet, _tracking(wish))
        nobody = Tuple(type(packet.src)(0), type(packet.src)(0), 0)
        template = Connection(
            0, nobody, nobody, frozenset({"TEMPLATE"}), helper=wish.helper, zone=wish.zone
        )
        return changed(packet, ct=Tracked("NEW", "ORIGINAL", template))

    def _mark_connection(self, packet: Packet, mark: int) -> Packet:
        tracked = packet.ct
        if tracked is None or tracked.connection is None:
            return packet
        connection = changed(tracked.connection, mark=mark)
        self.state.conntrack.update(connection)
        self.events.append(
            Noted(packet, self.place, f"the connection's mark is now {mark:#x}", self.depth)
        )
        return changed(packet, ct=tracked._replace(connection=connection))

    def _translate(self, wish: effects.Nat, packet: Packet) -> Packet:
        """Settle the connection's translation; the bytes change when the nat hook is left."""
        if not self.translates:
            raise RulesetError(f"{self.place}: only rules of nat translate")
        tracked = packet.ct
        assert tracked is not None
        assert tracked.connection is not None
        if nat.initialised(tracked.connection, wish.side):
            return packet
        if wish.of_interface:
            wish = _at(
                wish, self.routing.pick_source(packet.out_iface, self.next_hop or packet.dst)
            )
        elif wish.to_local:
            wish = _at(wish, self._own_address(packet))
        connection = nat.set_up(self.state.conntrack, tracked.connection, wish, self.draw)
        return changed(packet, ct=tracked._replace(connection=connection))

    def _own_address(self, packet: Packet) -> Address | None:
        """REDIRECT goes to the device that the packet came by, or to loopback: nf_nat_redirect.c."""
        if self.hook == "OUTPUT":
            return type(packet.dst)(0x7F000001 if packet.family == 4 else 1)
        mine = [a for a in self.addresses_of(packet.in_iface) or () if a.version == packet.family]
        return mine[0] if mine else None


def _at(wish: effects.Nat, address: Address | None) -> effects.Nat:
    return wish._replace(low=address, high=address)


def _tracking(wish: effects.Track) -> str:
    parts = [f"helper {wish.helper}" if wish.helper else "", str(wish.zone) if wish.zone.id else ""]
    given = " and ".join(filter(None, parts))
    return f"the connection will get {given}" if given else "the connection gets nothing special"
