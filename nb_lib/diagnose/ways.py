"""Connections that get in where nobody meant it, or get nowhere: each is asked by a packet that is sent.

All need the host's addresses: without them nobody knows who lives in which network.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb_lib.connection import Address
from nb_lib.diagnose.conditions import known_parts, open_from
from nb_lib.diagnose.finding import NOTE, WARNING, Diagnosis, Evidence
from nb_lib.diagnose.nat import CLIENT, NO_WAY, PORT, Way, asked_port, end_of, outside, way_of
from nb_lib.diagnose.subject import Found, RulesetView, Subject
from nb_lib.engine.routing import Interface
from nb_lib.headers import TCP, UDP
from nb_lib.net import parse_address
from nb_lib.packet import Packet, endpoint, tcp, udp
from nb_lib.trace import Fate, Lost, Matched, PolicyApplied, Trace

_ADDRESSES = "ip-addr.json"
_COUNT, _MAX = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"


# ── A network that is masqueraded, and that FORWARD lets out nowhere ──────────────────


def no_way_out(subject: Subject) -> Iterator[Diagnosis]:
    """Find networks for whose connections MASQUERADE waits, while no rule of FORWARD lets them out."""
    for view in subject.rulesets:
        nat, forward = view.table("nat"), view.chain("filter", "FORWARD")
        if nat is None or forward is None or not subject.knows(_ADDRESSES):
            continue
        end = end_of(view, forward)
        if end is None or not (view.whole(view.ruleset["filter"]) and view.whole(nat)):
            continue
        for found in _masquerading(view):
            own = _behind(subject, found)
            entry = subject.host.routing.lookup(parse_address(CLIENT[view.family]))
            if own is None or entry is None or entry.device == own.device:
                continue
            if not _may_leave(view, own, entry.device, end) and _dropped(subject, own):
                yield _shut(view, found, own, entry.device, end)


def _masquerading(view: RulesetView) -> Iterator[Found]:
    """Yield the rules that give a network another source behind POSTROUTING."""
    nat = view.ruleset["nat"]
    reached = view.reached(nat)
    for found in view.every(nat):
        target, source = found.rule.target, found.rule.core.settings.get("-s")
        if target is None or target.name not in ("MASQUERADE", "SNAT"):
            continue
        asked = source is not None and not source.inverted
        if asked and "POSTROUTING" in reached.get(found.chain.name, ()):
            yield found


def _behind(subject: Subject, found: Found) -> Interface | None:
    """Return the host's address in the network that a rule names with ``-s``."""
    net = found.rule.core.value("-s")
    for own in subject.host.routing.interfaces:
        if own.net == net:
            return own
    return None


def _may_leave(view: RulesetView, own: Interface, out: str, end: Evidence) -> bool:
    """Whether some rule before the end of FORWARD may accept what comes out of a network."""
    table = view.ruleset["filter"]
    reached = view.reached(table)
    for found in view.every(table):
        if "FORWARD" not in reached.get(found.chain.name, ()):
            continue
        if found.chain.name == "FORWARD" and end.number and found.number >= end.number:
            continue
        target = found.rule.target
        asked = known_parts(found.rule) if target and target.name not in NO_WAY else None
        if asked is not None and open_from(asked, src=own.net, device=own.device, out=out):
            return True
    return False


def _dropped(subject: Subject, own: Interface) -> bool:
    """Send a packet out of a network: whether every way of it ends in FORWARD."""
    packet = tcp(_neighbour(own), parse_address(CLIENT[own.address.version]), sport=PORT, dport=443)
    ways = subject.ways(packet, own.device)
    return bool(ways) and all(_ends_in_forward(trace) for trace in ways)


def _ends_in_forward(trace: Trace) -> bool:
    fate: Fate = trace.fate
    place = fate.place
    return fate.kind in ("drop", "reject") and place is not None and place.table == "filter"


def _shut(view: RulesetView, found: Found, own: Interface, out: str, end: Evidence) -> Diagnosis:
    says = "its policy is DROP" if not end.number else "it ends with a rule for all"
    return Diagnosis(
        "network-without-way", WARNING,
        f"nothing from {own.net} ({own.device}) gets out by {out}, though POSTROUTING would masquerade it: "
        f"no rule of FORWARD can accept it, and {says}",
        (view.shown(found), end),
        f"{view.command(view.ruleset['filter'])} -I FORWARD -i {own.device} -j ACCEPT, and the same with -o "
        "(in DOCKER-USER where Docker runs), or let forwarding be on before dockerd starts",
    )  # fmt: skip


# ── Ports that are published on localhost, and open to the neighbours ─────────────────


def past_localhost(subject: Subject) -> Iterator[Diagnosis]:
    """Find ports published on 127.0.0.1 that a neighbour reaches at the container's own address."""
    for view in subject.rulesets:
        nat = view.table("nat")
        if nat is None or view.family != 4 or not subject.knows(_ADDRESSES):
            continue
        found: dict[Evidence, str] = {}
        lets: dict[Evidence, None] = {}
        for one in view.every(nat):
            way, there = way_of(one.rule), one.rule.core.value("-d")
            if way is None or there is None or there.host is None or not there.host.is_loopback:
                continue
            if (trace := _as_neighbour(subject, way)) is not None:
                found[view.shown(one)] = endpoint(way.address, way.port)
                lets |= dict.fromkeys(_accepting(view, trace))
        if found:
            yield Diagnosis(
                "localhost-port-open", WARNING,
                f"what is published on 127.0.0.1 is open to the neighbours: a machine in the host's network "
                f"that sets a route reaches {', '.join(found.values())}",
                (*found, *lets),
                "drop in DOCKER-USER what is NEW and not --ctstate DNAT; Docker 28 closes this itself",
            )  # fmt: skip


def _as_neighbour(subject: Subject, way: Way) -> Trace | None:
    """Call the translated address itself, from the network towards the world; None if it is not reached."""
    device, address = outside(subject, 4)
    own = _own(subject, device, address)
    if own is None or way.protocol not in (TCP, UDP) or not way.port:
        return None
    ways = subject.ways(_packet(way.protocol, _neighbour(own), way.address, way.port), device)
    return ways[0] if ways and ways[0].fate.kind == "forward" else None


def _own(subject: Subject, device: str, address: Address | None) -> Interface | None:
    interfaces = subject.host.routing.interfaces
    return next((i for i in interfaces if (i.device, i.address) == (device, address)), None)


def _neighbour(own: Interface) -> Address:
    """Return the address of another machine in a network, for there are two in each that is asked."""
    first = type(own.address)(own.net.value + 1)
    return first if first != own.address else first + 1


def _packet(protocol: int, src: Address, dst: Address, port: int) -> Packet:
    return (tcp if protocol == TCP else udp)(src, dst, sport=PORT, dport=port)


def _accepting(view: RulesetView, trace: Trace) -> Iterator[Evidence]:
    """Yield what let a packet through FORWARD: a rule or the policy."""
    for event in trace.events:
        if (
            isinstance(event, Matched)
            and event.verdict == "ACCEPT"
            and event.place.table == "filter"
        ):
            table = view.ruleset["filter"]
            yield view.evidence(table, table[event.place.chain], int(event.place.number))
        elif isinstance(event, PolicyApplied) and event.table == "filter":
            yield view.evidence(view.ruleset["filter"], view.ruleset["filter"][event.chain])


# ── DNAT that works from outside, and not from the server's own network ───────────────


def no_hairpin(subject: Subject) -> Iterator[Diagnosis]:
    """Find port forwards into a network whose own machines get the answer from the wrong address."""
    for view in subject.rulesets:
        nat = view.table("nat")
        if nat is None or not subject.knows(_ADDRESSES):
            continue
        reached = view.reached(nat)
        for one in view.every(nat):
            way = way_of(one.rule)
            if way and "PREROUTING" in reached.get(one.chain.name, ()):
                own = _network_of(subject, way.address)
                if own and _stranger(subject, view, one, way, own):
                    yield _lacking(view, one, way, own)


def _network_of(subject: Subject, address: Address) -> Interface | None:
    """Return the host's address in the network in which another address lies."""
    routing = subject.host.routing
    if routing.is_local(address):
        return None
    return next((own for own in routing.interfaces if address in own.net), None)


def _stranger(subject: Subject, view: RulesetView, one: Found, way: Way, own: Interface) -> bool:
    """Call as a neighbour of the server: whether it would answer directly, by its own address."""
    given, port = one.rule.core.value("-d"), asked_port(known_parts(one.rule))
    called = given.host if given is not None else outside(subject, view.family)[1]
    if called is None or called.is_loopback or not port or way.protocol not in (TCP, UDP):
        return False
    client = _neighbour(own)
    if client == way.address:
        client += 1
    if client not in own.net or subject.host.routing.is_local(client):
        return False
    ways = subject.ways(_packet(way.protocol, client, called, port), own.device)
    return bool(ways) and all(
        trace.fate.kind == "forward" and trace.fate.device == own.device
        and trace.packet.src == client and trace.packet.dst == way.address
        for trace in ways
    )  # fmt: skip


def _lacking(view: RulesetView, one: Found, way: Way, own: Interface) -> Diagnosis:
    nat = view.command(view.ruleset["nat"])
    return Diagnosis(
        "no-hairpin", NOTE,
        f"the port forward to {endpoint(way.address, way.port)} works from elsewhere, not from {own.net}: "
        "the server answers its neighbours directly, from an address that they did not call",
        (view.shown(one),),
        f"{nat} -A POSTROUTING -s {own.net} -d {way.address} -m conntrack --ctstate DNAT -j MASQUERADE, or "
        "give the server's own address by DNS inside",
    )  # fmt: skip


# ── What the kernel's settings forbid ────────────────────────────────────────────────


def not_forwarding(subject: Subject) -> Iterator[Diagnosis]:
    """Find port forwards on a host that does not forward."""
    if "forward" not in subject.texts.get("sysctl.txt", ""):
        return  # nobody said how it is set
    for view in subject.rulesets:
        nat = view.table("nat")
        if nat is None:
            continue
        reached, lost, setting = view.reached(nat), list[Evidence](), ""
        for one in view.every(nat):
            way = way_of(one.rule)
            asked = way is not None and "PREROUTING" in reached.get(one.chain.name, ())
            if way and asked and (found := _not_forwarded(subject, view, one, way)):
                lost.append(view.shown(one))
                setting = found
        if lost:
            yield Diagnosis(
                "not-forwarding", WARNING,
                f"connections from outside that DNAT sends on get no further: {setting} is 0",
                tuple(lost), f"sysctl -w {setting}=1, and in /etc/sysctl.d for the next boot",
            )  # fmt: skip


def _not_forwarded(subject: Subject, view: RulesetView, one: Found, way: Way) -> str:
    """Call a port forward from the world; return the setting that stops it, or an empty string."""
    given, port = one.rule.core.value("-d"), asked_port(known_parts(one.rule))
    device, own = outside(subject, view.family)
    called = given.host if given is not None else own
    if called is None or called.is_loopback or not port or way.protocol not in (TCP, UDP):
        return ""
    world = parse_address(CLIENT[view.family])
    for trace in subject.ways(_packet(way.protocol, world, called, port), device):
        last = trace.events[-1]
        if isinstance(last, Lost) and trace.rewrites and "forward" in last.setting:
            return last.setting.split("=")[0].strip()
    return ""


def table_full(subject: Subject) -> Iterator[Diagnosis]:
    """Find a table of connections that is full, or nearly."""
    held = subject.host.routing.sysctls
    count, most = held.get(_COUNT, ""), held.get(_MAX, "")
    if not (count.isdigit() and most.isdigit() and int(most)) or int(count) * 10 < int(most) * 9:
        return
    full = int(count) >= int(most)
    does = (
        "packets of new connections are dropped (nf_conntrack: table full, dropping packet)"
        if full
        else "when it is full, packets of new connections are dropped"
    )
    yield Diagnosis(
        "conntrack-full", WARNING if full else NOTE,
        f"the table of connections holds {int(count):,} of {int(most):,}: {does}",
        tuple(_setting(subject, name) for name in (_COUNT, _MAX)),
        f"sysctl -w {_MAX}={int(most) * 2}, and shorter timeouts for what is many (conntrack -L tells)",
    )  # fmt: skip


def _setting(subject: Subject, name: str) -> Evidence:
    lines = subject.texts["sysctl.txt"].split("\n")
    at = next(n for n, line in enumerate(lines, 1) if line.startswith(name))
    return Evidence(4, "", "", 0, at, lines[at - 1])
