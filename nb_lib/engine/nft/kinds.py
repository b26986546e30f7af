"""The types of nft's values, and how a word of a rule or a set becomes a number that can be compared.

Sources: nftables src/datatype.c, src/proto.c, src/ct.c, src/fib.c (``nft describe``); nft(8) DATA TYPES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from nb_lib.names import protocol_names, protocol_numbers, services
from nb_lib.text.nft.values import (
    Binary,
    Concat,
    Ct,
    Expression,
    Fib,
    Lookup,
    Meta,
    Numgen,
    Payload,
)

Plain = int | str  # what is compared: a number, or the name of a device


class UnknownWordError(ValueError):
    """A word, a type or a field that is not modelled: the answer is *undecided*."""


_WORDS: Mapping[str, Mapping[str, int]] = {
    "ct_state": {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
    "ct_status": {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32,
                  "dying": 512},
    "ct_dir": {"original": 0, "reply": 1},
    "nf_proto": {"ipv4": 2, "ipv6": 10},
    "ether_type": {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "vlan": 0x8100},
    "tcp_flag": {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128},
    "pkt_type": {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3},
    "fib_addrtype": {"unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5,
                     "blackhole": 6, "unreachable": 7, "prohibit": 8},
    "icmp_type": {"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5,
                  "echo-request": 8, "router-advertisement": 9, "router-solicitation": 10,
                  "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13,
                  "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
                  "address-mask-request": 17, "address-mask-reply": 18},
    "icmpv6_type": {"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3,
                    "parameter-problem": 4, "echo-request": 128, "echo-reply": 129,
                    "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132,
                    "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
                    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137,
                    "router-renumbering": 138, "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142,
                    "mld2-listener-report": 143},
}  # fmt: skip

# What a field is of: its type's name, as a set declares it.
_META = {"mark": "mark", "l4proto": "inet_proto", "nfproto": "nf_proto", "protocol": "ether_type",
         "iifname": "ifname", "oifname": "ifname", "iif": "iface_index", "oif": "iface_index",
         "pkttype": "pkt_type", "length": "integer", "priority": "integer"}  # fmt: skip
_CT = {"state": "ct_state", "status": "ct_status", "direction": "ct_dir", "mark": "mark",
       "proto-src": "inet_service", "proto-dst": "inet_service", "protocol": "inet_proto",
       "ip saddr": "ipv4_addr", "ip daddr": "ipv4_addr", "ip6 saddr": "ipv6_addr",
       "ip6 daddr": "ipv6_addr", "zone": "integer"}  # fmt: skip
_PORTED = ("th", "tcp", "udp", "udplite", "sctp", "dccp")
_PAYLOAD = {
    ("ip", "saddr"): "ipv4_addr", ("ip", "daddr"): "ipv4_addr", ("ip", "protocol"): "inet_proto",
    ("ip6", "saddr"): "ipv6_addr", ("ip6", "daddr"): "ipv6_addr", ("ip6", "nexthdr"): "inet_proto",
    ("ip", "ttl"): "integer", ("ip6", "hoplimit"): "integer", ("ip", "length"): "integer",
    ("tcp", "flags"): "tcp_flag", ("icmp", "type"): "icmp_type", ("icmpv6", "type"): "icmpv6_type",
    ("tcp", "sequence"): "integer", ("tcp", "ackseq"): "integer", ("tcp", "window"): "integer",
    ("tcp", "checksum"): "integer", ("udp", "length"): "integer", ("udp", "checksum"): "integer",
    **{(p, f): "integer" for p in ("icmp", "icmpv6") for f in ("code", "checksum", "id", "sequence")},
    **{(p, f): "inet_service" for p in _PORTED for f in ("sport", "dport")},
}  # fmt: skip
FLAGS = ("ct_state", "ct_status", "tcp_flag")


def type_of(value: Expression) -> str:
    """Return the type of an expression's value. Raises UnknownWordError for what is not modelled."""
    match value:
        case Payload(protocol, field):
            return _known(_PAYLOAD, (protocol, field), f"{protocol} {field}")
        case Meta(key):
            return _known(_META, key, f"meta {key}")
        case Ct(key):
            return _known(_CT, key, f"ct {key}")
        case Fib(result):
            return {"type": "fib_addrtype"}.get(result, "ifname")
        case Numgen():
            return "integer"
        case Binary(_, left, _):
            return type_of(left)
        case Lookup():
            return ""
    raise UnknownWordError(f"{value}")


def types_of(value: Expression) -> tuple[str, ...]:
    """Return the types of all parts of a key."""
    return tuple(map(type_of, value.parts)) if isinstance(value, Concat) else (type_of(value),)


def _known(table: Mapping[Any, str], key: object, name: str) -> str:
    if key not in table:
        raise UnknownWordError(name)
    return table[key]


def _protocol(word: str) -> int:
    return protocol_numbers()[word]


_READ: Mapping[str, Callable[[str], Plain]] = {
    "ipv4_addr": lambda word: int(IPv4Address(word)),
    "ipv6_addr": lambda word: int(IPv6Address(word)),
    "inet_proto": _protocol,
    "inet_service": lambda word: services("tcp")[word],
    "ifname": str,
    "iface_index": str,
}


def plain(word: int | str, kind: str) -> Plain:
    """Return a word of a type as what is compared. Raises UnknownWordError."""
    if isinstance(word, int) and kind not in ("ifname", "iface_index"):
        return int(word)
    try:
        if kind in _WORDS:
            return _WORDS[kind][str(word)]
        return _READ[kind](str(word))
    except (KeyError, ValueError):
        raise UnknownWordError(f"{word} as a value of type {kind or 'unknown'}") from None


def words(value: int, kind: str) -> str:
    """Return the word of a value, or several if it is of flags; the number if it has none."""
    known = _WORDS.get(kind, {})
    if kind in FLAGS:
        return ",".join(word for word, bit in known.items() if value & bit) or str(value)
    if kind == "inet_proto":
        return protocol_names().get(value, str(value))
    return next((word for word, number in known.items() if number == value), str(value))


def written(value: Plain, kind: str) -> str:
    """Write a value as nft does: addresses as addresses, marks in hexadecimal, names where there are some."""
    if isinstance(value, str):
        return value or "none"
    if kind in ("ipv4_addr", "ipv6_addr"):
        return str(ip_address(value.to_bytes(4 if kind == "ipv4_addr" else 16, "big")))
    return f"{value:#x}" if kind == "mark" else words(value, kind)
