"""A service's rules before KUBE-EXT (1.20 to 1.22).

KUBE-SVC draws an endpoint; KUBE-XLB does so among those of this node, where externalTrafficPolicy is
Local; KUBE-FW decides who may use a load balancer, once for each of its addresses.

Source: pkg/proxy/iptables/proxier.go syncProxyRules() (1.20, 1.21, 1.22).
"""

from __future__ import annotations

from nb_lib.kubeproxy.iptables.site import (
    EXTERNAL,
    FROM_NODE,
    MASQUERADE,
    NODE_PORTS,
    SERVICES,
    TO_NODE,
    Block,
    Site,
    by_node_port,
    chance,
    endpoint_chains,
    health,
    lines,
    remembered,
    said,
)
from nb_lib.kubeproxy.names import service_hash
from nb_lib.kubeproxy.objects import Address
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.topology import Reachable

PREFIXES = ("KUBE-SVC-", "KUBE-SEP-", "KUBE-FW-", "KUBE-XLB-")
DROP = "KUBE-MARK-DROP"  # its rule is the kubelet's


def block(site: Site, portal: Portal, reach: Reachable) -> Block:
    """Return what a port adds to a restore's input."""
    rules = _Rules(site, portal, reach)
    rules.inside()
    rules.outside()
    if portal.node_port and site.node_ports == () and site.era.stops_without_address:
        rules.seps.clear()
    else:
        rules.on_node()
        if reach.any:
            rules.drawn()
    chains = (*rules.chains, *rules.seps.values())
    return Block(lines(rules.filter), chains, lines(rules.nat))


class _Rules:
    """Gathers a port's rules. ``start`` is where its masquerading stands: before 1.22 with all others'."""

    def __init__(self, site: Site, portal: Portal, reach: Reachable) -> None:
        self.site, self.portal, self.reach, self.name = site, portal, reach, str(portal.name)
        self.filter: list[str] = []
        self.nat: list[str] = []
        hashed = service_hash(portal.name)
        self.svc, self.xlb, self.fw = (f"KUBE-{kind}-{hashed}" for kind in ("SVC", "XLB", "FW"))
        self.seps = endpoint_chains(portal, reach.all)
        self.chains = [self.svc] * reach.any + [self.xlb] * portal.external_local
        self.outer = self.xlb if portal.external_local else self.svc

    def _masquerading(self, shared: str) -> str:
        return self.svc if self.site.era.masquerade_inside else shared

    def _refuse(self, chain: str, match: str) -> None:
        comment = said(f"{self.name} has no endpoints")
        self.filter.append(f"-A {chain} {comment} {match} -j REJECT")

    def inside(self) -> None:
        """Write the cluster IP."""
        portal, site = self.portal, self.site
        match = site.at(portal, portal.cluster_ip)
        if not self.reach.any:
            self._refuse(SERVICES, match)
            return
        match = f"{said(f'{self.name} cluster IP')} {match}"
        start = self._masquerading(SERVICES)
        if site.config.masquerade_all:
            self.nat.append(f"-A {start} {match} -j {MASQUERADE}")
        elif site.foreign:
            self.nat.append(f"-A {start} {match} {site.foreign} -j {MASQUERADE}")
        self.nat.append(f"-A {SERVICES} {match} -j {self.svc}")

    def outside(self) -> None:
        """Write external IPs and load balancers."""
        portal, site = self.portal, self.site
        for ip in portal.external_ips:
            if self.reach.any:
                self._external(f"{said(f'{self.name} external IP')} {site.at(portal, ip)}")
            else:
                self._refuse(EXTERNAL, site.at(portal, ip))
        for ip in portal.vips:
            if self.reach.any:
                self._balanced(ip)
            else:
                self._refuse(EXTERNAL, site.at(portal, ip))

    def _external(self, match: str) -> None:
        """Write an external IP; 1.20 asks where the packet came from, and is not for bridged pods."""
        on_device = self.site.era.external_on_device
        if not self.portal.external_local:
            foreign = f"{self.site.foreign} " if self.site.foreign and not on_device else ""
            start = self._masquerading(SERVICES)
            self.nat.append(f"-A {start} {match} {foreign}-j {MASQUERADE}")
        if on_device:
            devices = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
            self.nat.append(f"-A {SERVICES} {match} {devices} -j {self.outer}")
            self.nat.append(f"-A {SERVICES} {match} {TO_NODE} -j {self.outer}")
        else:
            self.nat.append(f"-A {SERVICES} {match} -j {self.outer}")

    def _balanced(self, ip: Address) -> None:
        """Write a load balancer's address, and KUBE-FW: once more for each address."""
        portal, site = self.portal, self.site
        comment = said(f"{self.name} loadbalancer IP")
        self.chains.append(self.fw)
        self.nat.append(f"-A {SERVICES} {comment} {site.at(portal, ip)} -j {self.fw}")
        start = f"-A {self.fw} {comment}"
        if not portal.external_local:
            self.nat.append(f"{start} -j {MASQUERADE}")
        sources = [f"-s {network} " for network in portal.source_ranges]
        if any(site.node_ip in network for network in portal.source_ranges):
            sources.append(f"-s {ip}{site.suffix} ")
        self.nat += [f"{start} {source}-j {self.outer}" for source in sources or [""]]
        self.nat.append(f"{start} -j {DROP}")

    def on_node(self) -> None:
        """Write the node's port and the port of the health check."""
        portal = self.portal
        if portal.node_port and self.site.node_ports != ():
            match = by_node_port(portal)
            if self.reach.any:
                self._node_port(f"-m comment --comment {self.name} {match}")
            else:
                self._refuse(EXTERNAL, f"{TO_NODE} {match}")
        if portal.health_port and self.site.era.health_ports:
            self.filter.append(health(portal))

    def _node_port(self, match: str) -> None:
        start, source = self._masquerading(NODE_PORTS), ""
        if self.portal.external_local:
            start, source = NODE_PORTS, f"-s {self.site.loopback} "
        self.nat.append(f"-A {start} {match} {source}-j {MASQUERADE}")
        self.nat.append(f"-A {NODE_PORTS} {match} -j {self.outer}")

    def drawn(self) -> None:
        """Write the chains that draw an endpoint, and the endpoints' own."""
        portal, site, comment = self.portal, self.site, self.site.comment(self.name)
        found = [(self.seps[one.text], comment) for one in self.reach.cluster]
        drawing = site.drawing(portal, self.svc, found)
        own = {one.text: site.endpoint(portal, one, self.seps[one.text]) for one in self.reach.all}
        if site.era.grouped:
            self.nat += drawing
        else:
            # In turns: behind each rule that draws an endpoint stand that endpoint's own.
            split = len(drawing) - len(found)
            self.nat += drawing[:split]
            for rule, one in zip(drawing[split:], self.reach.cluster, strict=True):
                self.nat += [rule, *own.pop(one.text)]
        for rules in own.values():
            self.nat += rules
        if portal.external_local:
            self._local()

    def _local(self) -> None:
        """Write KUBE-XLB: pods and the node reach every endpoint, all others those of this node."""
        portal, start = self.portal, f"-A {self.xlb}"
        if self.site.local:
            pods = said("Redirect pods trying to reach external loadbalancer VIP to clusterIP")
            self.nat.append(f"{start} {pods} {self.site.local} -j {self.svc}")
        node = said(f"masquerade LOCAL traffic for {self.name} LB IP")
        self.nat.append(f"{start} {node} {FROM_NODE} -j {MASQUERADE}")
        node = said(f"route LOCAL traffic for {self.name} LB IP to service chain")
        self.nat.append(f"{start} {node} {FROM_NODE} -j {self.svc}")
        chains = [self.seps[one.text] for one in self.reach.local]
        if not chains:
            comment = said(f"{self.name} has no local endpoints")
            self.nat.append(f"{start} {comment} -j {DROP}")
        for chain in chains if portal.affinity else ():
            self.nat.append(f"{start} -m comment --comment {self.name} {remembered(portal, chain)}")
        for at, chain in enumerate(chains):
            comment = said(f"Balancing rule {at} for {self.name}")
            self.nat.append(f"{start} {comment} {chance(len(chains) - at)}-j {chain}")
