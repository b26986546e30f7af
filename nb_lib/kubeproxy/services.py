"""What a proxier knows of a service's port, in one family: the same for every mode.

Sources: pkg/proxy/service.go (1.30: serviceport.go) newBaseServiceInfo(), serviceToServiceMap();
pkg/proxy/util/utils.go ShouldSkipService(); cmd/kube-proxy/app/server.go Run() (labels that are not watched).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import INTERNAL, IP_MODE, Era
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import HEADLESS, PROXY_NAME, Address, Network, Service, ServicePort

HINTS_OLD = "service.kubernetes.io/topology-aware-hints"
HINTS_NEW = "service.kubernetes.io/topology-mode"


class Portal(NamedTuple):
    """One port of a Service: where it answers, and how.

    ``vips`` are the load balancer's addresses that this node answers itself. ``external_local`` and
    ``internal_local``: only endpoints on this node serve what comes from outside, from inside.
    ``affinity`` is in seconds, 0 for none; ``node_port`` and ``health_port`` are 0 where there is none.
    """

    name: PortName
    cluster_ip: Address
    port: int
    node_port: int = 0
    external_ips: tuple[Address, ...] = ()
    vips: tuple[Address, ...] = ()
    source_ranges: tuple[Network, ...] = ()
    external_local: bool = False
    internal_local: bool = False
    health_port: int = 0
    affinity: int = 0
    hints: str = ""

    @property
    def protocol(self) -> str:
        """The protocol as iptables spells it: ``tcp``."""
        return self.name.protocol.lower()

    @property
    def reachable_outside(self) -> bool:
        """Whether it answers anywhere but at its cluster IP."""
        return bool(self.node_port or self.vips or self.external_ips)

    @property
    def uses_cluster(self) -> bool:
        """Whether any traffic may go to every endpoint: pods and node always may, whatever the policy."""
        return not self.internal_local or self.reachable_outside

    @property
    def uses_local(self) -> bool:
        """Whether any traffic must stay on this node."""
        return self.internal_local or (self.external_local and self.reachable_outside)


def skipped(service: Service) -> str:
    """Return why kube-proxy does not look at a Service, nothing if it does."""
    if PROXY_NAME in service.labels:
        return f"the label {PROXY_NAME} leaves it to another proxy"
    if HEADLESS in service.labels:
        return f"the label {HEADLESS} says that it is headless"
    if service.type == "ExternalName":
        return "an ExternalName is a name in DNS"
    if not service.cluster_ips:
        return "it is headless: DNS answers with its endpoints"
    return ""


def portals(service: Service, family: int, era: Era, config: Config) -> Iterator[Portal]:
    """Yield what a proxier of a family knows of a Service, a port each; nothing of one that it skips."""
    address = service.cluster_ip(family)
    if address is None or skipped(service):
        return
    old = era.policy_needs_node_port
    outside = service.type in ("NodePort", "LoadBalancer") or (service.external_ips and not old)
    external_local = bool(outside) and service.external_policy == "Local"
    health = service.health_check_port if service.type == "LoadBalancer" and external_local else 0
    internal_local = service.internal_policy == "Local" and config.gate(era, INTERNAL)
    externals = tuple(ip for ip in service.external_ips if ip.version == family)
    vips = _vips(service, family, proxied=not config.gate(era, IP_MODE))
    ranges = tuple(net for net in service.source_ranges if net.version == family)
    hints = _hints(service, era)
    for port in service.ports:
        yield Portal(
            _name(service, port), address, port.port, port.node_port, externals, vips, ranges,
            external_local, internal_local, health, service.affinity, hints,
        )  # fmt: skip


def _name(service: Service, port: ServicePort) -> PortName:
    return PortName(service.key, port.name, port.protocol)


def _vips(service: Service, family: int, *, proxied: bool) -> tuple[Address, ...]:
    """Return the addresses of the load balancer; ``proxied`` ones it answers itself, as far as is known."""
    return tuple(
        one.ip
        for one in service.ingress
        if one.ip and one.ip.version == family and (proxied or one.mode != "Proxy")
    )


def _hints(service: Service, era: Era) -> str:
    """Return what the annotation says; the older one wins."""
    older = service.annotations.get(HINTS_OLD, "")
    return older or ("" if era.hints else service.annotations.get(HINTS_NEW, ""))
