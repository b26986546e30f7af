"""A packet that is too large for its way out is cut up; one that came in pieces leaves in the same.

Linux: net/ipv4/ip_output.c __ip_finish_output(), ip_fragment(), ip_do_fragment(); net/ipv6/ip6_output.c
ip6_finish_output(), ip6_fragment(). RFC 791, 8200 4.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nb_lib.engine.defrag import Pieces
from nb_lib.headers import DEST_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING, checksum
from nb_lib.packet import Packet

MIN_MTU6 = 1280


def too_big(packet: Packet, mtu: int, pieces: Pieces | None) -> bool:
    """Whether a router must refuse the packet: ip_exceeds_mtu(), ip6_pkt_too_big().

    A datagram that was put together on the way is measured by its largest piece.
    """
    if packet.length <= mtu or not (packet.dont_fragment or packet.family == 6):
        return False
    return pieces is None or pieces.largest > mtu


def cut(
    packet: Packet, mtu: int, pieces: Pieces | None, draw: Callable[[], int]
) -> tuple[Packet, ...]:
    """Return what leaves by a device with ``mtu``: the packet, or the fragments of it.

    ``pieces`` tells how it came, if it came in fragments. ``draw`` gives the identification that
    fragments of IPv6 get; those of IPv4 have the packet's own.
    """
    size = min(
        packet.length, len(packet.data)
    )  # skb->len: what is there, whatever the header promises
    if packet.family == 4:
        return _cut4(packet, mtu, pieces) if size > mtu or pieces else (packet,)
    largest = pieces.largest if pieces else mtu
    if size <= min(mtu, largest):
        return (packet,)
    return _cut6(packet, max(largest, MIN_MTU6) if pieces else mtu, pieces, draw())


def _sizes(length: int, room: int, pieces: Pieces | None) -> tuple[tuple[int, ...], bool]:
    """Return how large the fragments' bodies are, and whether they are those that came."""
    if pieces and sum(pieces.sizes) == length and max(pieces.sizes) <= room:
        return pieces.sizes, True
    room &= ~7
    full, rest = divmod(length, room)
    return (room,) * full + ((rest,) if rest else ()), False


def _cut4(packet: Packet, mtu: int, pieces: Pieces | None) -> tuple[Packet, ...]:
    head, body = packet.data[: packet.header_end], packet.data[packet.header_end : packet.length]
    limit = min(mtu, pieces.largest) if pieces else mtu
    sizes, alike = _sizes(len(body), limit - len(head), pieces)
    flag = 0x4000 if pieces and pieces.dont_fragment and not alike else 0
    made, at = [], 0
    for size in sizes:
        more = packet.more_fragments or at + size < len(body)
        place = (packet.fragment_offset + at) >> 3 | (0x2000 if more else 0) | flag
        data = bytearray(head + body[at : at + size])
        data[2:4], data[6:8], data[10:12] = _word(len(data)), _word(place), bytes(2)
        data[10:12] = _word(checksum(data[: len(head)]))
        made.append(replace(packet, data=bytes(data)))
        at += size
    return tuple(made)


def _cut6(packet: Packet, limit: int, pieces: Pieces | None, ident: int) -> tuple[Packet, ...]:
    pointer, end = _unfragmentable(packet)
    head, body = bytearray(packet.data[:end]), packet.data[end : packet.length]
    following, head[pointer] = head[pointer], FRAGMENT
    sizes, _ = _sizes(len(body), limit - end - 8, pieces)
    made, at = [], 0
    for size in sizes:
        place = at | (at + size < len(body))
        mine = bytes((following, 0)) + _word(place) + ident.to_bytes(4, "big")
        head[4:6] = _word(end - 40 + 8 + size)
        made.append(replace(packet, data=bytes(head) + mine + body[at : at + size]))
        at += size
    return tuple(made)


def _unfragmentable(packet: Packet) -> tuple[int, int]:
    """Return where the last unfragmentable header names its follower, and where it ends.

    Linux: net/ipv6/output_core.c ip6_find_1stfragopt().
    """
    pointer, end, routed = 6, 40, False
    for kind, at in packet.extensions:
        if kind not in (HOP_BY_HOP, ROUTING, DEST_OPTIONS) or (kind == DEST_OPTIONS and routed):
            break
        routed |= kind == ROUTING
        pointer, end = at, at + (packet.data[at + 1] + 1) * 8
    return pointer, end


def _word(value: int) -> bytes:
    return value.to_bytes(2, "big")
