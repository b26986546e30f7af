"""tcp and udp: ports, and the flags and options of TCP.

Linux: net/netfilter/xt_tcpudp.c tcp_mt(), udp_mt(). A packet that ends within its header is dropped by
the match. iptables-nft writes ports and flags as expressions of nftables instead (unless there is
``--tcp-option``), which read no more than they compare, and know nothing of fragments: a later
fragment's bytes are taken for ports and flags (Linux 6.18, nf_tables_core.c nft_payload_fast_eval()).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_lib import headers, kinds, names, ports
from nb_lib.kinds import IPV4, Masked, Range
from nb_lib.listed import headed, options_listed
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Outcome,
    RefusedError,
    Setting,
    Use,
    miss,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_HOTDROP = Answer(Outcome.HOTDROP)
_CUT = miss("the header is cut short")
_FLAG_ORDER = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_FLAG_BITS = {name: 1 << bit for bit, name in enumerate(_FLAG_ORDER)} | {"ALL": 0x3F, "NONE": 0}
_SYN_ONLY = Masked(headers.SYN, headers.FIN | headers.SYN | headers.RST | headers.ACK)
EVERY_PORT = Range(0, 65535)


class Flags(kinds.Word):
    """``MASK COMP``: of the flags in MASK exactly those in COMP are set."""

    arity = 2
    metavar = "mask comp"

    def parse(self, words: Sequence[str], _family: int) -> Masked:
        """Read two lists of flags."""
        mask, value = (_flag_bits(word) for word in words)
        return Masked(value, mask)

    def save(self, value: Any) -> str:
        """Write both lists, flags from the lowest bit up."""
        return f"{_flag_names(value.mask)} {_flag_names(value.value)}"

    def show(self, value: Any) -> str:
        """Write a packet's flags, or a rule's as ``SYN of FIN,SYN,RST,ACK``."""
        if isinstance(value, int):
            return _flag_names(value)
        return f"{_flag_names(value.value)} of {_flag_names(value.mask)}"

    def listed(self, value: Any, numeric: bool) -> str:
        """Write both lists, or (numeric) their bits."""
        if numeric:
            return f"0x{value.mask:02X}/0x{value.value:02X}"
        return f"{_flag_names(value.mask)}/{_flag_names(value.value)}"


def _flag_bits(word: str) -> int:
    bits = 0
    for name in filter(None, word.split(",")):
        if name.upper() not in _FLAG_BITS:
            raise RefusedError(f"unknown TCP flag {name!r}", f"Unknown TCP flag `{name}'")
        bits |= _FLAG_BITS[name.upper()]
    return bits


def _flag_names(bits: int) -> str:
    return ",".join(name for name in _FLAG_ORDER if bits & _FLAG_BITS[name]) or "NONE"


def _combined(use: Use, ctx: Context) -> bool:
    """Whether iptables-nft compares both ports at once: it does if each is one port and both are negated.

    ``! --sport 1 ! --dport 2`` then means *not both*, where the legacy backend means *neither*.
    iptables/nft-shared.c add_nft_tcpudp(), seen with iptables 1.8.9.
    """
    source, destination = use.settings.get("--sport"), use.settings.get("--dport")
    if not (source and destination and source.inverted and destination.inverted):
        return False
    single = all(one.value.low == one.value.high and one.value.low for one in (source, destination))
    return single and "--tcp-option" not in use.settings and ctx.backend == "nft"


def _ports(use: Use, sport: int | None, dport: int | None, ctx: Context) -> Answer:
    """Compare the ports that the rule names; the source first, as the kernel does."""
    if len(use.settings) > 1 and _combined(use, ctx):
        both = (sport, dport) == (use.value("--sport").low, use.value("--dport").low)
        return miss("--dport", (dport, dport)) if both else HIT
    setting = use.settings.get("--sport")
    if setting:
        if sport is None:
            return _CUT
        low, high = setting.value
        if (low <= sport <= high) is setting.inverted:
            return miss("--sport", (sport, sport))
    setting = use.settings.get("--dport")
    if setting:
        if dport is None:
            return _CUT
        low, high = setting.value
        if (low <= dport <= high) is setting.inverted:
            return miss("--dport", (dport, dport))
    return HIT


def _native(use: Use, ctx: Context) -> bool:
    """Whether iptables-nft writes the match as expressions of nftables."""
    settings = use.settings
    if ctx.backend != "nft" or "--tcp-option" in settings:
        return False
    return any(setting.value != EVERY_PORT for setting in settings.values())


def _unreadable(packet: Packet) -> Answer:
    """What the match itself answers to a later fragment, or a packet that ends within its header."""
    if not packet.fragment_offset:
        return _HOTDROP
    # A fragment that would overwrite the TCP flags is an attack: tcp_mt() drops it.
    attack = (
        packet.family == IPV4 and packet.fragment_offset == 8 and packet.protocol == headers.TCP
    )
    return _HOTDROP if attack else miss("a later fragment has no ports")


def _as_bytes(packet: Packet) -> tuple[int | None, int | None, int | None]:
    """Return what nftables takes for ports and flags, whatever is there; None where the packet ends.

    Behind the fragment header of IPv6 it finds no transport header, and reads the IPv6 header itself.
    """
    data = packet.data
    at = 0 if packet.fragment_offset and packet.family != IPV4 else packet.header_end
    sport, dport = (
        data[place] << 8 | data[place + 1] if len(data) > place + 1 else None
        for place in (at, at + 2)
    )
    return sport, dport, data[at + 13] if len(data) > at + 13 else None


def _test_tcp(use: Use, packet: Packet, ctx: Context) -> Answer:
    sport, dport, flags = packet.sport, packet.dport, packet.flags
    if packet.protocol != headers.TCP:
        return _test_other(use, packet, ctx)
    if flags is None:
        if not _native(use, ctx):
            return _unreadable(packet)
        sport, dport, flags = _as_bytes(packet)
    settings = use.settings
    answer = _ports(use, sport, dport, ctx)
    if answer is not HIT or len(settings) == ("--sport" in settings) + ("--dport" in settings):
        return answer
    if flags is None:
        return _CUT
    setting = settings.get("--tcp-flags")
    if setting and (flags & setting.value.mask == setting.value.value) is setting.inverted:
        return miss("--tcp-flags", flags)
    setting = settings.get("--tcp-option")
    if setting and (setting.value in tcp_options(packet)) is setting.inverted:
        return miss("--tcp-option")
    return HIT


def tcp_options(packet: Packet) -> dict[int, int]:
    """Return a TCP packet's options: kind → where it starts in the packet's bytes.

    Linux: net/netfilter/xt_tcpudp.c tcp_find_option().
    """
    data, at = packet.data, packet.header_end
    end = min(at + (data[at + 12] >> 4) * 4, len(data))
    at += 20
    found: dict[int, int] = {}
    while at < end:
        kind = data[at]
        found.setdefault(kind, at)
        at += 1 if kind < 2 or at + 1 >= end else data[at + 1] or 1
    return found


def _test_udp(use: Use, packet: Packet, ctx: Context) -> Answer:
    sport, dport = packet.sport, packet.dport
    if packet.protocol != headers.UDP:
        return _test_other(use, packet, ctx)
    if not packet.whole and not _native(use, ctx):
        return _unreadable(packet)
    if sport is None or dport is None:
        sport, dport, _ = _as_bytes(packet)
    return _ports(use, sport, dport, ctx)


def _test_other(use: Use, packet: Packet, ctx: Context) -> Answer:
    """Answer a packet of another protocol. A rule reaches it as ``! -p tcp --dport 80``.

    iptables-nft then compares whatever bytes stand where TCP has its ports and flags.
    """
    if not _native(use, ctx):
        return miss("protocol", packet.protocol_name)
    sport, dport, have = _as_bytes(packet)
    flags = use.settings.get("--tcp-flags")
    answer = _ports(use, sport, dport, ctx)
    if answer is not HIT or flags is None:
        return answer
    if have is None:
        return _CUT
    if (have & flags.value.mask == flags.value.value) is flags.inverted:
        return miss("--tcp-flags", have)
    return HIT


def _tidy_tcp(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """``--syn`` is ``--tcp-flags FIN,SYN,RST,ACK SYN``."""
    if "--syn" in settings:
        settings = dict(settings)
        settings["--tcp-flags"] = Setting(_SYN_ONLY, settings.pop("--syn").inverted)
    return settings


def port_options(kind: kinds.NumberRange, hidden: Range | None = None) -> tuple[Option, Option]:
    """Return ``--sport`` and ``--dport`` for a protocol with ports; ``hidden`` is not printed."""
    return (
        Option("--sport", kind, ("--source-port",), invertible=True, hidden=hidden, label="sport",
               called="--source-port", listed="spt{s}:{!}{value}",
               help="the source port, or a range of ports"),
        Option("--dport", kind, ("--destination-port",), invertible=True, hidden=hidden,
               label="dport", called="--destination-port", listed="dpt{s}:{!}{value}",
               help="the destination port, or a range of ports"),
    )  # fmt: skip


def with_ports(words: str) -> Callable[[Use, bool], str]:
    """Return an ``Extension.listed``: ``words``, then the options, but not what is every port.

    Linux user space: print_ports() of libxt_sctp.c, libxt_dccp.c.
    """

    def listed(use: Use, numeric: bool) -> str:
        shown = {name: one for name, one in use.settings.items() if one != Setting(EVERY_PORT)}
        return words + options_listed(use._replace(settings=shown), numeric)

    return listed


def _no_flags(setting: Setting) -> bool:
    """Whether a rule looks at no flag, which is not printed."""
    return not setting.value.mask and not setting.inverted


# iptables/extensions/libxt_tcp.c tcp_parse(), which is older than the sentences that most extensions share.
ONLY_ONE = {"twice": "Only one `{option}' allowed"}
_ONE_OF_FLAGS = dict.fromkeys(("twice", "group"), "Only one of `--syn' or `--tcp-flags'  allowed")

_TCP_OPTIONS = (
    *port_options(ports.PortRange("tcp"), EVERY_PORT),
    Option("--tcp-option", kinds.Number(1, 255), invertible=True, label="TCP option",
           listed="option={!}{value}", says={"value": 'Bad TCP option "{word}"'},
           help="the TCP header carries this option, by number"),
    Option("--tcp-flags", Flags(), invertible=True, group="flags", label="flags", hidden=_no_flags,
           listed="flags:{!}{value}", says=_ONE_OF_FLAGS,
           help="of the flags in the first list exactly those in the second are set"),
    Option("--syn", kinds.FLAG, invertible=True, group="flags", label="SYN", says=_ONE_OF_FLAGS,
           help="the first packet of a handshake: SYN set, FIN, RST and ACK not"),
)  # fmt: skip


def _check(name: str) -> Callable[[Use, Rule], str]:
    """Return a ``check`` under iptables-nft: what it writes itself goes with ``! -p tcp`` too."""
    strict = ports.needs_protocol(name, name)

    def check(use: Use, rule: Rule) -> str:
        setting = rule.core.settings.get("-p")
        native = bool(use.settings) and "--tcp-option" not in use.settings
        if not native:
            return strict(use, rule)
        if setting and setting.value == names.protocol_numbers()[name]:
            return ""
        said = f"{name.upper()} match requires '-p {name}'"
        raise RefusedError(f"{name} needs -p {name}", said)

    return check


_TCP = Extension(
    "tcp", _TCP_OPTIONS, protocols=("tcp",), test=_test_tcp, tidy=_tidy_tcp, check=_check("tcp"),
    native=True, says=ONLY_ONE, listed=headed(" tcp"),
    summary="ports, flags and options of TCP",
    source="net/netfilter/xt_tcpudp.c tcp_mt(); iptables-extensions(8) tcp",
)  # fmt: skip

TCP = replace(_TCP, legacy=replace(_TCP, native=False, check=ports.needs_protocol("tcp", "tcp")))

_UDP = Extension(
    "udp", port_options(ports.ResolvedPortRange("udp", "tcp"), EVERY_PORT), protocols=("udp",),
    test=_test_udp, check=_check("udp"), native=True, listed=headed(" udp"),
    summary="ports of UDP",
    source="net/netfilter/xt_tcpudp.c udp_mt(); iptables-extensions(8) udp",
)  # fmt: skip

UDP = replace(_UDP, legacy=replace(_UDP, native=False, check=ports.needs_protocol("udp", "udp")))
