"""The answers that a host sends by itself: REJECT's, and the ICMP errors of its own stack.

Linux: net/ipv4/netfilter/nf_reject_ipv4.c nf_send_reset(), nf_send_unreach(); net/ipv4/icmp.c
__icmp_send(); net/ipv6/netfilter/nf_reject_ipv6.c; net/ipv6/icmp.c icmp6_send(). RFC 792, 1122, 4443.
"""

from __future__ import annotations

from typing import Any

from nb_lib.connection import Address
from nb_lib.engine.protocols import checksum_ok
from nb_lib.headers import (
    ACK,
    AH,
    ESP,
    FIN,
    GRE,
    ICMP,
    ICMPV6,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDPLITE,
    checksum,
    pseudo_header,
)
from nb_lib.packet import Packet, icmp, tcp

# --reject-with → (type, code)
ICMP4 = {
    "icmp-net-unreachable": (3, 0), "icmp-host-unreachable": (3, 1), "icmp-proto-unreachable": (3, 2),
    "icmp-port-unreachable": (3, 3), "icmp-net-prohibited": (3, 9), "icmp-host-prohibited": (3, 10),
    "icmp-admin-prohibited": (3, 13),
}  # fmt: skip
ICMP6 = {
    "icmp6-no-route": (1, 0), "icmp6-adm-prohibited": (1, 1), "icmp6-addr-unreachable": (1, 3),
    "icmp6-port-unreachable": (1, 4), "icmp6-policy-fail": (1, 5), "icmp6-reject-route": (1, 6),
}  # fmt: skip
_KERNEL = (
    ("sender", "kernel"),
    ("cgroup", 0),
)  # ICMP errors leave by a socket of its own; a RST by none
_UNSUMMED = frozenset({GRE, AH, ESP, SCTP, UDPLITE})
_ANSWERED = frozenset({0, 8, 13, 14, 15, 16, 17, 18})  # to the kernel all other types are errors
_QUOTE = {4: 576, 6: 1280}  # an error is no longer than this


def answer(packet: Packet, how: str, speaker: Address | None) -> Packet | None:
    """Return the answer to a rejected packet, or None where the kernel sends none.

    ``speaker`` is the host's address towards the sender.
    """
    if how in ("tcp-reset", "tcp-rst"):
        return reset(packet)
    kind = (ICMP4 if packet.family == 4 else ICMP6)[how]
    return unreachable(packet, *kind, speaker) if _sum_fits(packet) else None


def _sum_fits(packet: Packet) -> bool:
    """Whether the packet is whole enough for REJECT to quote it: nf_reject.h nf_reject_verify_csum().

    The kernel sums up whatever protocol it does not know, too; so most of those get no answer. In IPv6
    there must be something behind the headers (reject6_csum_ok()).
    """
    body = packet.data[packet.header_end : packet.length]
    if packet.family == 6 and not body:
        return False
    if packet.protocol in _UNSUMMED or (packet.protocol == UDP and body[6:8] == b"\0\0"):
        return True
    if packet.family == 4 and packet.protocol not in (TCP, UDP):
        return checksum(packet.data[: packet.length]) == 0  # a header's own sum is zero
    return checksum(pseudo_header(packet.src, packet.dst, packet.protocol, len(body)) + body) == 0


def _answers_nothing(packet: Packet) -> bool:
    """Whether it is an ICMP message that no error may answer: icmp.c __icmp_send(), icmp6_send()."""
    if packet.protocol == ICMP and packet.family == 4:
        return packet.icmp_type is None or packet.icmp_type not in _ANSWERED
    if packet.protocol == ICMPV6 and packet.family == 6:
        return packet.icmp_type is None or packet.icmp_type < 128
    return False


def reset(packet: Packet) -> Packet | None:
    """Answer a TCP segment with RST; none answers a RST or a fragment."""
    if (
        packet.protocol != TCP
        or packet.fragment_offset
        or not packet.whole
        or not checksum_ok(packet)
    ):
        return None
    assert packet.flags is not None
    assert packet.seq is not None
    assert packet.ack is not None
    if packet.flags & RST:
        return None
    common: dict[str, Any] = {
        "sport": packet.dport,
        "dport": packet.sport,
        "window": 0,
        "dont_fragment": packet.family == 4,
    }
    if packet.flags & ACK:
        return tcp(packet.dst, packet.src, flags=RST, seq=packet.ack, **common)
    end = packet.seq + len(packet.payload) + bool(packet.flags & SYN) + bool(packet.flags & FIN)
    return tcp(packet.dst, packet.src, flags=RST | ACK, seq=0, ack=end, **common)


def unreachable(
    packet: Packet, kind: int, code: int, speaker: Address | None, rest: bytes = b"\0" * 4
) -> Packet | None:
    """Answer with an ICMP error that quotes the packet; none answers an error or a later fragment."""
    if (
        packet.fragment_offset
        or (packet.dst.is_multicast and not packet.out_port)  # of a bridged packet nobody asks
        or speaker is None
        or packet.src.is_unspecified
    ):
        return None
    if _answers_nothing(packet):
        return None
    header = 28 if packet.family == 4 else 48
    quote = packet.data[: _QUOTE[packet.family] - header]
    tos = packet.tos & 0x1E | 0xC0 if packet.family == 4 else 0
    return icmp(
        speaker, packet.src, type=kind, code=code, rest=rest, payload=quote, tos=tos, facts=_KERNEL
    )
