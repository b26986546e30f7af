"""A packet's bytes, field by field: what each is called, where it stands, what it says.

Sources: RFC 791, 8200 (IP), 9293 (TCP), 768 (UDP), 792, 4443 (ICMP): the pictures of the headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nb_lib.headers import ICMP, ICMPV6, TCP, UDP
from nb_lib.packet import Packet

ECHOES = {4: (0, 8), 6: (128, 129)}
MOST = 64  # bytes of payload that are one field


class Field(NamedTuple):
    """``bits`` bits at bit ``at`` of the packet; ``header`` is IPv4, IPv6, TCP, UDP, ICMP or data."""

    header: str
    name: str
    at: int
    bits: int
    value: int
    text: str  # the value as people write it

    @property
    def offset(self) -> int:
        """The byte in which it begins."""
        return self.at // 8


_IPV4 = (("version", 4), ("IHL", 4), ("TOS", 8), ("total length", 16), ("identification", 16),
         ("flags", 3), ("fragment offset", 13), ("TTL", 8), ("protocol", 8), ("header checksum", 16),
         ("source", 32), ("destination", 32))  # fmt: skip
_IPV6 = (("version", 4), ("traffic class", 8), ("flow label", 20), ("payload length", 16),
         ("next header", 8), ("hop limit", 8), ("source", 128), ("destination", 128))  # fmt: skip
_TCP = (("source port", 16), ("destination port", 16), ("sequence number", 32),
        ("acknowledgement", 32), ("offset", 4), ("reserved", 4), ("flags", 8), ("window", 16),
        ("checksum", 16), ("urgent pointer", 16))  # fmt: skip
_UDP = (("source port", 16), ("destination port", 16), ("length", 16), ("checksum", 16))
_ECHO = (("type", 8), ("code", 8), ("checksum", 16), ("identifier", 16), ("sequence", 16))
_ICMP = (("type", 8), ("code", 8), ("checksum", 16), ("rest of header", 32))


def dissect(packet: Packet) -> list[Field]:
    """Return a packet's fields in their order, without a gap; what is not known is ``data``."""
    name = "IPv4" if packet.family == 4 else "IPv6"
    found = list(_fields(packet, name, _IPV4 if packet.family == 4 else _IPV6, 0))
    at = found[-1].at // 8 + found[-1].bits // 8
    if packet.header_end > at:
        found += _rest(
            packet,
            name,
            "options" if packet.family == 4 else "extension headers",
            at,
            packet.header_end,
        )
        at = packet.header_end
    shape = None if packet.fragment_offset or not packet.whole else _shape(packet)
    if shape:
        header, parts = shape
        found += _fields(packet, header, parts, at)
        at = found[-1].offset + found[-1].bits // 8
        if packet.protocol == TCP:
            end = packet.header_end + (packet.data[packet.header_end + 12] >> 4) * 4
            found += _rest(packet, header, "options", at, end)
            at = end
    return [*found, *_rest(packet, "data", "data", at, len(packet.data))]


def _shape(packet: Packet) -> tuple[str, tuple[tuple[str, int], ...]] | None:
    if packet.protocol in (ICMP, ICMPV6):
        name = "ICMP" if packet.protocol == ICMP else "ICMPv6"
        return name, _ECHO if packet.icmp_type in ECHOES[packet.family] else _ICMP
    return {TCP: ("TCP", _TCP), UDP: ("UDP", _UDP)}.get(packet.protocol)


def _fields(
    packet: Packet, header: str, parts: tuple[tuple[str, int], ...], at: int
) -> Iterator[Field]:
    place = at * 8
    number = int.from_bytes(packet.data, "big")
    for name, bits in parts:
        value = number >> len(packet.data) * 8 - place - bits & (1 << bits) - 1
        yield Field(header, name, place, bits, value, _text(packet, header, name, bits, value))
        place += bits


def _rest(packet: Packet, header: str, name: str, at: int, end: int) -> Iterator[Field]:
    data = packet.data[at:end]
    if data:
        shown = data[:MOST].hex(" ") + (" …" if len(data) > MOST else "")
        yield Field(header, name, at * 8, len(data) * 8, int.from_bytes(data, "big"), shown)


def _text(packet: Packet, header: str, name: str, bits: int, value: int) -> str:
    match header, name:
        case ("IPv4" | "IPv6", "source"):
            return str(packet.src)
        case ("IPv4" | "IPv6", "destination"):
            return str(packet.dst)
        case ("IPv4", "protocol") | ("IPv6", "next header"):
            return f"{value} {packet.protocol_name}" if value == packet.protocol else str(value)
        case "IPv4", "flags":
            return ",".join(word for bit, word in ((2, "DF"), (1, "MF")) if value & bit) or "–"
        case "TCP", "flags":
            return ",".join(packet.flag_names) or "–"
    hexadecimal = "checksum" in name or name in (
        "TOS",
        "traffic class",
        "flow label",
        "rest of header",
    )
    return f"{value:#0{bits // 4 + 2}x}" if hexadecimal else str(value)
