"""What IPVS mode wants of a node: virtual servers, addresses of kube-ipvs0, sets, and rules.

Source: pkg/proxy/ipvs/proxier.go syncProxyRules(), syncEndpoint(), writeIptablesRules().
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nb_lib.kubeproxy.config import LOOPBACK, Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.iptables.rules import declared, jump_words
from nb_lib.kubeproxy.iptables.site import TO_NODE, lines, said
from nb_lib.kubeproxy.ipvs import dialects as d
from nb_lib.kubeproxy.objects import Address, KubeObject
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.topology import Backends
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.names import protocol_numbers
from nb_lib.text.ipset import IpSet, Member
from nb_lib.text.ipvs import RealServer, VirtualServer

DEVICE = "kube-ipvs0"
PROGRAMS = {4: "iptables", 6: "ip6tables"}
_UNREACHABLE = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}
_SCHEDULER = "rr"


@dataclass(frozen=True)
class Desired:
    """What a sync wants.

    ``addresses`` are kube-ipvs0's, ``sets`` come by name, empty ones too, and ``rules`` are the input of
    ``iptables-restore --noflush``.
    """

    virtual_servers: tuple[VirtualServer, ...]
    addresses: tuple[Address, ...]
    sets: dict[str, IpSet]
    rules: str


def desired(objects: Iterable[KubeObject], config: Config, era: Era, family: int = 4) -> Desired:
    """Return what a node wants for one family. Raises as ``computed`` does."""
    return computed(Tracked(config, era, family, objects))


def computed(tracked: Tracked) -> Desired:
    """Compute what a sync wants, all of it: the cost is in the number of services, not of rules.

    Raises ObjectError for a version whose IPVS mode was never recorded.
    """
    sync = _Sync(tracked)
    for portal in sync.tracked.portals.values():
        sync.add(portal)
    if sync.dialect.filters:
        for address in sync.addresses:
            sync.put(d.ADDRESSES, str(address))
    sets = {d.set_name(name, tracked.family): sync.set(name) for name in sync.members}
    return Desired(tuple(sync.servers), tuple(sync.addresses), sets, _Rules(sync).text())


def prepared(era: Era, family: int = 4) -> Iterator[list[str]]:
    """Yield the commands that make chains and the jumps to them; a jump is put before what there is."""
    program, found = PROGRAMS[family], d.dialect(era)
    for jump in found.jumps:
        yield [program, "-N", jump.target, "-t", jump.table]
        yield [program, "-I", jump.source, "-t", jump.table, *jump_words(jump)]
    for table, chain in found.ensured:
        yield [program, "-N", chain, "-t", table]


def sysctls(config: Config, era: Era) -> dict[str, int]:
    """Return the settings that kube-proxy makes at its start."""
    found = {
        "net.ipv4.vs.conntrack": 1,
        "net.ipv4.vs.conn_reuse_mode": int(d.dialect(era).reuses),
        "net.ipv4.vs.expire_nodest_conn": 1,
        "net.ipv4.vs.expire_quiescent_template": 1,
        "net.ipv4.ip_forward": 1,
    }
    if config.ipvs_strict_arp:
        found |= {"net.ipv4.conf.all.arp_ignore": 1, "net.ipv4.conf.all.arp_announce": 2}
    return found


# ── Services ────────────────────────────────────────────────────────────────────────


@dataclass
class _Sync:
    """What services add up to."""

    tracked: Tracked
    servers: list[VirtualServer] = field(default_factory=list)
    addresses: dict[Address, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.family, self.config = self.tracked.family, self.tracked.config
        self.dialect = d.dialect(self.tracked.era)
        self.kinds = d.set_names(self.dialect)
        self.members: dict[str, dict[Member, None]] = {name: {} for name in self.kinds}

    def put(self, name: str, *parts: str) -> None:
        """Add a member to a set."""
        self.members[name][parts] = None

    def set(self, name: str) -> IpSet:
        """Return a set with its members."""
        method, _, parts = self.kinds[name].type.partition(":")
        family = self.family if method == "hash" else 4
        return IpSet(d.set_name(name, self.family), tuple(parts.split(",")), family, method,
                     dict(self.members[name]))  # fmt: skip

    def add(self, portal: Portal) -> None:
        """Add a port of a Service."""
        port = f"{portal.protocol}:{portal.port}"
        self._hairpins(portal)
        self._serve(portal, portal.cluster_ip, local=portal.internal_local)
        self.put(d.CLUSTER, str(portal.cluster_ip), port)
        for ip in portal.external_ips:
            name = d.EXTERNAL_LOCAL if portal.external_local else d.EXTERNAL
            self.put(name, str(ip), port)
            self._serve(portal, ip, local=portal.external_local)
        for ip in portal.vips:
            self._balanced(portal, str(ip), port)
            self._serve(portal, ip, local=portal.external_local)
        if portal.node_port:
            self._node_port(portal)
        if portal.health_port:
            self.put(d.HEALTH, str(portal.health_port))

    def _hairpins(self, portal: Portal) -> None:
        """A pod that reaches itself by its Service must not see its own address as the source."""
        for one in self.tracked.backends.get(portal.name, ()):
            if one.local and (one.ready or self.dialect.unready):
                address = str(one.address)
                self.put(d.LOOPBACK, address, f"{portal.protocol}:{one.target.port}", address)

    def _balanced(self, portal: Portal, ip: str, port: str) -> None:
        self.put(d.BALANCER, ip, port)
        if portal.external_local:
            self.put(d.BALANCER_LOCAL, ip, port)
        if not portal.source_ranges:
            return
        self.put(d.GUARDED, ip, port)
        for network in portal.source_ranges:
            self.put(d.RANGES, ip, port, str(network))
        own = self.config.node_ip(self.tracked.era, self.family, self.tracked.node)
        if any(own in network for network in portal.source_ranges):
            self.put(d.ITSELF, ip, port, ip)

    def _node_port(self, portal: Portal) -> None:
        addresses = self._node_addresses()
        for local in (False, True)[: 1 + portal.external_local]:
            name = d.node_port_set(portal.protocol, local=local)
            for ip in addresses:
                member = (str(ip), f"sctp:{portal.node_port}")
                self.put(name, *(member if portal.protocol == "sctp" else (str(portal.node_port),)))
        for ip in addresses:
            self._serve(portal, ip, local=portal.external_local, node_port=True)

    def _node_addresses(self) -> list[Address]:
        """Return where nodePorts answer: on the node's own addresses, of which 1.30 leaves loopback out."""
        found = self.config.node_port_addresses(self.family)
        if found is None:
            loopback = LOOPBACK[self.family][1 if self.family == 4 else 0]
            found = (loopback, *self.config.addresses)
        mine = dict.fromkeys(ip for ip in found if ip.version == self.family)
        return [ip for ip in mine if self.dialect.everywhere or not ip.is_loopback]

    def _serve(self, portal: Portal, ip: Address, *, local: bool, node_port: bool = False) -> None:
        """Add a virtual server; kube-ipvs0 gets its address unless it is the node's own."""
        port = portal.node_port if node_port else portal.port
        servers = tuple(
            RealServer(one.address, one.target.port) for one in self._endpoints(portal, local=local)
        )
        self.servers.append(VirtualServer(
            protocol_numbers()[portal.protocol], ip, port, family=self.family,
            scheduler=self.config.ipvs_scheduler or _SCHEDULER, servers=servers,
            persistence=portal.affinity,
        ))  # fmt: skip
        if not node_port:
            self.addresses[ip] = None

    def _endpoints(self, portal: Portal, *, local: bool) -> Backends:
        """Return who serves; where none is on this node, all do, for the sake of this node's own pods."""
        reach = self.tracked.reachable(portal)
        if not local:
            return reach.cluster
        here = reach.local or tuple(one for one in reach.cluster if one.local)
        return here or reach.cluster


# ── Rules ───────────────────────────────────────────────────────────────────────────


class _Rules:
    """The rules: as many for one service as for ten thousand. A rule stands where its set has members."""

    def __init__(self, sync: _Sync) -> None:
        self.sync, self.dialect, self.family = sync, sync.dialect, sync.family
        self.mark = f"0x{1 << sync.config.masquerade_bit:08x}"

    def text(self) -> str:
        """Return the input of iptables-restore."""
        rules = {"nat": self._nat(), "filter": self._filter()}
        table, drop = self.dialect.drop
        rules[table].append(drop)
        return "".join(
            f"*{table}\n{declared(self.dialect.chains[table])}{lines(found)}COMMIT\n"
            for table, found in rules.items()
        )

    def _looking(self, name: str, fields: str, *, comment: bool = True) -> str:
        """Return the words that look into a set."""
        text = f"{said(self.sync.kinds[name].comment)} " if comment else ""
        return f"{text}-m set --match-set {d.set_name(name, self.family)} {fields}"

    def _looks(self, table: str) -> list[str]:
        return [
            f"-A {look.chain} {f'-p {look.protocol} ' if look.protocol else ''}"
            f"{self._looking(look.name, look.fields)} -j {look.target}"
            for look in self.dialect.looks
            if look.table == table and self.sync.members[look.name]
        ]

    def _nat(self) -> list[str]:
        services = "-A KUBE-SERVICES"
        alone = [f"{services} -s {LOOPBACK[self.family]} -j RETURN"] if self.dialect.filters else []
        accepted = (name for name in (d.CLUSTER, d.BALANCER) if self.sync.members[name])
        return [
            *alone,
            *self._looks("nat"),
            *self._cluster(),
            *self._external(),
            f"{services} {TO_NODE} -j KUBE-NODE-PORT",
            f"-A KUBE-LOAD-BALANCER -j {d.MASQUERADE}",
            *(f"{services} {self._looking(name, 'dst,dst', comment=False)} -j ACCEPT"
              for name in accepted),
            *self._marking(),
        ]  # fmt: skip

    def _cluster(self) -> list[str]:
        """Return what masquerades traffic to cluster IPs: all of it, what is no pod's, or the node's."""
        if not self.sync.members[d.CLUSTER]:
            return []
        local = " ".join(self.sync.config.local(self.family, self.sync.tracked.node))
        if self.sync.config.masquerade_all:
            words = self._looking(d.CLUSTER, "dst,dst")
        elif local:
            words = f"{self._looking(d.CLUSTER, 'dst,dst')} ! {local}"
        else:
            words = self._looking(d.CLUSTER, "src,dst")
        return [f"-A KUBE-SERVICES {words} -j {d.MASQUERADE}"]

    def _external(self) -> list[str]:
        """Return what is done at external IPs: not for what a bridge brings, unless they are the node's."""
        found = []
        for name in (d.EXTERNAL, d.EXTERNAL_LOCAL):
            if not self.sync.members[name]:
                continue
            start = f"-A KUBE-SERVICES {self._looking(name, 'dst,dst')}"
            if name == d.EXTERNAL:
                found.append(f"{start} -j {d.MASQUERADE}")
            found.append(
                f"{start} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT"
            )
            found.append(f"{start} {TO_NODE} -j ACCEPT")
        return found

    def _marking(self) -> list[str]:
        start, mark = "-A KUBE-POSTROUTING", self.mark
        masquerade = said("kubernetes service traffic requiring SNAT")
        return [
            f"{start} -m mark ! --mark {mark}/{mark} -j RETURN",
            f"{start} -j MARK --xor-mark {mark}",
            f"{start} {masquerade} -j MASQUERADE --random-fully",
            f"-A {d.MASQUERADE} -j MARK --or-mark {mark}",
        ]

    def _filter(self) -> list[str]:
        start, mark = "-A KUBE-FORWARD", self.mark
        tracked = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        return [
            *self._looks("filter"),
            f"{start} {said('kubernetes forwarding rules')} -m mark --mark {mark}/{mark} -j ACCEPT",
            *(f"{start} {said(comment)} {tracked}" for comment in self.sync.tracked.era.forwarded),
            f"-A KUBE-NODE-PORT {self._looking(d.HEALTH, 'dst')} -j ACCEPT",
            *(self._guarded() if self.dialect.filters else ()),
        ]

    def _guarded(self) -> Iterator[str]:
        """Yield what keeps a service's address, which is the node's own now, from answering for the node."""
        start = "-A KUBE-IPVS-FILTER"
        for name in (d.BALANCER, d.CLUSTER, d.EXTERNAL, d.EXTERNAL_LOCAL, d.HEALTH):
            fields = "dst" if name == d.HEALTH else "dst,dst"
            yield f"{start} {self._looking(name, fields, comment=False)} -j RETURN"
        looking = self._looking(d.ADDRESSES, "dst", comment=False)
        refused = f"REJECT --reject-with {_UNREACHABLE[self.family]}"
        yield f"{start} -m conntrack --ctstate NEW {looking} -j {refused}"
