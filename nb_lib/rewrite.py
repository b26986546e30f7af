"""Rewriting: patch a packet's bytes and mend its checksums by the difference (RFC 1624).

Linux: include/net/checksum.h csum_replace4(), net/netfilter/nf_nat_proto.c. ``REWRITERS`` maps the name of
a header field to the function that puts a new value into the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib.connection import Address
from nb_lib.headers import CHECKSUM_AT, DCCP, ICMP, SCTP, UDP, crc32c
from nb_lib.net import parse_address

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _mend(data: bytearray, at: int, old: bytes, new: bytes) -> None:
    """Update the checksum at ``at`` for ``old`` having become ``new`` (both of even length)."""
    if at + 2 > len(data):
        return
    total = ~(data[at] << 8 | data[at + 1]) & 0xFFFF
    for i in range(0, len(old), 2):
        total += (~(old[i] << 8 | old[i + 1]) & 0xFFFF) + (new[i] << 8 | new[i + 1])
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    data[at : at + 2] = (~total & 0xFFFF).to_bytes(2, "big")


def _mend_transport(packet: Packet, data: bytearray, old: bytes, new: bytes) -> None:
    """Mend the transport's checksum; a UDP checksum of zero means *none* and stays.

    SCTP's is made anew, DCCP's is left wrong: nf_nat_proto.c sctp_manip_pkt(), l4proto_manip_pkt().
    """
    at = CHECKSUM_AT.get(packet.protocol)
    if packet.protocol == SCTP:
        _sum_sctp(packet, data)
    if packet.fragment_offset or at is None or packet.protocol == DCCP:
        return
    at += packet.header_end
    if packet.protocol == UDP:
        if data[at : at + 2] == b"\0\0":
            return
        _mend(data, at, old, new)
        if data[at : at + 2] == b"\0\0":
            data[at : at + 2] = b"\xff\xff"
        return
    _mend(data, at, old, new)


def _sum_sctp(packet: Packet, data: bytearray) -> None:
    at, end = packet.header_end, packet.length
    if packet.fragment_offset or at + 12 > len(data):
        return
    data[at + 8 : at + 12] = bytes(4)
    data[at + 8 : at + 12] = crc32c(data[at:end])


def _rewrite_address(packet: Packet, data: bytearray, value: str | Address, at: int) -> None:
    address = parse_address(value, packet.family) if isinstance(value, str) else value
    if address.version != packet.family:
        raise ValueError(f"{address} is no IPv{packet.family} address")
    new = address.packed
    old = bytes(data[at : at + len(new)])
    data[at : at + len(new)] = new
    if packet.family == 4:
        _mend(data, 10, old, new)
    if packet.protocol != ICMP:
        _mend_transport(packet, data, old, new)


def _rewrite_src(packet: Packet, data: bytearray, value: str | Address) -> None:
    _rewrite_address(packet, data, value, 12 if packet.family == 4 else 8)


def _rewrite_dst(packet: Packet, data: bytearray, value: str | Address) -> None:
    _rewrite_address(packet, data, value, 16 if packet.family == 4 else 24)


def _rewrite_word(packet: Packet, data: bytearray, value: int, at: int) -> None:
    at += packet.header_end
    if packet.fragment_offset or at + 2 > len(data):
        return
    old, new = bytes(data[at : at + 2]), value.to_bytes(2, "big")
    data[at : at + 2] = new
    _mend_transport(packet, data, old, new)


def _rewrite_sport(packet: Packet, data: bytearray, value: int) -> None:
    _rewrite_word(packet, data, value, 0)


def _rewrite_dport(packet: Packet, data: bytearray, value: int) -> None:
    _rewrite_word(packet, data, value, 2)


def _rewrite_icmp_id(packet: Packet, data: bytearray, value: int) -> None:
    _rewrite_word(packet, data, value, 4)


def _rewrite_ttl(packet: Packet, data: bytearray, value: int) -> None:
    if packet.family == 6:
        data[7] = value
        return
    old = bytes(data[8:10])
    data[8] = value
    _mend(data, 10, old, bytes(data[8:10]))


def _rewrite_tos(packet: Packet, data: bytearray, value: int) -> None:
    if packet.family == 6:
        data[0] = data[0] & 0xF0 | value >> 4
        data[1] = data[1] & 0x0F | (value & 15) << 4
        return
    old = bytes(data[0:2])
    data[1] = value
    _mend(data, 10, old, bytes(data[0:2]))


def _rewrite_flags(packet: Packet, data: bytearray, value: int) -> None:
    at = packet.header_end + 12
    old = bytes(data[at : at + 2])
    data[at + 1] = value
    _mend_transport(packet, data, old, bytes(data[at : at + 2]))


def _rewrite_tcp_options(packet: Packet, data: bytearray, value: bytes) -> None:
    """Exchange TCP's options for others (a multiple of four bytes), and mend the lengths."""
    at = packet.header_end
    size = (data[at + 12] >> 4) * 4
    old_options, old_length = bytes(data[at + 20 : at + size]), packet.length
    grown = len(value) - len(old_options)
    fixed = bytes(data[at + 12 : at + 14])
    data[at + 12] = (5 + len(value) // 4) << 4 | data[at + 12] & 15
    data[at + 20 : at + size] = value
    padding = bytes(abs(grown))
    _mend_transport(packet, data, fixed + old_options + padding[:max(grown, 0)],
                    bytes(data[at + 12 : at + 14]) + value + padding[:max(-grown, 0)])  # fmt: skip
    if not grown:
        return
    # The pseudo header counts the segment's length: net/netfilter/xt_TCPMSS.c.
    segment = old_length - at
    _mend_transport(packet, data, segment.to_bytes(2, "big"), (segment + grown).to_bytes(2, "big"))
    place = 2 if packet.family == 4 else 4
    old = bytes(data[place : place + 2])
    new = (int.from_bytes(old, "big") + grown).to_bytes(2, "big")
    data[place : place + 2] = new
    if packet.family == 4:
        _mend(data, 10, old, new)


def _rewrite_dont_fragment(packet: Packet, data: bytearray, value: bool) -> None:
    if packet.family != 4:
        raise ValueError("an IPv6 packet is never cut up on its way")
    old = bytes(data[6:8])
    data[6] = data[6] & ~0x40 | (0x40 if value else 0)
    _mend(data, 10, old, bytes(data[6:8]))


REWRITERS: dict[str, Any] = {
    "src": _rewrite_src,
    "dst": _rewrite_dst,
    "sport": _rewrite_sport,
    "dport": _rewrite_dport,
    "icmp_id": _rewrite_icmp_id,
    "ttl": _rewrite_ttl,
    "tos": _rewrite_tos,
    "flags": _rewrite_flags,
    "dont_fragment": _rewrite_dont_fragment,
    "tcp_options": _rewrite_tcp_options,
}
