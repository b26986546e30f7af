"""Translated connections that go nowhere, and ports that a container publishes past a firewall."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nb_lib.connection import Address
from nb_lib.diagnose.conditions import Part, known_parts, open_to, parts
from nb_lib.diagnose.finding import WARNING, Diagnosis, Evidence
from nb_lib.diagnose.subject import Found, RulesetView, Subject
from nb_lib.headers import TCP, UDP
from nb_lib.net import parse_address
from nb_lib.packet import endpoint, tcp, udp
from nb_lib.rules import Chain, Rule
from nb_lib.trace import Entered, Matched, Trace

_BLOCKED = ("DROP", "REJECT")
# Targets that let no packet through FORWARD by themselves; of others nobody here is sure.
NO_WAY = frozenset(
    {"DROP", "REJECT", "RETURN", "LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "TCPMSS", "SET"}
)
CLIENT = {4: "203.0.113.77", 6: "2001:db8::77"}  # somebody in the world
_OWN = {4: "192.0.2.1", 6: "2001:db8:1::1"}  # the host, if nobody said its addresses
PORT = 45678
_MOST_LOOKS = 1_000_000  # at rules, for all DNAT together


class Way(NamedTuple):
    """Where a DNAT rule sends a connection; ``port`` and ``protocol`` are 0 if the rule does not say."""

    address: Address
    protocol: int
    port: int


# ── DNAT without a way through FORWARD ──────────────────────────────────────────────


def blocked(subject: Subject) -> Iterator[Diagnosis]:
    """Find DNAT whose connections no rule of FORWARD can let through."""
    for view in subject.rulesets:
        forward, nat = view.chain("filter", "FORWARD"), view.table("nat")
        if forward is None or nat is None or not (end := end_of(view, forward)):
            continue
        if not view.whole(view.ruleset["filter"]):
            continue  # what cannot be read may be what lets it through
        reached = view.reached(nat)
        doors = _Doors(_open(view, forward, end))
        for found in view.every(nat):
            way = way_of(found.rule)
            if way is None or "PREROUTING" not in reached.get(found.chain.name, ()):
                continue
            if not subject.host.routing.is_local(way.address) and doors.shut(way, subject):
                yield _blocked(subject, view, found, way, end)


class _Doors:
    """The rules that may accept what is forwarded, by the one address that they name, if it is one."""

    def __init__(self, rules: Iterator[Rule]) -> None:
        self._of: dict[Address | None, list[tuple[Part, ...]]] = {}
        for rule in rules:
            to = rule.core.settings.get("-d")
            host = to.value.host if to is not None and not to.inverted else None
            self._of.setdefault(host, []).append(known_parts(rule))
        self._looks = 0

    def shut(self, way: Way, subject: Subject) -> bool:
        """Whether no rule can accept a connection; False, too, where there is too much to look at."""
        rules = (*self._of.get(None, ()), *self._of.get(way.address, ()))
        self._looks += len(rules)
        out = _leaves_by(subject, way.address)
        return self._looks < _MOST_LOOKS and not any(
            open_to(asked, dst=way.address, protocol=way.protocol, dport=way.port, out=out)
            for asked in rules
        )


def _leaves_by(subject: Subject, address: Address) -> str:
    """Return the device in whose own network an address lies, empty if that is not known."""
    routing = subject.host.routing
    if not subject.knows("ip-addr.json") or any(entry.mark_mask for entry in routing.routes):
        return ""
    return next((own.device for own in routing.interfaces if address in own.net), "")


def end_of(view: RulesetView, forward: Chain) -> Evidence | None:
    """Return what blocks whatever no rule accepted: a DROP or REJECT for all, or the policy."""
    table = view.ruleset["filter"]
    for number, rule in view.rules(table, forward):
        if parts(rule) == () and rule.target and rule.target.name in _BLOCKED:
            return view.evidence(table, forward, number)
    return view.evidence(table, forward) if forward.policy == "DROP" else None


def _open(view: RulesetView, forward: Chain, end: Evidence) -> Iterator[Rule]:
    """Yield the rules that may accept what is forwarded."""
    table = view.ruleset["filter"]
    reached = view.reached(table)
    for chain in table:
        if "FORWARD" in reached.get(chain.name, ()):
            for number, rule in view.rules(table, chain):
                if chain is forward and end.number and number >= end.number:
                    break
                if rule.target and rule.target.name not in NO_WAY:
                    yield rule


def way_of(rule: Rule) -> Way | None:
    """Return where a DNAT rule sends its connections, None if it is no DNAT to one address."""
    target = rule.target
    if target is None or target.name != "DNAT":
        return None
    to = target.value("--to-destination")
    if to.low is None or to.low != to.high or to.low.is_loopback:
        return None
    protocol = rule.core.value("-p", 0)
    inverted = "-p" in rule.core.settings and rule.core.settings["-p"].inverted
    port = to.port_low if to.port_low == to.port_high else None
    if to.port_low is None:
        port = asked_port(known_parts(rule))
    return Way(to.low, 0 if inverted else protocol, port or 0)


def asked_port(asked: tuple[Part, ...]) -> int | None:
    """Return the one destination port that a rule asks for."""
    for part in asked:
        if part.option == "--dport" and not part.inverted and part.value.low == part.value.high:
            return int(part.value.low)
    return None


def _blocked(
    subject: Subject, view: RulesetView, found: Found, way: Way, end: Evidence
) -> Diagnosis:
    where = endpoint(way.address, way.port or None)
    unless = "" if subject.knows("ip-addr.json") else f" (unless {way.address} is this host itself)"
    what = (
        "the policy of FORWARD drops it"
        if not end.number
        else "FORWARD ends with a rule that does not"
    )
    accept = f"-d {way.address}"
    if way.port and way.protocol in (TCP, UDP):
        accept += f" -p {'tcp' if way.protocol == TCP else 'udp'} --dport {way.port}"
    return Diagnosis(
        "dnat-without-way", WARNING,
        f"a new connection that is sent to {where} gets no further: no rule of FORWARD can accept it, "
        f"and {what}{unless}",
        (view.shown(found), end),
        f"{view.command(view.ruleset['filter'])} -I FORWARD {accept} -j ACCEPT, and let answers pass",
    )  # fmt: skip


# ── Published ports, past ufw ───────────────────────────────────────────────────────


def past_ufw(subject: Subject) -> Iterator[Diagnosis]:
    """Find ports that Docker publishes and that ufw, though it is on, never sees."""
    for view in subject.rulesets:
        table, docker = view.table("filter"), view.chain("nat", "DOCKER")
        if table is None or docker is None or not view.reached(table).get("ufw-user-input"):
            continue
        nat = view.ruleset["nat"]
        open_ports: list[Evidence] = []
        lets: dict[Evidence, None] = {}
        for number, rule in view.rules(nat, docker):
            trace = _visit(subject, view, rule)
            if trace and (accepted := _past(trace)):
                open_ports.append(view.evidence(nat, docker, number))
                lets[view.evidence(table, table[accepted.place.chain], accepted.place.number)] = (
                    None
                )
        if open_ports:
            many = len(open_ports)
            yield Diagnosis(
                "published-past-ufw", WARNING,
                f"Docker publishes {many} port{'s' * (many > 1)} that ufw does not guard: packets to them go "
                "on to a container before INPUT, and FORWARD accepts them before ufw's rules",
                (*open_ports, *lets),
                "publish on one address (docker run -p 127.0.0.1:8080:80), or filter in DOCKER-USER",
            )  # fmt: skip


def _visit(subject: Subject, view: RulesetView, rule: Rule) -> Trace | None:
    """Send a packet from outside to a port that a rule publishes; None if the rule publishes none."""
    way, asked = way_of(rule), known_parts(rule)
    port = asked_port(asked)
    if way is None or not port or way.protocol not in (TCP, UDP):
        return None
    own = rule.core.value("-d")
    device, address = outside(subject, view.family)
    if own is not None:
        address = own.host
    if address is None or address.is_loopback:
        return None
    make = tcp if way.protocol == TCP else udp
    client = parse_address(CLIENT[view.family])
    packet = make(client, address, sport=PORT, dport=port)
    ways = subject.ways(packet, device)
    return ways[0] if ways else None


def outside(subject: Subject, family: int) -> tuple[str, Address | None]:
    """Return the device towards the world, and the host's address there."""
    routing = subject.host.routing
    entry = routing.lookup(parse_address(CLIENT[family]))
    device = entry.device if entry else "eth0"
    own = (
        i.address for i in routing.interfaces if i.device == device and i.address.version == family
    )
    return device, next(own, parse_address(_OWN[family]))


def _past(trace: Trace) -> Matched | None:
    """Return the rule that let a packet through FORWARD without ufw; None if none did."""
    if trace.fate.kind != "forward" or not trace.rewrites:
        return None
    if any(isinstance(e, Entered) and e.chain.startswith(("ufw-", "ufw6-")) for e in trace.events
           if getattr(e, "table", "") == "filter"):  # fmt: skip
        return None
    accepts = [e for e in trace.events if isinstance(e, Matched) and e.verdict == "ACCEPT"]
    return next((e for e in accepts if e.place.table == "filter"), None)
