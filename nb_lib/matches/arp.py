"""ARP messages: what every rule of arptables may ask, and the arp match of ebtables.

Linux: net/ipv4/netfilter/arp_tables.c arp_packet_match(), net/bridge/netfilter/ebt_arp.c ebt_arp_mt();
arptables(8), ebtables(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds
from nb_lib.frame import OPERATIONS, Arp
from nb_lib.matches.ethernet import (
    EtherType,
    MacMask,
    Network,
    needs_type,
    read_hex,
    tidy_devices,
)
from nb_lib.net import ARP, BRIDGE
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_CODES = {word.lower(): number for number, word in OPERATIONS.items()}
_ETHERNET, _IPV4 = 1, 0x0800


class Operation(kinds.Word):
    """What the message does, by name or number; ``named`` prints the name."""

    metavar = "code"

    def __init__(self, *, named: bool) -> None:
        super().__init__()
        self.named = named

    def read(self, word: str, _family: int) -> int:
        """Read a name in any case, or a decimal number."""
        known = _CODES.get(word.lower())
        if known is not None:
            return known
        if not (word.isdecimal() and word.isascii() and len(word) <= 5 and int(word) <= kinds.U16):
            raise ValueError(
                f"{word!r} is neither a number nor one of {', '.join(OPERATIONS.values())}"
            )
        return int(word)

    def save(self, value: Any) -> str:
        """Write the name or the number."""
        return OPERATIONS.get(value, str(value)) if self.named else str(value)

    def show(self, value: Any) -> str:
        """Write the name, which a reader understands at once."""
        return OPERATIONS.get(value, str(value))


class _Hardware(kinds.Word):
    """A type of hardware: ``Ethernet`` or a number; arptables reads it in hexadecimal."""

    metavar = "type"

    def __init__(self, *, base: int) -> None:
        super().__init__()
        self.base = base

    def read(self, word: str, _family: int) -> int:
        if word.lower() == "ethernet":
            return _ETHERNET
        if self.base == 16:
            return read_hex(word, kinds.U16)
        return kinds.parse_number(word, 0, kinds.U16)


class _Protocol(EtherType):
    """A type of protocol: a name or a number; ``hexadecimal`` even without 0x."""

    def __init__(self, *, hexadecimal: bool) -> None:
        super().__init__()
        self.hexadecimal = hexadecimal

    def read(self, word: str, family: int) -> int:
        try:
            high = kinds.U16
            return read_hex(word, high) if self.hexadecimal else kinds.parse_number(word, 0, high)
        except ValueError:
            return super().read(word, family)

    def save(self, value: Any) -> str:
        return f"{value:#x}"


class _Length(kinds.Number):
    """The length of a hardware address: iptables-nft knows six and prints nothing."""

    def read(self, word: str, family: int) -> int:
        if super().read(word, family) != 6:
            raise ValueError("only hardware addresses of 6 bytes are supported")
        return 6


# --- arptables ---


def _test(use: Use, packet: Packet, _ctx: Context | None = None) -> Answer:
    assert isinstance(packet, Arp)
    if packet.sizes != (6, 4):
        return miss(f"addresses of {packet.sizes[0]} and {packet.sizes[1]} bytes")
    if "--h-type" not in use.settings and packet.hardware != _ETHERNET:
        return miss(f"hardware type {packet.hardware}")
    have: Any
    for option, (want, inverted) in use.settings.items():
        have = getattr(packet, _FACTS[option])
        if option in ("-i", "-o"):
            fits = addresses.fits(have, want)
            have = have or "none"
        elif option in ("-s", "-d", "--src-mac", "--dst-mac"):
            fits = have in want
        else:
            fits = have == want
        if fits is inverted:
            return miss(option, have)
    return HIT


_FACTS = {
    "-i": "in_iface",
    "-o": "out_iface",
    "-s": "src",
    "--src-mac": "sender_mac",
    "-d": "dst",
    "--dst-mac": "target_mac",
    "--opcode": "operation",
    "--h-type": "hardware",
    "--proto-type": "kind",
}


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Leave out what asks for nothing: six bytes of hardware address, Ethernet, operation 0, any address."""
    idle = {"--h-length": 6, "--h-type": _ETHERNET, "--opcode": 0}
    kept = {n: s for n, s in settings.items() if s.inverted or idle.get(n) != s.value}
    kept.pop("--h-length", None)
    for name in ("-s", "-d"):
        if name in kept and not kept[name].value.mask:
            del kept[name]
    return tidy_devices(kept, family)


_IFACE, _NET, _MAC = addresses.Interface(), Network(4), MacMask()
CORE = Extension(
    "",
    (
        Option("-i", _IFACE, ("--in-interface", "--in-if"), invertible=True, label="in-interface",
               help="the device that the message came in by"),
        Option("-o", _IFACE, ("--out-interface", "--out-if"), invertible=True,
               label="out-interface", help="the device that it goes out by"),
        Option("-s", _NET, ("--source-ip", "--src-ip"), invertible=True, label="sender",
               help="the sender's IP address"),
        Option("--src-mac", _MAC, ("--source-mac",), invertible=True, label="sender MAC",
               help="the sender's Ethernet address"),
        Option("-d", _NET, ("--destination-ip", "--dst-ip"), invertible=True, label="target",
               help="the target's IP address"),
        Option("--dst-mac", _MAC, ("--destination-mac",), invertible=True, label="target MAC",
               help="the target's Ethernet address"),
        Option("--h-length", _Length(0, 255), ("-l",), invertible=True, label="address length",
               help="the bytes of a hardware address: 6"),
        Option("--opcode", Operation(named=False), invertible=True, label="operation",
               help="what the message does: Request, Reply …"),
        Option("--h-type", _Hardware(base=16), invertible=True, label="hardware type",
               help="the type of hardware, in hexadecimal; 1 is Ethernet"),
        Option("--proto-type", _Protocol(hexadecimal=False), invertible=True, label="protocol type",
               help="the type of protocol; 0x800 is IPv4"),
    ),
    families=(ARP,), test=_test, tidy=_tidy,
    summary="the fields of an ARP message and the device",
    source="net/ipv4/netfilter/arp_tables.c arp_packet_match(); arptables(8)",
)  # fmt: skip


# --- ebtables' match ---


def _test_arp(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if not isinstance(packet, Arp):
        return miss("it holds no ARP message")
    have: Any
    for option, (want, inverted) in use.settings.items():
        if option in _OF_IPV4 and (packet.kind != _IPV4 or packet.sizes[1] != 4):
            return miss(option, f"of protocol type {packet.kind:#x}")
        if option in _OF_ETHERNET and (packet.hardware != _ETHERNET or packet.sizes[0] != 6):
            return miss(option, f"of hardware type {packet.hardware}")
        have = packet.src if option == "--arp-gratuitous" else getattr(packet, _PARTS[option])
        if option in ("--arp-op", "--arp-htype", "--arp-ptype"):
            fits = have == want
        elif option == "--arp-gratuitous":
            fits, have = packet.src == packet.dst, None
        else:
            fits = have in want
        if fits is inverted:
            return miss(option, have)
    return HIT


_OF_IPV4 = ("--arp-ip-src", "--arp-ip-dst", "--arp-gratuitous")
_OF_ETHERNET = ("--arp-mac-src", "--arp-mac-dst")
_PARTS = {
    "--arp-op": "operation",
    "--arp-htype": "hardware",
    "--arp-ptype": "kind",
    "--arp-ip-src": "src",
    "--arp-ip-dst": "dst",
    "--arp-mac-src": "sender_mac",
    "--arp-mac-dst": "target_mac",
}
EBT_ARP = Extension(
    "arp",
    (
        Option("--arp-op", Operation(named=True), ("--arp-opcode",), invertible=True,
               label="operation", help="what the message does: Request, Reply …"),
        Option("--arp-htype", _Hardware(base=10), invertible=True, label="hardware type",
               help="the type of hardware; 1 is Ethernet"),
        Option("--arp-ptype", _Protocol(hexadecimal=True), invertible=True, label="protocol type",
               help="the type of protocol, in hexadecimal; 0800 is IPv4"),
        Option("--arp-ip-src", _NET, invertible=True, label="sender",
               help="the sender's IP address"),
        Option("--arp-ip-dst", _NET, invertible=True, label="target",
               help="the target's IP address"),
        Option("--arp-mac-src", _MAC, invertible=True, label="sender MAC",
               help="the sender's Ethernet address"),
        Option("--arp-mac-dst", _MAC, invertible=True, label="target MAC",
               help="the target's Ethernet address"),
        Option("--arp-gratuitous", kinds.FLAG, invertible=True, label="gratuitous",
               help="the sender asks for itself"),
    ),
    families=(BRIDGE,), test=_test_arp, check=needs_type("arp", "ARP", "RARP"),
    summary="the fields of an ARP message",
    source="net/bridge/netfilter/ebt_arp.c ebt_arp_mt(); ebtables(8) arp",
)  # fmt: skip
