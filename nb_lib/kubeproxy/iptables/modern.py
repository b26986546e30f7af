"""A service's rules since KUBE-EXT (1.30).

KUBE-SVC draws an endpoint for traffic that may leave the node, KUBE-SVL for traffic that may not. What
comes from outside meets KUBE-EXT first, which decides between them; where a load balancer has source
ranges, KUBE-FW stands before that, and filter drops what it did not let through.

Source: pkg/proxy/iptables/proxier.go syncProxyRules(), writeServiceToEndpointRules() (1.30).
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
    endpoint_chains,
    health,
    lines,
    said,
)
from nb_lib.kubeproxy.names import service_hash
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.topology import Backends, Reachable

PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-")
FIREWALL = "KUBE-PROXY-FIREWALL"


def block(site: Site, portal: Portal, reach: Reachable) -> Block:
    """Return what a port adds to a restore's input."""
    rules = _Rules(site, portal, reach)
    rules.inside()
    rules.outside()
    rules.drawn()
    return Block(lines(rules.filter), tuple(rules.chains), lines(rules.shared), lines(rules.own))


class _Rules:
    """Gathers a port's rules; ``served`` says whether what comes from outside meets an endpoint."""

    def __init__(self, site: Site, portal: Portal, reach: Reachable) -> None:
        self.site, self.portal, self.reach, self.name = site, portal, reach, str(portal.name)
        self.filter: list[str] = []
        self.chains: list[str] = []
        self.shared: list[str] = []
        self.own: list[str] = []
        hashed = service_hash(portal.name)
        self.cluster, self.local = f"KUBE-SVC-{hashed}", f"KUBE-SVL-{hashed}"
        self.ext, self.firewall = f"KUBE-EXT-{hashed}", f"KUBE-FW-{hashed}"
        self.served = self._serves(local=portal.external_local)
        self.firewalled = bool(reach.any and portal.vips and portal.source_ranges)

    def _serves(self, *, local: bool) -> bool:
        return bool(self.reach.local) if local else self.reach.any

    def _refuse(self, chain: str, match: str) -> None:
        """Refuse what no endpoint serves; drop it if there are some elsewhere."""
        here, verdict = ("local ", "DROP") if self.reach.any else ("", "REJECT")
        comment = said(f"{self.name} has no {here}endpoints")
        self.filter.append(f"-A {chain} {comment} {match} -j {verdict}")

    def inside(self) -> None:
        """Write the cluster IP."""
        portal, site = self.portal, self.site
        match = site.at(portal, portal.cluster_ip)
        if not self._serves(local=portal.internal_local):
            self._refuse(SERVICES, match)
            return
        chain = self.local if portal.internal_local else self.cluster
        match = f"{said(f'{self.name} cluster IP')} {match}"
        self.shared.append(f"-A {SERVICES} {match} -j {chain}")
        if site.config.masquerade_all:
            self.own.append(f"-A {chain} {match} -j {MASQUERADE}")
        elif site.foreign:
            self.own.append(f"-A {chain} {match} {site.foreign} -j {MASQUERADE}")

    def outside(self) -> None:
        """Write external IPs, load balancers and the node's port, and the chains that they lead to."""
        portal, site = self.portal, self.site
        for ip in portal.external_ips:
            self._lead("external IP", site.at(portal, ip), self.ext)
            if not self.served:
                self._refuse(EXTERNAL, site.at(portal, ip))
        balanced = self.firewall if self.firewalled else self.ext
        for ip in portal.vips:
            self._lead("loadbalancer IP", site.at(portal, ip), balanced)
            if self.firewalled:
                comment = said(f"{self.name} traffic not accepted by {self.firewall}")
                self.filter.append(f"-A {FIREWALL} {comment} {site.at(portal, ip)} -j DROP")
        for ip in () if self.served else portal.vips:
            self._refuse(EXTERNAL, site.at(portal, ip))
        if portal.node_port:
            self._node_port()
        if portal.health_port:
            self.filter.append(health(portal))
        if self.reach.any and portal.reachable_outside:
            self._external()
        if self.firewalled:
            self._firewall()

    def _lead(self, what: str, match: str, chain: str) -> None:
        if self.reach.any:
            comment = said(f"{self.name} {what}")
            self.shared.append(f"-A {SERVICES} {comment} {match} -j {chain}")

    def _node_port(self) -> None:
        match = by_node_port(self.portal)
        if self.reach.any:
            comment = f"-m comment --comment {self.name}"
            self.shared.append(f"-A {NODE_PORTS} {comment} {match} -j {self.ext}")
        if not self.served:
            self._refuse(EXTERNAL, f"{TO_NODE} {match}")

    def _external(self) -> None:
        """Write KUBE-EXT: with policy Local, pods and the node itself still reach every endpoint."""
        self.chains.append(self.ext)
        start, what = f"-A {self.ext}", f"traffic for {self.name} external destinations"
        if not self.portal.external_local:
            self.own.append(f"{start} {said(f'masquerade {what}')} -j {MASQUERADE}")
        else:
            if self.site.local:
                pods = said(f"pod {what}")
                self.own.append(f"{start} {pods} {self.site.local} -j {self.cluster}")
            for verb, chain in (("masquerade", MASQUERADE), ("route", self.cluster)):
                self.own.append(f"{start} {said(f'{verb} LOCAL {what}')} {FROM_NODE} -j {chain}")
        if self.served:
            self.own.append(
                f"{start} -j {self.local if self.portal.external_local else self.cluster}"
            )

    def _firewall(self) -> None:
        """Write KUBE-FW: who may use the load balancer, and the node, whose calls come from its address."""
        portal, start = self.portal, f"-A {self.firewall}"
        self.chains.append(self.firewall)
        sources: list[object] = list(portal.source_ranges)
        if any(self.site.node_ip in network for network in portal.source_ranges):
            sources += portal.vips
        comment = said(f"{self.name} loadbalancer IP")
        self.own += [f"{start} {comment} -s {source} -j {self.ext}" for source in sources]
        end = said(f"other traffic to {self.name} will be dropped by {FIREWALL}")
        self.own.append(f"{start} {end}")

    def drawn(self) -> None:
        """Write the chains that draw an endpoint, and the endpoints' own."""
        seps = endpoint_chains(self.portal, self.reach.all)
        for chain, found in ((self.cluster, self.reach.cluster), (self.local, self.reach.local)):
            if found:
                self.chains.append(chain)
                self.own += self.site.drawing(self.portal, chain, self._commented(found, seps))
        for one in self.reach.all:
            self.chains.append(seps[one.text])
            self.own += self.site.endpoint(self.portal, one, seps[one.text])

    def _commented(self, found: Backends, seps: dict[str, str]) -> list[tuple[str, str]]:
        return [
            (seps[one.text], self.site.comment(f'"{self.name} -> {one.text}"')) for one in found
        ]
