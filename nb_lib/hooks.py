"""Hooks × tables × priorities, as one table: the engine walks it and the diagrams are drawn of it.

Sources: include/uapi/linux/netfilter_ipv4.h (enum nf_ip_hook_priorities); observed with
``nft list chains`` and the kernel's own trace, iptables 1.8.9 on Linux 6.18.
"""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.net import ARP, BRIDGE

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = HOOKS = (
    "PREROUTING",
    "INPUT",
    "FORWARD",
    "OUTPUT",
    "POSTROUTING",
)


class Stop(NamedTuple):
    """One thing registered at a hook: a table's base chain, or one of the kernel's own functions.

    ``table`` is empty for ``conntrack``, ``defrag``, ``confirm`` and IPVS's, which have no rules.
    """

    priority: int
    table: str
    function: str = ""


DEFRAG, RAW, CONNTRACK, MANGLE, DST, FILTER, SECURITY, SRC = (
    -400,
    -300,
    -200,
    -150,
    -100,
    0,
    50,
    100,
)
CONFIRM = 2**31 - 1

_COMMON: dict[str, tuple[Stop, ...]] = {
    PREROUTING: (
        Stop(DEFRAG, "", "defrag"),
        Stop(RAW, "raw"),
        Stop(CONNTRACK, "", "conntrack"),
        Stop(MANGLE, "mangle"),
        Stop(DST, "nat"),
    ),
    INPUT: (
        Stop(MANGLE, "mangle"),
        Stop(FILTER, "filter"),
        Stop(SECURITY, "security"),
        Stop(SRC, "nat"),
        Stop(CONFIRM, "", "confirm"),
    ),
    FORWARD: (Stop(MANGLE, "mangle"), Stop(FILTER, "filter"), Stop(SECURITY, "security")),
    OUTPUT: (
        Stop(DEFRAG, "", "defrag"),
        Stop(RAW, "raw"),
        Stop(CONNTRACK, "", "conntrack"),
        Stop(MANGLE, "mangle"),
        Stop(DST, "nat"),
        Stop(FILTER, "filter"),
        Stop(SECURITY, "security"),
    ),
    POSTROUTING: (
        Stop(MANGLE, "mangle"),
        Stop(SRC, "nat"),
        Stop(CONFIRM, "", "confirm"),
    ),
}

# iptables-nft asks for priority 150 on INPUT: its security table comes after nat there.
_NFT_INPUT = (
    Stop(MANGLE, "mangle"),
    Stop(FILTER, "filter"),
    Stop(SRC, "nat"),
    Stop(150, "security"),
    Stop(CONFIRM, "", "confirm"),
)

# Where IPVS stands, if it has virtual servers: ``answer`` puts the virtual address back, ``balance`` finds
# a real server. Linux: net/netfilter/ipvs/ip_vs_core.c ip_vs_ops4.
_BALANCING: dict[str, tuple[Stop, ...]] = {
    INPUT: (Stop(SRC - 2, "", "answer"), Stop(SRC - 1, "", "balance")),
    FORWARD: (Stop(100, "", "answer"),),
    OUTPUT: (Stop(DST + 1, "", "answer"), Stop(DST + 2, "", "balance")),
}
# iptables-nft's security table has priority 150 everywhere: on FORWARD, IPVS comes before it.
_NFT_FORWARD = (Stop(MANGLE, "mangle"), Stop(FILTER, "filter"), Stop(150, "security"))


# A bridge's own hooks (include/uapi/linux/netfilter_bridge.h, enum nf_br_hook_priorities).
# ``iptables`` stands for the chains of IPv4 or IPv6 at the hook of the same name, which br_netfilter
# calls from here: net/bridge/br_netfilter_hooks.c br_nf_ops.
_IPTABLES = Stop(0, "", "iptables")
_BRIDGE: dict[str, tuple[Stop, ...]] = {
    PREROUTING: (Stop(-300, "nat"), _IPTABLES),
    INPUT: (Stop(-200, "filter"),),
    FORWARD: (Stop(-200, "filter"), _IPTABLES),
    OUTPUT: (Stop(-200, "filter"), Stop(100, "nat")),
    POSTROUTING: (Stop(300, "nat"), Stop(CONFIRM, "", "iptables")),
}
# ebtables-nft asks for priority -200 on OUTPUT as well: its filter comes before nat there.
_LEGACY_BRIDGE_OUTPUT = (Stop(100, "nat"), Stop(200, "filter"))
_ARP = (Stop(FILTER, "filter"),)


def stops(
    hook: str, backend: str = "nft", family: int = 4, *, balancing: bool = False
) -> tuple[Stop, ...]:
    """Return what a packet meets at ``hook`` of a family, in the kernel's order.

    ``backend`` is ``nft`` or ``legacy``; they differ in where ``security`` stands on INPUT, and in
    where a bridge's ``filter`` stands on OUTPUT. ``balancing``: IPVS has virtual servers.
    """
    if balancing:
        tables = _NFT_FORWARD if (hook, backend) == (FORWARD, "nft") else stops(hook, backend)
        return tuple(sorted((*_BALANCING.get(hook, ()), *tables), key=lambda stop: stop.priority))
    if family == BRIDGE:
        return _LEGACY_BRIDGE_OUTPUT if (hook, backend) == (OUTPUT, "legacy") else _BRIDGE[hook]
    if family == ARP:
        return _ARP
    if hook == INPUT and backend == "nft":
        return _NFT_INPUT
    return _COMMON[hook]


# The built-in chains of each table, in hook order: what ``iptables-save`` lists first.
BUILTIN: dict[str, tuple[str, ...]] = {
    table: tuple(hook for hook in HOOKS if any(s.table == table for s in _COMMON[hook]))
    for table in ("raw", "mangle", "nat", "filter", "security")
}

_LINK_BUILTIN: dict[tuple[int, str], dict[str, tuple[str, ...]]] = {
    (ARP, "nft"): {"filter": (INPUT, OUTPUT)},
    (ARP, "legacy"): {"filter": (INPUT, OUTPUT, FORWARD)},
    (BRIDGE, "nft"): {
        "filter": (INPUT, FORWARD, OUTPUT),
        "nat": (PREROUTING, OUTPUT, POSTROUTING),
    },
}
_LINK_BUILTIN[BRIDGE, "legacy"] = {**_LINK_BUILTIN[BRIDGE, "nft"], "broute": ("BROUTING",)}


def builtin(family: int, backend: str = "nft") -> dict[str, tuple[str, ...]]:
    """Return the tables of a family and the built-in chains of each."""
    return _LINK_BUILTIN.get((family, backend), BUILTIN)


# Order of tables in a dump of the nft backend (legacy: the reverse of first use).
NFT_TABLE_ORDER = ("mangle", "security", "raw", "filter", "nat")
