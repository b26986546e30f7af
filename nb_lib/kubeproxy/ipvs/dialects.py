"""What IPVS mode's versions write, as data: the sets, the rules that look into them, and the jumps.

A rule stands only where its set has members. Sets are named here as for IPv4.

Sources: pkg/proxy/ipvs/ipset.go; pkg/proxy/ipvs/proxier.go ipsetInfo, ipsetWithIptablesChain,
iptablesJumpChain (1.21, 1.30).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nb_lib.errors import ObjectError
from nb_lib.kubeproxy.eras import Era, Jump

CLUSTER, EXTERNAL, EXTERNAL_LOCAL = "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"
BALANCER, BALANCER_LOCAL = "KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER-LOCAL"
GUARDED, RANGES = "KUBE-LOAD-BALANCER-FW", "KUBE-LOAD-BALANCER-SOURCE-CIDR"
ITSELF, LOOPBACK = "KUBE-LOAD-BALANCER-SOURCE-IP", "KUBE-LOOP-BACK"
HEALTH, ADDRESSES = "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-IPVS-IPS"
MASQUERADE = "KUBE-MARK-MASQ"
PROTOCOLS = ("tcp", "udp", "sctp")


def node_port_set(protocol: str, *, local: bool) -> str:
    """Return the set of a protocol's nodePorts, or of those with externalTrafficPolicy Local."""
    kind = "-LOCAL" if local else ""
    hashed = "-HASH" if protocol == "sctp" else ""
    return f"KUBE-NODE-PORT{kind}-{protocol.upper()}{hashed}"


class Set(NamedTuple):
    """A set's type as ipset names it, and the comment of the rules that look into it."""

    type: str
    comment: str


_PORTAL = "Kubernetes service load balancer ip + port"
SETS: dict[str, Set] = {
    LOOPBACK: Set("hash:ip,port,ip",
                  "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"),
    CLUSTER: Set("hash:ip,port", "Kubernetes service cluster ip + port for masquerade purpose"),
    EXTERNAL: Set("hash:ip,port",
                  "Kubernetes service external ip + port for masquerade and filter purpose"),
    EXTERNAL_LOCAL: Set("hash:ip,port",
                        "Kubernetes service external ip + port with externalTrafficPolicy=local"),
    BALANCER: Set("hash:ip,port", "Kubernetes service lb portal"),
    BALANCER_LOCAL: Set("hash:ip,port", f"{_PORTAL} with externalTrafficPolicy=local"),
    GUARDED: Set("hash:ip,port", f"{_PORTAL} for load balancer with sourceRange"),
    ITSELF: Set("hash:ip,port,ip", f"{_PORTAL} + source IP for packet filter purpose"),
    RANGES: Set("hash:ip,port,net", f"{_PORTAL} + source cidr for packet filter purpose"),
    HEALTH: Set("bitmap:port", "Kubernetes health check node port"),
}  # fmt: skip
for _protocol in PROTOCOLS:
    _type = "hash:ip,port" if _protocol == "sctp" else "bitmap:port"
    _what = f"Kubernetes nodeport {_protocol.upper()} port"
    _how = " with type 'hash ip:port'" if _protocol == "sctp" else ""
    SETS[node_port_set(_protocol, local=False)] = Set(
        _type, f"{_what} for masquerade purpose{_how}"
    )
    SETS[node_port_set(_protocol, local=True)] = Set(
        _type, f"{_what} with externalTrafficPolicy=local{_how}"
    )


class Look(NamedTuple):
    """A rule that looks into a set: ``-A chain … -m set --match-set name fields -j target``."""

    name: str
    table: str
    chain: str
    target: str
    fields: str
    protocol: str = ""


_NODE_PORTS = tuple(
    Look(node_port_set(protocol, local=local), "nat", "KUBE-NODE-PORT",
         "RETURN" if local else MASQUERADE, "dst,dst" if protocol == "sctp" else "dst", protocol)
    for protocol in PROTOCOLS
    for local in (True, False)
)  # fmt: skip
_COMMON = (
    Look(LOOPBACK, "nat", "KUBE-POSTROUTING", "MASQUERADE", "dst,dst,src"),
    Look(BALANCER, "nat", "KUBE-SERVICES", "KUBE-LOAD-BALANCER", "dst,dst"),
)
_LOCAL = Look(BALANCER_LOCAL, "nat", "KUBE-LOAD-BALANCER", "RETURN", "dst,dst")


def _guards(table: str, start: str, guard: str) -> tuple[Look, ...]:
    """Return the rules that let only the source ranges of a load balancer in."""
    return (
        Look(GUARDED, table, start, guard, "dst,dst"),
        Look(RANGES, table, guard, "RETURN", "dst,dst,src"),
        Look(ITSELF, table, guard, "RETURN", "dst,dst,src"),
    )


_PORTALS, _FORWARDING = "kubernetes service portals", "kubernetes forwarding rules"
_FIREWALL, _ACCESS = "kube-proxy firewall rules", "kubernetes ipvs access filter"
_JUMPS = (
    Jump("nat", "KUBE-SERVICES", "OUTPUT", _PORTALS, new=False),
    Jump("nat", "KUBE-SERVICES", "PREROUTING", _PORTALS, new=False),
    Jump("nat", "KUBE-POSTROUTING", "POSTROUTING", "kubernetes postrouting rules", new=False),
    Jump("filter", "KUBE-FORWARD", "FORWARD", _FORWARDING, new=False),
    Jump("filter", "KUBE-NODE-PORT", "INPUT", "kubernetes health check rules", new=False),
)


@dataclass(frozen=True)
class Dialect:
    """What one version writes. ``chains`` are made, and emptied, by each sync, a table each.

    ``drop`` is the last rule for who is outside a load balancer's ranges. ``filters``: INPUT refuses new
    connections to a service address that no service answers at, and who comes from loopback is left alone.
    ``everywhere``: nodePorts answer on loopback addresses too. ``unready``: an endpoint of this node counts
    for its own calls that come back to it though it is not ready.
    """

    chains: Mapping[str, tuple[str, ...]]
    ensured: tuple[tuple[str, str], ...]
    looks: tuple[Look, ...]
    jumps: tuple[Jump, ...]
    drop: tuple[str, str]
    filters: bool
    everywhere: bool
    unready: bool
    reuses: bool
    """The sysctl net.ipv4.vs.conn_reuse_mode is left on: the kernel that needed it off is gone."""


_NAT_CHAINS = (
    "KUBE-SERVICES",
    "KUBE-POSTROUTING",
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    MASQUERADE,
)
DIALECTS: dict[str, Dialect] = {
    "1.21": Dialect(
        {"nat": (*_NAT_CHAINS, "KUBE-FIREWALL"), "filter": ("KUBE-FORWARD", "KUBE-NODE-PORT")},
        (("nat", "KUBE-MARK-DROP"),),
        (*_COMMON, *_guards("nat", "KUBE-LOAD-BALANCER", "KUBE-FIREWALL"), _LOCAL, *_NODE_PORTS),
        _JUMPS,
        ("nat", "-A KUBE-FIREWALL -j KUBE-MARK-DROP"),
        filters=False, everywhere=True, unready=False, reuses=False,
    ),
    "1.30": Dialect(
        {
            "nat": _NAT_CHAINS,
            "filter": ("KUBE-FORWARD", "KUBE-NODE-PORT", "KUBE-PROXY-FIREWALL",
                       "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER"),
        },
        (),
        (*_COMMON, _LOCAL, *_NODE_PORTS,
         *_guards("filter", "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL")),
        (
            *_JUMPS,
            Jump("filter", "KUBE-PROXY-FIREWALL", "INPUT", _FIREWALL, new=False),
            Jump("filter", "KUBE-PROXY-FIREWALL", "FORWARD", _FIREWALL, new=False),
            Jump("filter", "KUBE-IPVS-FILTER", "INPUT", _ACCESS, new=False),
            Jump("filter", "KUBE-IPVS-OUT-FILTER", "OUTPUT", _ACCESS, new=False),
        ),
        ("filter", "-A KUBE-SOURCE-RANGES-FIREWALL -j DROP"),
        filters=True, everywhere=False, unready=True, reuses=True,
    ),
}  # fmt: skip


def dialect(era: Era) -> Dialect:
    """Return what a version writes. Raises ObjectError for one whose IPVS mode was never recorded."""
    if era.version not in DIALECTS:
        reason = f"{era.version!r} is none of {', '.join(DIALECTS)}, whose IPVS mode is known"
        raise ObjectError(reason, what="kube-proxy", path="version")
    return DIALECTS[era.version]


def set_names(found: Dialect) -> dict[str, Set]:
    """Return the sets of a version; 1.30 has one more, with every service address."""
    return SETS | ({ADDRESSES: Set("hash:ip", "")} if found.filters else {})


def set_name(name: str, family: int) -> str:
    """Return a set's name in a family; ipset's names have at most 31 letters."""
    return name if family == 4 else name.replace("KUBE-", "KUBE-6-", 1)[:31]
