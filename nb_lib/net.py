"""Addresses and networks as iptables reads and prints them.

iptables allows masks that are no prefix (``0.0.0.1/0.0.0.255``), which the standard library's
``ipaddress`` refuses; so a network is a value and a mask, both whole numbers.
Sources: iptables(8) ``--source``; libxtables/xtables.c xtables_ipparse_multiple(),
xtables_ipmask_to_numeric().
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from nb_lib.connection import Address

BITS = {4: 32, 6: 128}
# Families of rules besides 4 and 6, by their numbers in include/uapi/linux/netfilter.h.
ARP, BRIDGE = 3, 7
FAMILY_NAMES = {4: "IPv4", 6: "IPv6", ARP: "ARP", BRIDGE: "bridge"}


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


_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_PREFIX = re.compile(r"\+?(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))", re.ASCII)
_MASKS = {
    family: {str(n): (1 << bits) - 1 ^ ((1 << bits - n) - 1) for n in range(bits + 1)}
    for family, bits in BITS.items()
}


def parse_address(text: str, family: int = 0) -> Address:
    """Read one numeric address; ``family`` 0 takes either. Raise ValueError otherwise.

    A short IPv4 form is filled with zeros on the right (``10`` is ``10.0.0.0``), as iptables does.
    """
    family = family or (6 if ":" in text else 4)
    return make_address(family, _number(text, family))


def strict_address(text: str, family: int) -> Address:
    """Read one address written in full. Raise ValueError otherwise."""
    try:
        number = int.from_bytes(_packed(text, family), "big")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IPv{family} address") from None
    return make_address(family, number)


def parse_net(text: str, family: int) -> Net:
    """Read ``ADDRESS[/PREFIX|/MASK]``; bits outside the mask are cleared, as iptables does."""
    name, slash, mask_text = text.partition("/")
    address = _number(name, family)
    mask = _MASKS[family].get(mask_text) if slash else (1 << BITS[family]) - 1
    if mask is None:
        mask = _mask(mask_text, family)
    return Net(family, address & mask, mask)


def _number(text: str, family: int) -> int:
    """Return an address as a number. Dumps hold many: inet_pton() is ten times as fast as ipaddress."""
    full = text
    try:
        if family == 4 and text.count(".") < 3:
            full = ".".join([*text.split("."), "0", "0", "0"][:4])
        return int.from_bytes(_packed(full, family), "big")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IPv{family} address") from None


def _packed(text: str, family: int) -> bytes:
    """Read an address as inet_pton(3) does. Raise OSError or ValueError.

    Python in a browser is built without IPv6: ``ipaddress`` reads the same, but for zones.
    """
    if family == 6 and not socket.has_ipv6:
        if "%" in text:
            raise ValueError(text)
        return IPv6Address(text).packed
    return socket.inet_pton(_FAMILY[family], text)


def _mask(text: str, family: int) -> int:
    if number := _PREFIX.fullmatch(text):  # as strtoul(3) reads it: 010 is octal
        sixteen, eight, ten = number.groups()
        length = int(sixteen or eight or ten or "0", 16 if sixteen else 8 if eight else 10)
        if length > BITS[family]:
            raise ValueError(f"invalid mask {text!r}: a prefix is at most {BITS[family]}")
        return _MASKS[family][str(length)]
    try:
        return int.from_bytes(_packed(text, family), "big")
    except (OSError, ValueError):
        raise ValueError(f"invalid mask {text!r}") from None
