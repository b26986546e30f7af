"""A trace as a story: one sentence an event, and steps to walk through it.

The sentences feed the text view, the story strip beside every diagram and what a screen reader
hears; the steps are what the diagrams' buttons walk along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from nb_lib.hooks import INPUT, POSTROUTING
from nb_lib.packet import Packet, endpoint
from nb_lib.rules import Rule
from nb_lib.trace import (
    Answered,
    AtHook,
    Chance,
    Entered,
    Event,
    Fate,
    Left,
    Looked,
    Lost,
    Matched,
    Missed,
    Noted,
    Place,
    PolicyApplied,
    Rewritten,
    Routed,
    Trace,
    Unsure,
)

LOOKED = {
    "new": "conntrack does not know this connection: it is NEW.",
    "known": "conntrack knows this connection: {state}, {direction}.",
    "related": "conntrack finds it RELATED to a connection that it knows.",
    "invalid": "conntrack can make no sense of it: it is INVALID.",
    "untracked": "conntrack leaves it alone: it is UNTRACKED.",
    "confirmed": "conntrack confirms the connection: its entry enters the table.",
    "clash": "conntrack finds that another packet was faster and entered the same connection.",
}
FATES = {
    "forward": "It leaves by {device} as {packet}.",
    "local": "It is delivered to this host as {packet}.",
    "drop": "It is dropped by {place}.",
    "reject": "It is rejected by {place}: {detail}.",
    "lost": "It is lost after {detail}, without a rule.",
    "error": "An error stops it: {detail}.",
    "queue": "It waits in a queue for a program: {place}.",
    "stolen": "{place} takes it away.",
    "undecided": "Its way cannot be told further: {detail}.",
}
MARKS = {"ACCEPT": "●", "DROP": "■", "REJECT": "▲", "RETURN": "↩", "JUMP": "⤷", "GOTO": "⤷",
         "CONTINUE": "·", "REWRITE": "✎"}  # fmt: skip
LANES = ("raw", "conntrack", "mangle", "nat", "filter", "security", "nat.src", "confirm")


@dataclass(frozen=True, slots=True)
class Step:
    """One step through a trace.

    ``kind``: arrive, look, match, policy, rewrite, route, lost, answer, unsure, fate. ``lane`` is
    the row of the path diagram; ``before`` are the events that led to it without deciding (rules
    that missed, ends of chains); ``events`` are those that it is made of.
    """

    kind: str
    sentence: str
    packet: Packet
    hook: str = ""
    lane: str = ""
    table: str = ""
    chain: str = ""
    depth: int = 0
    place: Place | None = None
    rule: Rule | None = None
    verdict: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    before: tuple[Event, ...] = ()
    events: tuple[Event, ...] = ()
    chance: Fraction = Fraction(1)


def sentence(event: Event) -> str:
    """Say what happened, in one sentence."""
    match event:
        case AtHook():
            return f"The packet meets the hook {event.hook}."
        case Looked():
            return _looked(event)
        case Entered():
            return _entered(event)
        case Missed():
            return _missed(event)
        case Matched():
            return f"{_rule(event.place)} matches: {_verdict(event)}."
        case Unsure():
            return f"{_rule(event.place)} cannot be decided: {event.missing}."
        case Left():
            return _left(event)
        case PolicyApplied():
            return f"The policy of {event.table} {event.chain} says {event.verdict}."
        case Rewritten():
            return f"{event.by} rewrites {_list(rewrites(event.before, event.packet))}."
        case Chance():
            done = "it comes true" if event.taken else "it does not come true"
            where = f"rule {event.place.number} of {event.place.chain}"
            return f"Chance at {where}: {done}, with a probability of {event.probability}."
        case Noted():
            return f"{event.text} ({event.place})."
        case Routed():
            return _routed(event)
        case Lost():
            hint = f" ({event.setting})" if event.setting else ""
            return f"The kernel drops it, no rule is to blame: {event.reason}{hint}."
        case Answered():
            return f"The host answers by {event.by}: {event.answer}."
    raise AssertionError(f"no sentence for {type(event).__name__}")


def fate_sentence(fate: Fate, packet: Packet) -> str:
    """Say how it ended."""
    shape = FATES.get(fate.kind, "It ends: {detail}.")
    place = f"rule {fate.place.number} of {fate.place.chain} ({fate.place.table})" if fate.place else ""
    if fate.place and not fate.place.number:
        place = f"the policy of {fate.place.chain} ({fate.place.table})"
    return shape.format(device=fate.device, place=place or "a rule", detail=fate.detail, packet=packet)


def arrival(trace: Trace) -> str:
    """Say where the packet comes from."""
    if trace.origin:
        return f"A packet arrives on {trace.origin}: {trace.sent}."
    return f"This host sends a packet: {trace.sent}."


def rewrites(before: Packet, after: Packet) -> tuple[tuple[str, str, str], ...]:
    """Return what differs as (field, old, new); an address is shown with its port."""
    return tuple((n, old, new) for n, old, new in
                 ((n, a, fields(after).get(n, "")) for n, a in fields(before).items())
                 if old != new)  # fmt: skip


def fields(packet: Packet) -> dict[str, str]:
    """Return what the packet's card shows, name → text."""
    found = {
        "src": endpoint(packet.src, packet.sport),
        "dst": endpoint(packet.dst, packet.dport),
        "mark": f"{packet.mark:#x}",
        "ttl": str(packet.ttl),
        "tos": f"{packet.tos:#04x}",
    }
    if packet.icmp_id is not None:
        found["icmp id"] = str(packet.icmp_id)
    return found


def steps(trace: Trace) -> tuple[Step, ...]:
    """Cut a trace into steps: what decided or changed something is one, the rest its notes."""
    first = Step("arrive", arrival(trace), trace.sent)
    teller = _Teller()
    found = [first, *teller.tell(trace.events)]
    last = found[-1]
    end = Step("fate", fate_sentence(trace.fate, trace.packet), trace.packet, hook=last.hook,
               lane=last.lane, verdict=trace.fate.kind, place=trace.fate.place,
               before=tuple(teller.waiting))  # fmt: skip
    return (*found, end)


class _Teller:
    """Walks along the events and remembers where it is."""

    def __init__(self) -> None:
        self.hook = self.table = self.chain = ""
        self.waiting: list[Event] = []

    def tell(self, events: Sequence[Event]) -> list[Step]:
        found: list[Step] = []
        for event in events:
            if isinstance(event, AtHook):
                self.hook, self.table, self.chain = event.hook, "", ""
            step = self.step(event)
            if step is None:
                self.waiting.append(event)
            elif merged := self.merge(found, step, event):
                found[-1] = merged
            else:
                found.append(step)
        return found

    def merge(self, found: list[Step], step: Step, event: Event) -> Step | None:
        """Join a rewrite to the rule that asked for it."""
        if not found or not isinstance(event, Rewritten) or event.place is None:
            return None
        last = found[-1]
        if last.kind != "match" or last.place != event.place:
            return None
        return replace(last, sentence=f"{last.sentence} {step.sentence}", packet=step.packet,
                       changes=last.changes + step.changes,
                       events=(*last.events, event))  # fmt: skip

    def step(self, event: Event) -> Step | None:
        """Return the step that ``event`` makes, or None if it waits for one."""
        said = sentence(event)
        match event:
            case Looked(what="confirmed" | "clash"):
                return self.make("look", said, event, lane="confirm")
            case Looked():
                return self.make("look", said, event, lane="conntrack")
            case Entered(caller=None):
                self.table, self.chain = event.table, event.chain
            case Entered() | Left():
                self.chain = event.chain
                if isinstance(event, Left) and event.caller:
                    self.chain = event.caller.chain
            case Matched() | Unsure():
                self.table, self.chain = event.place.table, event.place.chain
                kind = "match" if isinstance(event, Matched) else "unsure"
                step = self.make(kind, said, event)
                return replace(step, place=event.place, rule=event.rule, depth=event.depth,
                               verdict=event.verdict if isinstance(event, Matched) else "UNDECIDED")
            case PolicyApplied():
                self.table, self.chain = event.table, event.chain
                step = self.make("policy", said, event)
                return replace(step, verdict=event.verdict,
                               place=Place(event.table, event.chain, 0))
            case Rewritten():
                changed = rewrites(event.before, event.packet)
                moved = any(name in ("src", "dst", "icmp id") for name, _, _ in changed)
                lane = nat_lane(self.hook) if moved else "route"
                step = self.make("rewrite", said, event, lane="" if event.place else lane)
                return replace(step, changes=changed, place=event.place)
            case Routed():
                return self.make("route", said, event, lane="route")
            case Lost():
                return replace(self.make("lost", said, event, lane="route"), verdict="LOST")
            case Answered():
                return self.make("answer", said, event)
        return None

    def make(self, kind: str, said: str, event: Event, lane: str = "") -> Step:
        """Make a step out of ``event`` and of what waited before it."""
        waited, self.waiting = tuple(self.waiting), []
        chance = Fraction(1)
        for one in waited:
            if isinstance(one, Chance) and one.taken:
                chance = one.probability
        lane = lane or (nat_lane(self.hook) if self.table == "nat" else self.table)
        return Step(kind, said, event.packet, hook=self.hook, lane=lane, table=self.table,
                    chain=self.chain, before=waited, events=(event,), chance=chance)  # fmt: skip


def moves(story: Sequence[Step]) -> list[dict[str, dict[str, str]] | None]:
    """Return, for each step, the old values of what it rewrites: the script's way to the next rewrite."""
    return [{"o": {n: old for n, old, _ in s.changes}} if s.changes else None for s in story]


def nat_lane(hook: str) -> str:
    """Return the lane of nat's chain at a hook: before filter (destinations) or after it."""
    return "nat.src" if hook in (INPUT, POSTROUTING) else "nat"


def misses(event: Missed, most: int = 4) -> Iterator[tuple[str, str]]:
    """Yield (numbers, why) for a run of misses; a long run is told by its two ends."""
    numbers = range(event.first, event.last + 1)
    if len(numbers) <= most:
        for number in numbers:
            yield str(number), str(event.why(number))
        return
    yield str(event.first), str(event.why(event.first))
    middle = f"{event.first + 1}–{event.last - 1}"
    yield middle, "did not match either"
    yield str(event.last), str(event.why(event.last))


def mark(verdict: str) -> str:
    """Return the sign of a verdict; it differs in shape, not only in colour."""
    return MARKS.get(verdict.split(" ")[0], "·")


def _looked(event: Looked) -> str:
    ct = event.packet.ct
    direction = "in the direction of the reply" if ct and ct.direction == "REPLY" else "as the first packet went"
    said = LOOKED[event.what].format(state=ct.state if ct else "", direction=direction)
    return f"{said[:-1]} ({event.note})." if event.note else said


def _entered(event: Entered) -> str:
    count = "no rules" if not event.length else f"{event.length} rule{'s' * (event.length > 1)}"
    if event.caller is None:
        return f"Into {event.chain} of {event.table}: {count}, policy {event.policy}."
    return f"Into {event.chain}: {count}."


def _missed(event: Missed) -> str:
    if event.first == event.last:
        return f"Rule {event.first} of {event.chain} does not match: {event.why(event.first)}."
    return f"Rules {event.first}–{event.last} of {event.chain} do not match."


def _rule(place: Place) -> str:
    return f"Rule {place.number} of {place.table} {place.chain}"


def _left(event: Left) -> str:
    if event.caller is None:
        return f"End of {event.chain}: its policy decides."
    return f"Out of {event.chain}: back to {event.caller.chain}, after rule {event.caller.number}."


def _routed(event: Routed) -> str:
    route, again = event.route, "Routing again" if event.again else "Routing"
    by = f", says the route “{route.rule}”" if route.rule else ""
    via = f" via {route.via}" if route.via else ""
    if route.kind == "LOCAL":
        return f"{again}: the destination is this host itself{by}."
    if route.kind == "BROADCAST":
        return f"{again}: a broadcast, delivered here as well{by}."
    if route.kind == "FORWARD":
        return f"{again}: forward it out of {route.interface}{via}{by}."
    source = f", from {route.source}" if route.source else ""
    return f"{again}: it goes out of {route.interface}{via}{source}{by}."


def _verdict(event: Matched) -> str:
    word, _, chain = event.verdict.partition(" ")
    if word == "JUMP":
        return f"jump to {chain}"
    if word == "GOTO":
        return f"go to {chain}, not to come back"
    target = event.rule.target.name if event.rule.target else ""
    if word == "CONTINUE":
        return f"{target}, and the walk goes on" if target else "it counts, and the walk goes on"
    return word if target in ("", word) else f"{target}, then {word}"


def _list(changes: Sequence[tuple[str, str, str]]) -> str:
    return " and ".join(f"{name} {old} → {new}" for name, old, new in changes) or "nothing"
