"""What one port of a Service adds to the table: elements of the maps, and chains of its own.

``service-…`` draws an endpoint for traffic that may leave the node, ``local-…`` for traffic that may not;
``external-…`` decides between them for what comes from outside; ``firewall-…`` drops what a load balancer's
source ranges do not name; ``endpoint-…`` translates.

Source: pkg/proxy/nftables/proxier.go syncProxyRules(), writeServiceToEndpointRules() (1.30).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from ipaddress import collapse_addresses, ip_network
from typing import NamedTuple

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.names import nft_name
from nb_lib.kubeproxy.nftables import base
from nb_lib.kubeproxy.objects import Address, Network, Node
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.topology import Backend, Backends, Reachable
from nb_lib.text.nft.values import (
    Chain,
    Concat,
    Element,
    Expression,
    Fib,
    Match,
    Members,
    Meta,
    Nat,
    Numgen,
    Payload,
    Prefix,
    Rule,
    Set,
    Statement,
    Update,
    Verdict,
    Vmap,
)

# Thousands of rules say the same: they share these values, and those that cached functions return.
_MASQUERADE = Verdict("jump", base.MARK)
_MASQUERADED = Rule((_MASQUERADE,))
_FROM_NODE = Match("==", Fib("type", ("saddr",)), "local")
_DROP, _REJECT = Verdict("drop"), Verdict("goto", base.REJECT)
_SIZE = 65_535  # of an affinity set: what nft takes where none is given
_numgen = cache(Numgen)


@cache
def _protocol(name: str) -> Match:
    return Match("==", Meta("l4proto"), name)


@cache
def _port(protocol: str, number: int) -> Match:
    return Match("==", Payload(protocol, "dport"), number)


class Block(NamedTuple):
    """What a port adds: elements by the name of their set, chains, and sets of its own."""

    elements: tuple[tuple[str, Element], ...]
    chains: tuple[Chain, ...]
    sets: tuple[Set, ...]


class Site:
    """How rules are written for one family on this node.

    ``local`` matches what its pods send, ``foreign`` the rest; both are empty where that cannot be told.
    """

    def __init__(self, config: Config, era: Era, family: int, node: Node | None) -> None:
        self.config, self.family = config, family
        ip = "ip" if family == 4 else "ip6"
        self.saddr, self.daddr = Payload(ip, "saddr"), Payload(ip, "daddr")
        self.node_ip = config.node_ip(era, family, node)
        self.local = self._detected("==", *config.local(family, node))
        self.foreign = self._detected("!=", *config.local(family, node))

    def _detected(self, operator: str, option: str = "", value: str = "") -> tuple[Match, ...]:
        """Turn the option by which iptables mode tells pods apart into a comparison."""
        if not option:
            return ()
        if option == "-s":
            return (self.source(operator, ip_network(value)),)
        if value.endswith("+"):
            return (Match(operator, Meta("iifname"), f"{value[:-1]}*"),)
        return (Match(operator, Meta("iif"), value),)

    def source(self, operator: str, *networks: Network | Address) -> Match:
        """Compare the packet's source with networks."""
        return Match(operator, self.saddr, written(networks))

    def node_ports(self) -> tuple[Address, ...] | None:
        """Return the addresses on which nodePorts answer, None for all: without a flag the node's own.

        Only what its interfaces have counts, if that is known.
        """
        networks = [n for n in self.config.nodeport_addresses if not isinstance(n, str)]
        mine = [one for one in networks if one.version == self.family]
        if any(not net.prefixlen for net in mine):
            return None
        mine = mine or [ip_network(self.node_ip)]
        found = self.config.addresses or (self.node_ip,)
        return tuple(
            one
            for one in dict.fromkeys(found)
            if not one.is_loopback and any(one in net for net in mine)
        )


def written(networks: Iterable[Network | Address]) -> Expression:
    """Write networks as nft lists them: one as it is, several as a set, in order and joined."""
    found: Iterator[Network] = collapse_addresses(map(ip_network, networks))  # type: ignore[type-var]
    values: list[Expression] = [
        str(net.network_address)
        if net.prefixlen == net.max_prefixlen
        else Prefix(str(net.network_address), net.prefixlen)
        for net in found
    ]
    return values[0] if len(values) == 1 else Members(tuple(map(Element, values)))


def block(site: Site, portal: Portal, reach: Reachable) -> Block:
    """Return what a port adds to the table."""
    port = _Port(site, portal, reach)
    port.inside()
    port.outside()
    port.drawn()
    return Block(tuple(port.elements), tuple(port.chains), tuple(port.sets))


class _Port:
    """Gathers what a port adds; ``served`` says whether what comes from outside meets an endpoint."""

    def __init__(self, site: Site, portal: Portal, reach: Reachable) -> None:
        self.site, self.portal, self.reach = site, portal, reach
        self.elements: list[tuple[str, Element]] = []
        self.chains: list[Chain] = []
        self.sets: list[Set] = []
        self.own: list[Rule] = []  # of the chain that the cluster IP leads to, before it draws
        self.inner = "local" if portal.internal_local else "service"
        self.served = bool(reach.local) if portal.external_local else reach.any
        self.hashed = nft_name(portal.name)
        self.endpoints = {one.text: nft_name(portal.name, one.target) for one in reach.all}

    def name(self, kind: str, one: Backend | None = None) -> str:
        """Return the name of the port's own chain of a kind, or of an endpoint's chain or set."""
        return f"{kind}-{self.endpoints[one.text] if one else self.hashed}"

    # --- elements ---

    def _add(
        self, where: str, key: tuple[int | str, ...], to: Verdict, *, said: bool = False
    ) -> None:
        comment = str(self.portal.name) if said else ""
        self.elements.append((where, Element(Concat(key), to, comment=comment)))

    def _lead(self, address: str, kind: str) -> None:
        key = address, self.portal.protocol, self.portal.port
        self._add(base.SERVICE_IPS, key, Verdict("goto", self.name(kind)))

    def _refuse(self, address: str) -> None:
        key = address, self.portal.protocol, self.portal.port
        self._add(base.NO_ENDPOINT_SERVICES, key, self._refusal, said=True)

    @property
    def _refusal(self) -> Verdict:
        """No endpoint at all is told; endpoints that are out of reach are not."""
        return _DROP if self.reach.any else _REJECT

    def inside(self) -> None:
        """The cluster IP."""
        portal, site, address = self.portal, self.site, str(self.portal.cluster_ip)
        self.elements.append((base.CLUSTER_IPS, Element(address)))
        if not (self.reach.local if portal.internal_local else self.reach.any):
            self._refuse(address)
            return
        self._lead(address, self.inner)
        if site.foreign:
            to = Match("==", site.daddr, address), _port(portal.protocol, portal.port)
            self.own.append(_rule(*to, *site.foreign, _MASQUERADE))

    def outside(self) -> None:
        """External IPs, load balancers, the node's port, and the chains that they lead to."""
        portal = self.portal
        for address in map(str, (*portal.external_ips, *portal.vips)):
            if self.reach.any:
                self._lead(address, "external")
            if not self.served:
                self._refuse(address)
        if portal.node_port:
            key = portal.protocol, portal.node_port
            if self.reach.any:
                self._add(base.SERVICE_NODE_PORTS, key, Verdict("goto", self.name("external")))
            if not self.served:
                self._add(base.NO_ENDPOINT_NODE_PORTS, key, self._refusal, said=True)
        if self.reach.any and portal.reachable_outside:
            self.chains.append(Chain(self.name("external"), tuple(self._external())))
        if self.reach.any and portal.vips and portal.source_ranges:
            self._firewall()

    def _external(self) -> Iterable[Rule]:
        """With policy Local, pods and the node itself still reach every endpoint."""
        cluster = Verdict("goto", self.name("service"))
        if not self.portal.external_local:
            yield _MASQUERADED
        else:
            if self.site.local:
                yield _rule(*self.site.local, cluster, comment="short-circuit pod traffic")
            yield _rule(_FROM_NODE, _MASQUERADE, comment="masquerade local traffic")
            yield _rule(_FROM_NODE, cluster, comment="short-circuit local traffic")
        if self.served:
            yield _rule(
                Verdict("goto", self.name("local")) if self.portal.external_local else cluster
            )

    def _firewall(self) -> None:
        """Who may use the load balancer, and the node, whose calls come from its address."""
        portal, name = self.portal, self.name("firewall")
        sources: list[Network | Address] = list(portal.source_ranges)
        if any(self.site.node_ip in network for network in portal.source_ranges):
            sources += portal.vips
        self.chains.append(Chain(name, (_rule(self.site.source("!=", *sources), _DROP),)))
        for address in portal.vips:
            key = str(address), portal.protocol, portal.port
            self._add(base.FIREWALL_IPS, key, Verdict("goto", name), said=True)

    # --- endpoints ---

    def drawn(self) -> None:
        """The chains that draw an endpoint, and the endpoints' own."""
        for kind, found in (("service", self.reach.cluster), ("local", self.reach.local)):
            if found:
                before = self.own if kind == self.inner else []
                self.chains.append(Chain(self.name(kind), (*before, *self._draw(found))))
        for one in self.reach.all:
            self.chains.append(Chain(self.name("endpoint", one), tuple(self._translate(one))))
            if self.portal.affinity:
                self.sets.append(Set(
                    self.name("affinity", one), (f"ipv{self.site.family}_addr",),
                    flags=("dynamic", "timeout"), size=_SIZE, timeout=self.portal.affinity * 1000,
                ))  # fmt: skip

    def _draw(self, found: Backends) -> Iterable[Rule]:
        """Who was here before comes first; then each endpoint is as likely."""
        for one in found if self.portal.affinity else ():
            known = Match("==", self.site.saddr, f"@{self.name('affinity', one)}")
            yield _rule(known, Verdict("goto", self.name("endpoint", one)))
        chains = (Verdict("goto", self.name("endpoint", one)) for one in found)
        elements = tuple(Element(number, chain) for number, chain in enumerate(chains))
        yield _rule(Vmap(_numgen("random", len(found)), Members(elements)))

    def _translate(self, one: Backend) -> Iterable[Rule]:
        """An endpoint's own calls that come back to it are masqueraded; then all are sent there."""
        address, source = str(one.address), self.site.saddr
        yield _rule(Match("==", source, address), _MASQUERADE)
        if self.portal.affinity:
            yield _rule(Update("update", source, self.name("affinity", one)))
        yield _rule(_protocol(self.portal.protocol), Nat("dnat", address, one.target.port))


def _rule(*statements: Statement, comment: str = "") -> Rule:
    return Rule(statements, comment)
