"""What each transport protocol adds to conntrack: what is malformed, what opens, how long silence lasts.

Linux: net/netfilter/nf_conntrack_core.c nf_conntrack_handle_packet(); nf_conntrack_proto_udp.c,
_icmp.c, _icmpv6.c, _gre.c, _generic.c; TCP and SCTP have rooms of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from nb_lib.connection import Connection
from nb_lib.engine import sctp, tcp
from nb_lib.engine.followed import Followed
from nb_lib.engine.timeouts import of_protocol
from nb_lib.engine.tuples import tuple_of
from nb_lib.frozen import changed
from nb_lib.headers import (
    GRE,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
    checksum,
    crc32c,
    pseudo_header,
)
from nb_lib.packet import Packet

Timeouts = Mapping[str, int]
STREAM_AFTER = 2  # seconds after which a UDP flow with replies counts as a stream
_STREAMS = {UDP: "udp_timeout_stream", UDPLITE: "udp_timeout_stream", GRE: "gre_timeout_stream"}
_LAST_ICMP_TYPE = 18
_SUMMED = frozenset({TCP, UDP, UDPLITE, ICMP, ICMPV6, SCTP})


def malformed(packet: Packet, *, arriving: bool) -> str:
    """Return what makes a packet INVALID whatever the table holds, or an empty string.

    ``arriving`` is false for the host's own packets: their checksums are not verified.
    """
    if packet.fragment_offset:
        return "a later fragment"
    if tuple_of(packet) is None:
        return "the transport header is cut off"
    wrong = _WRONG[packet.protocol](packet) if packet.protocol in _WRONG else ""
    if not wrong and arriving and not checksum_ok(packet):
        return f"the {packet.protocol_name} checksum is wrong"
    return wrong


def _wrong_udp(packet: Packet) -> str:
    at, data = packet.header_end, packet.data
    stated = data[at + 4] << 8 | data[at + 5] if packet.whole else 0
    fits = 8 <= stated <= packet.length - at
    return "" if fits else f"the UDP header states a length of {stated} bytes"


def _wrong_udplite(packet: Packet) -> str:
    if not packet.whole:
        return "the UDP-Lite header is cut off"
    covered = _coverage(packet)
    if not 8 <= covered <= packet.length - packet.header_end:
        return f"the UDP-Lite checksum covers {covered} bytes"
    at = packet.header_end + 6
    return "" if any(packet.data[at : at + 2]) else "UDP-Lite needs a checksum"


def _wrong_icmp(packet: Packet) -> str:
    kind = packet.icmp_type or 0
    return "" if kind <= _LAST_ICMP_TYPE else f"ICMP type {kind} is unknown"


def _wrong_sctp(packet: Packet) -> str:
    fits = packet.length >= packet.header_end + 12
    return "" if fits else "the SCTP header is cut off"


_WRONG = {TCP: tcp.malformed, UDP: _wrong_udp, UDPLITE: _wrong_udplite, ICMP: _wrong_icmp,
          SCTP: _wrong_sctp}  # fmt: skip


def _coverage(packet: Packet) -> int:
    """Return how many bytes a UDP-Lite checksum covers; 0 in the header stands for all (RFC 3828)."""
    at = packet.header_end + 4
    stated = int.from_bytes(packet.data[at : at + 2], "big")
    return stated or packet.length - packet.header_end


def checksum_ok(packet: Packet) -> bool:
    """Whether the transport checksum is right; that of a first fragment cannot be."""
    protocol = packet.protocol
    if packet.fragment_offset or protocol not in _SUMMED:
        return True
    body = packet.data[packet.header_end : packet.length]
    if protocol == SCTP:
        return crc32c(body[:8] + bytes(4) + body[12:]) == body[8:12]
    if protocol == UDP and body[6:8] == b"\0\0":
        return True  # in IPv6 too: udp_error()
    pseudo = b""
    if protocol != ICMP:
        # udplite_error() sums with UDP's number: what a real end sends is INVALID, and so is it here.
        number = UDP if protocol == UDPLITE else protocol
        pseudo = pseudo_header(packet.src, packet.dst, number, len(body))
    covered = body[: _coverage(packet)] if protocol == UDPLITE else body
    return checksum(pseudo + covered) == 0


def begin(connection: Connection, packet: Packet, now: float, timeouts: Timeouts) -> Followed:
    """Return a new connection as its first packet leaves it, or ``invalid``."""
    if packet.protocol == SCTP:
        return sctp.opening(connection, packet, now, timeouts)
    if packet.protocol == TCP:
        first = tcp.opening(packet, now, timeouts)
        if first is None:
            flags = ",".join(packet.flag_names) or "no flags"
            return Followed("invalid", connection, f"{flags} opens no connection")
        state, window, expires = first
        return Followed("accept", changed(connection, state=state, proto=window, expires=expires))
    expires = now + of_protocol(timeouts, packet.protocol)
    return Followed("accept", changed(connection, expires=expires))


def step(connection: Connection, packet: Packet, direction: str, now: float,
         timeouts: Timeouts) -> Followed:  # fmt: skip
    """Return what the protocol makes of one more packet."""
    if packet.protocol == TCP:
        return tcp.follow(connection, packet, direction, now, timeouts)
    if packet.protocol == SCTP:
        return sctp.follow(connection, packet, direction, now, timeouts)
    # UDP must go on for a while before it is believed to be a stream: nf_conntrack_udp_packet().
    lasting = packet.protocol != UDP or now > connection.created + STREAM_AFTER
    if packet.protocol in _STREAMS and "SEEN_REPLY" in connection.status and lasting:
        expires = now + timeouts[_STREAMS[packet.protocol]]
        status = connection.status | {"ASSURED"}
        return Followed("accept", changed(connection, status=status, expires=expires))
    expires = now + of_protocol(timeouts, packet.protocol)
    return Followed("accept", changed(connection, expires=expires))
