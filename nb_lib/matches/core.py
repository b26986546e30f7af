"""What every rule may ask: addresses, interfaces, protocol, fragment.

Linux: net/ipv4/netfilter/ip_tables.c ip_packet_match(), net/ipv6/netfilter/ip6_tables.c
ip6_packet_match(); iptables(8) PARAMETERS.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_lib import addresses, headers, kinds, ports
from nb_lib.kinds import IPV6
from nb_lib.net import Net
from nb_lib.options import HIT, Answer, Context, Extension, Option, RefusedError, Setting, Use, miss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nb_lib.packet import Packet


def _test(use: Use, packet: Packet, ctx: Context | None = None) -> Answer:
    """Compare what the rule names, in the kernel's order."""
    get = use.settings.get
    if (rule := get("-s")) and (packet.src in rule.value) is rule.inverted:
        return miss("-s", packet.src)
    if (rule := get("-d")) and (packet.dst in rule.value) is rule.inverted:
        return miss("-d", packet.dst)
    if (rule := get("-i")) and addresses.fits(packet.in_iface, rule.value) is rule.inverted:
        return miss("-i", packet.in_iface or "none")
    if (rule := get("-o")) and addresses.fits(packet.out_iface, rule.value) is rule.inverted:
        return miss("-o", packet.out_iface or "none")
    if (rule := get("-p")) and ((have := _protocol(packet, ctx)) == rule.value) is rule.inverted:
        return miss("-p", have)
    if (rule := get("-f")) and bool(packet.fragment_offset) is rule.inverted:
        return miss("-f")
    return HIT


def _protocol(packet: Packet, ctx: Context | None) -> int:
    """The protocol that the backend sees: nf_tables stops at an authentication header of IPv6.

    ip6tables-legacy looks behind it: nf_tables_ipv6.h nft_set_pktinfo_ipv6(), ip6_packet_match().
    """
    if packet.extensions and ctx is not None and ctx.backend == "nft":
        return (
            headers.AH
            if any(kind == headers.AH for kind, _ in packet.extensions)
            else packet.protocol
        )
    return packet.protocol


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Leave out what asks for nothing, and refuse what no packet can answer."""
    return {name: setting for name, setting in settings.items() if not _idle(name, setting)}


_WITH_ANY = ("-s", "-d", "-i", "-o")  # options with a value that is always true


def _tidy_legacy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """iptables-legacy keeps what no packet can answer, a network or a device that is none, and ``-i +``."""
    kept = {n: s for n, s in settings.items() if n in _WITH_ANY and (s.inverted or s.value == "+")}
    others = _tidy({n: s for n, s in settings.items() if n not in kept}, family)
    return others | kept


def _idle(name: str, setting: Setting) -> bool:
    """Tell whether a condition is always true; raise ValueError if it is always false."""
    value: Any = setting.value
    if name in ("-s", "-d") and isinstance(value, Net) and not value.mask:
        if setting.inverted:
            reason = "a network that holds every address cannot be negated"
            raise RefusedError(reason, kernel="Invalid argument")
        return True
    if name == "-p" and value == 0:
        if setting.inverted:
            reason = "the rule would never match: every packet has a protocol"
            raise RefusedError(reason, "rule would never match protocol")
        return True
    return name in ("-i", "-o") and value == "+" and not setting.inverted


class _Fragments(kinds.Flag):
    """``-f``, which IPv6 has as a match."""

    def parse(self, words: Sequence[str], family: int) -> bool:
        if family == IPV6:
            said = "`-f' is not supported in IPv6, use -m frag instead"
            raise RefusedError("-f is not supported in IPv6, use -m frag instead", said)
        return super().parse(words, family)


class _Protocol(ports.Protocol):
    """``-p`` looks at its word in lower case (do_parse())."""

    def read(self, word: str, family: int) -> int:
        return super().read(word.lower(), family)


_EXTENSION_HEADERS = (headers.ROUTING, headers.FRAGMENT, headers.AH, headers.DEST_OPTIONS)


def _is_header(setting: Setting, word: str, family: int) -> str:
    """Warn of a header that is not the last. iptables/xshared.c ipv6_proto_parse()."""
    if setting == Setting(0, inverted=True):
        reason = "the rule would never match: every packet has a protocol"
        raise RefusedError(reason, "rule would never match protocol")
    if family != IPV6 or setting.inverted or setting.value not in _EXTENSION_HEADERS:
        return ""
    return f"Warning: never matched protocol: {word.lower()}. use extension match instead.\n"


_NET, _IFACE = addresses.Network(), addresses.Interface()
_OPTIONS = (
    Option("-s", _NET, ("--source", "--src"), invertible=True, late=True, label="source",
           help="the packet comes from this address or network"),
    Option("-d", _NET, ("--destination", "--dst"), invertible=True, late=True, label="destination",
           help="the packet goes to this address or network"),
    Option("-i", _IFACE, ("--in-interface",), invertible=True, warns=addresses.weird,
           label="in-interface", help="the packet came in by this device"),
    Option("-o", _IFACE, ("--out-interface",), invertible=True, warns=addresses.weird,
           label="out-interface", help="the packet will go out by this device"),
    Option("-p", _Protocol(), ("--protocol", "--proto"), invertible=True, warns=_is_header,
           label="protocol", help="the transport protocol, by name or number"),
    Option("-f", _Fragments(), ("--fragments",), invertible=True, label="a later fragment",
           help="a second or later fragment (IPv4)"),
)  # fmt: skip

_CORE = Extension(
    "", _OPTIONS, test=_test, tidy=_tidy, says={"twice": "multiple {option} flags not allowed"},
    summary="addresses, interfaces, protocol and fragments, which every rule may name",
    source="net/ipv4/netfilter/ip_tables.c ip_packet_match(); iptables(8) PARAMETERS",
)  # fmt: skip

# iptables-legacy does not print a device that is any, not even behind "!", where it never matches.
CORE = replace(_CORE, legacy=replace(
    _CORE, tidy=_tidy_legacy,
    options=tuple(replace(o, hidden="+") if o.kind is _IFACE else o for o in _OPTIONS),
))  # fmt: skip
