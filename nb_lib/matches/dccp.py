"""dccp: ports, packet types and options of DCCP.

Linux: net/netfilter/xt_dccp.c dccp_mt(), dccp_find_option(); header: RFC 4340.
"""

from __future__ import annotations

from typing import Any

from nb_lib import kinds, ports
from nb_lib.headers import DCCP as _DCCP
from nb_lib.matches.tcpudp import port_options, with_ports
from nb_lib.options import HIT, Answer, Context, Extension, Option, Outcome, Use, miss
from nb_lib.packet import Packet

_TYPES = ("REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC",
          "SYNCACK", "INVALID")  # fmt: skip
_HOTDROP = Answer(Outcome.HOTDROP)
# Bytes behind the generic header, by type: net/dccp dccp_packet_hdr_len().
_MORE = {"REQUEST": 4, "RESPONSE": 12, "DATA": 0, "RESET": 12}
_HEADER = 12


class _TypeList(kinds.Choices):
    """Types joined by commas; nothing between two commas is no type."""

    def read(self, word: str, family: int) -> tuple[str, ...]:
        some = ",".join(filter(None, word.split(",")))
        return super().read(some, family) if some else ()

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the types by number or name."""
        return ",".join(str(_TYPES.index(kind)) if numeric else kind for kind in value)


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if packet.protocol != _DCCP:
        return miss("protocol", packet.protocol_name)
    if packet.fragment_offset:
        return miss("a later fragment has no ports")
    data, at = packet.data, packet.header_end
    if packet.sport is None or packet.dport is None or len(data) < at + _HEADER:
        return _HOTDROP
    for name, port in (("--sport", packet.sport), ("--dport", packet.dport)):
        setting = use.settings.get(name)
        if setting and (setting.value.low <= port <= setting.value.high) is setting.inverted:
            return miss(name, (port, port))
    kind = _TYPES[min(data[at + 8] >> 1 & 15, len(_TYPES) - 1)]
    setting = use.settings.get("--dccp-types")
    if setting and (kind in setting.value) is setting.inverted:
        return miss("--dccp-types", kind)
    setting = use.settings.get("--dccp-option")
    if setting is None:
        return HIT
    options = _options(packet, kind)
    if options is None:
        return _HOTDROP
    return miss("--dccp-option") if (setting.value in options) is setting.inverted else HIT


def _options(packet: Packet, kind: str) -> set[int] | None:
    """Return the kinds of option in the header, None if it is malformed."""
    data, at = packet.data, packet.header_end
    start = at + _HEADER + (data[at + 8] & 1) * 4 + _MORE.get(kind, 8)
    end = at + data[at + 4] * 4
    if end < start or end > len(data):
        return None
    found = set()
    while start < end:
        found.add(data[start])
        start += 1 if data[start] < 32 or start + 1 >= end else data[start + 1] or 1
    return found


DCCP = Extension(
    "dccp",
    (
        *port_options(ports.NumericPortRange("tcp", "udp")),
        Option("--dccp-types", _TypeList(_TYPES, "type[,…]", fold=True, bad="Unknown DCCP type `{part}'"),
               invertible=True, label="type", listed="{! }{value}",
               help="the packet is of one of these types"),
        Option("--dccp-option", kinds.Number(1, 255), invertible=True, label="option",
               listed="option={!}{value}",
               help="the header carries this option"),
    ),
    protocols=("dccp",), test=_test, listed=with_ports(" dccp"), check=ports.needs_protocol("dccp", "dccp"),
    summary="ports, types and options of DCCP",
    source="net/netfilter/xt_dccp.c dccp_mt(); iptables-extensions(8) dccp",
)  # fmt: skip
