"""ip and ip6: what a rule of ebtables may ask of an IP packet in a frame.

Linux: net/bridge/netfilter/ebt_ip.c ebt_ip_mt(), ebt_ip6.c ebt_ip6_mt(); ebtables(8) ip, ip6. The names
of ICMP types are those of the icmp matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from nb_lib import kinds, ports
from nb_lib.frame import ethertype
from nb_lib.headers import ICMP, ICMPV6, IGMP, WITH_PORTS
from nb_lib.kinds import U8, Range
from nb_lib.matches.ethernet import EtherType, Network, needs_type
from nb_lib.matches.icmp import TYPE_NAMES
from nb_lib.net import BRIDGE
from nb_lib.options import HIT, Answer, Context, Extension, Option, Test, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_ALL = Range(0, U8)


class _Tos(kinds.Number):
    """A byte, printed as ``0x0A``."""

    def save(self, value: Any) -> str:
        return f"0x{value:02X}"


class Types(NamedTuple):
    """ICMP types and codes, each from low to high."""

    types: Range
    codes: Range = _ALL

    def hold(self, kind: int, code: int) -> bool:
        """Whether a packet's type and code are among these."""
        return self.types[0] <= kind <= self.types[1] and self.codes[0] <= code <= self.codes[1]


class _IcmpTypes(kinds.Word):
    """``TYPE[:TYPE][/CODE[:CODE]]``, or a name."""

    metavar = "type[:type][/code[:code]]"

    def __init__(self, family: int) -> None:
        super().__init__()
        self.names = {}
        for name, (kind, *code) in TYPE_NAMES[family].items():
            if kind != U8:
                self.names[name] = Types(Range(kind, kind), Range(*code * 2) if code else _ALL)

    def read(self, word: str, _family: int) -> Types:
        fits = [name for name in self.names if name.startswith(word.lower())] if word else []
        if word.lower() in self.names or len(fits) == 1:
            return self.names.get(word.lower()) or self.names[fits[0]]
        if fits:
            raise ValueError(f"{word!r} is ambiguous: {', '.join(fits)}")
        types, slash, codes = word.partition("/")
        return Types(_range(types), _range(codes) if slash else _ALL)

    def save(self, value: Any) -> str:
        if value.types[0] == value.types[1]:
            for name, held in self.names.items():
                if held == value:
                    return name
        return "/".join(_write_range(ends) for ends in value)

    def show(self, value: Any) -> str:
        return self.save(value) if isinstance(value, Types) else f"{value[0]}/{value[1]}"


class _IgmpType(kinds.Word):
    """A type of IGMP message, by name or number."""

    NAMES: ClassVar = {"membership-query": 0x11, "membership-report-v1": 0x12, "membership-report-v2": 0x16,
             "leave-group": 0x17, "membership-report-v3": 0x22}  # fmt: skip

    def read(self, word: str, _family: int) -> Range:
        number = self.NAMES.get(word.lower())
        return Range(number, number) if number is not None else _range(word)

    def save(self, value: Any) -> str:
        for name, number in self.NAMES.items():
            if value == (number, number):
                return name
        return _write_range(value)

    def show(self, value: Any) -> str:
        return f"{value:#x}" if isinstance(value, int) else self.save(value)


def _range(word: str) -> Range:
    low, colon, high = word.partition(":")
    first = kinds.parse_number(low, 0, U8)
    last = kinds.parse_number(high, 0, U8) if colon else first
    if last < first:
        raise ValueError(f"{word!r} is a range from the greater to the smaller")
    return Range(first, last)


def _write_range(ends: Range) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}:{ends[1]}"


_PORTS = (":sport", ":dport")
_FACTS = {":src": "src", ":dst": "dst", ":tos": "tos", ":tclass": "tos", ":proto": "protocol"}


def _match(family: int) -> Test:
    """Return the meaning of ``ip`` or ``ip6``; the two differ in the names of their options."""
    prefix = "--ip-" if family == 4 else "--ip6-"

    def test(use: Use, packet: Packet, _ctx: Context) -> Answer:
        if packet.family != family:
            return miss(f"frame type {EtherType().save(ethertype(packet))}")
        for option, (want, inverted) in use.settings.items():
            have, fits = _compare(packet, ":" + option.removeprefix(prefix), want)
            if fits is None:
                return miss(option, "not to be read")
            if fits is inverted:
                return miss(option, have)
        return HIT

    return test


def _compare(packet: Packet, part: str, want: Any) -> tuple[Any, bool | None]:
    """Return the packet's fact and whether it is wanted; None if the packet does not hold it."""
    if part in _FACTS:
        have = getattr(packet, _FACTS[part])
        return have, have in want if part in (":src", ":dst") else have == want
    if part in _PORTS:
        port = packet.sport if part == ":sport" else packet.dport
        if port is None:
            return None, None
        return Range(port, port), want[0] <= port <= want[1]
    if part == ":igmp-type":
        body = b"" if packet.fragment_offset else packet.data[packet.header_end :]
        return (body[0], want[0] <= body[0] <= want[1]) if len(body) >= 4 else (None, None)
    if packet.icmp_type is None or packet.icmp_code is None:
        return None, None
    return (packet.icmp_type, packet.icmp_code), want.hold(packet.icmp_type, packet.icmp_code)


def _check(family: int) -> Any:
    """Return a ``check``: -p names the family, and ports and types stand with their protocol."""
    name, prefix = ("IPv4", "--ip-") if family == 4 else ("IPv6", "--ip6-")
    frame = needs_type("ip" if family == 4 else "ip6", name)
    asked = {prefix + "sport": WITH_PORTS, prefix + "dport": WITH_PORTS,
             prefix + "icmp-type": {ICMP if family == 4 else ICMPV6},
             prefix + "igmp-type": {IGMP}}  # fmt: skip

    def check(use: Use, rule: Rule) -> str:
        if reason := frame(use, rule):
            return reason
        protocol = use.settings.get(prefix + "proto")
        for option, fine in asked.items():
            if option not in use.settings:
                continue
            if protocol is None or protocol.inverted or protocol.value not in fine:
                words = " or ".join(sorted(ports.Protocol().save(number) for number in fine))
                return f"{option} needs {prefix}proto {words}"
        return ""

    return check


_PROTOCOL = ports.Protocol()
_PORT = ports.PortRange("tcp")
IP = Extension(
    "ip",
    (
        Option("--ip-src", Network(4), ("--ip-source",), invertible=True, label="source",
               help="the IP address that it comes from"),
        Option("--ip-dst", Network(4), ("--ip-destination",), invertible=True, label="destination",
               help="the IP address that it goes to"),
        Option("--ip-tos", _Tos(0, U8), invertible=True, label="tos", help="the type of service"),
        Option("--ip-proto", _PROTOCOL, ("--ip-protocol",), invertible=True, label="protocol",
               help="the transport protocol"),
        Option("--ip-sport", _PORT, ("--ip-source-port",), invertible=True, label="sport",
               help="the port that it comes from"),
        Option("--ip-dport", _PORT, ("--ip-destination-port",), invertible=True, label="dport",
               help="the port that it goes to"),
        Option("--ip-icmp-type", _IcmpTypes(4), invertible=True, label="ICMP type",
               help="the type and code of an ICMP message"),
        Option("--ip-igmp-type", _IgmpType(), invertible=True, label="IGMP type",
               help="the type of an IGMP message"),
    ),
    families=(BRIDGE,), test=_match(4), check=_check(4),
    summary="the IPv4 packet in the frame",
    source="net/bridge/netfilter/ebt_ip.c ebt_ip_mt(); ebtables(8) ip",
)  # fmt: skip
IP6 = Extension(
    "ip6",
    (
        Option("--ip6-src", Network(6), ("--ip6-source",), invertible=True, label="source",
               help="the IPv6 address that it comes from"),
        Option("--ip6-dst", Network(6), ("--ip6-destination",), invertible=True,
               label="destination", help="the IPv6 address that it goes to"),
        Option("--ip6-tclass", _Tos(0, U8), invertible=True, label="traffic class",
               help="the traffic class"),
        Option("--ip6-proto", _PROTOCOL, ("--ip6-protocol",), invertible=True, label="protocol",
               help="the transport protocol"),
        Option("--ip6-sport", _PORT, ("--ip6-source-port",), invertible=True, label="sport",
               help="the port that it comes from"),
        Option("--ip6-dport", _PORT, ("--ip6-destination-port",), invertible=True, label="dport",
               help="the port that it goes to"),
        Option("--ip6-icmp-type", _IcmpTypes(6), invertible=True, label="ICMPv6 type",
               help="the type and code of an ICMPv6 message"),
    ),
    families=(BRIDGE,), test=_match(6), check=_check(6),
    summary="the IPv6 packet in the frame",
    source="net/bridge/netfilter/ebt_ip6.c ebt_ip6_mt(); ebtables(8) ip6",
)  # fmt: skip
