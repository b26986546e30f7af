"""HMARK: a mark that is a hash of the packet's addresses and ports.

Linux: net/netfilter/xt_HMARK.c hmark_hash(), hmark_pkt_set_htuple_ipv4(), hmark_ct_set_htuple(). Source and
destination are put in order before they are hashed, so both directions get one mark; of an ICMP error
the quoted packet counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import addresses, headers, kinds
from nb_lib.jhash import jhash, scale
from nb_lib.matches.conntrack import tracked
from nb_lib.net import BITS
from nb_lib.options import (
    SAYINGS,
    Action,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
)

if TYPE_CHECKING:
    from nb_lib.connection import Connection
    from nb_lib.packet import Packet

_CONTINUE = Action("CONTINUE")
_TUPLE = ("src", "dst", "sport", "dport", "spi", "proto", "ct")
_FIELDS = {"src": "--hmark-src-prefix", "dst": "--hmark-dst-prefix", "sport": "--hmark-sport-mask",
           "dport": "--hmark-dport-mask", "spi": "--hmark-spi-mask",
           "proto": "--hmark-proto-mask"}  # fmt: skip


_EMPTY_FIELD = ('"--hmark-tuple" requires a list of types with no spaces, '
                "e.g. src,dst,sport,dport,proto")  # fmt: skip


class _Hex(kinds.Number):
    """A number that is printed with all its hexadecimal digits."""

    def __init__(self, high: int, digits: int) -> None:
        super().__init__(0, high)
        self.digits = digits

    def save(self, value: Any) -> str:
        return f"0x{value:0{self.digits}x}"


class _Fields(kinds.Choices):
    """What goes into the hash."""

    metavar = "field[,…]"

    def read(self, word: str, family: int) -> tuple[Any, ...]:
        rest = word
        while rest.partition(",")[0] in self.words:
            _, comma, rest = rest.partition(",")
            if not comma:
                return super().read(word, family)
        said = f'Bad type "{rest}"' if rest else _EMPTY_FIELD
        raise RefusedError(f"{rest!r} begins with no field", said)


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Say a field of ``--hmark-tuple`` by its full mask, as iptables prints it."""
    settings = dict(settings)
    fields = settings.pop("--hmark-tuple", None)
    whole = {"--hmark-src-prefix": BITS[family], "--hmark-dst-prefix": BITS[family],
             "--hmark-sport-mask": kinds.U16,
             "--hmark-dport-mask": kinds.U16, "--hmark-spi-mask": kinds.U32,
             "--hmark-proto-mask": kinds.U8}  # fmt: skip
    for field in fields.value if fields else ():
        if field == "ct":
            settings["--hmark-tuple"] = Setting(("ct",))
        elif _FIELDS[field] in settings:
            said = SAYINGS["twice"].replace("{option}", _FIELDS[field])
            raise RefusedError(f"{_FIELDS[field]} is given twice", said)
        else:
            settings[_FIELDS[field]] = Setting(whole[_FIELDS[field]])
    _refuse(settings)
    return settings


def _refuse(settings: dict[str, Setting]) -> None:
    ports = {
        "--hmark-sport-mask",
        "--hmark-dport-mask",
        "--hmark-sport",
        "--hmark-dport",
    } & settings.keys()
    if ports and {"--hmark-spi-mask", "--hmark-spi"} & settings.keys():
        said = "you cannot use --hmark-spi-mask and --hmark-?port-mask,at the same time"
        raise RefusedError("ports and the SPI cannot be hashed at the same time", said)
    for needed in ("--hmark-mod", "--hmark-rnd"):
        if needed not in settings:
            raise RefusedError(f"{needed} is missing", f"{needed} is mandatory")
    if not settings.keys() - {"--hmark-mod", "--hmark-rnd", "--hmark-offset"}:
        said = "you have to specify --hmark-tuple at least"
        raise RefusedError("HMARK needs --hmark-tuple or a mask", said)


class _Tuple(NamedTuple):
    """What is hashed: addresses as numbers, the ports or the SPI as they stand in the header."""

    src: int
    dst: int
    protocol: int
    ports: int | None = None


def _act(use: Use, packet: Packet, ctx: Context) -> Action:
    if "--hmark-tuple" in use.settings:
        ct = packet.ct or tracked(packet, ctx)
        if ct is None:
            return Action("UNDECIDED", missing="what conntrack says of the packet (ct=…)")
        if ct.connection is None:
            return _CONTINUE
        found = _of_connection(ct.connection)
    else:
        quotes = packet.icmp_type in headers.ICMP_ERRORS[packet.family]
        if quotes and packet.protocol in (headers.ICMP, headers.ICMPV6) and packet.inner is None:
            return _CONTINUE
        found = _of_packet(packet.inner or packet)
    return Action("CONTINUE", packet.change(mark=_mark(use, found, packet.family)))


def _of_connection(connection: Connection) -> _Tuple:
    there, back = connection.original, connection.reply
    ports = None if there.protocol == headers.ICMP else there.sport << 16 | back.sport
    return _Tuple(int(there.src), int(back.src), there.protocol, ports)


def _of_packet(packet: Packet) -> _Tuple:
    """Read the packet. Ports are four bytes: of ESP and AH they are the SPI."""
    protocol, at = packet.protocol, packet.header_end
    for kind, place in packet.extensions:
        if kind == headers.AH:  # the kernel looks no further
            protocol, at = kind, place
            break
    ends = (int(packet.src), int(packet.dst), protocol)
    whole = not packet.fragment_offset and not packet.more_fragments
    start = at + (4 if protocol == headers.AH else 0)
    data = packet.data[start : start + 4]
    has_ports = protocol in (*headers.WITH_PORTS, headers.ESP, headers.AH)
    if not whole or not has_ports or len(data) < 4:
        return _Tuple(*ends)
    return _Tuple(*ends, int.from_bytes(data, "big"))


def _mark(use: Use, found: _Tuple, family: int) -> int:
    src, dst = (
        _fold(address, use.value(f"--hmark-{side}-prefix", 0), family)
        for side, address in (("src", found.src), ("dst", found.dst))
    )
    seed: int = use.value("--hmark-rnd")
    size: int = use.value("--hmark-mod")
    offset: int = use.value("--hmark-offset", 0)
    protocols: int = use.value("--hmark-proto-mask", 0)
    hashed: int = jhash((*sorted((src, dst)), _ports(use, found.ports)), seed)
    hashed ^= found.protocol & protocols
    return scale(hashed, size) + offset & kinds.U32


def _fold(address: int, prefix: int, family: int) -> int:
    """Return 32 bits of an address: of IPv6 the four words of what its prefix leaves, combined."""
    full = (1 << BITS[family]) - 1
    address &= full ^ full >> prefix
    word = 0
    while address:
        word ^= address & kinds.U32
        address >>= 32
    return word


def _ports(use: Use, ports: int | None) -> int:
    """Mask and set the ports, and put the greater one first."""
    if ports is None:
        return 0

    def pair(suffix: str) -> int:
        spi: int = use.value(f"--hmark-spi{suffix}", 0)
        source: int = use.value(f"--hmark-sport{suffix}", 0)
        destination: int = use.value(f"--hmark-dport{suffix}", 0)
        return spi | source << 16 | destination

    ports = ports & pair("-mask") | pair("")
    low, high = sorted((ports >> 16, ports & kinds.U16))
    return high << 16 | low


def _list_hmark(use: Use, _numeric: bool) -> str:
    """Linux user space: extensions/libxt_HMARK.c HMARK_print(); of IPv6 it cannot write a whole prefix."""
    said = f" HMARK mod {use.value('--hmark-mod')} "
    if "--hmark-offset" in use.settings:
        said += f"+ {use.value('--hmark-offset'):#x} "
    if "--hmark-tuple" in use.settings:
        said += "ct, "
    for name in (*_PREFIXES, *_NUMBERS):
        value = use.value(name)
        if value is not None:
            whole = "" if value == BITS[6] else str(value)
            shown = whole if name in _PREFIXES else hex(value)
            said += f"{name.removeprefix('--hmark-')} {shown} "
    return said


_PREFIXES = ("--hmark-src-prefix", "--hmark-dst-prefix")
_NUMBERS = ("--hmark-sport-mask", "--hmark-dport-mask", "--hmark-spi-mask", "--hmark-sport",
            "--hmark-dport", "--hmark-spi", "--hmark-proto-mask", "--hmark-rnd")  # fmt: skip
_PREFIX = addresses.PrefixLength()
_PORT = _Hex(kinds.U16, 4)
_WORD = _Hex(kinds.U32, 8)
HMARK = Extension(
    "HMARK",
    (
        Option("--hmark-src-prefix", _PREFIX, label="source",
               help="hash so many bits of the source"),
        Option("--hmark-dst-prefix", _PREFIX, label="destination",
               help="hash so many bits of the destination"),
        Option("--hmark-sport-mask", _PORT, label="sport",
               help="hash these bits of the source port"),
        Option("--hmark-dport-mask", _PORT, label="dport",
               help="hash these bits of the destination port"),
        Option("--hmark-spi-mask", _WORD, label="SPI", help="hash these bits of the SPI"),
        Option("--hmark-sport", _PORT, label="sport",
               help="set these bits of the source port first"),
        Option("--hmark-dport", _PORT, label="dport",
               help="set these bits of the destination port first"),
        Option("--hmark-spi", _WORD, label="SPI", help="set these bits of the SPI first"),
        Option("--hmark-proto-mask", _Hex(kinds.U16, 2), label="protocol",
               help="hash these bits of the protocol"),
        Option("--hmark-rnd", _WORD, label="seed", help="the hash's seed"),
        Option("--hmark-mod", kinds.Number(1, kinds.U32), label="modulus",
               help="how many marks there are"),
        Option("--hmark-offset", kinds.Number(0, kinds.U32), label="offset",
               help="add this to the mark"),
        Option("--hmark-tuple", _Fields(_TUPLE), label="fields", help="hash these fields"),
    ),
    act=_act, tidy=_tidy, listed=_list_hmark,
    summary="set the mark to a hash of the packet's addresses and ports",
    source="net/netfilter/xt_HMARK.c hmark_tg_v4(); iptables-extensions(8) HMARK",
)  # fmt: skip
