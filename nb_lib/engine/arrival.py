"""What the kernel drops before any hook sees it: a header that is no header, a frame for somebody else.

Linux: net/ipv4/ip_input.c ip_rcv_core(); net/ipv6/ip6_input.c ip6_rcv_core(). RFC 1122 3.2.1.2,
RFC 4291 2.5.3, 2.7.
"""

from __future__ import annotations

from dataclasses import replace

from nb_lib.engine.routing import LOOPBACK, Refused
from nb_lib.headers import checksum
from nb_lib.packet import Packet


def refused(packet: Packet, device: str) -> Refused | None:
    """Return why a packet that came in by ``device`` is dropped unseen, or None."""
    if packet.link == "OTHERHOST":
        return Refused(f"the frame is addressed to {packet.mac_dst or 'somebody else'}")
    if packet.length > len(packet.data):
        return Refused(f"{packet.length} bytes are announced, {len(packet.data)} have come")
    return _wrong4(packet) if packet.family == 4 else _wrong6(packet, device)


def trimmed(packet: Packet) -> Packet:
    """Return the packet without what a wire put behind it."""
    if packet.length == len(packet.data):
        return packet
    return replace(packet, data=packet.data[: packet.length])


def _wrong4(packet: Packet) -> Refused | None:
    end = (packet.data[0] & 15) * 4
    if packet.length < end:
        return Refused(f"a length of {packet.length} bytes does not hold the header")
    if checksum(packet.data[:end]):
        return Refused("the IP header's checksum is wrong")
    return None


def _wrong6(packet: Packet, device: str) -> Refused | None:
    if packet.src.is_multicast:
        return Refused(f"the source {packet.src} is a group")
    if device != "lo":
        for address in (packet.src, packet.dst):
            if address in LOOPBACK[6]:
                return Refused(f"{address} does not come by a wire")
        if packet.dst.is_multicast and int(packet.dst) >> 112 & 0xF == 1:
            return Refused(f"the group {packet.dst} ends at the interface")
    if packet.dst.is_multicast and not int(packet.dst) >> 112 & 0xF:
        return Refused(f"the group {packet.dst} has no scope")
    return None
