"""SNPT, DNPT: exchange the prefix of an IPv6 address so that checksums stay right (RFC 6296).

Linux: net/ipv6/netfilter/ip6t_NPT.c ip6t_npt_map_pfx(), ip6t_snpt_tg(). No connection is tracked: every
packet is translated by itself, and the quoted packet of an ICMPv6 error too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_lib import addresses, headers, kinds
from nb_lib.listed import headed
from nb_lib.net import BITS, Net, make_address
from nb_lib.options import INVALID, Action, Context, Extension, Option, RefusedError, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_LONGEST = 64  # bits of a prefix
_SRC, _DST, _HEADER, _ICMP_HEADER = 8, 24, 40, 8  # offsets and sizes
_INFORMATIONAL = 128  # ICMPv6 types below are errors


class _Prefix(addresses.HostNetwork):
    """``ADDRESS/LENGTH``; no bit may be set behind the prefix."""

    metavar = "prefix/length"

    def read(self, word: str, family: int) -> addresses.HostMask:
        host, mask = super().read(word, family)
        prefix = Net(family, 0, mask).prefix
        if prefix is None or prefix > _LONGEST:
            raise RefusedError(f"{word!r} is longer than {_LONGEST} bits", kernel=INVALID)
        if int(host) & ~mask:
            raise RefusedError(f"{word!r} has bits behind its prefix", kernel=INVALID)
        return addresses.HostMask(host, mask)

    def save(self, value: Any) -> str:
        return f"{addresses.write_address(value.host)}/{Net(6, 0, value.mask).prefix}"


def _fold(total: int) -> int:
    while total >> 16:
        total = (total & kinds.U16) + (total >> 16)
    return total


def _map(use: Use, address: bytes) -> bytes | None:
    """Translate an address; None if it has no word that could take up the difference."""
    old, new = use.value("--src-pfx"), use.value("--dst-pfx")
    mask = max(old.mask, new.mask)
    full = (1 << BITS[6]) - 1
    number = int.from_bytes(address, "big") & (full ^ mask) | int(new.host) & mask
    words = [number >> shift & kinds.U16 for shift in range(112, -1, -16)]
    short = Net(6, 0, mask).prefix <= 48  # type: ignore[operator]
    at = 3 if short else next((at for at in range(4, 8) if words[at] != kinds.U16), None)
    if at is None:
        return None
    # What the prefixes' sums differ by, in ones' complement: headers.checksum() is the sum's complement.
    change = headers.checksum(new.host.packed) + (~headers.checksum(old.host.packed) & kinds.U16)
    words[at] = _fold(words[at] + change)
    if words[at] == kinds.U16:
        words[at] = 0
    return b"".join(word.to_bytes(2, "big") for word in words)


def _translate(use: Use, packet: Packet, mine: int, quoted: int) -> Action:
    """Exchange one address, and the other one in the packet that an ICMPv6 error quotes."""
    data = bytearray(packet.data)
    mapped = _map(use, packet.data[mine : mine + 16])
    if (
        mapped is None
    ):  # every word behind the prefix is ffff; the sender is told by a parameter problem
        return Action("DROP")
    data[mine : mine + 16] = mapped
    inside = _HEADER + _ICMP_HEADER
    if (
        data[6] == headers.ICMPV6
        and len(data) >= inside + _HEADER
        and data[_HEADER] < _INFORMATIONAL
    ):
        there = packet.data[inside + quoted : inside + quoted + 16]
        if make_address(6, int.from_bytes(there, "big")) in use.value("--src-pfx"):
            data[inside + quoted : inside + quoted + 16] = _map(use, there) or there
    return Action("CONTINUE", replace(packet, data=bytes(data)))


def _snpt(use: Use, packet: Packet, _ctx: Context) -> Action:
    return _translate(use, packet, _SRC, _DST)


def _dnpt(use: Use, packet: Packet, _ctx: Context) -> Action:
    return _translate(use, packet, _DST, _SRC)


_PREFIX = _Prefix()
_OPTIONS = (
    Option(
        "--src-pfx",
        _PREFIX,
        required=True,
        label="old prefix",
        listed="src-pfx {value}",
        help="the prefix to exchange",
    ),
    Option(
        "--dst-pfx",
        _PREFIX,
        required=True,
        label="new prefix",
        listed="dst-pfx {value}",
        help="the prefix to put there",
    ),
)

SNPT = Extension(
    "SNPT", _OPTIONS, families=(6,), tables=("mangle",), hooks=("INPUT", "POSTROUTING"), act=_snpt,
    listed=headed(" SNPT"),
    summary="exchange the prefix of the source, without tracking connections",
    source="net/ipv6/netfilter/ip6t_NPT.c ip6t_snpt_tg(); iptables-extensions(8) SNPT",
)  # fmt: skip

DNPT = Extension(
    "DNPT", _OPTIONS, families=(6,), tables=("mangle",), hooks=("PREROUTING", "OUTPUT"), act=_dnpt,
    listed=headed(" DNPT"),
    summary="exchange the prefix of the destination, without tracking connections",
    source="net/ipv6/netfilter/ip6t_NPT.c ip6t_dnpt_tg(); iptables-extensions(8) DNPT",
)  # fmt: skip
