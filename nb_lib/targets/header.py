"""TTL, HL, TOS, DSCP, ECN, TCPOPTSTRIP: rewrite a field of a header.

Linux: net/netfilter/xt_HL.c, xt_DSCP.c, net/ipv4/netfilter/ipt_ECN.c,
net/netfilter/xt_TCPOPTSTRIP.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import headers, kinds, ports
from nb_lib.kinds import Masked
from nb_lib.listed import headed
from nb_lib.matches.tos import DscpClass, DscpKind, TosKind, as_codepoint
from nb_lib.options import Action, Context, Extension, Option, RefusedError, Setting, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_CONTINUE, _DROP = Action("CONTINUE"), Action("DROP")


def _changed(packet: Packet, field: str, value: int) -> Action:
    """Return the packet with a field changed, or as it is if it has that value already."""
    return (
        _CONTINUE
        if getattr(packet, field) == value
        else Action("CONTINUE", packet.change(**{field: value}))
    )


# --- TTL and HL ---


def _hop_target(name: str, family: int, function: str) -> Extension:
    low = name.lower()
    fixed, less, more = f"--{low}-set", f"--{low}-dec", f"--{low}-inc"

    def tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
        kinds.one_of(settings, fixed, less, more, said=f"{name}: You must specify an action")
        return settings

    def act(use: Use, packet: Packet, _ctx: Context) -> Action:
        wanted = use.value(fixed, packet.ttl - use.value(less, 0) + use.value(more, 0))
        return _changed(packet, "ttl", min(max(wanted, 0), kinds.U8))

    step = kinds.Number(1, kinds.U8)
    return Extension(
        name,
        (
            Option(fixed, kinds.Number(0, kinds.U8), group="action", label=name,
                   listed="set to {value}", help="give it this value"),
            Option(less, step, group="action", label=name, listed="decrement by {value}",
                   help="take so much off, down to 0"),
            Option(more, step, group="action", label=name, listed="increment by {value}",
                   help="add so much, up to 255"),
        ),
        families=(family,), tables=("mangle",), act=act, tidy=tidy, listed=headed(f" {name}"),
        summary="change how many hops the packet may still take",
        source=f"net/netfilter/xt_HL.c {function}(); iptables-extensions(8) {name}",
    )  # fmt: skip


TTL = _hop_target("TTL", 4, "ttl_tg")
HL = _hop_target("HL", 6, "hl_tg6")

# --- TOS and DSCP ---


def _tidy_tos(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Say every way as ``--set-tos VALUE/MASK``: clear the mask's bits, then xor the value."""
    name = kinds.one_of(settings, "--set-tos", *_TOS_FORMS, said="TOS: An action is required")
    value = settings[name].value
    return {"--set-tos": Setting(_TOS_FORMS[name](value) if name in _TOS_FORMS else value)}


_TOS_FORMS: dict[str, Any] = {
    "--and-tos": lambda bits: Masked(0, ~bits & kinds.U8),
    "--or-tos": lambda bits: Masked(bits, bits),
    "--xor-tos": lambda bits: Masked(bits, 0),
}


def _act_tos(use: Use, packet: Packet, _ctx: Context) -> Action:
    value, mask = use.settings["--set-tos"].value
    return _changed(packet, "tos", packet.tos & ~mask ^ value)


def _list_tos(use: Use, numeric: bool) -> str:
    """A name has its blank in the wrong place. Linux user space: extensions/libxt_TOS.c tos_tg_print()."""
    value, mask = use.value("--set-tos")
    named = TosKind().listed(Masked(value, mask), numeric=False)  # or as numbers
    if numeric:
        return f" TOS set 0x{value:02x}/0x{mask:02x}"
    if not named.startswith("0x"):
        return f"  TOS set{named}"
    if not value:
        return f" TOS and 0x{~mask & kinds.U8:02x}"
    if value == mask:
        return f" TOS or 0x{value:02x}"
    return f" TOS set {named}" if mask else f" TOS xor 0x{value:02x}"


def _tidy_dscp(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    missing = "DSCP target: Parameter --set-dscp is required"
    return as_codepoint(settings, "--set-dscp", "--set-dscp-class", missing)


def _act_dscp(use: Use, packet: Packet, _ctx: Context) -> Action:
    return _changed(packet, "tos", use.settings["--set-dscp"].value << 2 | packet.tos & 3)


_BITS = kinds.Number(0, kinds.U8)
TOS = Extension(
    "TOS",
    (
        Option("--set-tos", TosKind(), group="action", label="TOS",
               help="clear the mask's bits, then xor the value"),
        Option("--and-tos", _BITS, group="action", label="TOS", help="keep only these bits"),
        Option("--or-tos", _BITS, group="action", label="TOS", help="set these bits"),
        Option("--xor-tos", _BITS, group="action", label="TOS", help="turn these bits over"),
    ),
    tables=("mangle",), act=_act_tos, tidy=_tidy_tos, listed=_list_tos,
    summary="set the type of service or traffic class",
    source="net/netfilter/xt_DSCP.c tos_tg(); iptables-extensions(8) TOS",
)  # fmt: skip

DSCP = Extension(
    "DSCP",
    (
        Option("--set-dscp", DscpKind(), group="value", label="DSCP", listed="set {value}",
               help="the code point, by number"),
        Option("--set-dscp-class", DscpClass(), group="value", label="DSCP",
               help="the code point, by its class"),
    ),
    tables=("mangle",), act=_act_dscp, tidy=_tidy_dscp, listed=headed(" DSCP"),
    summary="set the DiffServ code point",
    source="net/netfilter/xt_DSCP.c dscp_tg(); iptables-extensions(8) DSCP",
)  # fmt: skip

# --- ECN ---


def _tidy_ecn(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, "--ecn-tcp-remove", "--ecn-tcp-cwr", "--ecn-tcp-ece", "--ecn-ip-ect",
                 said="ECN target: An operation is required")  # fmt: skip
    return settings


def _check_ecn(use: Use, rule: Rule) -> str:
    return "" if use.settings.keys() == {"--ecn-ip-ect"} else _NEEDS_TCP(use, rule)


_NEEDS_TCP = ports.needs_protocol("ECN", "tcp")


def _act_ecn(use: Use, packet: Packet, _ctx: Context) -> Action:
    """Set or clear bits of IP's and TCP's headers. Linux: ipt_ECN.c ecn_tg()."""
    changes: dict[str, int] = {}
    if "--ecn-ip-ect" in use.settings:
        changes["tos"] = packet.tos & ~3 | use.value("--ecn-ip-ect")
    wanted = {headers.ECE: use.value("--ecn-tcp-ece"), headers.CWR: use.value("--ecn-tcp-cwr")}
    if "--ecn-tcp-remove" in use.settings:
        wanted = dict.fromkeys(wanted, 0)
    flags = packet.flags
    if packet.protocol == headers.TCP and any(value is not None for value in wanted.values()):
        if flags is None:
            return _DROP
        for bit, value in wanted.items():
            if value is not None:
                flags = flags & ~bit | bit * value
        changes["flags"] = flags
    different = {name: value for name, value in changes.items() if getattr(packet, name) != value}
    return Action("CONTINUE", packet.change(**different)) if different else _CONTINUE


_BIT = kinds.Number(0, 1)
ECN = Extension(
    "ECN",
    (
        Option("--ecn-tcp-remove", kinds.FLAG, group="tcp", label="ECN", listed="TCP remove",
               help="clear ECE and CWR in TCP's header"),
        Option("--ecn-tcp-ece", _BIT, label="ECE", listed="ECE={value}", help="set TCP's ECE bit to this"),
        Option("--ecn-tcp-cwr", _BIT, label="CWR", listed="CWR={value}", help="set TCP's CWR bit to this"),
        Option("--ecn-ip-ect", kinds.Number(0, 3), label="ECN", listed="ECT codepoint={value}",
               help="set the ECN bits of the IP header"),
    ),
    families=(4,), tables=("mangle",), act=_act_ecn, tidy=_tidy_ecn, check=_check_ecn,
    listed=headed(" ECN"),
    summary="remove explicit congestion notification from TCP",
    source="net/ipv4/netfilter/ipt_ECN.c ecn_tg(); iptables-extensions(8) ECN",
)  # fmt: skip

# --- TCPOPTSTRIP ---

_NOP = 1
_OPTION_NAMES = {"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}


class _OptionNumbers(kinds.Word):
    """Kinds of TCP option, by number or name, joined by commas."""

    metavar = "option[,…]"

    def read(self, word: str, _family: int) -> tuple[int, ...]:
        found: list[int] = []
        for part in word.split(","):
            number = self.number(part)
            if number <= _NOP:
                reason = "options 0 and 1 cannot be stripped: they are the padding"
                raise RefusedError(reason, "Option value may not be 0 or 1")
            if number in found:
                reason = f"option {part} is named twice"
                raise RefusedError(reason, f'Option "{part}" already specified')
            found.append(number)
        return tuple(sorted(found))

    def number(self, part: str) -> int:
        if part in _OPTION_NAMES:
            return _OPTION_NAMES[part]
        try:
            return kinds.parse_number(part, 0, kinds.U8)
        except ValueError as error:
            raise RefusedError(str(error), f'Bad TCP option value "{part}"') from None

    def save(self, value: Any) -> str:
        return ",".join(map(str, value))

    def listed(self, value: Any, numeric: bool) -> str:
        named = {} if numeric else {number: name for name, number in _OPTION_NAMES.items()}
        return ",".join(named.get(number, str(number)) for number in value)


def _act_strip(use: Use, packet: Packet, _ctx: Context) -> Action:
    """Overwrite options with padding. Linux: tcpoptstrip_mangle_packet()."""
    if packet.fragment_offset:
        return _CONTINUE
    if packet.flags is None or not packet.whole:
        return _DROP
    at = packet.header_end
    old = packet.data[at + 20 : at + (packet.data[at + 12] >> 4) * 4]
    new, place = bytearray(old), 0
    strip = frozenset(use.value("--strip-options", ()))
    while place < len(old) - 1:
        size = 1 if old[place] <= _NOP or not old[place + 1] else old[place + 1]
        if place + size > len(old):
            break
        if old[place] in strip:
            new[place : place + size] = bytes((_NOP,)) * size
        place += size
    return _CONTINUE if new == old else Action("CONTINUE", packet.change(tcp_options=bytes(new)))


TCPOPTSTRIP = Extension(
    "TCPOPTSTRIP",
    (Option("--strip-options", _OptionNumbers(), label="options",
            listed="TCPOPTSTRIP options {value}", help="overwrite these TCP options with padding"),),
    protocols=("tcp",), tables=("mangle",), act=_act_strip,
    check=ports.needs_protocol("TCPOPTSTRIP", "tcp"),
    summary="overwrite TCP options with padding",
    source="net/netfilter/xt_TCPOPTSTRIP.c; iptables-extensions(8) TCPOPTSTRIP",
)  # fmt: skip
