"""HMARK: a mark that is a hash of the packet's addresses and ports.

Linux: net/netfilter/xt_HMARK.c. The hash itself is not modelled, so the packet's further way is
undecided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds
from nb_lib.net import BITS
from nb_lib.options import Action, Context, Extension, Option, Setting, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_TUPLE = ("src", "dst", "sport", "dport", "spi", "proto", "ct")
_FIELDS = {"src": "--hmark-src-prefix", "dst": "--hmark-dst-prefix", "sport": "--hmark-sport-mask",
           "dport": "--hmark-dport-mask", "spi": "--hmark-spi-mask",
           "proto": "--hmark-proto-mask"}  # fmt: skip


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
            raise ValueError(f"{_FIELDS[field]} is given twice")
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
        raise ValueError("ports and the SPI cannot be hashed at the same time")
    if "--hmark-mod" not in settings:
        raise ValueError("--hmark-mod is missing")
    if "--hmark-rnd" not in settings:
        raise ValueError("--hmark-rnd is missing")
    if not settings.keys() - {"--hmark-mod", "--hmark-rnd", "--hmark-offset"}:
        raise ValueError("HMARK needs --hmark-tuple or a mask")


def _act(_use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("UNDECIDED", missing="nothing helps: HMARK's hash is not modelled")


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
    tables=("mangle",), act=_act, tidy=_tidy,
    summary="set the mark to a hash of the packet's addresses and ports",
    source="net/netfilter/xt_HMARK.c hmark_tg_v4(); iptables-extensions(8) HMARK",
)  # fmt: skip
