"""Packets that a dump suggests: its Services, what it publishes, lets in, and masquerades.

Addresses that the dump does not tell are documentation's (RFC 5737, RFC 3849), so that nobody takes them for
the reader's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from nb_lib.engine import Host
from nb_lib.engine.propose import outer
from nb_lib.engine.routing import first_host
from nb_lib.errors import NbError
from nb_lib.kubeproxy.fronts import fronts
from nb_lib.net import BITS, Net, make_address
from nb_lib.rules import Chain, Rule, Ruleset
from nb_lib.sample import samples
from nb_lib.text import rule_text

STRANGER = {4: "203.0.113.9", 6: "2001:db8:9::9"}
HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
_FAMILIES = {4: "ip", 6: "ip6"}
SOME = 3  # of each sort
MOST = 12
LOOKED_AT = 400  # rules of a chain
_IN_USE = ("KUBE-SERVICES", "KUBE-NODEPORTS", "DOCKER", "INPUT")


class Proposal(NamedTuple):
    """A question worth asking, and what it is about."""

    about: str
    line: str


def proposals(host: Host) -> list[Proposal]:
    """Return packets that the rules of a host have something to say to."""
    found: dict[str, Proposal] = {}
    for family in STRANGER:
        for one in _Seen(host, family).proposals():
            found.setdefault(one.line, one)
    listing = host.nftables
    if len(found) <= SOME and listing is not None:
        for sample in samples(listing.ruleset, 6, 3):
            found.setdefault(line := _line(sample), Proposal("drawn for these rules", line))
    return [*found.values()][:MOST]


def devices(host: Host) -> list[str]:
    """Return the interfaces that a packet may come by: those of ``ip addr``, then those of rules."""
    known = dict.fromkeys(one.device for one in host.routing.interfaces)
    for ruleset in host.rulesets.values():
        for chain in _chains(ruleset):
            for rule in _readable(chain):
                core = rule.core.settings
                named = (str(core[name].value) for name in ("-i", "-o") if name in core)
                known |= dict.fromkeys(name for name in named if not name.endswith("+"))
    return [*known][:40] or ["eth0"]


class _Place:
    """A host that questions are asked of: its address, and the interface towards the world."""

    def __init__(self, host: Host, family: int, outside: str = "") -> None:
        self.family = family
        known = outer(host.routing, family)
        self.here = str(known.address) if known else HERE[family]
        self.outside = known.device if known else outside or "eth0"

    def usual(self) -> Iterator[Proposal]:
        """Yield what may be asked of any host."""
        six = ", IPv6" if self.family == 6 else ""
        yield self.in_(f"SSH from a stranger{six}", "tcp", self.here, 22)
        yield self.out(f"this host calls the world{six}", "tcp", STRANGER[self.family], 443)
        if self.family == 4:
            ping = f"in {self.outside} icmp {STRANGER[4]} {self.here}"
            yield Proposal("a ping from a stranger", ping)

    def service(self, name: str, proto: str, address: str, port: int) -> Iterator[Proposal]:
        """Yield questions about a Service's address."""
        yield self.out(f"this host calls {name}", proto, address, port)
        yield self.in_(f"{name} from outside", proto, address, port)

    def node_port(self, name: str, proto: str, port: int) -> Iterator[Proposal]:
        """Yield questions about a Service's nodePort."""
        about = f"{name}, nodePort {port},"
        yield self.in_(f"{about} from outside", proto, self.here, port)
        if self.family == 4:
            yield _local(about, proto, "127.0.0.1", port)

    def out(self, about: str, proto: str, dst: str, port: int) -> Proposal:
        """Return the question whether this host reaches an address."""
        return Proposal(about, f"local {proto} {_end(self.here, 40000)} {_end(dst, port)}")

    def in_(self, about: str, proto: str, dst: str, port: int) -> Proposal:
        """Return the question whether a stranger reaches an address."""
        stranger = _end(STRANGER[self.family], 40000)
        return Proposal(about, f"in {self.outside} {proto} {stranger} {_end(dst, port)}")


class _Seen:
    """What the rules of one family say of packets."""

    def __init__(self, host: Host, family: int) -> None:
        self.host, self.family, self.ruleset = host, family, host.family(family)
        self.place = _Place(host, family, self._masquerading())
        self.here = self.place.here

    def proposals(self) -> Iterator[Proposal]:
        """Yield questions, those first that the rules say most of."""
        yield from islice(self._node_ports(), 2 * SOME)
        yield from islice(self._services(), SOME)
        yield from islice(self._published(), SOME)
        yield from islice(self._let_in(), SOME)
        yield from islice(self._masqueraded(), 2)
        if self.ruleset.tables or self._listed():
            yield from self.place.usual()

    def _listed(self) -> bool:
        """Whether nft lists rules for this family alone."""
        listing = self.host.nftables.ruleset if self.host.nftables is not None else ()
        return any(chain.rules for table in listing if table.family == _FAMILIES[self.family]
                   for chain in table.chains)  # fmt: skip

    def _services(self) -> Iterator[Proposal]:
        for one in fronts(self.host, self.family, LOOKED_AT):
            if one.address is not None:
                yield from self.place.service(
                    one.service or "a Service", one.protocol, str(one.address), one.port
                )

    def _node_ports(self) -> Iterator[Proposal]:
        for one in fronts(self.host, self.family, LOOKED_AT):
            if one.address is None:
                yield from self.place.node_port(one.service or "a Service", one.protocol, one.port)

    def _published(self) -> Iterator[Proposal]:
        for chain in ("DOCKER", "CNI-HOSTPORT-DNAT", "NETAVARK-HOSTPORT-DNAT", "PREROUTING"):
            for rule in self._rules("nat", chain):
                found, target = _wanted(rule), rule.target.name if rule.target else ""
                if found and (target in ("DNAT", "REDIRECT") or rule.jump):
                    proto, net, port = found
                    dst = _at(net) if net else self.here
                    own = dst.startswith("127.")
                    yield (_local if own else self.place.in_)(
                        f"published port {port}", proto, dst, port
                    )

    def _let_in(self) -> Iterator[Proposal]:
        for name in ("INPUT", "ufw-user-input", "ufw6-user-input", "IN_public_allow"):
            for rule in self._rules("filter", name):
                found = _wanted(rule)
                if found and rule.target and rule.target.name in ("ACCEPT", "DROP", "REJECT"):
                    yield self.place.in_(
                        f"port {found[2]}, {rule.target.name} in {name}",
                        found[0],
                        self.here,
                        found[2],
                    )

    def _masqueraded(self) -> Iterator[Proposal]:
        for rule in self._rules("nat", "POSTROUTING"):
            core = rule.core.settings
            source, out = core.get("-s"), core.get("-o")
            if rule.target and rule.target.name == "MASQUERADE" and source and not source.inverted:
                net = source.value
                device = str(out.value) if out and out.inverted else ""
                if isinstance(net, Net) and device:
                    ends = f"{_end(_second(net), 40000)} {_end(STRANGER[self.family], 443)}"
                    yield Proposal(f"from {net} to the world", f"in {device} tcp {ends}")

    def _masquerading(self) -> str:
        """Return the device towards the world, as rules name it."""
        for rule in self._rules("nat", "POSTROUTING"):
            out = rule.core.settings.get("-o")
            if (
                rule.target
                and rule.target.name in ("MASQUERADE", "SNAT")
                and out
                and not out.inverted
            ):
                return str(out.value).replace("+", "0")
        return ""

    def _rules(self, table: str, chain: str) -> Iterator[Rule]:
        found = self.ruleset.tables.get(table)
        if found is not None and chain in found:
            yield from _readable(found[chain])


def _local(about: str, proto: str, dst: str, port: int) -> Proposal:
    """Return the question whether this host reaches itself."""
    return Proposal(f"{about} on localhost", f"local {proto} {_end(dst, 40000)} {_end(dst, port)}")


def _wanted(rule: Rule) -> tuple[str, Net | None, int] | None:
    """Return protocol, destination and port that a rule asks for, None if it names no port."""
    text = rule_text(rule)
    port = re.search(r"(?<!! )--dports? (\d+)", text)
    proto = re.search(r"(?<!! )-p (tcp|udp)\b", text)
    if not port or not proto:
        return None
    setting = rule.core.settings.get("-d")
    net: Any = setting.value if setting and not setting.inverted else None
    return proto[1], net, int(port[1])


def _chains(ruleset: Ruleset) -> Iterator[Chain]:
    for name in ("filter", "nat"):
        for chain in ruleset.tables.get(name, ()):
            if chain.builtin or chain.name in _IN_USE:
                yield chain


def _readable(chain: Chain) -> Iterator[Rule]:
    for at in range(min(len(chain.rules), LOOKED_AT)):
        try:
            yield chain.rules[at]
        except NbError:
            continue


def _at(net: Net) -> str:
    """Return the address that a network is, or the first in it."""
    alone = net.mask == (1 << BITS[net.family]) - 1
    return str(make_address(net.family, net.value) if alone else first_host(net))


def _second(net: Net) -> str:
    """Return an address in a network that is not its gateway by custom."""
    return str(first_host(net) + 1)


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _line(sample: Any) -> str:
    way = f"in {sample.interface}" if sample.interface else "local"
    ends = (str(sample.src), str(sample.dst))
    if sample.proto != "icmp":
        ends = _end(ends[0], sample.sport), _end(ends[1], sample.dport)
    return f"{way} {sample.proto} {ends[0]} {ends[1]}"
