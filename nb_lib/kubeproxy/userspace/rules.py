"""The rules of userspace mode: from each address of a service to the port of kube-proxy's own socket.

What comes from elsewhere is redirected, what the node itself sends has to be translated to the node's address
(a redirect would lead it to loopback). There is no restore: each rule is asked for with ``-C`` at each sync,
and put with ``-A`` if it is not there.

Source: pkg/proxy/userspace/proxier.go iptablesInit(), openPortal(), openOnePortal(), openNodePort() (1.21).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import Address, Service, ServicePort
from nb_lib.kubeproxy.services import skipped

PORTALS, PORTALS_HOST = "KUBE-PORTALS-CONTAINER", "KUBE-PORTALS-HOST"
NODE_PORTS, NODE_PORTS_HOST = "KUBE-NODEPORT-CONTAINER", "KUBE-NODEPORT-HOST"
ADMITTED = "KUBE-NODEPORT-NON-LOCAL"
CHAINS = (("nat", PORTALS), ("nat", PORTALS_HOST), ("nat", NODE_PORTS), ("nat", NODE_PORTS_HOST),
          ("filter", ADMITTED))  # fmt: skip
PROTOCOLS = ("tcp", "udp")  # SCTP is not served
_TO_NODE = ("-m", "addrtype", "--dst-type", "LOCAL")
_UNBRIDGED = ("-m", "physdev", "!", "--physdev-is-in")
_FIRST = "handle ClusterIPs; NOTE: this must be before the NodePort rules"
_LAST = "handle service NodePorts; NOTE: this must be the last rule in the chain"
_FLOW = "Ensure that non-local NodePort traffic can flow"


class Rule(NamedTuple):
    """A rule and how it is put: ``-A`` behind the others, ``-I`` before them."""

    table: str
    chain: str
    words: tuple[str, ...]
    verb: str = "-A"

    def command(self, verb: str = "") -> list[str]:
        """Return the command that puts it, or another of its commands: ``-C``, ``-D``."""
        return ["iptables", verb or self.verb, self.chain, "-t", self.table, *self.words]


def _jump(table: str, chain: str, target: str, comment: str, *, last: bool = False) -> Rule:
    words = ("-m", "comment", "--comment", comment, "-j", target)
    return (
        Rule(table, chain, (*_TO_NODE, *words), "-A") if last else Rule(table, chain, words, "-I")
    )


_JUMPS = (
    _jump("nat", "PREROUTING", PORTALS, _FIRST),
    _jump("nat", "OUTPUT", PORTALS_HOST, _FIRST),
    _jump("nat", "PREROUTING", NODE_PORTS, _LAST, last=True),
    _jump("nat", "OUTPUT", NODE_PORTS_HOST, _LAST, last=True),
    _jump("filter", "INPUT", ADMITTED, _FLOW),
)


def prepared() -> Iterator[tuple[list[str], Rule]]:
    """Yield, for each chain, the command that makes it and the rule that leads there."""
    for jump in _JUMPS:
        yield ["iptables", "-N", jump.words[-1], "-t", jump.table], jump


def wanted(
    services: Iterable[Service], ports: Mapping[PortName, int], node_ip: Address
) -> Iterator[Rule]:
    """Yield the rules of all ports that are served, in kube-proxy's order.

    ``ports`` are those of the proxy's own sockets; a Service's port that has none gets no rule.
    """
    for service in services:
        for port in service.ports:
            name = PortName(service.key, port.name, port.protocol)
            if name in ports and not skipped(service):
                yield from _portal(service, port, _Way(str(name), ports[name], node_ip))


class _Way(NamedTuple):
    """Where the rules of a port lead."""

    name: str
    port: int
    node_ip: Address

    @property
    def redirect(self) -> tuple[str, ...]:
        return "-j", "REDIRECT", "--to-ports", str(self.port)

    @property
    def translate(self) -> tuple[str, ...]:
        return "-j", "DNAT", "--to-destination", f"{self.node_ip}:{self.port}"

    def match(self, port: ServicePort, number: int) -> tuple[str, ...]:
        """Return the words that match one number of a port."""
        protocol = port.protocol.lower()
        return ("-m", "comment", "--comment", self.name, "-p", protocol, "-m", protocol,
                "--dport", str(number))  # fmt: skip


def _portal(service: Service, port: ServicePort, way: _Way) -> Iterator[Rule]:
    """Yield the rules of one port; at an address of the other family iptables fails, and that ends it."""
    family = way.node_ip.version
    inside = [ip for ip in [service.cluster_ip(family)] if ip]
    balancers = [one.ip for one in service.ingress if one.ip]
    for ip in (*inside, *service.external_ips, *balancers):
        if ip.version != family:
            return
        match = (*way.match(port, port.port), "-d", f"{ip}/{ip.max_prefixlen}")
        if ip in service.external_ips:
            yield Rule("nat", PORTALS, (*match, *_UNBRIDGED, *way.redirect))
            yield Rule("nat", PORTALS, (*match, *_TO_NODE, *way.redirect))
            yield Rule("nat", PORTALS_HOST, (*match, *_TO_NODE, *way.translate))
        else:
            yield Rule("nat", PORTALS, (*match, *way.redirect))
            yield Rule("nat", PORTALS_HOST, (*match, *way.translate))
    if port.node_port:
        match = way.match(port, port.node_port)
        yield Rule("nat", NODE_PORTS, (*match, *way.redirect))
        yield Rule("nat", NODE_PORTS_HOST, (*match, *way.translate))
        admitted = ("-m", "state", "--state", "NEW", "-j", "ACCEPT")
        yield Rule("filter", ADMITTED, (*way.match(port, way.port), *admitted))
