"""tos, dscp, ecn: the byte that IPv4 calls type of service and IPv6 traffic class.

Linux: net/netfilter/xt_dscp.c tos_mt(), dscp_mt(), net/netfilter/xt_ecn.c ecn_mt4().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import headers, kinds, ports
from nb_lib.kinds import Masked
from nb_lib.listed import headed
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_SYMBOLS = {"minimize-delay": 0x10, "maximize-throughput": 0x08, "maximize-reliability": 0x04,
            "minimize-cost": 0x02, "normal-service": 0x00}  # fmt: skip
_SYMBOL_MASK = 0x3F
# RFC 2474 (class selectors), RFC 2597 (assured), RFC 3246 (expedited forwarding).
_CLASSES = {f"CS{n}": n << 3 for n in range(8)} | {"BE": 0, "EF": 0x2E} | {
    f"AF{n}{drop}": n << 3 | drop << 1 for n in range(1, 5) for drop in range(1, 4)
}  # fmt: skip


class TosKind(kinds.Word):
    """``VALUE[/MASK]`` or a symbol, printed as two hexadecimal bytes. xtoptions.c xtopt_parse_tosmask()."""

    metavar = "value[/mask]"

    def read(self, word: str, _family: int) -> Masked:
        """Read the numbers or the symbol."""
        if word.lower() in _SYMBOLS:
            return Masked(_SYMBOLS[word.lower()], _SYMBOL_MASK)
        value, slash, mask = word.partition("/")
        try:
            low = kinds.parse_number(value, 0, kinds.U8)
            return Masked(low, kinds.parse_number(mask, 0, kinds.U8) if slash else kinds.U8)
        except ValueError as error:
            raise RefusedError(str(error), self.complaint(word)) from None

    def complaint(self, word: str) -> str:
        """Return what iptables says of a word that is no such value. libxt_TOS.c tos_parse_symbolic()."""
        number = kinds.leading_number(word)
        if number and number[0] <= kinds.U8:
            return f'Illegal value: "{word}"'
        return f'Symbolic name "{word}" is unknown'

    def save(self, value: Any) -> str:
        """Write ``0x10/0x3f``."""
        return f"0x{value.value:02x}/0x{value.mask:02x}"

    def show(self, value: Any) -> str:
        """Write a packet's byte, or the rule's value and mask."""
        return f"0x{value:02x}" if isinstance(value, int) else self.save(value)

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the symbol, which iptables begins with a capital, unless -n is given."""
        named = {} if numeric or value.mask != _SYMBOL_MASK else {n: s for s, n in _SYMBOLS.items()}
        return named[value.value].title() if value.value in named else self.save(value)


class DscpKind(kinds.Number):
    """A code point from 0 to 63, printed in hexadecimal."""

    def __init__(self) -> None:
        super().__init__(0, 63, "codepoint")

    def save(self, value: Any) -> str:
        """Write ``0x2e``."""
        return f"0x{value:02x}"


class DscpClass(DscpKind):
    """A class by name: ``EF``, ``CS1``, ``AF11``."""

    def read(self, word: str, _family: int) -> int:
        """Return the class's code point."""
        if word.upper() not in _CLASSES:
            said = f"Invalid DSCP value `{word}'"
            raise RefusedError(f"{word!r} is not a DiffServ class", said)
        return _CLASSES[word.upper()]


def as_codepoint(
    settings: dict[str, Setting], plain: str, by_class: str, said: str
) -> dict[str, Setting]:
    """Say a class by its code point; raise RefusedError, with what iptables says, if there is neither."""
    name = kinds.one_of(settings, plain, by_class, said=said)
    return {plain: settings[name]}


def _tidy_dscp(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    return as_codepoint(
        settings, "--dscp", "--dscp-class", "DSCP match: Parameter --dscp is required"
    )


def _tidy_ecn(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    said = "ECN match: some option required"
    kinds.one_of(settings, "--ecn-tcp-cwr", "--ecn-tcp-ece", "--ecn-ip-ect", said=said)
    return settings


def _test_tos(use: Use, packet: Packet, _ctx: Context) -> Answer:
    setting = use.settings["--tos"]
    value, mask = setting.value
    return miss("--tos", packet.tos) if (packet.tos & mask == value) is setting.inverted else HIT


def _test_dscp(use: Use, packet: Packet, _ctx: Context) -> Answer:
    setting, have = use.settings["--dscp"], packet.tos >> 2
    return miss("--dscp", have) if (have == setting.value) is setting.inverted else HIT


def _test_ecn(use: Use, packet: Packet, _ctx: Context) -> Answer:
    settings = use.settings
    setting = settings.get("--ecn-ip-ect")
    if setting and (packet.tos & 3 == setting.value) is setting.inverted:
        return miss("--ecn-ip-ect", packet.tos & 3)
    for option, bit in (("--ecn-tcp-ece", headers.ECE), ("--ecn-tcp-cwr", headers.CWR)):
        setting = settings.get(option)
        if setting is None:
            continue
        if packet.flags is None or packet.protocol != headers.TCP:
            return miss("no TCP header")
        if bool(packet.flags & bit) is setting.inverted:
            return miss(option)
    return HIT


_NEEDS_TCP = ports.needs_protocol("ecn with TCP's bits", "tcp")


def _check_ecn(use: Use, rule: Rule) -> str:
    return _NEEDS_TCP(use, rule) if use.settings.keys() & {"--ecn-tcp-ece", "--ecn-tcp-cwr"} else ""


def _listed_tos(use: Use, numeric: bool) -> str:
    """Put a blank before a symbol, and none before a number. libxt_tos.c tos_mt_print()."""
    setting = use.settings["--tos"]
    text = _TOS.listed(setting.value, numeric)
    return f" tos match{'!' * setting.inverted}{' ' * text[0].isalpha()}{text}"


_TOS = TosKind()
TOS = Extension(
    "tos",
    (Option("--tos", _TOS, invertible=True, required=True, label="TOS",
            help="the TOS byte, under a mask"),),
    test=_test_tos, listed=_listed_tos,
    summary="the type of service or traffic class",
    source="net/netfilter/xt_dscp.c tos_mt(); iptables-extensions(8) tos",
)  # fmt: skip

DSCP = Extension(
    "dscp",
    (
        Option("--dscp", DscpKind(), invertible=True, group="value", label="DSCP",
               listed="DSCP match {!}{value}", help="the code point, by number"),
        Option("--dscp-class", DscpClass(), invertible=True, group="value", label="DSCP",
               help="the code point, by its class"),
    ),
    test=_test_dscp, tidy=_tidy_dscp,
    summary="the DiffServ code point",
    source="net/netfilter/xt_dscp.c dscp_mt(); iptables-extensions(8) dscp",
)  # fmt: skip

ECN = Extension(
    "ecn",
    (
        Option("--ecn-tcp-ece", kinds.FLAG, invertible=True, label="ECE", listed="{!}ECE",
               help="TCP's ECE bit is set"),
        Option("--ecn-tcp-cwr", kinds.FLAG, invertible=True, label="CWR", listed="{!}CWR",
               help="TCP's CWR bit is set"),
        Option("--ecn-ip-ect", kinds.Number(0, 3), invertible=True, label="ECN", listed="{!}ECT={value}",
               help="the ECN bits of the IP header"),
    ),
    test=_test_ecn, tidy=_tidy_ecn, check=_check_ecn, listed=headed(" ECN match"),
    summary="explicit congestion notification, in IP and in TCP",
    source="net/netfilter/xt_ecn.c ecn_mt4(); iptables-extensions(8) ecn",
)  # fmt: skip
