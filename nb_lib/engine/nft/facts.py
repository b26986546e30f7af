"""What an expression of nft comes to for one packet.

None stands for the kernel's NFT_BREAK: the field is not there, and the rule does not match. A field of a
header asks for its protocol first, as nft has the kernel do (a dependency, which nft does not print).
Linux: net/netfilter/nft_payload.c, nft_meta.c, nft_ct.c, nft_fib.c, nft_numgen.c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from nb_lib.connection import Connection, Tracked, Tuple
from nb_lib.engine.nft.kinds import FLAGS, Plain, UnknownWordError, plain, type_of
from nb_lib.headers import AH, ICMP, ICMPV6
from nb_lib.names import protocol_numbers
from nb_lib.packet import Packet
from nb_lib.text.nft.values import Binary, Ct, Expression, Fib, Meta, Numgen, Payload, Several
from nb_lib.trace import Chance

if TYPE_CHECKING:
    from nb_lib.engine.context import Meeting

_STATE_BITS = {"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "UNTRACKED": 64}
_STATUS_BITS = {
    "EXPECTED": 1,
    "SEEN_REPLY": 2,
    "ASSURED": 4,
    "CONFIRMED": 8,
    "SNAT": 16,
    "DNAT": 32,
}
_LINKS = {"": 0, "HOST": 0, "LOOPBACK": 0, "BROADCAST": 1, "MULTICAST": 2, "OTHERHOST": 3}
_PROTOCOLS = {"icmp": ICMP, "icmpv6": ICMPV6}
_TYPES = {"UNSPEC": 0, "UNICAST": 1, "LOCAL": 2, "BROADCAST": 3, "ANYCAST": 4, "MULTICAST": 5,
          "BLACKHOLE": 6, "UNREACHABLE": 7, "PROHIBIT": 8}  # fmt: skip


def fact(value: Expression, packet: Packet, meeting: Meeting) -> Plain | None:
    """Return what an expression is for this packet, None if there is nothing of the kind.

    Raises UnknownWordError for what is not modelled.
    """
    match value:
        case Payload():
            return _payload(value, packet)
        case Meta(key):
            return _META[key](packet) if key in _META else _unknown(f"meta {key}")
        case Ct():
            return _ct(value, packet.ct)
        case Fib():
            return _fib(value, packet, meeting)
        case Numgen():
            return _number(value, packet, meeting)
        case Binary():
            return _binary(value, packet, meeting)
    return _unknown(f"{value}")


def _unknown(what: str) -> Plain:
    raise UnknownWordError(what)


# --- headers ---


def _payload(value: Payload, packet: Packet) -> Plain | None:
    if value.protocol in ("ip", "ip6"):
        if packet.family != (4 if value.protocol == "ip" else 6):
            return None
        return (
            _NETWORK[value.field](packet)
            if value.field in _NETWORK
            else _unknown(f"{value.protocol} {value.field}")
        )
    protocol, start = transport(packet)
    if value.protocol != "th" and protocol != _number_of(value.protocol):
        return None
    if packet.fragment_offset:
        return None
    header = "th" if value.field in ("sport", "dport") else value.protocol
    place = _TRANSPORT.get((header, value.field))
    if place is None:
        return _unknown(f"{value.protocol} {value.field}")
    at, size = place
    found = packet.data[start + at : start + at + size]
    return int.from_bytes(found, "big") if len(found) == size else None


def transport(packet: Packet) -> tuple[int, int]:
    """Return the protocol of the transport header and where it starts: nft_set_pktinfo_ipv6().

    In IPv6 the search ends at an authentication header (IP6_FH_F_AUTH).
    """
    found = next((place for place in packet.extensions if place[0] == AH), None)
    return found or (packet.protocol, packet.header_end)


def _number_of(protocol: str) -> int:
    known = _PROTOCOLS.get(protocol) or protocol_numbers().get(protocol)
    if known is None:
        raise UnknownWordError(f"the protocol {protocol}")
    return known


_NETWORK: Mapping[str, Callable[[Packet], Plain]] = {
    "saddr": lambda p: int(p.src),
    "daddr": lambda p: int(p.dst),
    "protocol": lambda p: p.protocol,
    "nexthdr": lambda p: p.data[6],
    "ttl": lambda p: p.ttl,
    "hoplimit": lambda p: p.ttl,
    "length": lambda p: int.from_bytes(p.data[2:4] if p.family == 4 else p.data[4:6], "big"),
}
# Where a field of the transport header stands, and its size in bytes.
_TRANSPORT = {
    ("th", "sport"): (0, 2), ("th", "dport"): (2, 2),
    ("tcp", "sequence"): (4, 4), ("tcp", "ackseq"): (8, 4), ("tcp", "flags"): (13, 1),
    ("tcp", "window"): (14, 2), ("tcp", "checksum"): (16, 2),
    ("udp", "length"): (4, 2), ("udp", "checksum"): (6, 2),
    **{(p, field): place for p in ("icmp", "icmpv6") for field, place in (
        ("type", (0, 1)), ("code", (1, 1)), ("checksum", (2, 2)), ("id", (4, 2)), ("sequence", (6, 2)))},
}  # fmt: skip


# --- the packet's own, conntrack's, routing's ---

_META: Mapping[str, Callable[[Packet], Plain]] = {
    "mark": lambda p: p.mark,
    "l4proto": lambda p: transport(p)[0],
    "nfproto": lambda p: 2 if p.family == 4 else 10,
    "protocol": lambda p: 0x0800 if p.family == 4 else 0x86DD,
    "iifname": lambda p: p.in_iface,
    "oifname": lambda p: p.out_iface,
    "iif": lambda p: p.in_iface,
    "oif": lambda p: p.out_iface,
    "pkttype": lambda p: _LINKS[p.link],
    "length": lambda p: p.length,
}


def _ct(value: Ct, tracked: Tracked | None) -> Plain | None:
    if value.key == "state":
        if tracked is None:
            return _STATE_BITS["INVALID"]
        held = tracked.connection is not None or tracked.state == "UNTRACKED"
        return _STATE_BITS[tracked.state if held else "INVALID"]
    if tracked is None or tracked.connection is None:
        return None
    if value.direction:
        return _tuple(value, tracked.connection)
    read = _CT.get(value.key)
    return read(tracked, tracked.connection) if read else _unknown(f"ct {value.key}")


_CT: Mapping[str, Callable[[Tracked, Connection], Plain]] = {
    "direction": lambda t, _: int(t.direction == "REPLY"),
    "status": lambda _, c: sum(bit for name, bit in _STATUS_BITS.items() if name in c.status),
    "mark": lambda _, c: c.mark,
    "zone": lambda _, c: c.zone.id,
}


def _tuple(value: Ct, connection: Connection) -> Plain | None:
    held: Tuple = connection.original if value.direction == "original" else connection.reply
    family, _, side = value.key.rpartition(" ")
    match value.key:
        case "proto-src":
            return held.sport
        case "proto-dst":
            return held.dport
        case "protocol":
            return held.protocol
    if family and held.src.version != (4 if family == "ip" else 6):
        return None
    if side in ("saddr", "daddr"):
        return int(held.src if side == "saddr" else held.dst)
    return _unknown(f"ct {value.direction} {value.key}")


def _fib(value: Fib, packet: Packet, meeting: Meeting) -> Plain | None:
    """nft_fib4_eval_type(), nft_fib4_eval(): the type of an address, or the device towards it."""
    address = packet.src if "saddr" in value.flags else packet.dst
    if value.result == "type":
        by = "iif" in value.flags or "oif" in value.flags
        device = (packet.in_iface if "iif" in value.flags else packet.out_iface) if by else ""
        return _TYPES[meeting.address_type(address, device) or "UNSPEC"]
    if "saddr" not in value.flags:
        return _unknown("fib daddr oif")
    towards = meeting.reverse_route(packet) or ""
    wrong = "iif" in value.flags and towards not in (packet.in_iface, "lo")
    return "" if wrong else towards


def _number(value: Numgen, packet: Packet, meeting: Meeting) -> int:
    """nft_ng_random_gen(): each number is as likely; nft_ng_inc_gen(): one after the other, by rule."""
    if value.mode == "random":
        return value.offset + _drawn(value.modulus, packet, meeting)
    key = ("nft numgen", meeting.place, value)
    number = (meeting.recall(key, value.modulus - 1) + 1) % value.modulus
    meeting.remember(key, number)
    return int(number) + value.offset


def _drawn(modulus: int, packet: Packet, meeting: Meeting) -> int:
    """Draw by a row of chances, 1/n, 1/(n-1) …, so that all ways can be explored; tell of one draw."""
    told = len(meeting.events)
    number = 0
    while number < modulus - 1 and not meeting.choose(Fraction(1, modulus - number)):
        number += 1
    del meeting.events[told:]
    if modulus > 1:
        chance = Chance(
            packet, meeting.place, Fraction(1, modulus), taken=True, depth=meeting.depth
        )
        meeting.events.append(chance)
    return number


_OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b & 0xFFFFFFFF,
    ">>": lambda a, b: a >> b,
}


def _binary(value: Binary, packet: Packet, meeting: Meeting) -> Plain | None:
    left = fact(value.left, packet, meeting)
    right = operand(value.right, type_of(value.left), packet, meeting)
    if not isinstance(left, int) or not isinstance(right, int):
        return None
    return _OPERATIONS[value.operator](left, right)


def operand(value: Expression, kind: str, packet: Packet, meeting: Meeting) -> Plain | None:
    """Return a value that may be a word of a type, several flags, or an expression."""
    match value:
        case int() | str():
            return plain(value, kind)
        case Several(values) if kind in FLAGS:
            return sum({int(plain(each, kind)) for each in values})
        case Binary(operator, left, right) if isinstance(left, int | str):
            words = (int(plain(each, kind)) for each in (left, right))  # type: ignore[arg-type]
            return _OPERATIONS[operator](*words)
    return fact(value, packet, meeting)
