"""ah, esp, ipcomp: the index that names an IPsec connection.

Linux: net/ipv4/netfilter/ipt_ah.c ah_mt(), net/ipv6/netfilter/ip6t_ah.c ah_mt6(),
net/netfilter/xt_esp.c esp_mt(), xt_ipcomp.c comp_mt().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import headers, kinds, ports
from nb_lib.kinds import Range
from nb_lib.listed import headed, led, part_listed
from nb_lib.options import HIT, Answer, Context, Extension, Option, Outcome, Test, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_IPCOMP = 108
_EVERY = Range(0, kinds.U32)


def _header_test(option: str, protocol: int, at: int, size: int, header: int) -> Test:
    """Return the comparison of a number in the transport header."""

    def test(use: Use, packet: Packet, _ctx: Context) -> Answer:
        if packet.protocol != protocol:
            return miss("protocol", packet.protocol_name)
        if packet.fragment_offset:
            return miss("a later fragment has no header")
        start = packet.header_end
        if len(packet.data) < start + header:
            return Answer(Outcome.HOTDROP)
        return _compare(
            use, option, int.from_bytes(packet.data[start + at : start + at + size], "big")
        )

    return test


def _compare(use: Use, option: str, have: int) -> Answer:
    setting = use.settings.get(option)
    if setting and (setting.value.low <= have <= setting.value.high) is setting.inverted:
        return miss(option, (have, have))
    return HIT


def _test_ah6(use: Use, packet: Packet, _ctx: Context) -> Answer:
    """Look at the extension header; its length field counts words after the first two."""
    at = next((at for kind, at in packet.extensions if kind == headers.AH), None)
    if at is None:
        return miss("no authentication header")
    data = packet.data
    if len(data) < at + 12:
        return Answer(Outcome.HOTDROP)
    answer = _compare(use, "--ahspi", int.from_bytes(data[at + 4 : at + 8], "big"))
    if answer is not HIT:
        return answer
    length = (data[at + 1] + 2) * 4
    setting = use.settings.get("--ahlen")
    if setting and setting.value and (length == setting.value) is setting.inverted:
        return miss("--ahlen", length)
    if "--ahres" in use.settings and any(data[at + 2 : at + 4]):
        return miss("--ahres")
    return HIT


_SHOWN = "spi{s}:{!}{value}"
_SPI = kinds.NumberRange(kinds.U32, metavar="spi[:spi]")


def _spi(name: str) -> Option:
    return Option(
        name,
        _SPI,
        invertible=True,
        hidden=_EVERY,
        label="SPI",
        listed=_SHOWN,
        help="the security parameters index, or a range",
    )


def _list_ah6(use: Use, numeric: bool) -> str:
    """Return the index and the length without a blank between them. libip6t_ah.c ah_print()."""
    index, length, reserved = (
        part_listed(use, option, numeric) or "" for option in use.extension.options
    )
    return f" ah {index}{length}" + (f" {reserved}" if reserved else "")


AH = Extension(
    "ah", (_spi("--ahspi"),), families=(4,), protocols=("ah",),
    test=_header_test("--ahspi", headers.AH, 4, 4, 12), check=ports.needs_protocol("ah", "ah"),
    listed=led(" ah"),
    summary="the index of an authentication header",
    source="net/ipv4/netfilter/ipt_ah.c ah_mt(); iptables-extensions(8) ah",
)  # fmt: skip

AH6 = Extension(
    "ah",
    (
        _spi("--ahspi"),
        Option("--ahlen", kinds.Number(0, kinds.U32), invertible=True, hidden=0,
               label="header length", listed="length:{!}{value}",
               help="the header's length in bytes"),
        Option("--ahres", kinds.FLAG, label="reserved field zero", listed="reserved",
               help="the reserved field is zero"),
    ),
    families=(6,), test=_test_ah6, listed=_list_ah6,
    summary="the authentication header of IPv6",
    source="net/ipv6/netfilter/ip6t_ah.c ah_mt6(); iptables-extensions(8) ah",
)  # fmt: skip

ESP = Extension(
    "esp", (_spi("--espspi"),), protocols=("esp",),
    test=_header_test("--espspi", headers.ESP, 0, 4, 8), check=ports.needs_protocol("esp", "esp"),
    listed=headed(" esp"),
    summary="the index of encapsulated security payload",
    source="net/netfilter/xt_esp.c esp_mt(); iptables-extensions(8) esp",
)  # fmt: skip

IPCOMP = Extension(
    "ipcomp",
    (
        Option("--ipcompspi", _SPI, invertible=True, default=Range(0, 0), hidden=_EVERY, label="CPI",
               listed=_SHOWN,
               help="the compression parameters index, or a range"),
        Option("--compres", kinds.FLAG, label="reserved field zero", listed="reserved",
               help="read, but never compared by the kernel"),
    ),
    protocols=("ipcomp",), test=_header_test("--ipcompspi", _IPCOMP, 2, 2, 4),
    check=ports.needs_protocol("ipcomp", "ipcomp"), listed=led(" comp"),
    summary="the index of IP payload compression",
    source="net/netfilter/xt_ipcomp.c comp_mt(); iptables-extensions(8) ipcomp",
)  # fmt: skip
