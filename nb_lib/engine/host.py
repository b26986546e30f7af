"""A host: rulesets, addresses, routes, settings, and what it remembers between packets."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nb_lib.engine.chance import Chooser, Script, Seeded
from nb_lib.engine.conntrack import Conntrack
from nb_lib.engine.crossing import Waiting
from nb_lib.engine.entry import Entry
from nb_lib.engine.index import ChainIndex
from nb_lib.engine.ipvs.connections import Balancer
from nb_lib.engine.link import layer_name, make_links
from nb_lib.engine.nft.tables import Nftables
from nb_lib.engine.path import Events
from nb_lib.engine.propose import Hints, hints, propose
from nb_lib.engine.routing import Interface, RouteEntry, Routing, make_interface, make_route
from nb_lib.engine.state import State
from nb_lib.errors import HostError, LimitError
from nb_lib.net import BITS
from nb_lib.packet import Packet
from nb_lib.rules import Counters, Ruleset, Table
from nb_lib.text import nft, uses
from nb_lib.text.ipset import IpSet
from nb_lib.text.ipvs import VirtualServer
from nb_lib.trace import Event, Exploration, Fate, Place, Trace

MAX_WAYS = 4096
MAX_DRAWS = 100_000  # on all ways together: a chain of 400 draws, each of which may end it

# What a host is that was told nothing else: a router on Ethernet without source checks.
FACTS = {"mtu": 1500}
SYSCTLS = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}


class Run:
    """A packet on its way: the engine's generator, and what it has told."""

    def __init__(self, packet: Packet, way: Events, assumed: tuple[str, ...], origin: str) -> None:
        self._way = way
        self._events: list[Event] = []
        self._fate: Fate | None = None
        self._told = (packet, assumed, origin)

    def go(self, until: type[Event] | None = None) -> None:
        """Go on to the end, or to an event of this kind, which no trace holds."""
        while self._fate is None:
            try:
                event = next(self._way)
            except StopIteration as stop:
                self._fate = stop.value
                return
            if until is not None and isinstance(event, until):
                return
            if not isinstance(event, Waiting):
                self._events.append(event)

    def trace(self) -> Trace:
        """Return the whole way."""
        assert self._fate is not None
        packet, assumed, origin = self._told
        return Trace(packet, tuple(self._events), self._fate, assumed=assumed, origin=origin)


class Host:
    """One machine that packets come to, pass through, or start from.

    ``rulesets`` is a Ruleset or several, at most one a family, and what nft lists (``text.nft.read_json``)
    beside them. A family may have two, of iptables-legacy and of iptables-nft, in the order in which they
    were loaded: of two at one priority the later is met first. iptables-nft's tables are then named as nft
    names them, ``ip filter``.

    ``addresses`` maps a device to its addresses (``{"eth0": ["10.0.0.1/24"]}``) or is what
    ``read_addresses`` returned; ``routes`` maps a network to a device, ``"DEVICE"`` or ``"DEVICE via
    GATEWAY"``, or is what ``read_routes`` returned; ``"default fwmark 0x1/0xff"`` is a route for packets
    with that mark, as ``ip rule`` makes it, and ``"local default"`` one that ends here. Where no address is
    given, addresses and routes are proposed from the rules and the packet, and each trace lists what was
    assumed. ``bridges`` maps a bridge to its Ethernet address and its ports (``{"br0": {"mac":
    "02:00:00:00:0c:00", "ports": ["p0", "p1"]}}``; a mapping gives the ports' own addresses; ``"hairpin"``
    names the ports in hairpin mode), ``neighbours`` an IP address to an Ethernet address. ``sysctls`` are
    named as sysctl(8) does. ``facts`` are what no header holds: ``uid`` of the sender, ``mtu`` (1500 unless
    given), ``listening`` (``("tcp:80", "udp:10.0.0.1:53")``: the host then answers as its stack does) and
    the like; ``resolves_clashes`` is false for Linux before 5.7. ``virtual_servers`` are IPVS's, as
    ``parse_ipvs`` reads them.
    ``seed`` fixes every draw; ``now`` is the clock in seconds since the epoch, moved by ``wait``.

    Raises HostError for facts that do not fit together.
    """

    def __init__(
        self,
        rulesets: Ruleset | nft.Ruleset | Iterable[Ruleset | nft.Ruleset] = (),
        *,
        addresses: Mapping[str, Iterable[str] | str] | Iterable[Interface] = (),
        routes: Mapping[str, str] | Iterable[RouteEntry] = (),
        sysctls: Mapping[str, str | int] | None = None,
        ipsets: Mapping[str, IpSet] | None = None,
        virtual_servers: Iterable[VirtualServer] = (),
        bridges: Mapping[str, Mapping[str, Any]] | None = None,
        neighbours: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
        seed: int = 0,
        now: float = 1_700_000_000.0,
    ) -> None:
        given = (rulesets,) if isinstance(rulesets, Ruleset | nft.Ruleset) else tuple(rulesets)
        mine = [ruleset for ruleset in given if isinstance(ruleset, Ruleset)]
        written, newer = _second(mine)
        self.rulesets = {ruleset.family: ruleset for ruleset in mine if ruleset not in written}
        if len(self.rulesets) + len(written) < len(mine):
            raise HostError("two rulesets of one family: a host has one IPv4 and one IPv6 ruleset")
        tables = tuple(t for each in given if isinstance(each, nft.Ruleset) for t in each)
        beside = tables or written
        self.nftables = Nftables(nft.Ruleset(tables), now, written, newer=newer) if beside else None
        settings = {**SYSCTLS, **{name: str(value) for name, value in (sysctls or {}).items()}}
        self.routing = Routing(_interfaces(addresses), _routes(routes), settings)
        self.state = State(sets=dict(ipsets or {}), facts={**FACTS, **(facts or {})}, now=now,
                           random=random.Random(seed), ipvs=_balancer(virtual_servers))  # fmt: skip
        self.links = make_links(bridges or {}, neighbours or {})
        self._indexes: dict[int, dict[tuple[str, str], ChainIndex]] = {}
        self._needs: dict[tuple[int, str], bool] = {}
        self._hints: dict[int, Hints] = {}

    # --- what it is ---

    @property
    def ruleset(self) -> Ruleset:
        """The IPv4 ruleset, or the only one."""
        return self.rulesets.get(4) or next(iter(self.rulesets.values()), Ruleset())

    @property
    def conntrack(self) -> Conntrack:
        """The table of connections."""
        return self.state.conntrack

    @property
    def ipvs(self) -> Balancer | None:
        """The load balancer, None without virtual servers; its text is what ``ipvsadm -Ln`` prints."""
        return self.state.ipvs

    @property
    def now(self) -> float:
        """The host's clock, in seconds since the epoch."""
        return self.state.now

    def family(self, family: int) -> Ruleset:
        """Return the ruleset of a family, an empty one if there is none."""
        return self.rulesets.get(family) or Ruleset(family, backend=self.ruleset.backend)

    def indexes(self, family: int) -> dict[tuple[str, str], ChainIndex]:
        """Return what is known of where a packet has to look in long chains."""
        return self._indexes.setdefault(family, {})

    def hints(self, family: int) -> Hints:
        """Return what a family's rules say of where things lie, for a host that knows no addresses."""
        if family not in self._hints:
            self._hints[family] = hints(self.family(family))
        return self._hints[family]

    def apart(self) -> Host:
        """Return this host with a memory of its own from now on."""
        other = copy.copy(self)
        other.state = self.state.fork()
        return other

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.state.now += seconds
        self.state.conntrack.expire(self.state.now)
        if self.state.ipvs is not None:
            self.state.ipvs.expire(self.state.now)

    def with_ruleset(self, ruleset: Ruleset) -> Host:
        """Return this host with another ruleset and the same memory: what a restore does."""
        other = copy.copy(self)
        other.rulesets = {**self.rulesets, ruleset.family: ruleset}
        other.__dict__ |= {"_indexes": {}, "_needs": {}, "_hints": {}}  # they know the old rules
        return other

    def with_nftables(self, ruleset: nft.Ruleset) -> Host:
        """Return this host with another nft ruleset and the same memory."""
        other = self.with_ruleset(self.ruleset)
        other.nftables = Nftables(ruleset, self.now)
        return other

    def with_sysctls(self, **changes: str | int) -> Host:
        """Return this host with other settings; ``__`` in a name stands for a dot."""
        other = self.with_ruleset(self.ruleset)
        named = {name.replace("__", "."): str(value) for name, value in changes.items()}
        other.routing = replace(self.routing, sysctls={**self.routing.sysctls, **named})
        return other

    def with_virtual_servers(self, servers: Iterable[VirtualServer]) -> Host:
        """Return this host with other virtual servers; the connections that IPVS knows stay."""
        other = self.with_ruleset(self.ruleset)
        held = self.state.ipvs
        ipvs = _balancer(servers) if held is None else held.with_services(servers)
        other.state = replace(self.state, ipvs=ipvs)
        return other

    def tracks(self, family: int) -> bool:
        """Whether some rule makes the kernel track connections of this family."""
        return self._need(family, "conntrack")

    def gathers(self, family: int) -> bool:
        """Whether some rule makes the kernel put fragments together before the tables see them."""
        return self.tracks(family) or self._need(family, "defrag")

    def _need(self, family: int, feature: str) -> bool:
        known = self._needs.get((family, feature))
        if known is None:
            ruleset = self.rulesets.get(family)
            known = ruleset is not None and uses(ruleset, feature)
            known = known or (self.nftables is not None and self.nftables.tracks(family))
            second = self.nftables.written.get(family) if self.nftables else None
            known = known or (second is not None and uses(second, feature))
            self._needs[family, feature] = known
        return known

    def counted(self, family: int = 4) -> Ruleset:
        """Return the ruleset with the counters that this host's packets have moved."""
        ruleset = self.rulesets[family]
        for table in ruleset:
            name = layer_name(family, table.name)
            ruleset = ruleset.replace(_counted(table, name, self.state.counters))
        return ruleset

    def listed(self) -> nft.Ruleset:
        """Return what ``nft list ruleset`` would show now: with what packets have put into sets."""
        held = self.nftables
        return nft.Ruleset() if held is None else held.listed(self.state.memory, self.now)

    # --- what it does ---

    def receive(self, packet: Packet, interface: str) -> Trace:
        """Take a packet in by ``interface`` and return its way through the host."""
        return self._run(packet, interface, self.state, Seeded(self.state.random))

    def send(self, packet: Packet, *, broadcast: bool = False) -> Trace:
        """Send a packet from the host itself and return its way out."""
        return self._run(packet, "", self.state, Seeded(self.state.random), broadcast=broadcast)

    def race(self, *packets: Packet, interface: str) -> tuple[Trace, ...]:
        """Take packets in that are under way at once, on several processors: return their ways, in order.

        Each gets as far as conntrack's confirmation before the first is confirmed, so none of them sees
        an entry of another's.
        """
        runs = [self._start(packet, interface, self.state, Seeded(self.state.random), waits=True)
                for packet in packets]  # fmt: skip
        for run in runs:
            run.go(Waiting)
        for run in runs:
            run.go()
        return tuple(run.trace() for run in runs)

    def explore(self, packet: Packet, interface: str = "") -> Exploration:
        """Return every way that chance can take, with exact probabilities; nothing is remembered.

        Without ``interface`` the packet is the host's own. Raises LimitError for more than 4,096 ways.
        """
        traces: list[Trace] = []
        plan: tuple[bool, ...] | None = ()
        draws = 0
        while plan is not None:
            if len(traces) >= MAX_WAYS or draws > MAX_DRAWS:
                many = (
                    f"{MAX_WAYS} ways" if draws <= MAX_DRAWS else f"{MAX_DRAWS:,} draws on all ways"
                )
                raise LimitError(f"more than {many}: trace one packet at a time instead")
            state = self.state.fork()
            script = Script(plan, state.random)
            trace = self._run(packet, interface, state, script)
            traces.append(replace(trace, probability=script.probability))
            plan = script.following()
            draws += len(script.taken)
        return Exploration(tuple(traces))

    def _run(self, packet: Packet, interface: str, state: State, chooser: Chooser, *,
             broadcast: bool = False) -> Trace:  # fmt: skip
        run = self._start(packet, interface, state, chooser, broadcast=broadcast)
        run.go()
        return run.trace()

    def _start(self, packet: Packet, interface: str, state: State, chooser: Chooser, *,
               broadcast: bool = False, waits: bool = False) -> Run:  # fmt: skip
        family = packet.family
        routing = self.routing
        assumed: tuple[str, ...] = ()
        known = any(i.address.version == family for i in routing.interfaces)
        if family in BITS and not (known or self.links.bridge_of(interface)):
            routing, assumed = propose(routing, self.hints(family), packet, interface)
        entry = Entry(self, routing, state, chooser, waits=waits)
        way = (
            entry.receive(packet, interface)
            if interface
            else entry.send(packet, broadcast=broadcast)
        )
        return Run(packet, way, assumed, interface)


def _balancer(servers: Iterable[VirtualServer]) -> Balancer | None:
    """IPVS stands at its hooks only where it has virtual servers: ip_vs_ctl.c ip_vs_register_hooks()."""
    given = tuple(servers)
    return Balancer(given) if given else None


def _interfaces(
    given: Mapping[str, Iterable[str] | str] | Iterable[Interface],
) -> tuple[Interface, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    return tuple(
        make_interface(device, text)
        for device, texts in given.items()
        for text in ([texts] if isinstance(texts, str) else texts)
    )


def _routes(given: Mapping[str, str] | Iterable[RouteEntry]) -> tuple[RouteEntry, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    found = []
    for key, text in given.items():
        where, _, mark = key.partition(" fwmark ")
        kind, net = where.split() if " " in where else ("unicast", where)
        device, _, via = text.partition(" via ")
        found.append(make_route(net, device, via=via or None, kind=kind, mark=mark))
    return tuple(found)


def _second(rulesets: list[Ruleset]) -> tuple[list[Ruleset], bool]:
    """Return iptables-nft's rulesets of families that have one of legacy's, and whether they came later."""
    legacy = {r.family: at for at, r in enumerate(rulesets) if r.backend == "legacy"}
    second = [(at, r) for at, r in enumerate(rulesets) if r.backend == "nft" and r.family in legacy]
    newer = any(at > legacy[ruleset.family] for at, ruleset in second)
    return [ruleset for _, ruleset in second], newer


def _counted(table: Table, name: str, counters: Mapping[Place, tuple[int, int]]) -> Table:
    for chain in table:
        rules = list(chain.rules)
        for number, rule in enumerate(rules, 1):
            more = counters.get(Place(name, chain.name, number))
            if more:
                rules[number - 1] = rule._replace(counters=_add(rule.counters, more))
        policy = counters.get(Place(name, chain.name, 0), (0, 0))
        table = table.replace(
            replace(chain, rules=tuple(rules), counters=_add(chain.counters, policy))
        )
    return table


def _add(counters: Counters, more: tuple[int, int]) -> Counters:
    return Counters(counters.packets + more[0], counters.bytes + more[1])
