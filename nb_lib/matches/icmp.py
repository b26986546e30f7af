"""icmp and icmp6: the type and code of a message.

Linux: net/ipv4/netfilter/ip_tables.c icmp_match(), net/ipv6/netfilter/ip6_tables.c icmp6_match().
Names: extensions/libxt_icmp.h of iptables; the numbers are those of RFC 792, RFC 1122, RFC 4443.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds, ports
from nb_lib.headers import ICMP as _ICMP
from nb_lib.headers import ICMPV6
from nb_lib.listed import option_listed
from nb_lib.options import HIT, Answer, Context, Extension, Option, Outcome, RefusedError, Use, miss

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def __init__(self, names: dict[str, tuple[int, ...]], any_name: str, protocol: str) -> None:
        super().__init__()
        self.names = {name: _type(*numbers) for name, numbers in names.items()}
        self.any_name, self.protocol = any_name, protocol

    def read(self, word: str, _family: int) -> IcmpType:
        """Read a name or the numbers. libxt_icmp.h parse_icmp()."""
        fits = [name for name in self.names if name.lower().startswith(word.lower())]
        if len(fits) > 1:
            said = f"Ambiguous {self.protocol} type `{word}': `{fits[0]}' or `{fits[1]}'?"
            raise RefusedError(f"{word!r} is ambiguous: {', '.join(fits)}", said)
        return self.names[fits[0]] if fits else self.numbers(word)

    def numbers(self, word: str) -> IcmpType:
        """Read ``TYPE[/CODE[:CODE]]``; a type may be written as a range, but of itself only."""
        kind, rest = self.span(word, word, "type")
        code, slash = EVERY_CODE, rest[:1] == "/"
        if slash:
            code, rest = self.span(rest[1:], word, "code")
        if rest:
            raise RefusedError(f"{word!r} has more than a number", f"unknown character {rest[0]}")
        if kind[0] != kind[1]:
            said = f"{self.protocol} type range not supported"
            raise RefusedError(f"{word!r} is more than one type", said)
        return IcmpType(kind[0], *code)

    def span(self, word: str, whole: str, what: str) -> tuple[tuple[int, int], str]:
        """Read one number or two at the start of a word; return the rest too. parse_range()."""
        low = high = kinds.leading_number(word)
        if low and low[1][:1] == ":":
            high = kinds.leading_number(low[1][1:])
        if not low or not high or max(low[0], high[0]) > kinds.U8:
            said = f"Unknown {self.protocol} {what} `{whole}'"
            raise RefusedError(f"{whole!r} is not a number from 0 to {kinds.U8}", said)
        return (low[0], high[0]), high[1]

    def save(self, value: Any) -> str:
        """Write ``8``, ``3/1``, or ``any``."""
        if self.any_name and value[0] == ANY_TYPE:
            return self.any_name
        return str(value[0]) if value[1:] == EVERY_CODE else f"{value[0]}/{value[1]}"

    def show(self, value: Any) -> str:
        """Write the number, and the name that it has."""
        kind, low, high = value
        text = (
            self.save(value) if low == high or (low, high) == EVERY_CODE else f"{kind}/{low}:{high}"
        )
        name = self.name(value)
        return f"{text} ({name})" if name and name != text else text

    def name(self, value: Any) -> str:
        """Return the first name that a type has, or an empty string."""
        return next((name for name, known in self.names.items() if known == value), "")

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the name, or the type and its codes. libxt_icmp.h print_icmptype()."""
        kind, low, high = value
        if not numeric and self.name(value):
            return self.name(value)
        if (low, high) == EVERY_CODE:
            return f"type {kind}"
        return f"type {kind} code {low}" if low == high else f"type {kind} codes {low}-{high}"


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
        exact = (want.low, want.high) != EVERY_CODE
        return miss(
            option, IcmpType(kind, code, code) if exact and kind == want.type else _type(kind)
        )
    return HIT


def _test_icmp(use: Use, packet: Packet, _ctx: Context) -> Answer:
    return _test(use, packet, "--icmp-type", _ICMP)


def _test_icmp6(use: Use, packet: Packet, _ctx: Context) -> Answer:
    return _test(use, packet, "--icmpv6-type", ICMPV6)


def _listing(words: str) -> Callable[[Use, bool], str]:
    """Return an ``Extension.listed``: no blank stands before ``type``, unless a ``!`` does."""

    def listed(use: Use, numeric: bool) -> str:
        (option,) = use.extension.options
        text = option_listed(option, use.settings[option.name], numeric)
        return f" {words}{text}" if text.startswith("type ") else f" {words} {text}"

    return listed


ICMP = Extension(
    "icmp",
    (Option("--icmp-type", _TypeKind(_V4_NAMES, "any", "ICMP"), invertible=True, required=True,
            label="ICMP type", listed="{!}{value}",
            help="the message's type, and its code if one is given"),),
    families=(4,), protocols=("icmp",), test=_test_icmp, check=ports.needs_protocol("icmp", "icmp"),
    listed=_listing("icmp"),
    summary="type and code of ICMP messages",
    source="net/ipv4/netfilter/ip_tables.c icmp_match(); iptables-extensions(8) icmp",
)  # fmt: skip

ICMP6 = Extension(
    "icmp6",
    (Option("--icmpv6-type", _TypeKind(_V6_NAMES, "", "ICMPv6"), invertible=True, required=True,
            label="ICMPv6 type", listed="{!}{value}",
            help="the message's type, and its code if one is given"),),
    families=(6,), protocols=("ipv6-icmp",), test=_test_icmp6,
    check=ports.needs_protocol("icmp6", "ipv6-icmp"), listed=_listing("ipv6-icmp"),
    summary="type and code of ICMPv6 messages",
    source="net/ipv6/netfilter/ip6_tables.c icmp6_match(); iptables-extensions(8) icmp6",
)  # fmt: skip
