"""The same Services on several machines, and what each does with the same packets.

Every answer is computed by sending packets through a node. Chance is explored. What takes turns is asked for
one whole round: IPVS by as many connections as its servers weigh, userspace mode by its own balancer. There
the packet ends in kube-proxy, and a second one sets out from the node: whom the endpoint sees follows from
routing alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from nb_lib.engine import Host
from nb_lib.errors import ObjectError
from nb_lib.headers import RST, TCP
from nb_lib.kubeproxy.compared import (
    NODE,
    ONWARD,
    REACHED,
    REFUSED,
    SILENCE,
    UNDECIDED,
    Answer,
    Comparison,
    End,
    Machine,
    Question,
    Row,
    Size,
)
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.nodes import FLAGS, Behind, Site, bare, behind, machines, node, objects_of
from nb_lib.kubeproxy.objects import KubeObject, Service, ServicePort
from nb_lib.kubeproxy.services import skipped
from nb_lib.kubeproxy.userspace.proxy import RoundRobin
from nb_lib.packet import Packet, endpoint, icmp, tcp, udp
from nb_lib.trace import Balanced, Exploration, Lost, Route, Trace

CHANCE, TURN = "by chance", "in turn"
THAN = Machine("iptables", "1.30")
MOST_TURNS = 1_000
_PORT = 40_000  # the clients'
_UNREACHABLE = 3  # the ICMP error that a closed port is answered with


class Client(NamedTuple):
    """Who calls: an address, and the interface by which its packets come; empty for the node itself."""

    address: str
    interface: str = ""


# Of data/kube-proxy's node.
CLIENTS: Mapping[str, Client] = {
    "pod": Client("10.244.1.200", "veth0"),
    "outside": Client("10.20.0.200", "eth1"),
    "node": Client("10.20.0.10"),
}


def compare(
    objects: str | Path | Iterable[KubeObject],
    questions: Iterable[Question] | None = None,
    among: Iterable[tuple[str, str]] = machines,
    *,
    than: tuple[str, str] = THAN,
    flags: Iterable[str] = FLAGS,
    **facts: Any,
) -> Comparison:
    """Put questions to several machines that serve the same objects.

    Without ``questions`` those of ``questions_about`` are put. ``than`` is the machine that differences are
    counted from, the first if it is not among them. ``objects``, ``flags`` and ``facts`` are ``node``'s.
    Raises as ``node`` does.
    """
    held, options = objects_of(objects), {"flags": tuple(flags), **facts}
    asked = tuple(questions_about(held, **options) if questions is None else questions)
    proxied = behind(held, **options)
    rows = tuple(_row(Machine(*one), held, asked, proxied, options) for one in among)
    if not rows:
        raise ObjectError("there are no machines", what="comparison", path="among")
    known = [row.machine for row in rows]
    return Comparison(asked, rows, Machine(*than) if Machine(*than) in known else known[0])


def _row(machine: Machine, objects: list[KubeObject], questions: Sequence[Question],
         proxied: Mapping[tuple[str, int], Behind], options: Mapping[str, Any]) -> Row:  # fmt: skip
    host, empty = node(objects, *machine, **options), node((), *machine, **options)
    sockets = proxied if machine.mode == "userspace" else {}
    asker = Asker(host, sockets)
    answers = tuple(asker.answer(question) for question in questions)
    return Row(machine, size(host, len(sockets)), size(empty), answers)


# ── What is asked ───────────────────────────────────────────────────────────────────


def questions_about(
    objects: str | Path | Iterable[KubeObject],
    service: str = "",
    clients: Mapping[str, Client] = CLIENTS,
    *,
    flags: Iterable[str] = FLAGS,
    **facts: Any,
) -> list[Question]:
    """Return what readers ask of one Service: ``namespace/name``, or the one that answers in most places.

    ``clients`` are named ``pod``, ``outside`` and ``node``; ``flags`` and ``facts`` are ``node``'s. Raises
    ObjectError for a Service that is not there, or that kube-proxy does not serve.
    """
    empty = bare(**facts)
    site = Site(objects, THAN.version, flags, empty)
    return list(_Asking(site, _service(site.objects, service), clients, empty).all())


def _service(objects: Iterable[KubeObject], name: str) -> Service:
    found = [one for one in objects if isinstance(one, Service) and not skipped(one)]
    found = [one for one in found if _asked_ports(one) and name in ("", str(one.key))]
    if not found:
        reason = "no such Service is served at a port of TCP or UDP"
        raise ObjectError(reason, what=f"Service {name}".rstrip(), path="")
    return max(found, key=_places)


def _asked_ports(one: Service) -> list[ServicePort]:
    """Return the ports that a question may be put to."""
    return [port for port in one.ports if port.protocol in ("TCP", "UDP")]


def _places(one: Service) -> tuple[int, bool, bool]:
    """Count where a Service answers; the API server's own comes last."""
    outer = len(one.external_ips) + len(one.ingress)
    return outer, bool(_asked_ports(one)[0].node_port), str(one.key) != "default/kubernetes"


class _Asking:
    """What is asked of one Service at its first port of TCP or UDP."""

    def __init__(
        self, site: Site, service: Service, clients: Mapping[str, Client], empty: Host
    ) -> None:
        self.site, self.service, self.clients, self.empty = site, service, clients, empty
        self.port, address = _asked_ports(service)[0], service.cluster_ip(4)
        self.make = udp if self.port.protocol == "UDP" else tcp
        if address is None:
            what, path = f"Service {service.key}", "spec.clusterIP"
            raise ObjectError("it has no IPv4 address", what=what, path=path)
        self.cluster_ip = str(address)

    def all(self) -> Iterator[Question]:
        for who in ("pod", "outside", "node"):
            yield self.call(who, self.cluster_ip, "ClusterIP")
        yield from self._hairpin()
        yield from self._node_ports()
        outer = [("external IP", one) for one in self.service.external_ips[:1]]
        outer += [("load balancer's IP", one.ip) for one in self.service.ingress[:1] if one.ip]
        for name, address in outer:
            for who in ("outside", "pod", "node"):
                yield self.call(who, str(address), name)
        yield self.call("pod", self.cluster_ip, "ClusterIP, again after a minute", again=60.0)
        yield self.call("pod", self.cluster_ip, "ClusterIP, another port", self.port.port + 1)
        pod = self.clients["pod"]
        ping = icmp(pod.address, self.cluster_ip)
        yield Question("pod pings the ClusterIP", ping, pod.interface)

    def call(
        self, who: str, address: str, name: str, port: int = 0, again: float | None = None
    ) -> Question:
        client = self.clients[who]
        where = f"{address}:{port or self.port.port}"
        packet = self.make(f"{client.address}:{_PORT}", where)
        return Question(f"{who} → {name}", packet, client.interface, again)

    def _node_ports(self) -> Iterator[Question]:
        """At the address that Kubernetes knows, at another one of the node's, and at its loopback."""
        port = self.port.node_port
        mine = [one for one in (*self.site.node.addresses, *self.site.config.addresses)
                if port and one.version == 4]  # fmt: skip
        names = ("nodePort", "nodePort, another address")
        for name, address in zip(names, dict.fromkeys(mine), strict=False):
            yield self.call("outside", str(address), name, port)
        if port:
            packet = self.make(f"127.0.0.1:{_PORT}", f"127.0.0.1:{port}")
            yield Question("node → nodePort on localhost", packet)

    def _hairpin(self) -> Iterator[Question]:
        """The first endpoint on this node calls its own Service."""
        name = PortName(self.service.key, self.port.name, self.port.protocol)
        for one in self.site.tracked[4].backends.get(name, ()):
            way = self.empty.routing.output(None, one.address)
            if one.local and one.ready and isinstance(way, Route) and way.interface != "lo":
                packet = self.make(f"{one.address}:{_PORT}", f"{self.cluster_ip}:{self.port.port}")
                yield Question("endpoint → its own Service", packet, way.interface)
                return


# ── What a machine answers ──────────────────────────────────────────────────────────


class Asker:
    """Puts questions to one node; ``proxied`` is what is behind userspace mode's sockets.

    The node remembers nothing of it: every question meets it as it is.
    """

    def __init__(self, host: Host, proxied: Mapping[tuple[str, int], Behind]) -> None:
        self.host, self.proxied = host, proxied

    def answer(self, question: Question) -> Answer:
        """Return how a call ends, with every endpoint's chance, and one way in full."""
        ways = self.host.explore(question.packet, question.interface)
        first = ways[0]
        if behind := self._socket(first):
            ends, own = self._second(first, behind)
            return Answer(
                question, ends, TURN * (len(ends) > 1), self._stays(question), (first, *own)
            )
        drawn = CHANCE if len(ways) > 1 else ""
        if _balanced(first):
            ways, drawn = self._round(question), TURN
        ends = _joined(self._end(trace) for trace in ways)
        drawn = drawn if len(ends) > 1 else ""
        return Answer(question, ends, drawn, self._stays(question), (first,))

    def _end(self, trace: Trace) -> End:
        """Say how one way ends, as the caller notices it."""
        packet, fate, chance = trace.packet, trace.fate, trace.probability
        moved = (packet.dst, packet.dport) != (trace.sent.dst, trace.sent.dport)
        if fate.kind in ("forward", "local") and moved:
            where = endpoint(packet.dst, packet.dport)
            return End(REACHED, where, str(packet.src), self._whose(trace), chance)
        if fate.kind == "forward":
            return End(ONWARD, fate.device, chance=chance)
        if fate.kind == "local":
            return self._at_home(trace)
        if fate.kind in ("reject", "error"):
            return End(REFUSED, str(fate.place or fate.detail), chance=chance)
        if fate.kind in ("drop", "lost"):
            return End(SILENCE, str(fate.place or _reason(trace)), chance=chance)
        return End(UNDECIDED, fate.detail, chance=chance)

    def _at_home(self, trace: Trace) -> End:
        """The packet was for the node itself: a socket takes it, or the stack refuses."""
        chance = trace.probability
        for answer in trace.replies:
            refused = answer.protocol == TCP and (answer.flags or 0) & RST
            if refused or answer.icmp_type == _UNREACHABLE:
                return End(REFUSED, "a closed port of the node", chance=chance)
            where = "its stack" if answer.icmp_type == 0 else "a socket of its own"
            return End(NODE, where, chance=chance)
        return End(NODE, "a socket of its own", chance=chance)

    def _whose(self, trace: Trace) -> str:
        """Say whose address the endpoint sees."""
        if trace.packet.src in self.host.routing.local:
            return "node"
        return "client" if trace.packet.src == trace.sent.src else "other"

    # ── Who takes turns ─────────────────────────────────────────────────────────────

    def _socket(self, trace: Trace) -> Behind | None:
        """Return what is behind the socket of kube-proxy's that a packet was delivered to, if it was."""
        packet = trace.packet
        if trace.fate.kind != "local" or packet.dport is None:
            return None
        return self.proxied.get(("tcp" if packet.protocol == TCP else "udp", packet.dport))

    def _second(self, first: Trace, kept: Behind) -> tuple[tuple[End, ...], tuple[Trace, ...]]:
        """Follow kube-proxy's own connections, one to each endpoint of a round."""
        found, traces = [], []
        for target in kept.targets:
            route = self.host.routing.output(None, target.address)
            source = route.source if isinstance(route, Route) else None
            make = tcp if first.sent.protocol == TCP else udp
            packet = make(f"{source or target.address}:{_PORT}", str(target))
            trace = self.host.explore(packet)[0]
            end = End(REACHED, str(target), str(trace.packet.src), "node")
            arrived = trace.fate.kind in ("forward", "local")
            found.append(end if arrived else self._end(trace))
            traces.append(trace)
        share = Fraction(1, max(1, len(found)))
        ends = _joined(end._replace(chance=share) for end in found)
        nobody = (End(NODE, "kube-proxy, which has no endpoint and hangs up"),)
        return ends or nobody, tuple(traces[:1])

    def _round(self, question: Question) -> Exploration:
        """Send as many connections as IPVS needs for one turn of all its servers; none stays with one."""
        assert self.host.ipvs is not None
        services = self.host.ipvs.services.values()
        alike = (replace(s, persistence=0) for s in services)
        host = self.host.with_virtual_servers(alike).apart()
        asked = host.ipvs.service_of(question.packet) if host.ipvs is not None else None
        turns = sum(one.weight for one in asked.servers) if asked else 1
        found = []
        for at in range(min(turns, MOST_TURNS)):
            packet = question.packet.change(sport=_PORT + at)
            trace = _sent(host, packet, question.interface)
            found.append(replace(trace, probability=Fraction(1, min(turns, MOST_TURNS))))
        return Exploration(tuple(found))

    # ── Who comes back ──────────────────────────────────────────────────────────────

    def _stays(self, question: Question) -> Fraction | None:
        """Return the chance that a client's second call meets the endpoint of its first."""
        if question.again is None:
            return None
        host = self.host.apart()
        first = _sent(host, question.packet, question.interface)
        if kept := self._socket(first):
            return _stays_behind(kept, question.again)
        host.wait(question.again)
        second = question.packet.change(sport=_PORT + 1)
        ways = host.explore(second, question.interface)
        same = (way.probability for way in ways if way.packet.dst == first.packet.dst)
        return sum(same, Fraction(0))


def _stays_behind(kept: Behind, seconds: float) -> Fraction:
    """Ask userspace mode's balancer itself, twice."""
    now = [0.0]
    balancer = RoundRobin(kept.affinity, lambda: now[0])
    balancer.update(kept.targets)
    first = balancer.pick("client")
    now[0] += seconds
    return Fraction(first == balancer.pick("client"))


def _sent(host: Host, packet: Packet, interface: str) -> Trace:
    return host.receive(packet, interface) if interface else host.send(packet)


def _balanced(trace: Trace) -> bool:
    return any(isinstance(event, Balanced) and event.server for event in trace.events)


def _reason(trace: Trace) -> str:
    return next((event.reason for event in trace.events if isinstance(event, Lost)), "")


def _joined(ends: Iterable[End]) -> tuple[End, ...]:
    """Put equal ends together, their chances added."""
    found: dict[End, Fraction] = {}
    for end in ends:
        key = end._replace(chance=Fraction(1))
        found[key] = found.get(key, Fraction(0)) + end.chance
    return tuple(sorted((key._replace(chance=chance) for key, chance in found.items()),
                        key=lambda end: (end.kind, end.where, end.source)))  # fmt: skip


# ── How much it keeps ───────────────────────────────────────────────────────────────


def size(host: Host, sockets: int = 0) -> Size:
    """Count what a machine keeps in the kernel for IPv4; chains without a rule of iptables' own not."""
    ruleset = host.family(4)
    rules = {table.name: sum(len(chain.rules) for chain in table) for table in ruleset}
    chains = sum(not chain.builtin for table in ruleset for chain in table)
    sets = [len(one.members) for one in host.state.sets.values() if one.family == 4]
    for table in host.nftables.ruleset if host.nftables else ():
        if table.family == "ip":
            rules[f"{table.family} {table.name}"] = sum(len(chain.rules) for chain in table.chains)
            chains += len(table.chains)
            sets += [len(one.elements) for one in table.set.values()]
    services = host.ipvs.services.values() if host.ipvs is not None else ()
    mine = [one for one in services if one.family == 4]
    rules = {name: count for name, count in rules.items() if count}
    reals = sum(len(one.servers) for one in mine)
    return Size(rules, chains, len(sets), sum(sets), len(mine), reals, sockets)
