"""The tuple of a packet, and its mirror: what an answer to it must look like.

Linux: net/netfilter/nf_conntrack_core.c nf_ct_get_tuple(), nf_ct_invert_tuple();
nf_conntrack_proto_icmp.c icmp_pkt_to_tuple(), icmp_invert_tuple().
"""

from __future__ import annotations

from nb_lib.connection import Tuple
from nb_lib.headers import DCCP, GRE, ICMP, ICMPV6, WITH_PORTS
from nb_lib.packet import Packet

PORTS = WITH_PORTS - {DCCP}  # DCCP has no part of its own in conntrack any more (Linux 6.16)
# ICMP types that ask, and those that answer them. No other type opens a connection.
_ANSWERS = {ICMP: {8: 0, 13: 14, 15: 16, 17: 18}, ICMPV6: {128: 129, 139: 140}}
_PPP = b"\x88\x0b"  # what GRE carries for PPTP
_MIRROR = {p: {**pairs, **{b: a for a, b in pairs.items()}} for p, pairs in _ANSWERS.items()}


def tuple_of(packet: Packet) -> Tuple | None:
    """Return the packet's tuple, or None if its transport header is cut off, or is PPTP's and no call."""
    protocol = packet.protocol
    if protocol in PORTS:
        if packet.sport is None or packet.dport is None:
            return None
        return Tuple(packet.src, packet.dst, protocol, packet.sport, packet.dport)
    if protocol in _ANSWERS:
        if packet.icmp_type is None or packet.icmp_id is None:
            return None
        kind = packet.icmp_type << 8 | (packet.icmp_code or 0)
        return Tuple(packet.src, packet.dst, protocol, packet.icmp_id, kind)
    if protocol == GRE:
        return _gre(packet)
    return Tuple(packet.src, packet.dst, protocol)


def _gre(packet: Packet) -> Tuple | None:
    """GRE of PPTP has calls by number, the other way too if its helper runs: gre_pkt_to_tuple()."""
    plain, data, at = Tuple(packet.src, packet.dst, GRE), packet.data, packet.header_end
    if len(data) < at + 8 or data[at + 1] & 7 != 1:
        return plain
    if data[at + 2 : at + 4] != _PPP:
        return None
    return plain._replace(dport=data[at + 6] << 8 | data[at + 7])


def invert(t: Tuple) -> Tuple | None:
    """Return the tuple of an answer; None for ICMP types that nobody answers."""
    if t.protocol in _MIRROR:
        kind = _MIRROR[t.protocol].get(t.dport >> 8)
        if kind is None:
            return None
        return Tuple(t.dst, t.src, t.protocol, t.sport, kind << 8 | t.dport & 0xFF)
    return Tuple(t.dst, t.src, t.protocol, t.dport, t.sport)


def opens(t: Tuple) -> bool:
    """Whether a packet with this tuple may begin a connection."""
    return t.protocol not in _ANSWERS or t.dport >> 8 in _ANSWERS[t.protocol]
