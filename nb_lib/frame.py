"""Ethernet frames: packets with the addresses of the link, ARP messages, and whatever else.

A frame is what it carries: an IP ``Packet``, an ``Arp`` message or some ``Other`` payload, with
``mac_src``, ``mac_dst`` and ``vlan`` beside it, as ``struct sk_buff`` keeps them. So one value goes
through the chains of ebtables, arptables and iptables alike, and only ``write_frame`` sees a header.

Sources: IEEE 802.3 and 802.1Q; RFC 826 (ARP); include/uapi/linux/if_ether.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

from nb_lib.errors import PacketError
from nb_lib.net import ARP, BRIDGE, parse_address
from nb_lib.packet import Packet

ETH_IPV4, ETH_ARP, ETH_RARP, ETH_VLAN, ETH_IPV6 = 0x0800, 0x0806, 0x8035, 0x8100, 0x86DD
LENGTH = 0x0600  # below it the field is the frame's length (802.3), not a type
BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "00:00:00:00:00:00"
# Linux: include/uapi/linux/if_arp.h ARPOP_*; the words of arptables(8).
OPERATIONS = {
    1: "Request", 2: "Reply", 3: "Request_Reverse", 4: "Reply_Reverse", 5: "DRARP_Request",
    6: "DRARP_Reply", 7: "DRARP_Error", 8: "InARP_Request", 9: "ARP_NAK",
}  # fmt: skip
_HEAD = b"\0\1\x08\0\6\4"  # Ethernet and IPv4: the only ARP that arptables looks into


@dataclass(frozen=True, kw_only=True)
class Arp(Packet):
    """An ARP message. ``data`` begins with its hardware type.

    Read from the bytes: ``hardware`` and ``kind`` (the types of hardware and protocol), ``sizes`` (of
    their addresses), ``operation``; ``sender_mac`` and ``target_mac``, if they have six bytes (else
    empty), ``src`` and ``dst``, if they have four (else 0.0.0.0).

    Raises PacketError for fewer than eight bytes.
    """

    ethertype: int = ETH_ARP
    hardware: int = field(init=False, compare=False, repr=False)
    kind: int = field(init=False, compare=False, repr=False)
    sizes: tuple[int, int] = field(init=False, compare=False, repr=False)
    operation: int = field(init=False, compare=False, repr=False)
    sender_mac: str = field(init=False, compare=False, repr=False, default="")
    target_mac: str = field(init=False, compare=False, repr=False, default="")

    def __post_init__(self) -> None:
        data, put = self.data, object.__setattr__
        if len(data) < 8:
            raise PacketError(f"an ARP message does not fit in {len(data)} bytes")
        _without_ip(self, ARP)
        put(self, "hardware", data[0] << 8 | data[1])
        put(self, "kind", data[2] << 8 | data[3])
        put(self, "sizes", (data[4], data[5]))
        put(self, "operation", data[6] << 8 | data[7])
        long, short = self.sizes
        second = 8 + long + short
        whole = len(data) >= second + long + short
        for field_, at in (("sender_mac", 8), ("target_mac", second)):
            put(self, field_, write_mac(data[at : at + 6]) if whole and long == 6 else "")
        for field_, at in (("src", 8 + long), ("dst", second + long)):
            known = whole and short == 4
            put(self, field_, IPv4Address(data[at : at + 4] if known else 0))

    @property
    def readable(self) -> bool:
        """Whether it is about Ethernet and IPv4, and whole."""
        return self.data[:6] == _HEAD and len(self.data) >= 28

    @property
    def length(self) -> int:
        """The message's length in bytes."""
        return len(self.data)

    @property
    def protocol_name(self) -> str:
        """``arp`` and the operation: ``arp Request``."""
        return f"arp {OPERATIONS.get(self.operation, self.operation)}"

    def change(self, **new: Any) -> Packet:
        """Return the message with ``src``, ``dst``, ``sender_mac``, ``target_mac`` or others changed."""
        data = bytearray(self.data)
        for name, at in (("sender_mac", 8), ("target_mac", 18)):
            if name in new:
                data[at : at + 6] = read_mac(new.pop(name))
        for name, at in (("src", 14), ("dst", 24)):
            if name in new:
                data[at : at + 4] = parse_address(str(new.pop(name)), 4).packed
        return replace(self, data=bytes(data), **new)

    def reply(self, **new: Any) -> Packet:
        """Return the answer of the one who was asked; ``mac_src`` is its Ethernet address."""
        if self.operation != 1:
            raise PacketError(f"nothing answers {self}")
        return arp(str(self.dst), str(self.src), operation=2, target_mac=self.sender_mac,
                   **{"mac_dst": self.sender_mac, **new})  # fmt: skip

    def __str__(self) -> str:
        """``arp Request 10.0.0.1 → 10.0.0.2``."""
        return f"{self.protocol_name} {self.src} → {self.dst}"


@dataclass(frozen=True, kw_only=True)
class Other(Packet):
    """A frame that holds neither IP nor ARP; ``src`` and ``dst`` are its Ethernet addresses.

    ``ethertype`` is the type, or the length of an 802.3 frame; ``data`` is what follows.
    """

    ethertype: int

    def __post_init__(self) -> None:
        _without_ip(self, BRIDGE)
        object.__setattr__(self, "src", self.mac_src)
        object.__setattr__(self, "dst", self.mac_dst)

    @property
    def length(self) -> int:
        """The payload's length in bytes."""
        return len(self.data)

    @property
    def protocol_name(self) -> str:
        """The type in hexadecimal, or ``802.3``."""
        return "802.3" if self.ethertype < LENGTH else f"{self.ethertype:#06x}"

    def change(self, **new: Any) -> Packet:
        """Return the frame with some of the link's fields changed."""
        return replace(self, **new)

    def __str__(self) -> str:
        """``0x88cc 02:00:00:00:00:01 → 01:80:c2:00:00:0e``."""
        return f"{self.protocol_name} {self.mac_src} → {self.mac_dst}"


def _without_ip(packet: Packet, family: int) -> None:
    """Fill in what only an IP header could say."""
    put = object.__setattr__
    put(packet, "family", family)
    for name in ("ttl", "tos", "header_end"):
        put(packet, name, 0)
    put(packet, "protocol", -1)


def arp(src: str, dst: str, *, mac_src: str, mac_dst: str = BROADCAST, operation: int = 1,
        target_mac: str = NOBODY, **rest: Any) -> Arp:  # fmt: skip
    """Make an ARP message: ``src`` asks who has ``dst``, or (``operation`` 2) tells that it is ``src``."""
    try:
        sender, target = (parse_address(word, 4).packed for word in (src, dst))
        body = read_mac(mac_src) + sender + read_mac(target_mac) + target
        head = _HEAD + operation.to_bytes(2, "big")
    except (ValueError, OverflowError) as error:
        raise PacketError(f"no ARP message: {error}") from None
    return Arp(data=head + body, mac_src=mac_src, mac_dst=mac_dst, **rest)


def ethertype(packet: Packet) -> int:
    """Return the type in the frame's header; of a tagged frame it is 802.1Q's."""
    return ETH_VLAN if packet.vlan is not None else payload_type(packet)


def payload_type(packet: Packet) -> int:
    """Return the type of what the frame carries, behind its VLAN tag."""
    if isinstance(packet, Arp | Other):
        return packet.ethertype
    return ETH_IPV4 if packet.family == 4 else ETH_IPV6


def write_frame(packet: Packet) -> bytes:
    """Return the frame's bytes, from the destination's address on. Raises PacketError without addresses."""
    if not (packet.mac_src and packet.mac_dst):
        raise PacketError(f"{packet}: a frame needs mac_src and mac_dst")
    tag = b"" if packet.vlan is None else b"\x81\0" + packet.vlan.to_bytes(2, "big")
    kind = payload_type(packet).to_bytes(2, "big")
    return read_mac(packet.mac_dst) + read_mac(packet.mac_src) + tag + kind + packet.data


def read_frame(data: bytes, **rest: Any) -> Packet:
    """Read a frame's bytes: an IP packet, an ``Arp`` message or some ``Other``.

    ``rest`` is what Packet carries besides. Raises PacketError for fewer than fourteen bytes.
    """
    if len(data) < 14:
        raise PacketError(f"an Ethernet header does not fit in {len(data)} bytes")
    rest |= {"mac_dst": write_mac(data[:6]), "mac_src": write_mac(data[6:12])}
    kind, at = data[12] << 8 | data[13], 14
    if kind == ETH_VLAN and len(data) >= 18:
        rest["vlan"] = data[14] << 8 | data[15]
        kind, at = data[16] << 8 | data[17], 18
    body = data[at:]
    try:
        if kind in (ETH_ARP, ETH_RARP):
            return Arp(data=body, ethertype=kind, **rest)
        if (kind, body[0] >> 4) in ((ETH_IPV4, 4), (ETH_IPV6, 6)):
            return Packet(data=body, **rest)
    except (PacketError, IndexError):
        pass  # the bridge carries what it cannot read
    return Other(data=body, ethertype=kind, **rest)


def read_mac(text: str) -> bytes:
    """Read ``02:00:00:00:00:01``, each byte of one digit or two. Raise ValueError."""
    parts = text.split(":")
    if len(parts) != 6 or not all(len(p) in (1, 2) and p.isalnum() and p.isascii() for p in parts):
        raise ValueError(f"{text!r} is not an Ethernet address")
    try:
        return bytes(int(part, 16) for part in parts)
    except ValueError:
        raise ValueError(f"{text!r} is not an Ethernet address") from None


def write_mac(data: bytes) -> str:
    """Write six bytes as ``02:00:00:00:00:01``."""
    return data.hex(":")


def is_group(mac: str) -> bool:
    """Whether an Ethernet address is a multicast or the broadcast address."""
    return bool(int(mac.partition(":")[0], 16) & 1)
