"""Numbers and names of the headers, and the Internet checksum.

Sources: the protocol registries of IANA; RFC 792, 793, 1071, 4443, 8200.
"""

from __future__ import annotations

import struct

from nb_lib.connection import Address

ICMP, IGMP, TCP, UDP, DCCP, GRE, ESP, AH, ICMPV6, SCTP, UDPLITE = (
    1,
    2,
    6,
    17,
    33,
    47,
    50,
    51,
    58,
    132,
    136,
)
PROTOCOL_NAMES = {
    ICMP: "icmp", IGMP: "igmp", TCP: "tcp", UDP: "udp", DCCP: "dccp", GRE: "gre", ESP: "esp",
    AH: "ah", ICMPV6: "icmpv6", SCTP: "sctp", UDPLITE: "udplite",
}  # fmt: skip
WITH_PORTS = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
ICMP_ERRORS = {4: frozenset({3, 4, 5, 11, 12}), 6: frozenset({1, 2, 3, 4})}
# IPv6 extension headers that stand between the IPv6 header and the transport's.
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT, DEST_OPTIONS, MOBILITY = 0, 43, 44, 59, 60, 135
CHECKSUM_AT = {TCP: 16, UDP: 6, UDPLITE: 6, DCCP: 6, ICMP: 2, ICMPV6: 2}


def checksum(data: bytes | bytearray) -> int:
    """Return the Internet checksum of ``data`` (RFC 1071)."""
    if len(data) & 1:
        data = bytes(data) + b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _crc32c_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
    return byte


_CRC32C = tuple(map(_crc32c_of, range(256)))


def crc32c(data: bytes | bytearray) -> bytes:
    """Return the checksum of an SCTP packet whose own is zero, as it stands there (RFC 9260, appendix A)."""
    total = 0xFFFFFFFF
    for byte in data:
        total = total >> 8 ^ _CRC32C[(total ^ byte) & 0xFF]
    return (total ^ 0xFFFFFFFF).to_bytes(4, "little")


def pseudo_header(src: Address, dst: Address, protocol: int, size: int) -> bytes:
    """Return what TCP, UDP and ICMPv6 add in front of a segment of ``size`` bytes for its checksum."""
    if src.version == 6:
        return src.packed + dst.packed + struct.pack("!II", size, protocol)
    return src.packed + dst.packed + struct.pack("!HH", protocol, size)
