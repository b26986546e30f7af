"""iprange: addresses from one to another.

Linux: net/netfilter/xt_iprange.c iprange_mt4(), iprange_mt6().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import addresses, kinds
from nb_lib.options import (
    BAD_VALUE,
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
)

if TYPE_CHECKING:
    from nb_lib.connection import Address
    from nb_lib.packet import Packet


class AddressRange(NamedTuple):
    """Addresses from ``low`` to ``high``, both included."""

    low: Address
    high: Address


class _RangeKind(kinds.Word):
    """``ADDRESS[-ADDRESS]``."""

    metavar = "address[-address]"

    def read(self, word: str, family: int) -> AddressRange:
        low, dash, high = word.partition("-")
        first = _end(low, family)
        last = _end(high, family) if dash else first
        return AddressRange(first, last)

    def save(self, value: Any) -> str:
        return f"{addresses.write_address(value.low)}-{addresses.write_address(value.high)}"

    def show(self, value: Any) -> str:
        return (
            self.save(value) if isinstance(value, AddressRange) else addresses.write_address(value)
        )


def _end(word: str, family: int) -> Address:
    try:
        return addresses.read_dotted(word, family)
    except ValueError as error:
        said = BAD_VALUE.replace("{word}", word)
        raise RefusedError(str(error), said) from None


def _reversed(setting: Setting, _word: str, _family: int) -> str:
    """Return what iptables says of a range from the greater to the smaller: iprange_parse_range()."""
    low, high = map(addresses.write_address, setting.value)
    if int(setting.value.low) <= int(setting.value.high):
        return ""
    return f"xt_iprange: range {low}-{high} is reversed and will never match\n"


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    for option, have in (("--src-range", packet.src), ("--dst-range", packet.dst)):
        setting = use.settings.get(option)
        if (
            setting
            and (int(setting.value.low) <= int(have) <= int(setting.value.high)) is setting.inverted
        ):
            return miss(option, have)
    return HIT


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    said = "iprange match: You must specify `--src-range' or `--dst-range'"
    kinds.one_of(settings, "--src-range", "--dst-range", said=said)
    return settings


IPRANGE = Extension(
    "iprange",
    (
        Option("--src-range", _RangeKind(), invertible=True, label="source",
               listed="source IP range {! }{value}", warns=_reversed,
               help="the source lies in this range"),
        Option("--dst-range", _RangeKind(), invertible=True, label="destination",
               listed="destination IP range {! }{value}", warns=_reversed,
               help="the destination lies in this range"),
    ),
    test=_test, tidy=_tidy,
    summary="addresses from one to another, whatever their prefix",
    source="net/netfilter/xt_iprange.c iprange_mt4(); iptables-extensions(8) iprange",
)  # fmt: skip
