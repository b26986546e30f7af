"""Address translation: chosen once a connection, applied to each of its packets, both ways.

Theory of operation. The first packet of a connection visits the nat chains. A NAT target changes
the *reply* tuple that the connection expects; a chain that ends without one binds it as it is.
From then on each packet is rewritten by comparing the connection's two tuples: destination
translation of the original direction happens at PREROUTING or OUTPUT, source translation at
POSTROUTING or INPUT, and a reply gets the opposite change at the opposite hook.

Linux: net/netfilter/nf_nat_core.c nf_nat_setup_info(), get_unique_tuple(), nf_nat_packet(),
nf_nat_inet_fn(); nf_nat_proto.c nf_nat_icmp_reply_translation(); nf_nat_masquerade.c.
"""

from __future__ import annotations

from collections.abc import Callable

from nb_lib.connection import Address, Connection, Tuple, Zone
from nb_lib.effects import Nat
from nb_lib.engine.conntrack import Conntrack
from nb_lib.engine.routing import Refused
from nb_lib.engine.tuples import PORTS, invert
from nb_lib.frozen import changed
from nb_lib.headers import GRE, ICMP, ICMP_ERRORS, ICMPV6
from nb_lib.jhash import jhash, scale
from nb_lib.net import make_address
from nb_lib.packet import Packet

SIDE = {"PREROUTING": "dst", "OUTPUT": "dst", "POSTROUTING": "src", "INPUT": "src"}
_DONE = {"src": "SRC_NAT_DONE", "dst": "DST_NAT_DONE"}
_BIT = {"src": "SNAT", "dst": "DNAT"}
_OTHER = {"src": "dst", "dst": "src"}
_TRIES, _FEWEST = 128, 16  # ports that are tried in a row, first and at last (NF_NAT_MAX_ATTEMPTS)
_REDIRECT = 5

Draw = Callable[[int, int], int]


def initialised(connection: Connection, side: str) -> bool:
    """Whether the connection's translation of this side is settled."""
    return _DONE[side] in connection.status


def bind(connection: Connection, side: str) -> Connection:
    """Settle a side without translating it."""
    return changed(connection, status=connection.status | {_DONE[side]})


def set_up(table: Conntrack, connection: Connection, nat: Nat, draw: Draw) -> Connection:
    """Choose the translation and return the connection with it.

    If every tuple that was tried is taken, the last one is kept; the packet is then dropped when
    the connection is to be confirmed, as in the kernel. One that is confirmed is left as it is.
    """
    if "CONFIRMED" in connection.status:
        return connection
    current = invert(connection.reply)
    assert current is not None
    chosen = _unique(table, current, connection.zone, nat, draw)
    status = connection.status | {_DONE[nat.side]}
    if chosen != current:
        reply = invert(chosen)
        assert reply is not None
        connection = changed(connection, reply=reply)
        status |= {_BIT[nat.side]}
    return changed(connection, status=status)


def settle(table: Conntrack, connection: Connection, side: str, draw: Draw) -> Connection:
    """Bind a side that no rule translates; its port may still have to move out of the way."""
    if "CONFIRMED" not in connection.status and not table.taken(connection.reply, connection.zone):
        return bind(connection, side)
    current = invert(connection.reply)
    assert current is not None
    address = current.src if side == "src" else current.dst
    nat = Nat("src" if side == "src" else "dst", address, address)
    return set_up(table, connection, nat, draw)


def _unique(table: Conntrack, current: Tuple, zone: Zone, nat: Nat, draw: Draw) -> Tuple:
    """get_unique_tuple(): keep what can be kept, else move the port."""

    def free(candidate: Tuple) -> bool:
        return not table.taken(invert(candidate), zone)

    if nat.netmap is not None:
        nat = _mapped(current, nat)
    shuffles = nat.random or nat.random_fully
    if nat.side == "src" and not shuffles:
        if _inside(current, nat):
            if free(current):
                return current
        elif (earlier := _earlier_source(table, current, zone, nat)) and free(earlier):
            return earlier
    chosen = _with_address(current, zone, nat)
    if chosen.protocol not in PORTS | {ICMP, ICMPV6}:
        return chosen
    if not shuffles and _keeps_port(chosen, nat, free):
        return chosen
    return _other_port(chosen, nat, free, draw)


def _keeps_port(t: Tuple, nat: Nat, free: Callable[[Tuple], bool]) -> bool:
    """Whether the port may stay: it is wanted, or no other is and nobody uses it."""
    if nat.port_low is None:
        return free(t)
    return _port_inside(t, nat) and (nat.port_low == nat.port_high or free(t))


def _inside(t: Tuple, nat: Nat) -> bool:
    """Whether the address (and port) already lie in the wanted range: nf_in_range()."""
    if (
        nat.low is not None
        and nat.high is not None
        and not int(nat.low) <= int(t.src) <= int(nat.high)
    ):
        return False
    return nat.port_low is None or _port_inside(t, nat)


def _port_inside(t: Tuple, nat: Nat) -> bool:
    assert nat.port_low is not None
    port = t.sport if nat.side == "src" or t.protocol in (ICMP, ICMPV6) else t.dport
    return nat.port_low <= port <= (nat.port_high or nat.port_low)


def _earlier_source(table: Conntrack, t: Tuple, zone: Zone, nat: Nat) -> Tuple | None:
    """A source that was translated before is translated to the same: find_appropriate_src()."""
    for held in table:
        mine = held.original
        if held.zone.of("ORIGINAL") != zone.of("ORIGINAL"):
            continue
        if (mine.src, mine.protocol, mine.sport) == (t.src, t.protocol, t.sport):
            mirror = invert(held.reply)
            assert mirror is not None
            candidate = t._replace(src=mirror.src, sport=mirror.sport)
            if _inside(candidate, nat):
                return candidate
    return None


def _mapped(t: Tuple, nat: Nat) -> Nat:
    """Return the one address that NETMAP asks for: the network's, with the host's bits of the old one."""
    assert nat.low is not None
    assert nat.netmap is not None
    old = t.src if nat.side == "src" else t.dst
    number = int(nat.low) | int(old) & ~nat.netmap & ((1 << old.max_prefixlen) - 1)
    address = make_address(nat.low.version, number)
    return nat._replace(low=address, high=address, netmap=None)


def _with_address(t: Tuple, zone: Zone, nat: Nat) -> Tuple:
    """Put the wanted address in."""
    if nat.low is None:
        return t
    address = nat.low
    if nat.high is not None and nat.high != nat.low:
        address = _from_range(t, zone, nat, nat.low, nat.high)
    return t._replace(src=address) if nat.side == "src" else t._replace(dst=address)


def _from_range(t: Tuple, zone: Zone, nat: Nat, low: Address, high: Address) -> Address:
    """Choose an address of a range by a hash of who speaks to whom: find_best_ips_proto().

    The kernel hashes words as they lie in memory; this is what a little-endian machine does.
    """
    src, dst = _words(t.src), _words(t.dst)
    size = len(low.packed) // 4
    seed = 0 if nat.persistent else dst[size - 1] ^ zone.id
    value, full, found = jhash(src, seed), False, b""
    for place in range(size):
        first, last = (
            int.from_bytes(a.packed[4 * place : 4 * place + 4], "big") for a in (low, high)
        )
        least, span = (0, 0xFFFFFFFF) if full else (first, last - first + 1 & 0xFFFFFFFF)
        word = least + scale(value, span) & 0xFFFFFFFF
        found += word.to_bytes(4, "big")
        full = full or word != last
        if not nat.persistent:
            value ^= (
                int.from_bytes(word.to_bytes(4, "big"), "little")
                if nat.side == "dst"
                else dst[place]
            )
    return make_address(low.version, int.from_bytes(found, "big"))


def _words(address: Address) -> list[int]:
    """Return an address as the four words of the kernel's union nf_inet_addr."""
    data = address.packed.ljust(16, b"\0")
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, 16, 4)]


def _other_port(t: Tuple, nat: Nat, free: Callable[[Tuple], bool], draw: Draw) -> Tuple:
    """Look for a free port: nf_nat_l4proto_unique_tuple()."""
    name = "sport" if nat.side == "src" or t.protocol in (ICMP, ICMPV6) else "dport"
    port = getattr(t, name)
    if nat.port_low is not None:
        low, high = nat.port_low, nat.port_high or nat.port_low
    elif t.protocol in (ICMP, ICMPV6):
        low, high = 0, 0xFFFF
    elif nat.side == "dst":
        return t  # without a range of its own, a destination's port is never changed
    else:
        low, high = _port_class(port)
    size = high - low + 1
    if nat.port_base is not None:
        start = (port - nat.port_base) % size
    elif size > 1 and (nat.random or nat.random_fully or nat.side == "src"):
        start = draw(low, high) - low
    else:
        start = 0
    tries = min(size, _TRIES)
    while True:
        for step in range(start, start + tries):
            port = low + step % size
            candidate = t._replace(sport=port) if name == "sport" else t._replace(dport=port)
            if free(candidate):
                return candidate
        if tries >= size or tries < _FEWEST:
            return candidate  # taken: the packet will be dropped when it is to be confirmed
        tries, start = tries // 2, draw(0, 0xFFFF)


def _port_class(port: int) -> tuple[int, int]:
    """A source port that must move stays among its like: privileged ports stay privileged."""
    if port < 512:
        return 1, 511
    return (600, 1023) if port < 1024 else (1024, 65535)


def translate(packet: Packet, hook: str) -> Packet | Refused:
    """Rewrite a packet as its connection says at this hook, if it can be: nf_nat_packet()."""
    tracked = packet.ct
    if tracked is None or tracked.connection is None:
        return packet
    side, connection = SIDE[hook], tracked.connection
    redirect = packet.protocol == ICMP and packet.icmp_type == _REDIRECT
    if redirect and {"SNAT", "DNAT"} & connection.status:
        return Refused("an ICMP redirect would lead around the translation")
    bit = _BIT[side if tracked.direction == "ORIGINAL" else _OTHER[side]]
    if bit not in connection.status:
        return packet
    mirror = connection.reply if tracked.direction == "ORIGINAL" else connection.original
    target = invert(mirror)
    assert target is not None
    if packet.protocol in (ICMP, ICMPV6) and packet.icmp_type in ICMP_ERRORS[packet.family]:
        return _translate_error(packet, side, mirror, target)
    if packet.protocol == GRE and packet.length < packet.header_end + 8:
        return Refused("the GRE header is too short to be translated")  # gre_manip_pkt()
    return packet.change(**_fields(packet, side, target))


def _translate_error(packet: Packet, side: str, mirror: Tuple, target: Tuple) -> Packet:
    """An ICMP error: the quoted packet is turned back, and the outer address with it."""
    inner = packet.inner
    assert inner is not None
    packet = packet.change_inner(**_fields(inner, _OTHER[side], mirror))
    return packet.change(**{side: target.src if side == "src" else target.dst})


def _fields(packet: Packet, side: str, target: Tuple) -> dict[str, object]:
    """The header fields that one side of a translation sets."""
    fields: dict[str, object] = {side: target.src if side == "src" else target.dst}
    if packet.protocol in PORTS:
        fields["sport" if side == "src" else "dport"] = (
            target.sport if side == "src" else target.dport
        )
    elif packet.protocol in (ICMP, ICMPV6) and packet.icmp_type not in ICMP_ERRORS[packet.family]:
        fields["icmp_id"] = target.sport
    return {name: value for name, value in fields.items() if getattr(packet, name) != value}
