"""icmp and icmp6: the type and code of a message.

Linux: net/ipv4/netfilter/ip_tables.c icmp_match(), net/ipv6/netfilter/ip6_tables.c icmp6_match().
Names: extensions/libxt_icmp.h of iptables; the numbers are those of RFC 792, RFC 1122, RFC 4443.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nb_lib import kinds, ports
from nb_lib.headers import ICMP as _ICMP
from nb_lib.headers import ICMPV6
from nb_lib.options import HIT, Answer, Context, Extension, Option, Outcome, Use, miss
from nb_lib.packet import Packet

ANY_TYPE = 255
EVERY_CODE = (0, 255)


class IcmpType(NamedTuple):
    """A type, and the codes from ``low`` to ``high``."""

    type: int
    low: int = 0
    high: int = 255


_V4_NAMES = {
    "any": (ANY_TYPE, *EVERY_CODE), "echo-reply": (0,), "pong": (0,),
    "destination-unreachable": (3,),
    "network-unreachable": (3, 0), "host-unreachable": (3, 1), "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3), "fragmentation-needed": (3, 4), "source-route-failed": (3, 5),
    "network-unknown": (3, 6), "host-unknown": (3, 7), "network-prohibited": (3, 9),
    "host-prohibited": (3, 10), "TOS-network-unreachable": (3, 11), "TOS-host-unreachable": (3, 12),
    "communication-prohibited": (3, 13), "host-precedence-violation": (3, 14),
    "precedence-cutoff": (3, 15), "source-quench": (4,), "redirect": (5,), "network-redirect": (5,
    0),
    "host-redirect": (5, 1), "TOS-network-redirect": (5, 2), "TOS-host-redirect": (5, 3),
    "echo-request": (8,), "ping": (8,), "router-advertisement": (9,), "router-solicitation": (10,),
    "time-exceeded": (11,), "ttl-exceeded": (11,), "ttl-zero-during-transit": (11, 0),
    "ttl-zero-during-reassembly": (11, 1), "parameter-problem": (12,), "ip-header-bad": (12, 0),
    "required-option-missing": (12, 1), "timestamp-request": (13,), "timestamp-reply": (14,),
    "address-mask-request": (17,), "address-mask-reply": (18,),
}  # fmt: skip
_V6_NAMES = {
    "destination-unreachable": (1,), "no-route": (1, 0), "communication-prohibited": (1, 1),
    "beyond-scope": (1, 2), "address-unreachable": (1, 3), "port-unreachable": (1, 4),
    "failed-policy": (1, 5), "reject-route": (1, 6), "packet-too-big": (2,), "time-exceeded": (3,),
    "ttl-exceeded": (3,), "ttl-zero-during-transit": (3, 0), "ttl-zero-during-reassembly": (3, 1),
    "parameter-problem": (4,), "bad-header": (4, 0), "unknown-header-type": (4, 1),
    "unknown-option": (4, 2), "echo-request": (128,), "ping": (128,), "echo-reply": (129,),
    "pong": (129,), "router-solicitation": (133,), "router-advertisement": (134,),
    "neighbour-solicitation": (135,), "neighbor-solicitation": (135,),
    "neighbour-advertisement": (136,), "neighbor-advertisement": (136,), "redirect": (137,),
}  # fmt: skip


TYPE_NAMES = {4: _V4_NAMES, 6: _V6_NAMES}  # name → type, or type and code


class _TypeKind(kinds.Word):
    """A name, ``TYPE`` or ``TYPE/CODE``; a name may be cut short while it stays unambiguous."""

    metavar = "type[/code]"

    def __init__(self, names: dict[str, tuple[int, ...]], any_name: str) -> None:
        super().__init__()
        self.names = {name: _type(*numbers) for name, numbers in names.items()}
        self.any_name = any_name

    def read(self, word: str, _family: int) -> IcmpType:
        """Read a name or the numbers."""
        fits = (
            [name for name in self.names if name.lower().startswith(word.lower())] if word else []
        )
        if len(fits) > 1:
            raise ValueError(f"{word!r} is ambiguous: {', '.join(fits)}")
        if fits:
            return self.names[fits[0]]
        number, slash, code = word.partition("/")
        kind = kinds.parse_number(number, 0, 255)
        if self.any_name and kind == ANY_TYPE:
            return self.names[self.any_name]  # whatever the code
        return _type(kind, kinds.parse_number(code, 0, 255)) if slash else _type(kind)

    def save(self, value: Any) -> str:
        """Write ``8``, ``3/1``, or ``any``."""
        if self.any_name and value[0] == ANY_TYPE:
            return self.any_name
        return str(value[0]) if value[1:] == EVERY_CODE else f"{value[0]}/{value[1]}"

    def show(self, value: Any) -> str:
        """Write the number, and the name that it has."""
        text = self.save(value)
        name = next((name for name, known in self.names.items() if known == value), "")
        return f"{text} ({name})" if name and name != text else text


def _type(kind: int, low: int = -1, high: int = -1) -> IcmpType:
    if low < 0:
        return IcmpType(kind, *EVERY_CODE)
    return IcmpType(kind, low, low if high < 0 else high)


def _test(use: Use, packet: Packet, option: str, protocol: int) -> Answer:
    if packet.protocol != protocol:
        return miss("protocol", packet.protocol_name)
    if packet.fragment_offset:
        return miss("a later fragment has no ICMP type")
    kind, code = packet.icmp_type, packet.icmp_code
    if kind is None or code is None or not packet.whole:
        return Answer(Outcome.HOTDROP)
    setting = use.settings.get(option)
    if setting is None:
        return HIT
    want = setting.value
    any_type = want.type == ANY_TYPE and protocol == _ICMP
    if (any_type or (kind == want.type and want.low <= code <= want.high)) is setting.inverted:
        exact = want.low == want.high
        return miss(
            option, IcmpType(kind, code, code) if exact and kind == want.type else _type(kind)
        )
    return HIT


def _test_icmp(use: Use, packet: Packet, _ctx: Context) -> Answer:
    return _test(use, packet, "--icmp-type", _ICMP)


def _test_icmp6(use: Use, packet: Packet, _ctx: Context) -> Answer:
    return _test(use, packet, "--icmpv6-type", ICMPV6)


ICMP = Extension(
    "icmp",
    (Option("--icmp-type", _TypeKind(_V4_NAMES, "any"), invertible=True, required=True,
            label="ICMP type",
            help="the message's type, and its code if one is given"),),
    families=(4,), protocols=("icmp",), test=_test_icmp, check=ports.needs_protocol("icmp", "icmp"),
    summary="type and code of ICMP messages",
    source="net/ipv4/netfilter/ip_tables.c icmp_match(); iptables-extensions(8) icmp",
)  # fmt: skip

ICMP6 = Extension(
    "icmp6",
    (Option("--icmpv6-type", _TypeKind(_V6_NAMES, ""), invertible=True, required=True,
            label="ICMPv6 type",
            help="the message's type, and its code if one is given"),),
    families=(6,), protocols=("ipv6-icmp",), test=_test_icmp6,
    check=ports.needs_protocol("icmp6", "ipv6-icmp"),
    summary="type and code of ICMPv6 messages",
    source="net/ipv6/netfilter/ip6_tables.c icmp6_match(); iptables-extensions(8) icmp6",
)  # fmt: skip
