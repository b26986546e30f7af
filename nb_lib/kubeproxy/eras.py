"""What differs between kube-proxy's versions, as data: the one place where a version is asked about.

An ``Era`` is a version whose rules were recorded from the real program. Beside what all modes share
(feature gates, families, which node address counts) it says how iptables mode writes its rules; the
two dialects of iptables mode, before and since KUBE-EXT, each have a module that reads this table.

Sources: pkg/features/kube_features.go; pkg/proxy/iptables/proxier.go iptablesJumpChains; cmd/kube-proxy/
app/server_others.go newProxyServer(); changes between 1.20 and 1.30 compared with what each version wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from nb_lib.errors import ObjectError

DUAL, INTERNAL, HINTS = "IPv6DualStack", "ServiceInternalTrafficPolicy", "TopologyAwareHints"
TERMINATING, IP_MODE = "ProxyTerminatingEndpoints", "LoadBalancerIPMode"


class Jump(NamedTuple):
    """A rule that leads from a built-in chain to one of kube-proxy's: for new connections only, or all."""

    table: str
    target: str
    source: str
    comment: str = ""
    new: bool = True


_PORTALS = "kubernetes service portals"
_VISIBLE = "kubernetes externally-visible service portals"
_BALANCER = "kubernetes load balancer firewall"

_OUTSIDE = (
    Jump("filter", "KUBE-EXTERNAL-SERVICES", "INPUT", _VISIBLE),
    Jump("filter", "KUBE-EXTERNAL-SERVICES", "FORWARD", _VISIBLE),
)
_HEALTH = (
    Jump("filter", "KUBE-NODEPORTS", "INPUT", "kubernetes health check service ports", new=False),
)
_INSIDE = (
    Jump("filter", "KUBE-SERVICES", "FORWARD", _PORTALS),
    Jump("filter", "KUBE-SERVICES", "OUTPUT", _PORTALS),
    Jump("filter", "KUBE-FORWARD", "FORWARD", "kubernetes forwarding rules", new=False),
)
_FIREWALL = tuple(
    Jump("filter", "KUBE-PROXY-FIREWALL", source, _BALANCER)
    for source in ("INPUT", "OUTPUT", "FORWARD")
)
_NAT = (
    Jump("nat", "KUBE-SERVICES", "OUTPUT", _PORTALS, new=False),
    Jump("nat", "KUBE-SERVICES", "PREROUTING", _PORTALS, new=False),
    Jump("nat", "KUBE-POSTROUTING", "POSTROUTING", "kubernetes postrouting rules", new=False),
)
_LOCALNET = tuple(
    Jump("filter", "KUBE-FIREWALL", source, new=False) for source in ("INPUT", "OUTPUT")
)

_FILTER_CHAINS = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD")
_TRACKED = "kubernetes forwarding conntrack"


@dataclass(frozen=True)
class Era:
    """A version, and what sets it apart.

    ``jumps`` stand in the order in which they are put, each before the last; ``ensured`` are chains that
    are made and never filled. ``masked``: addresses are written with /32 or /128. ``masquerade_inside``:
    the masquerading of a service's cluster IP stands in its own chain, not in KUBE-SERVICES.
    ``grouped``: the rules that draw an endpoint come before the endpoints' own, not in turns.
    """

    version: str
    gates: Mapping[str, bool]
    """The feature gates that matter, as they are by default."""
    external: bool = False
    """Written with KUBE-EXT chains; before them with KUBE-FW and KUBE-XLB."""
    jumps: tuple[Jump, ...] = (*_OUTSIDE, *_HEALTH, *_INSIDE, *_NAT)
    ensured: tuple[tuple[str, str], ...] = (("nat", "KUBE-MARK-DROP"),)
    filter_chains: tuple[str, ...] = (*_FILTER_CHAINS, "KUBE-NODEPORTS")
    forwarded: tuple[str, ...] = (
        f"{_TRACKED} pod source rule",
        f"{_TRACKED} pod destination rule",
    )
    """The comments of the rules that accept what belongs to a connection."""
    masked: bool = True
    masquerade_inside: bool = False
    grouped: bool = False
    external_on_device: bool = False
    """An external IP is served to what came by a device and not from a bridge, and to local addresses."""
    health_ports: bool = True
    stops_without_address: bool = False
    """Where no address of the node takes nodePorts, nothing more is written for a port that has one."""
    counts_unready: bool = False
    """Endpoints that are not ready have chains, and no service that has one is refused; none is drawn."""
    policy_needs_node_port: bool = True
    """externalTrafficPolicy counts for NodePort and LoadBalancer only, not for external IPs alone."""
    bind_address: bool = True
    """The node's address is --bind-address, which is none (0.0.0.0) by default."""
    hints: frozenset[str] = frozenset()
    """The values of the annotation that switch hints on; empty for every one but none and disabled."""
    partial: bool = False
    """A sync writes the chains of changed services only, and reads nothing but nat's chains before."""
    clears_opened_ports: bool = False
    """Connections to a UDP nodePort are cleared when its socket is opened, not with the first endpoint."""
    serving_counts: bool = False
    """Only endpoints that serve make, or end, a UDP service's life."""
    udp_load_balancers: bool = False
    """A UDP service's first endpoint clears the connections to its load balancer's addresses too."""

    def default(self, gate: str) -> bool:
        """Return a feature gate's default; a gate that the version does not know is off."""
        return self.gates.get(gate, False)


_V1_21 = Era(
    "1.21",
    {DUAL: True, INTERNAL: False, HINTS: False, TERMINATING: False},
    hints=frozenset({"auto"}),
    stops_without_address=True,
)
ERAS: Mapping[str, Era] = {
    era.version: era
    for era in (
        replace(
            _V1_21,
            version="1.20",
            gates={DUAL: False},
            jumps=(*_OUTSIDE, *_INSIDE, *_NAT),
            filter_chains=_FILTER_CHAINS,
            external_on_device=True,
            clears_opened_ports=True,
            health_ports=False,
        ),
        _V1_21,
        replace(
            _V1_21,
            version="1.22",
            gates={DUAL: True, INTERNAL: True, HINTS: False, TERMINATING: False},
            masquerade_inside=True,
            grouped=True,
            hints=frozenset({"auto", "Auto"}),
            counts_unready=True,
            stops_without_address=False,
        ),
        Era(
            "1.30",
            {DUAL: True, INTERNAL: True, HINTS: True, TERMINATING: True, IP_MODE: True},
            external=True,
            jumps=(*_OUTSIDE, *_HEALTH, *_INSIDE, *_FIREWALL, *_NAT, *_LOCALNET),
            ensured=(),
            filter_chains=(*_FILTER_CHAINS, "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"),
            forwarded=(f"{_TRACKED} rule",),
            masked=False,
            masquerade_inside=True,
            grouped=True,
            policy_needs_node_port=False,
            bind_address=False,
            partial=True,
            serving_counts=True,
            udp_load_balancers=True,
        ),
    )
}


def era(version: str) -> Era:
    """Return the era of a version: ``1.30``, ``v1.30.5``.

    Raises ObjectError for a version that was never recorded.
    """
    short = ".".join(version.removeprefix("v").split(".")[:2])
    if short not in ERAS:
        raise ObjectError(
            f"{version!r} is none of {', '.join(ERAS)}", what="kube-proxy", path="version"
        )
    return ERAS[short]
