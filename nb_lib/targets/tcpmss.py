"""TCPMSS: lower the segment size that a handshake announces.

Linux: net/netfilter/xt_TCPMSS.c tcpmss_mangle_packet(). It never raises the size; a SYN without the
option gets one, of at most 536 (IPv4) or 1220 (IPv6).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nb_lib import kinds, ports
from nb_lib.headers import SYN, TCP
from nb_lib.listed import headed
from nb_lib.options import Action, Context, Extension, Option, Place, RefusedError, Setting, Use
from nb_lib.packet import Packet

if TYPE_CHECKING:
    from nb_lib.rules import Rule

_MSS = 2  # the option's kind; its length is 4
_HEADERS = {4: 40, 6: 60}
_USUAL = {4: 536, 6: 1220}
_LONGEST_HEADER = 60
_NEEDS_TCP = ports.needs_protocol("TCPMSS", "tcp")
_CONTINUE, _DROP = Action("CONTINUE"), Action("DROP")


class _Size(kinds.Word):
    """A segment's size, which leaves room for the headers' least."""

    metavar = "bytes"

    def read(self, word: str, family: int) -> int:
        return kinds.Number(0, kinds.U16 - _HEADERS[family] + 20).read(word, family)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if not settings:
        said = "TCPMSS target: At least one parameter is required"
        raise RefusedError("TCPMSS needs --set-mss or --clamp-mss-to-pmtu", said)
    return (
        {"--clamp-mss-to-pmtu": settings["--clamp-mss-to-pmtu"]}
        if "--clamp-mss-to-pmtu" in settings
        else settings
    )


def _act(use: Use, packet: Packet, ctx: Context) -> Action:
    if packet.fragment_offset or packet.protocol != TCP:
        return _CONTINUE
    if packet.flags is None or not packet.whole:
        return _DROP
    wanted = use.value("--set-mss")
    if wanted is None:
        mtu = ctx.path_mtu(packet)
        if mtu is None:
            return Action("UNDECIDED", missing="the path's MTU (fact mtu=1500)")
        if mtu <= _HEADERS[packet.family]:
            return _DROP
        wanted = mtu - _HEADERS[packet.family]
    changed = _lower(packet, wanted)
    return _CONTINUE if changed is None else Action("CONTINUE", changed)


def _lower(packet: Packet, wanted: int) -> Packet | None:
    """Return the packet with its size lowered, or None if it stays as it is."""
    at = packet.header_end
    size = (packet.data[at + 12] >> 4) * 4
    options = packet.data[at + 20 : at + size]
    place = _find(options)
    if place is not None:
        have = options[place + 2] << 8 | options[place + 3]
        if have <= wanted:
            return None
        return packet.change(
            tcp_options=options[: place + 2] + wanted.to_bytes(2, "big") + options[place + 4 :]
        )
    carries_data = packet.length > at + size
    if carries_data or size >= _LONGEST_HEADER or not (packet.flags or 0) & SYN:
        return None
    usual = min(wanted, _USUAL[packet.family])
    return packet.change(tcp_options=bytes((_MSS, 4)) + usual.to_bytes(2, "big") + options)


def _find(options: bytes) -> int | None:
    """Find the MSS option as the kernel looks for it, step by step."""
    at = 0
    while at <= len(options) - 4:
        if options[at] == _MSS and options[at + 1] == 4:
            return at
        at += 1 if options[at] < 2 else options[at + 1] or 1
    return None


def _place(use: Use) -> Place:
    """The path's MTU is known where the packet has a route."""
    clamps = "--clamp-mss-to-pmtu" in use.settings
    return Place((), ("FORWARD", "OUTPUT", "POSTROUTING")) if clamps else Place()


def _check_legacy(use: Use, rule: Rule) -> str:
    """Under iptables-legacy the rule must ask for SYN: find_syn_match()."""
    for match in rule.matches:
        flags = match.settings.get("--tcp-flags") if match.name == "tcp" else None
        if flags and flags.value.value & SYN and not flags.inverted:
            return _NEEDS_TCP(use, rule)
    return "TCPMSS works on SYN packets only: put -m tcp --tcp-flags SYN,RST SYN before it"


_TCPMSS = Extension(
    "TCPMSS",
    (
        Option("--set-mss", _Size(), label="MSS", listed="set {value}", help="at most this segment size"),
        Option("--clamp-mss-to-pmtu", kinds.FLAG, label="clamp", listed="clamp to PMTU",
               help="at most what the path's MTU allows"),
    ),
    protocols=("tcp",), act=_act, tidy=_tidy, place=_place, check=_NEEDS_TCP,
    listed=headed(" TCPMSS"),
    summary="lower the segment size that a TCP handshake announces",
    source="net/netfilter/xt_TCPMSS.c tcpmss_mangle_packet(); iptables-extensions(8) TCPMSS",
)  # fmt: skip

TCPMSS = replace(_TCPMSS, legacy=replace(_TCPMSS, check=_check_legacy))
