"""frag, hbh, dst, mh, eui64, ipv6header: the headers that only IPv6 has.

Linux: net/ipv6/netfilter/ip6t_frag.c, ip6t_hbh.c, ip6t_mh.c, ip6t_eui64.c, ip6t_ipv6header.c.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import headers, kinds, names, ports, strto
from nb_lib.kinds import Range
from nb_lib.listed import headed, led
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Outcome,
    RefusedError,
    Test,
    Use,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MOST_OPTIONS = 16
_ANY_LENGTH = 255
_HOTDROP = Answer(Outcome.HOTDROP)


def _header(packet: Packet, kind: int) -> int | None:
    """Return where the first extension header of a kind starts."""
    return next((at for found, at in packet.extensions if found == kind), None)


# --- frag ---


def _test_frag(use: Use, packet: Packet, _ctx: Context) -> Answer:
    at = _header(packet, headers.FRAGMENT)
    if at is None:
        return miss("no fragment header")
    data, settings = packet.data, use.settings
    setting = settings.get("--fragid")
    if setting and (setting.value.low <= packet.ident <= setting.value.high) is setting.inverted:
        return miss("--fragid", (packet.ident, packet.ident))
    wrong = {
        "--fragres": bool(data[at + 1] or data[at + 3] & 6),
        "--fragfirst": bool(packet.fragment_offset),
        "--fragmore": not packet.more_fragments,
        "--fraglast": packet.more_fragments,
    }
    return next(
        (miss(option) for option, is_wrong in wrong.items() if option in settings and is_wrong), HIT
    )


# --- hbh and dst: headers that hold options ---


class HeaderOption(NamedTuple):
    """An option's type and its length, 255 for any."""

    kind: int
    length: int = _ANY_LENGTH


class _OptionList(kinds.Word):
    """``TYPE[:LENGTH][,…]``, up to sixteen; only the lowest byte of a number counts."""

    metavar = "type[:length][,…]"

    def read(self, word: str, _family: int) -> tuple[HeaderOption, ...]:
        parts = word.split(",")
        found = tuple(map(_header_option, parts[: _MOST_OPTIONS - 1]))
        if ":" in "".join(parts[_MOST_OPTIONS - 1 : _MOST_OPTIONS]):
            raise RefusedError("the last option has no length", "too many ports specified")
        found += tuple(map(_header_option, parts[_MOST_OPTIONS - 1 : _MOST_OPTIONS]))
        if len(parts) > _MOST_OPTIONS:
            raise RefusedError(f"more than {_MOST_OPTIONS} options", "too many addresses specified")
        return found

    def save(self, value: Any) -> str:
        return ",".join(
            str(o.kind) if o.length == _ANY_LENGTH else f"{o.kind}:{o.length}" for o in value
        )


def _header_option(word: str) -> HeaderOption:
    kind, colon, length = word.partition(":")
    number = _byte(kind, "opt")
    if not colon:
        return HeaderOption(number)
    if not number:
        raise RefusedError("an option of type 0 has no length", "PAD0 has not got length")
    return HeaderOption(number, _byte(length, "length"))


def _byte(word: str, what: str) -> int:
    """Read a number's lowest byte. libip6t_hbh.c parse_opts_num()."""
    number, rest = strto.strtoul(word)
    found = kinds.leading_number(word)
    said = ""
    if found and found[0] > kinds.U64:
        said = f"{what} `{word}' specified too big: would overflow"
    elif rest == word:
        said = f"{{name}}: no valid digits in {what} `{word}'"
    elif rest:
        said = f"{{name}}: error parsing {what} `{word}'"
    if said:
        raise RefusedError(f"{word!r} is not a number", said)
    return number & kinds.U8


def _options_test(prefix: str, kind: int) -> Test:
    def test(use: Use, packet: Packet, _ctx: Context) -> Answer:
        at = _header(packet, kind)
        if at is None:
            return miss(f"no {prefix} header")
        size = (packet.data[at + 1] + 1) * 8
        if len(packet.data) < at + size:
            return miss(f"the {prefix} header is cut short")
        setting = use.settings.get(f"--{prefix}-len")
        if setting and (size == setting.value) is setting.inverted:
            return miss(f"--{prefix}-len", size)
        wanted = use.value(f"--{prefix}-opts", ())
        return (
            HIT
            if _options_fit(wanted, packet.data[at + 2 : at + size])
            else miss(f"--{prefix}-opts")
        )

    return test


def _options_fit(wanted: tuple[HeaderOption, ...], data: bytes) -> bool:
    """Compare options one by one from the start. Linux: ip6t_hbh.c hbh_mt6()."""
    for option in wanted:
        if not data or data[0] != option.kind:
            return False
        if not data[0]:
            data = data[1:]
            continue
        if len(data) < 2 or option.length not in (_ANY_LENGTH, data[1]):
            return False
        data = data[data[1] + 2 :]
    return True


def _options_extension(name: str, kind: int, title: str) -> Extension:
    return Extension(
        name,
        (
            Option(f"--{name}-len", kinds.Number(0, kinds.U32), invertible=True,
                   label="header length", listed="length:{!}{value}",
                   help="the header's length in bytes"),
            Option(f"--{name}-opts", _OptionList(), label="options", listed="opts {value}",
                   help="the header's options, in order"),
        ),
        families=(6,), test=_options_test(name, kind), listed=headed(f" {name}"),
        summary=f"the {title} header of IPv6",
        source=f"net/ipv6/netfilter/ip6t_hbh.c hbh_mt6(); iptables-extensions(8) {name}",
    )  # fmt: skip


# --- mh: mobility ---

_MH_NAMES = {
    "binding-refresh-request": 0, "brr": 0, "home-test-init": 1, "hoti": 1, "careof-test-init": 2,
    "coti": 2, "home-test": 3, "hot": 3, "careof-test": 4, "cot": 4, "binding-update": 5, "bu": 5,
    "binding-acknowledgement": 6, "ba": 6, "binding-error": 7, "be": 7,
}  # fmt: skip
_MH_SHOWN = {number: name for name, number in _MH_NAMES.items() if "-" in name}


class _MhType(kinds.NumberRange):
    """A type or a range, by number or by the beginning of a name."""

    metavar = "type[:type]"

    def __init__(self) -> None:
        super().__init__(kinds.U8, ordered=True, backwards="Invalid MH type range (min > max)")

    def number(self, word: str) -> int:
        for name, number in _MH_NAMES.items():
            if word and name.startswith(word.lower()):
                return number
        try:
            return super().number(word)
        except ValueError as error:
            raise RefusedError(str(error), f"Invalid MH type `{word}'") from None

    def listed(self, value: Any, numeric: bool) -> str:
        if numeric:
            return self.save(value)
        return ":".join(_MH_SHOWN.get(end, str(end)) for end in dict.fromkeys(value))


def _test_mh(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if packet.protocol != headers.MOBILITY:
        return miss("protocol", packet.protocol_name)
    if packet.fragment_offset:
        return miss("a later fragment has no header")
    data, at = packet.data, packet.header_end
    if len(data) < at + 6 or data[at] != headers.NO_NEXT:
        return _HOTDROP
    setting, have = use.settings.get("--mh-type"), data[at + 2]
    if setting and (setting.value.low <= have <= setting.value.high) is setting.inverted:
        return miss("--mh-type", (have, have))
    return HIT


# --- eui64 ---


def _test_eui64(_use: Use, packet: Packet, _ctx: Context) -> Answer:
    """The source's lower half is made of the sender's Ethernet address (RFC 4291, appendix A)."""
    if not packet.mac_src:
        return undecided("eui64", "the sender's Ethernet address (mac_src=…)")
    mac = bytes.fromhex(packet.mac_src.replace(":", ""))
    made = bytes((mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]))
    return (
        HIT if packet.src.packed[8:] == made else miss("the source is not made of the MAC address")
    )


# --- ipv6header ---

_HEADERS = {"hop-by-hop": 0, "ipv6-opts": 60, "ipv6-route": 43, "ipv6-frag": 44, "ah": 51,
            "esp": 50,
            "ipv6-nonxt": 59, "protocol": -1}  # fmt: skip
_HEADER_WORDS = {**_HEADERS, "hop": 0, "dst": 60, "route": 43, "frag": 44, "auth": 51, "none": 59,
                 "prot": -1, "255": -1,
                 **{str(number): number for number in _HEADERS.values() if number >= 0}}  # fmt: skip


class _Headers(kinds.Choices):
    """Headers, joined by commas. libip6t_ipv6header.c parse_header(), name_to_proto()."""

    def read(self, word: str, _family: int) -> tuple[Any, ...]:
        parts = [part for part in word.split(",") if part]
        if not parts:
            said = "ip6t_ipv6header: cannot parse header names"
            raise RefusedError("a header is missing", said)
        wanted = {self.header(part) for part in parts}
        return tuple(header for header in self.spelt if header in wanted)

    def header(self, part: str) -> Any:
        """Return the number of one header, whose name may be a protocol's."""
        number = names.resolved_protocols().get(part, self.words.get(part))
        if number not in self.spelt:
            said = f"unknown header `{part if number is None else number}' specified"
            raise RefusedError(f"{part!r} is not one of {', '.join(_HEADERS)}", said)
        return number

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the names, or a byte with a bit for each, the first of the table at the top."""
        bits = dict(zip(_HEADERS.values(), (1 << bit for bit in range(7, -1, -1)), strict=True))
        return f"0x{sum(bits[kind] for kind in value):02X}" if numeric else self.save(value)


def _present(packet: Packet) -> frozenset[int]:
    """Return the headers that the packet has; -1 is a protocol of its own."""
    found = {kind for kind, _ in packet.extensions}
    last = packet.protocol
    return frozenset(found | {last if last in (headers.NO_NEXT, headers.ESP) else -1})


def _test_header(use: Use, packet: Packet, _ctx: Context) -> Answer:
    setting, have = use.settings["--header"], _present(packet)
    wanted = frozenset(setting.value)
    if "--soft" in use.settings:
        fits = not wanted & have if setting.inverted else wanted <= have
    else:
        fits = (wanted == have) is not setting.inverted
    return (
        HIT if fits else miss("--header", tuple(kind for kind in _HEADERS.values() if kind in have))
    )


FRAG = Extension(
    "frag",
    (
        Option("--fragid", kinds.NumberRange(kinds.U32),
               invertible=True, hidden=Range(0, kinds.U32), label="fragment id",
               listed="id{s}:{!}{value}",
               help="the datagram's identification, or a range"),
        Option("--fraglen", kinds.Number(0, kinds.U32), invertible=True, label="length",
               listed="length:{!}{value}", help="read, but never compared by the kernel"),
        Option("--fragres", kinds.FLAG, label="reserved bits zero", listed="reserved",
               help="the reserved bits are zero"),
        Option("--fragfirst", kinds.FLAG, label="the first fragment", listed="first",
               help="the first fragment"),
        Option("--fragmore", kinds.FLAG, group="last", label="more fragments", listed="more",
               help="more fragments follow"),
        Option("--fraglast", kinds.FLAG, group="last", label="the last fragment", listed="last",
               help="the last fragment"),
    ),
    families=(6,), test=_test_frag, listed=led(" frag"),
    summary="the fragment header of IPv6",
    source="net/ipv6/netfilter/ip6t_frag.c frag_mt6(); iptables-extensions(8) frag",
)  # fmt: skip

HBH = _options_extension("hbh", headers.HOP_BY_HOP, "hop-by-hop options")
DST = _options_extension("dst", headers.DEST_OPTIONS, "destination options")

MH = Extension(
    "mh",
    (Option("--mh-type", _MhType(), invertible=True, hidden=Range(0, kinds.U8),
            label="mobility type", listed="{!}{value}", help="the message's type"),),
    families=(6,), protocols=("mh",), test=_test_mh, check=ports.needs_protocol("mh", "mh"),
    listed=headed(" mh"),
    summary="the type of a mobility message",
    source="net/ipv6/netfilter/ip6t_mh.c mh_mt6(); iptables-extensions(8) mh",
)  # fmt: skip

_EUI64 = Extension(
    "eui64", families=(6,), hooks=("PREROUTING", "INPUT", "FORWARD"), test=_test_eui64,
    summary="the source address is made of the sender's Ethernet address",
    source="net/ipv6/netfilter/ip6t_eui64.c eui64_mt6(); iptables-extensions(8) eui64",
)  # fmt: skip
# It has no way to print itself: legacy writes its name then, nft nothing.
EUI64 = replace(_EUI64, legacy=replace(_EUI64, listed=lambda *_: "eui64 "))

IPV6HEADER = Extension(
    "ipv6header",
    (
        Option("--header", _Headers(_HEADER_WORDS, "header[,…]"),
               invertible=True, required=True, label="headers", listed="flags:{!}{value}",
               help="the packet has exactly these headers"),
        Option("--soft", kinds.FLAG, label="soft", listed="soft",
               help="it has these headers, and maybe others"),
    ),
    families=(6,), test=_test_header, listed=headed(" ipv6header"),
    summary="which extension headers the packet has",
    source="net/ipv6/netfilter/ip6t_ipv6header.c; iptables-extensions(8) ipv6header",
)  # fmt: skip
