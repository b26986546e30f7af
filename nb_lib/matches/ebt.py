"""The other matches of ebtables: 802_3, among, limit, mark_m, pkttype, vlan; and its two watchers.

A watcher (``--log``, ``--nflog``) stands among the matches and never fails.

Linux: net/bridge/netfilter/ebt_802_3.c, ebt_mark_m.c, ebt_pkttype.c, ebt_vlan.c, ebt_log.c,
ebt_nflog.c; among is an nftables set, limit an nftables limit; ebtables(8) MATCH EXTENSIONS.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.frame import LENGTH, NOBODY, Other, ethertype, payload_type, read_mac
from nb_lib.kinds import IPV4, U8, U16, U32
from nb_lib.matches.ethernet import EtherType, needs_type, read_hex
from nb_lib.matches.limit import LIMIT as IP_LIMIT
from nb_lib.net import BRIDGE, parse_address
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

# --- among ---


class Pair(NamedTuple):
    """An Ethernet address and, if it is not 0, the IPv4 address that must stand with it."""

    mac: int
    ip: int = 0


class _Pairs(kinds.Word):
    """``MAC[=ADDRESS]`` several times, joined by commas; kept and printed in order."""

    metavar = "list"

    def read(self, word: str, _family: int) -> tuple[Pair, ...]:
        return tuple(sorted({_pair(part) for part in word.split(",")}))

    def save(self, value: Any) -> str:
        return ",".join(_write_pair(pair) for pair in value)

    def show(self, value: Any) -> str:
        return value if isinstance(value, str) else self.save(value)


def _pair(text: str) -> Pair:
    mac, equals, address = text.partition("=")
    number = int.from_bytes(read_mac(mac or NOBODY), "big")
    return Pair(number, int(parse_address(address, 4)) if equals else 0)


def _write_pair(pair: Pair) -> str:
    mac = ":".join(f"{byte:x}" for byte in pair.mac.to_bytes(6, "big"))
    return f"{mac}={IPv4Address(pair.ip)}" if pair.ip else mac


def _test_among(use: Use, packet: Packet, _ctx: Context) -> Answer:
    for option, (pairs, inverted) in use.settings.items():
        source = option == "--among-src"
        mac = packet.mac_src if source else packet.mac_dst
        number = int.from_bytes(read_mac(mac), "big")
        asks = any(pair.ip for pair in pairs)  # ebtables-nft then asks for an IPv4 packet first
        if asks and packet.family != IPV4:
            return miss(option, f"{mac} without IPv4")
        ip = int(packet.src if source else packet.dst) if asks else 0
        fits = any(mac == number and want in (0, ip) for mac, want in pairs)
        if fits is inverted:
            return miss(option, f"{mac}={IPv4Address(ip)}" if asks else mac)
    return HIT


AMONG = Extension(
    "among",
    (
        Option("--among-src", _Pairs(), invertible=True, label="source",
               help="the sender is one of these"),
        Option("--among-dst", _Pairs(), invertible=True, label="destination",
               help="the receiver is one of these"),
    ),
    families=(BRIDGE,), test=_test_among,
    summary="a list of Ethernet addresses, perhaps with the IPv4 address of each",
    source="net/netfilter/nft_lookup.c; ebtables(8) among",
)  # fmt: skip

# --- mark_m ---


class _Mark(kinds.Mark):
    """``[VALUE][/MASK]``; without a value any bit of the mask will do (the value is then -1)."""

    def read(self, word: str, family: int) -> kinds.Masked:
        if word.startswith("/"):
            return kinds.Masked(-1, kinds.parse_number(word[1:], 0, U32))
        return super().read(word, family)

    def save(self, value: Any) -> str:
        return f"/{value.mask:#x}" if value.value < 0 else super().save(value)


def _test_mark(use: Use, packet: Packet, _ctx: Context) -> Answer:
    (value, mask), inverted = use.settings["--mark"]
    fits = bool(packet.mark & mask) if value < 0 else packet.mark & mask == value
    return miss("--mark", packet.mark) if fits is inverted else HIT


MARK_M = Extension(
    "mark_m",
    (Option("--mark", _Mark(), invertible=True, required=True, label="mark",
            help="the packet's mark, under a mask, has this value"),),
    families=(BRIDGE,), test=_test_mark,
    summary="the packet's mark", source="net/bridge/netfilter/ebt_mark_m.c; ebtables(8) mark_m",
)  # fmt: skip

# --- pkttype ---

_LINKS = ("HOST", "BROADCAST", "MULTICAST", "OTHERHOST", "OUTGOING", "LOOPBACK", "FASTROUTE")
_NUMBERED = {link.lower(): link for link in _LINKS} | {
    str(n): link for n, link in enumerate(_LINKS)
}


def _test_pkttype(use: Use, packet: Packet, _ctx: Context) -> Answer:
    want, inverted = use.settings["--pkttype-type"]
    have = packet.link or "HOST"
    return miss("--pkttype-type", have) if (have == want) is inverted else HIT


PKTTYPE = Extension(
    "pkttype",
    (Option("--pkttype-type", kinds.Choice(_NUMBERED, "type", fold=True), invertible=True,
            required=True, label="packet type", help="host, otherhost, broadcast or multicast"),),
    families=(BRIDGE,), test=_test_pkttype,
    summary="to whom the frame was addressed",
    source="net/bridge/netfilter/ebt_pkttype.c; ebtables(8) pkttype",
)  # fmt: skip

# --- vlan ---


class _Decimal(kinds.Number):
    """A number that is written in decimal only."""

    def read(self, word: str, family: int) -> int:
        if not word.isdecimal():
            raise ValueError(f"{word!r} is not a number from {self.low} to {self.high}")
        return super().read(word.lstrip("0") or "0", family)


class _Encapsulated(EtherType):
    """The type behind a VLAN tag, printed as four hexadecimal digits."""

    def save(self, value: Any) -> str:
        return f"{value:04X}"


def _tidy_vlan(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Only a frame of VLAN 0 has a priority to ask for: ebt_vlan_mt_check()."""
    if "--vlan-id" in settings and settings["--vlan-id"].value:
        settings = {n: s for n, s in settings.items() if n != "--vlan-prio"}
    return settings


def _test_vlan(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if packet.vlan is None:
        return miss("it has no VLAN tag")
    facts = {"--vlan-id": packet.vlan & 0xFFF, "--vlan-prio": packet.vlan >> 13,
             "--vlan-encap": payload_type(packet)}  # fmt: skip
    for option, (want, inverted) in use.settings.items():
        if (facts[option] == want) is inverted:
            return miss(option, facts[option])
    return HIT


VLAN = Extension(
    "vlan",
    (
        Option("--vlan-id", _Decimal(0, 4094, "id"), invertible=True, label="VLAN",
               help="the VLAN's number"),
        Option("--vlan-prio", _Decimal(0, 7, "priority"), invertible=True, label="priority",
               help="the priority of a frame of VLAN 0"),
        Option("--vlan-encap", _Encapsulated(), invertible=True, label="type inside",
               help="the type of what the tagged frame carries"),
    ),
    families=(BRIDGE,), test=_test_vlan, tidy=_tidy_vlan, check=needs_type("vlan", "802_1Q"),
    summary="the 802.1Q tag", source="net/bridge/netfilter/ebt_vlan.c; ebtables(8) vlan",
)  # fmt: skip

# --- 802_3 ---


class _Hex(kinds.Word):
    """A hexadecimal number, with 0x or without."""

    metavar = "number"

    def __init__(self, high: int, digits: int) -> None:
        super().__init__()
        self.high, self.digits = high, digits

    def read(self, word: str, _family: int) -> int:
        return read_hex(word, self.high)

    def save(self, value: Any) -> str:
        return f"0x{value:0{self.digits}x}"


_SNAP = 0xAA


def _test_802_3(use: Use, packet: Packet, _ctx: Context) -> Answer:
    body = packet.data.ljust(9, b"\0")
    if not isinstance(packet, Other) or ethertype(packet) >= LENGTH:
        return miss("it is no 802.3 frame")
    for option, (want, inverted) in use.settings.items():
        if option == "--802_3-sap":
            for have in body[1::-1]:
                if (have == want) is inverted:
                    return miss(option, have)
            continue
        if body[0] != _SNAP or body[1] != _SNAP:
            return miss("it has no SNAP type")
        at = 6 if body[2] & 3 else 7  # an unnumbered frame's control field has one byte
        kind = body[at] << 8 | body[at + 1]
        if (kind == want) is inverted:
            return miss(option, kind)
    return HIT


SNAP = Extension(
    "802_3",
    (
        Option("--802_3-sap", _Hex(U8, 2), invertible=True, label="SAP",
               help="the service access points, both alike"),
        Option("--802_3-type", _Hex(U16, 4), invertible=True, label="SNAP type",
               help="the type of a SNAP frame"),
    ),
    families=(BRIDGE,), test=_test_802_3, check=needs_type("802_3", "Length"),
    summary="the head of an 802.3 frame", source="net/bridge/netfilter/ebt_802_3.c; ebtables(8) 802_3",
)  # fmt: skip

# --- limit ---

LIMIT = Extension(
    "limit",
    tuple(
        Option(o.name, o.kind, default=o.default, label=o.label, help=o.help)
        for o in IP_LIMIT.options
    ),
    families=(BRIDGE,), test=IP_LIMIT.test, tidy=IP_LIMIT.tidy,
    summary=IP_LIMIT.summary, source="net/netfilter/nft_limit.c; ebtables(8) limit",
)  # fmt: skip

# --- watchers ---

_LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_LEVEL_WORDS = {word: n for n, word in enumerate(_LEVELS)} | {str(n): n for n in range(8)}


class _Quoted(kinds.Text):
    """Text between quotation marks."""

    def save(self, value: Any) -> str:
        return f'"{value}"'


def _watch(_use: Use, _packet: Packet, _ctx: Context) -> Answer:
    return HIT


def _without(flag: str) -> Any:
    """Return a ``tidy`` that leaves out the flag that only loads the watcher."""

    def tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
        return {name: setting for name, setting in settings.items() if name != flag}

    return tidy


LOG = Extension(
    "log",
    (
        Option("--log", kinds.FLAG, help="log the frame"),
        Option("--log-level", kinds.Choice(_LEVEL_WORDS, "level", fold=True), default=5,
               help="the level in the log"),
        Option("--log-prefix", _Quoted("prefix", 29), help="what stands before the line"),
        Option("--log-ip", kinds.FLAG, help="the IPv4 header as well"),
        Option("--log-arp", kinds.FLAG, help="the ARP message as well"),
        Option("--log-ip6", kinds.FLAG, help="the IPv6 header as well"),
    ),
    families=(BRIDGE,), test=_watch, tidy=_without("--log"),
    summary="write a line to the kernel's log", source="net/bridge/netfilter/ebt_log.c; ebtables(8) log",
)  # fmt: skip
NFLOG = Extension(
    "nflog",
    (
        Option("--nflog", kinds.FLAG, help="tell the programs that listen"),
        Option("--nflog-prefix", _Quoted("prefix", 63), help="what stands before the line"),
        Option("--nflog-group", kinds.Number(0, U16), default=1, help="the group that is told"),
        Option("--nflog-range", kinds.Number(0, U32), help="how many bytes of the frame are copied"),
        Option("--nflog-threshold", kinds.Number(0, U16), help="how many frames wait in the kernel"),
    ),
    families=(BRIDGE,), test=_watch, tidy=_without("--nflog"),
    summary="hand the frame to a program that logs",
    source="net/bridge/netfilter/ebt_nflog.c; ebtables(8) nflog",
)  # fmt: skip
