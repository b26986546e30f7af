"""addrtype: what the routing table says of an address.

Linux: net/netfilter/xt_addrtype.c addrtype_mt_v1(), match_type6(). IPv6 tells multicast and unicast
by the address itself and asks the routing table for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.kinds import IPV6
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Place,
    Setting,
    Use,
    before_or_after,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.connection import Address
    from nb_lib.packet import Packet

_TYPES = ("UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE",
          "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")  # fmt: skip
_IPV6_HAS = frozenset({"UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE"})
_ROUTED = frozenset({"LOCAL", "ANYCAST", "UNREACHABLE"})


def _place(use: Use) -> Place:
    return before_or_after(
        before="--limit-iface-in" in use.settings, after="--limit-iface-out" in use.settings
    )


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    if "--src-type" not in settings and "--dst-type" not in settings:
        raise ValueError("addrtype needs --src-type or --dst-type")
    for name in ("--src-type", "--dst-type"):
        strange = (
            set(settings[name].value) - _IPV6_HAS if family == IPV6 and name in settings else ()
        )
        if strange:
            raise ValueError(f"IPv6 has no address type {min(strange)}")
    return settings


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


_KIND = kinds.Choices(_TYPES, "type[,…]", prefix=True)
ADDRTYPE = Extension(
    "addrtype",
    (
        Option("--src-type", _KIND, invertible=True, label="source type",
               help="what the source is to the routing table"),
        Option("--dst-type", _KIND, invertible=True, label="destination type",
               help="what the destination is to the routing table"),
        Option("--limit-iface-in", kinds.FLAG, group="interface",
               label="limit to the incoming interface",
               help="look only at the incoming interface's addresses"),
        Option("--limit-iface-out", kinds.FLAG, group="interface",
               label="limit to the outgoing interface",
               help="look only at the outgoing interface's addresses"),
    ),
    test=_test, tidy=_tidy, place=_place,
    summary="local, unicast, broadcast, multicast … as the routing table says",
    source="net/netfilter/xt_addrtype.c addrtype_mt_v1(); iptables-extensions(8) addrtype",
)  # fmt: skip
