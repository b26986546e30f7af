"""Packets to and from scapy: the bytes are the same, so nothing is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib.errors import PacketError
from nb_lib.packet import Packet

if TYPE_CHECKING:
    from scapy.packet import Packet as ScapyPacket


def to_scapy(packet: Packet) -> ScapyPacket:
    """Return the packet as scapy's ``IP`` or ``IPv6``; mark, devices and conntrack stay behind."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    return IP(packet.data) if packet.family == 4 else IPv6(packet.data)


def from_scapy(packet: ScapyPacket, **meta: Any) -> Packet:
    """Return a scapy packet as nb_lib's, from its IP header on.

    ``meta`` is what the kernel carries beside the bytes (``mark``, ``in_iface`` …); addresses of an
    Ethernet header are taken over. Raises PacketError if there is no IP header.
    """
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    found = packet.getlayer(IP) or packet.getlayer(IPv6)
    if found is None:
        raise PacketError(f"no IPv4 or IPv6 header in {packet.summary()}")
    if isinstance(packet, Ether):
        meta = {"mac_src": packet.src, "mac_dst": packet.dst, **meta}
    return Packet(data=bytes(found), **meta)


def dissected(packet: Packet) -> dict[str, str]:
    """Return every header field of a packet as scapy reads it, ``TCP: dport`` → ``80``; checksums in hex.

    A quoted packet's layers are named as scapy names them (``IP in ICMP``); what was cut off is left out.
    """
    found: dict[str, str] = {}
    layer: Any = to_scapy(packet)
    while layer:
        for one in layer.fields_desc:
            value = layer.getfieldval(one.name)
            if value is not None:
                hexadecimal = one.name in ("chksum", "cksum")
                found[f"{layer.name}: {one.name}"] = f"{value:#06x}" if hexadecimal else str(value)
        layer = layer.payload
    return found
