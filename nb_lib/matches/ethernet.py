"""What every rule of ebtables may ask: the frame's type, its addresses, its ports.

Sources: net/bridge/netfilter/ebtables.c ebt_basic_match(); ebtables(8) RULE SPECIFICATIONS; the
names are those of Debian 12's /etc/ethertypes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import addresses, kinds
from nb_lib.frame import LENGTH, ethertype, read_mac, write_mac
from nb_lib.net import BRIDGE
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_FULL = 2**48 - 1
_TYPES = """
    IPv4,ip,ip4=0800 X25=0805 ARP,ether-arp=0806 FR_ARP=0808 BPQ=08FF TRILL=22F3 L2-IS-IS=22F4
    TEB=6558 RAW_FR=6559 RARP=8035 ATALK=809B AARP=80F3 802_1Q,8021q,1q,802.1q,dot1q=8100 IPX=8137
    NetBEUI=8191 IPv6,ip6=86DD PPP=880B MPLS=8847 MPLS_MULTI=8848 ATMMPOA=884C PPP_DISC=8863
    PPP_SES=8864 ATMFATE=8884 EAPOL=888E S-TAG=88A8 EAP_PREAUTH=88C7 LLDP=88CC MACSEC=88E5
    PBB,macinmac=88E7 MVRP=88F5 PTP=88F7 FCOE=8906 FIP=8914 ROCE=8915 LoWPAN=A0ED Length=0600
"""
_PAIRS = [(item.partition("=")[0].split(","), int(item[-4:], 16)) for item in _TYPES.split()]
_NUMBERS = {name.lower(): number for names, number in _PAIRS for name in names}
_NAMES = {number: names[0] for names, number in _PAIRS}


class EtherType(kinds.Word):
    """A frame's type by name or in hexadecimal; ``Length`` stands for all 802.3 frames."""

    metavar = "protocol"

    def read(self, word: str, _family: int) -> int:
        """Return the number, 0x0600 for ``Length``."""
        known = _NUMBERS.get(word.lower())
        if known is not None:
            return known
        number = read_hex(word, kinds.U16)
        if number < LENGTH:
            raise ValueError(f"{word!r}: the types of frames begin at 0x0600")
        return number

    def save(self, value: Any) -> str:
        """Write the name, or the number."""
        return _NAMES.get(value) or f"{value:#x}"


def read_hex(word: str, high: int) -> int:
    """Read a hexadecimal number, with 0x or without."""
    try:
        number = int(word, 16) if word[:1].isalnum() and "_" not in word else -1
    except ValueError:
        number = -1
    if not 0 <= number <= high:
        raise ValueError(f"{word!r} is not a hexadecimal number up to {high:#x}")
    return number


class Mac(NamedTuple):
    """An Ethernet address under a mask, both as numbers."""

    value: int
    mask: int

    def __contains__(self, mac: object) -> bool:
        return int(str(mac).replace(":", ""), 16) & self.mask == self.value


_WORDS = {
    "Unicast": Mac(0, 1 << 40),
    "Multicast": Mac(1 << 40, 1 << 40),
    "Broadcast": Mac(_FULL, _FULL),
    "BGA": Mac(0x0180C2000000, _FULL),
}


class MacMask(kinds.Word):
    """``ADDRESS[/MASK]``, or Unicast, Multicast, Broadcast, BGA; ``named`` prints those words."""

    metavar = "address[/mask]"

    def __init__(self, *, named: bool = False) -> None:
        super().__init__()
        self.named = named

    def read(self, word: str, _family: int) -> Mac:
        """Read the address and its mask; bits outside the mask are cleared."""
        for name, value in _WORDS.items():
            if name.lower() == word.lower():
                return value
        address, slash, mask = word.partition("/")
        bits = int.from_bytes(read_mac(mask), "big") if slash else _FULL
        return Mac(int.from_bytes(read_mac(address), "big") & bits, bits)

    def save(self, value: Any) -> str:
        """Write the word for it, or the address and a mask that is not full."""
        word = next((name for name, held in _WORDS.items() if held == value), "")
        if word and self.named:
            return word
        address = write_mac(value.value.to_bytes(6, "big"))
        if value.mask == _FULL:
            return address
        return f"{address}/{write_mac(value.mask.to_bytes(6, 'big'))}"

    def show(self, value: Any) -> str:
        """Write a packet's address, or the rule's."""
        return value if isinstance(value, str) else self.save(value)


class PlainMac(kinds.Word):
    """One Ethernet address."""

    metavar = "address"

    def read(self, word: str, _family: int) -> str:
        """Read the address; each byte may have one digit or two."""
        return write_mac(read_mac(word))


class Network(addresses.Network):
    """A network of a fixed family, of which a full mask is not printed."""

    def __init__(self, family: int) -> None:
        super().__init__()
        self.family = family

    def pattern(self, _family: int) -> str:
        """None: the clauses of ebtables do not stand alone."""
        return ""

    def read(self, word: str, _family: int) -> Any:
        """Read a network of this kind's family."""
        return super().read(word, self.family)

    def save(self, value: Any) -> str:
        """Write ``10.0.0.1`` or ``10.0.0.0/8``."""
        return (
            addresses.write_address(value.host) if value.host is not None else super().save(value)
        )

    def show(self, value: Any) -> str:
        """Write a packet's address, or the rule's network."""
        return addresses.Network.show(self, value)


def needs_type(extension: str, *names: str) -> Callable[[Use, Rule], str]:
    """Return a ``check``: the rule must name one of these types with -p, and not negate it."""
    numbers = frozenset(_NUMBERS[name.lower()] for name in names)
    reason = f"{extension} needs -p {' or -p '.join(names)}"

    def check(_use: Use, rule: Rule) -> str:
        setting = rule.core.settings.get("-p")
        fine = setting is not None and setting.value in numbers and not setting.inverted
        return "" if fine else reason

    return check


def _test(use: Use, packet: Packet, _ctx: Context | None = None) -> Answer:
    for option, (want, inverted) in use.settings.items():
        if option == "-p":
            have: Any = ethertype(packet)
            fits = have < LENGTH if want == LENGTH else have == want
        elif option in ("-s", "-d"):
            have = packet.mac_src if option == "-s" else packet.mac_dst
            fits = have in want
        else:
            have = getattr(packet, _DEVICES[option])
            fits = addresses.fits(have, want)
            have = have or "none"
        if fits is inverted:
            return miss(option, have)
    return HIT


def tidy_devices(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Leave out ``-i +``, which asks for nothing, and refuse ``! -i +``."""
    idle = [n for n, s in settings.items() if n in _DEVICES and s.value == "+"]
    for name in idle:
        if settings[name].inverted:
            raise ValueError(f"the rule would never match: {name} ! + names no device")
    return {name: setting for name, setting in settings.items() if name not in idle}


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    for name in ("-s", "-d"):
        if name in settings and not settings[name].value.mask:
            raise ValueError(f"{name}: a mask of zero asks for nothing")
    return tidy_devices(settings, family)


# In a bridge's chains the devices are its ports, and the bridge itself is the logical device.
_DEVICES = {
    "-i": "in_port",
    "--logical-in": "in_iface",
    "-o": "out_port",
    "--logical-out": "out_iface",
}
_IFACE, _MAC = addresses.Interface(), MacMask(named=True)
CORE = Extension(
    "",
    (
        Option("-p", EtherType(), ("--protocol", "--proto"), invertible=True, label="frame type",
               help="the type of the frame, by name or in hexadecimal"),
        Option("-s", _MAC, ("--source", "--src"), invertible=True, label="source MAC",
               help="the Ethernet address that it comes from"),
        Option("-d", _MAC, ("--destination", "--dst"), invertible=True, label="destination MAC",
               help="the Ethernet address that it goes to"),
        Option("-i", _IFACE, ("--in-interface", "--in-if"), invertible=True, label="port in",
               help="the port of the bridge that it came in by"),
        Option("--logical-in", _IFACE, invertible=True, label="bridge in",
               help="the bridge that it came in by"),
        Option("-o", _IFACE, ("--out-interface", "--out-if"), invertible=True, label="port out",
               help="the port of the bridge that it goes out by"),
        Option("--logical-out", _IFACE, invertible=True, label="bridge out",
               help="the bridge that it goes out by"),
    ),
    families=(BRIDGE,), test=_test, tidy=_tidy,
    summary="the frame's type, its addresses and the ports of the bridge",
    source="net/bridge/netfilter/ebtables.c ebt_basic_match(); ebtables(8) RULE SPECIFICATIONS",
)  # fmt: skip
