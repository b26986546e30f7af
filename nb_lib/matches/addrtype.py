"""addrtype: what the routing table says of an address.

Linux: net/netfilter/xt_addrtype.c addrtype_mt_v1(), match_type6(). IPv6 tells multicast and unicast
by the address itself and asks the routing table for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.kinds import IPV6
from nb_lib.listed import headed
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Place,
    Use,
    before_or_after,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.connection import Address
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

_TYPES = ("UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE",
          "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")  # fmt: skip
_IPV6_HAS = frozenset({"UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE"})
_ROUTED = frozenset({"LOCAL", "ANYCAST", "UNREACHABLE"})


def _place(use: Use) -> Place:
    return before_or_after(
        before="--limit-iface-in" in use.settings, after="--limit-iface-out" in use.settings
    )


class _Types(kinds.Choices):
    """Types joined by commas; each may be cut short."""

    metavar = "type[,…]"

    def complaint(self, _part: str, rest: str) -> str:
        """Quote what is left as parse_types() does: the last word in another way."""
        return f"addrtype: bad type `{rest}'" if "," in rest else f'addrtype: bad type "{rest}"'


def _check(use: Use, rule: Rule) -> str:
    """addrtype_mt_checkentry_v1() takes no type that IPv6 does not have."""
    if rule.family != IPV6:
        return ""
    wanted = {*use.value("--src-type", ()), *use.value("--dst-type", ())}
    return f"IPv6 has no address type {min(wanted - _IPV6_HAS)}" if wanted - _IPV6_HAS else ""


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    interface = ""
    if "--limit-iface-in" in use.settings:
        interface = packet.in_iface
    elif "--limit-iface-out" in use.settings:
        interface = packet.out_iface
    for option, address in (("--src-type", packet.src), ("--dst-type", packet.dst)):
        setting = use.settings.get(option)
        if setting is None:
            continue
        fits, have = _fits(address, setting.value, interface, ctx)
        if fits is None:
            return undecided(option, f"what kind of address {address} is (addresses or routes)")
        if fits is setting.inverted:
            return miss(option, have)
    return HIT


def _fits(
    address: Address, wanted: tuple[str, ...], interface: str, ctx: Context
) -> tuple[bool | None, str]:
    """Tell whether an address is of a wanted type, and of which it is."""
    if address.version == IPV6:
        seen = _seen_in_ipv6(address)
        if not (set(wanted) - _ROUTED) <= seen:
            return False, next(iter(seen), "UNSPEC")
        if not _ROUTED & set(wanted):
            return True, wanted[0]
    have = ctx.address_type(address, interface)
    return (None, "") if have is None else (have in wanted, have)


def _seen_in_ipv6(address: Address) -> set[str]:
    """Return what an IPv6 address says of itself.

    Linux: net/ipv6/addrconf_core.c ipv6_addr_type().
    """
    if address.is_unspecified:
        return {"UNSPEC"}
    if address.is_multicast:
        return {"MULTICAST"}
    return set() if int(address) >> 32 == 0xFFFF else {"UNICAST"}


_KIND = _Types(_TYPES, prefix=True)
_FINAL = kinds.needs_one(
    "--src-type", "--dst-type", said="addrtype: you must specify --src-type or --dst-type"
)
ADDRTYPE = Extension(
    "addrtype",
    (
        Option("--src-type", _KIND, invertible=True, label="source type",
               listed="src-type {!}{value}",
               help="what the source is to the routing table"),
        Option("--dst-type", _KIND, invertible=True, label="destination type",
               listed="dst-type {!}{value}",
               help="what the destination is to the routing table"),
        Option("--limit-iface-in", kinds.FLAG, group="interface",
               label="limit to the incoming interface", listed="limit-in",
               help="look only at the incoming interface's addresses"),
        Option("--limit-iface-out", kinds.FLAG, group="interface",
               label="limit to the outgoing interface", listed="limit-out",
               help="look only at the outgoing interface's addresses"),
    ),
    test=_test, final=_FINAL, check=_check, place=_place,
    listed=headed(" ADDRTYPE match"),
    summary="local, unicast, broadcast, multicast … as the routing table says",
    source="net/netfilter/xt_addrtype.c addrtype_mt_v1(); iptables-extensions(8) addrtype",
)  # fmt: skip
