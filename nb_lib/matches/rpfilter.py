"""rpfilter: an answer would leave by the interface that the packet came in by.

Linux: net/ipv4/netfilter/ipt_rpfilter.c rpfilter_mt(), rpfilter_lookup_reverse();
net/ipv6/netfilter/ip6t_rpfilter.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.kinds import IPV4
from nb_lib.listed import headed
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss, undecided

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    passed = _exempt(packet) or _reverse(use, packet, ctx)
    if passed is None:
        return undecided("rpfilter", f"by which interface {packet.src} would be answered (routes)")
    inverted = "--invert" in use.settings
    if passed is inverted:
        return miss("the reverse path is right" if passed else "the reverse path is wrong")
    return HIT


def _exempt(packet: Packet) -> bool:
    """Loopback, and the packets of a host that has no address yet, are not looked up."""
    if packet.in_iface == "lo" or packet.link == "LOOPBACK":
        return True
    if packet.family == IPV4:
        group = int(packet.dst) == kinds.U32 or int(packet.dst) >> 8 == 0xE00000
        return int(packet.src) >> 24 == 0 and group
    return packet.src.is_unspecified or packet.src.is_link_local


def _reverse(use: Use, packet: Packet, ctx: Context) -> bool | None:
    """Look the source up as a destination. Linux: rpfilter_lookup_reverse()."""
    kind = ctx.address_type(packet.src)
    if kind is None:
        return None
    if kind == "LOCAL" and "--accept-local" not in use.settings:
        return False
    if kind not in ("LOCAL", "UNICAST"):
        return False
    interface = ctx.reverse_route(packet)
    if interface is None:
        return None
    return bool(interface) and (interface == packet.in_iface or "--loose" in use.settings)


RPFILTER = Extension(
    "rpfilter",
    (
        Option("--loose", kinds.FLAG,
               listed="loose", label="loose",
               help="any route back will do"),
        Option("--validmark", kinds.FLAG,
               listed="validmark", label="validmark",
               help="look the route up with the packet's mark"),
        Option("--accept-local", kinds.FLAG,
               listed="accept-local", label="accept-local",
               help="let packets with a local source through"),
        Option("--invert", kinds.FLAG,
               listed="invert", label="invert",
               help="match the packets that fail the test"),
    ),
    tables=("raw", "mangle"), hooks=("PREROUTING",), test=_test,
    listed=headed(" rpfilter"),
    summary="the source would be answered by the interface that the packet came in by",
    source="net/ipv4/netfilter/ipt_rpfilter.c rpfilter_mt(); iptables-extensions(8) rpfilter",
)  # fmt: skip
