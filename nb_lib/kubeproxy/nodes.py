"""The same Services on any machine: a node as kube-proxy of one mode and version leaves it.

Each mode leaves rules; beside them a version makes settings and holds sockets, and IPVS mode has virtual
servers, sets, and the Services' addresses on a device of its own. ``node`` puts all of it on a ``Host``.

Sources: what each module of a mode names; settings and sockets as the recorded logs and nodes have them
(pkg/proxy/iptables/proxier.go NewProxier(), pkg/proxy/ipvs/proxier.go NewProxier()).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from nb_lib.cli import State, run
from nb_lib.cli.machine import machine as found_on
from nb_lib.engine import Host
from nb_lib.engine.load import facts_of, find
from nb_lib.engine.routing import make_interface
from nb_lib.errors import ObjectError
from nb_lib.kubeproxy import iptables, ipvs, nftables, userspace
from nb_lib.kubeproxy.compared import Machine
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.hosts import FIRST_SOCKET
from nb_lib.kubeproxy.iptables.rules import quoted
from nb_lib.kubeproxy.ipvs.mode import DEVICE
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.names import PortName, Target
from nb_lib.kubeproxy.objects import KubeObject, Node, Service
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.rules import Ruleset
from nb_lib.text import nft, parse, save
from nb_lib.text.ipset import IpSet
from nb_lib.text.ipvs import VirtualServer

machines = (
    Machine("userspace", "1.21"),
    *(Machine("iptables", version) for version in ("1.20", "1.21", "1.22", "1.30")),
    Machine("ipvs", "1.21"),
    Machine("ipvs", "1.30"),
    Machine("nftables", "1.30"),
)
"""The modes and versions whose rules are known here, the oldest mode first."""

FOLDER = "data/kube-proxy"
FLAGS = ("--hostname-override=node-a", "--cluster-cidr=10.244.0.0/16")
LOCALNET = "net.ipv4.conf.all.route_localnet"
_NOWHERE = ip_address("127.0.0.1")  # what an old kube-proxy assumes of a node without an address
_OWN = ("tcp:127.0.0.1:10249", "tcp:10256")  # metrics and health


def objects_of(source: str | Path | Iterable[KubeObject]) -> list[KubeObject]:
    """Return the objects of a manifest's text, of a file or a folder's ``objects.yaml``, or as they are.

    Raises ObjectError for what is no manifest, and HostError where there is no such file.
    """
    if not isinstance(source, str | Path):
        return list(source)
    if isinstance(source, str) and ("\n" in source or source.lstrip()[:1] in ("{", "[")):
        return load(source)
    path = find(source)
    path = path / "objects.yaml" if path.is_dir() else path
    return load(path.read_text(encoding="utf-8"))


def node(
    objects: str | Path | Iterable[KubeObject],
    mode: str = "iptables",
    version: str = "1.30",
    *,
    flags: Iterable[str] = FLAGS,
    **facts: Any,
) -> Host:
    """Return the host that kube-proxy of a mode and version leaves where an empty node was.

    ``objects`` are what ``objects_of`` takes. ``flags`` are kube-proxy's; the node is the one that
    ``--hostname-override`` names. ``facts`` are passed to ``Host`` (addresses, routes, sysctls, facts and
    the like) and replace those of ``data/kube-proxy``: what the node was before kube-proxy came. Where there
    is no object of the node, one is made of its addresses. Raises ObjectError for a bad object or flag, and
    for a machine that is none of ``machines``.
    """
    machine, given = _machine(mode, version), _before() | facts
    empty = bare(**facts)
    site = Site(objects, machine.version, flags, empty)
    left = _MODES[machine.mode](site)
    own = tuple(make_interface(DEVICE, f"{one}/{one.max_prefixlen}") for one in left.addresses)
    known = given.get("facts", {})
    listening = (*_OWN, *left.listening, *site.served_here(), *known.get("listening", ()))
    more = {
        "addresses": (*empty.routing.interfaces, *own),
        "sysctls": {**given.get("sysctls", {}), **left.sysctls},
        "ipsets": {**given.get("ipsets", {}), **left.ipsets},
        "virtual_servers": left.virtual_servers,
        "facts": {**known, "listening": listening},
    }
    return Host(left.rulesets, **{**given, **more})


def bare(**facts: Any) -> Host:
    """Return the node before kube-proxy came: that of ``data/kube-proxy``, with other facts as given."""
    return Host(**_before() | facts)


class Behind(NamedTuple):
    """What is behind a socket of userspace mode's proxy; ``affinity`` is in seconds, 0 for none."""

    targets: tuple[Target, ...]
    affinity: int = 0


def behind(
    objects: str | Path | Iterable[KubeObject], flags: Iterable[str] = FLAGS, **facts: Any
) -> dict[tuple[str, int], Behind]:
    """Return what userspace mode's proxy has behind each of its own sockets, by protocol and port."""
    tracked = Site(objects, "1.21", flags, bare(**facts)).tracked[4]
    found = {}
    for name, port in _sockets(tracked).items():
        portal = tracked.portals[name]
        targets = tuple(one.target for one in tracked.reachable(portal).cluster)
        found[portal.protocol, port] = Behind(targets, portal.affinity)
    return found


def _machine(mode: str, version: str) -> Machine:
    short = era(version).version
    if (mode, short) not in machines:
        known = ", ".join(map(str, machines))
        raise ObjectError(f"{mode} {short} is none of {known}", what="kube-proxy", path="mode")
    return Machine(mode, short)


def _before() -> dict[str, Any]:
    """Return the facts of data/kube-proxy's node as they were before kube-proxy ran on it."""
    found = facts_of(FOLDER)
    return found | {"sysctls": {**found["sysctls"], LOCALNET: "0"}}


def _is_node(one: KubeObject, config: Config) -> TypeGuard[Node]:
    """Whether an object is this node's own; without a name given, the first node's is."""
    return isinstance(one, Node) and config.hostname in ("", one.name)


def with_node(objects: list[KubeObject], config: Config) -> list[KubeObject]:
    """Add the node's own object where it is missing: its first address of each family."""
    if any(_is_node(one, config) for one in objects):
        return objects
    first = {one.version: one for one in reversed(config.addresses)}
    return [Node(config.hostname, tuple(first[f] for f in sorted(first))), *objects]


# ── What each mode leaves ───────────────────────────────────────────────────────────


class Site:
    """What a mode is given: the objects as each family's proxier holds them, on the bare node."""

    def __init__(
        self,
        objects: str | Path | Iterable[KubeObject],
        version: str,
        flags: Iterable[str],
        empty: Host,
    ) -> None:
        self.era, self.addresses = era(version), empty.routing.local
        outer = (one.address for one in empty.routing.interfaces if not one.address.is_loopback)
        self.config = Config.from_flags(flags, dict.fromkeys(outer))
        self.objects = with_node(objects_of(objects), self.config)
        self.node = next(one for one in self.objects if _is_node(one, self.config))
        self.families = self.config.families(self.era, self.node)
        self.tracked = {
            one: Tracked(self.config, self.era, one, self.objects) for one in self.families
        }

    def held(self) -> Iterator[str]:
        """Yield the sockets that hold nodePorts, up to 1.22, and those that answer health checks."""
        for tracked in self.tracked.values():
            for portal in tracked.portals.values():
                if portal.node_port and not self.era.external and portal.protocol != "sctp":
                    yield f"{portal.protocol}:{portal.node_port}"
                if portal.health_port:
                    yield f"tcp:{portal.health_port}"

    def served_here(self) -> Iterator[str]:
        """Yield the sockets of endpoints that have the node's own address."""
        for tracked in self.tracked.values():
            for name, found in tracked.backends.items():
                protocol = name.protocol.lower()
                if protocol != "sctp":
                    here = (one for one in found if one.address in self.addresses)
                    yield from (f"{protocol}:{one.target}" for one in here)


@dataclass(frozen=True)
class _Left:
    """What a mode leaves on a node; ``addresses`` are kube-ipvs0's, ``listening`` as ``Host`` has it."""

    rulesets: tuple[Ruleset | nft.Ruleset, ...]
    sysctls: Mapping[str, str | int] = field(default_factory=dict)
    listening: tuple[str, ...] = ()
    addresses: tuple[Any, ...] = ()
    ipsets: Mapping[str, IpSet] = field(default_factory=dict)
    virtual_servers: tuple[VirtualServer, ...] = ()


def _iptables(site: Site) -> _Left:
    rulesets = tuple(
        iptables.loaded(iptables.Rules(tracked).whole(), site.era, family)
        for family, tracked in site.tracked.items()
    )
    opened = site.config.localhost_node_ports(4) if site.era.external else True
    return _Left(rulesets, {LOCALNET: 1} if opened else {}, tuple(site.held()))


def _nftables(site: Site) -> _Left:
    ruleset = nftables.desired(site.objects, site.config, site.era, site.families)
    return _Left((ruleset,), listening=tuple(site.held()))


def _ipvs(site: Site) -> _Left:
    wanted = {family: ipvs.computed(tracked) for family, tracked in site.tracked.items()}
    sets = {name: one for each in wanted.values() for name, one in each.sets.items()}
    state = found_on(Host(ipsets=sets))
    for family, each in wanted.items():
        program = ipvs.mode.PROGRAMS[family]
        state = _done(state, *ipvs.prepared(site.era, family))
        state = run(state, [f"{program}-restore", "--noflush"], stdin=each.rules).state
    return _Left(
        tuple(state.rulesets.values()),
        ipvs.sysctls(site.config, site.era),
        tuple(site.held()),
        tuple(address for each in wanted.values() for address in each.addresses),
        sets,
        tuple(server for each in wanted.values() for server in each.virtual_servers),
    )


def _userspace(site: Site) -> _Left:
    ports = _sockets(site.tracked[4])  # this mode serves one family
    services = [one for one in site.objects if isinstance(one, Service)]
    node_ip = next((one for one in site.node.addresses if one.version == 4), _NOWHERE)
    made = [words for make, jump in userspace.prepared() for words in (make, jump.command())]
    rules: dict[str, list[str]] = {}
    for rule in userspace.wanted(services, ports, node_ip):
        rules.setdefault(rule.table, []).append(f"{rule.verb} {rule.chain} {quoted(rule.words)}\n")
    text = save(_done(State(), *made).ruleset())  # read as a dump: a rule is decoded when it is met
    for table, lines in rules.items():
        head, star, rest = text.partition(f"*{table}\n")
        text = head + star + rest.replace("COMMIT\n", "".join(lines) + "COMMIT\n", 1)
    sockets = (f"{name.protocol.lower()}:{port}" for name, port in ports.items())
    return _Left((parse(text),), listening=(*sockets, *site.held()))


def _sockets(tracked: Tracked) -> dict[PortName, int]:
    """Return the ports of userspace mode's own sockets."""
    portals = tracked.portals.values()
    served = [one.name for one in portals if one.protocol in userspace.rules.PROTOCOLS]
    return {name: FIRST_SOCKET + at for at, name in enumerate(served)}


def _done(state: State, *commands: list[str]) -> State:
    for words in commands:
        done = run(state, words)
        assert not done.status or words[1] == "-N", done.stderr  # a chain may be there already
        state = done.state
    return state


_MODES = {"userspace": _userspace, "iptables": _iptables, "ipvs": _ipvs, "nftables": _nftables}
