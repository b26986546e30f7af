"""A trace as steps: what the diagrams' buttons, keys and addresses walk along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from nb_lib.hooks import INPUT, OUTPUT, POSTROUTING, PREROUTING, stops
from nb_lib.packet import Packet
from nb_lib.rules import Rule
from nb_lib.trace import (
    Answered,
    AtHook,
    Balanced,
    Chance,
    Copied,
    Entered,
    Event,
    Fragmented,
    Gathered,
    Left,
    Looked,
    Lost,
    Matched,
    Place,
    PolicyApplied,
    Rewritten,
    Routed,
    Trace,
    Unsure,
)
from nb_lib.views.sentences import arrival, fate_sentence, rewrites, sentence


@dataclass(frozen=True, slots=True)
class Step:
    """One step through a trace.

    ``kind``: arrive, look, match, policy, rewrite, route, balance, lost, answer, unsure, fate. ``lane`` is
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
        self.priority: int | None = None  # of the base chain, if it is nft's
        self.kind = ""
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
        """Join a rewrite to the rule that asked for it, or to IPVS's choice of a server."""
        if not found or not isinstance(event, Rewritten):
            return None
        last = found[-1]
        asked = last.kind == "match" and last.place == event.place is not None
        if not asked and not (last.kind == "balance" and event.by == "IPVS"):
            return None
        return replace(last, sentence=f"{last.sentence} {step.sentence}", packet=step.packet,
                       changes=last.changes + step.changes,
                       events=(*last.events, event))  # fmt: skip

    def step(self, event: Event) -> Step | None:  # noqa: C901, PLR0912 - one case for a kind of event
        """Return the step that ``event`` makes, or None if it waits for one."""
        said = sentence(event)
        match event:
            case Gathered():
                return self.make("look", said, event, lane="defrag")
            case Fragmented():
                return self.make("route", said, event, lane="route")
            case Looked(what="confirmed" | "merged" | "reply" | "clash"):
                return self.make("look", said, event, lane="confirm")
            case Looked():
                return self.make("look", said, event, lane="conntrack")
            case Entered(caller=None):
                self.table, self.chain = event.table, event.chain
                self.priority, self.kind = event.priority, event.kind
            case Entered() | Left():
                self.chain = event.chain
                if isinstance(event, Left) and event.caller:
                    self.chain = event.caller.chain
            case Matched() | Unsure():
                self.table, self.chain = event.place.table, event.place.chain
                kind = "match" if isinstance(event, Matched) else "unsure"
                step = self.make(kind, said, event)
                return replace(
                    step,
                    place=event.place,
                    rule=event.rule,
                    depth=event.depth,
                    verdict=event.verdict if isinstance(event, Matched) else "UNDECIDED",
                )
            case PolicyApplied():
                self.table, self.chain = event.table, event.chain
                step = self.make("policy", said, event)
                return replace(
                    step, verdict=event.verdict, place=Place(event.table, event.chain, 0)
                )
            case Rewritten():
                changed = rewrites(event.before, event.packet)
                moved = any(name in ("src", "dst", "icmp id") for name, _, _ in changed)
                lane = nat_lane(self.hook) if moved else "route"
                step = self.make("rewrite", said, event, lane="" if event.place else lane)
                return replace(step, changes=changed, place=event.place)
            case Balanced():
                return self.make("balance", said, event, lane=ipvs_lane(self.hook))
            case Routed():
                return self.make("route", said, event, lane="route")
            case Lost():
                return replace(self.make("lost", said, event, lane="route"), verdict="LOST")
            case Answered() | Copied():
                return self.make("answer", said, event)
        return None

    def make(self, kind: str, said: str, event: Event, lane: str = "") -> Step:
        """Make a step out of ``event`` and of what waited before it."""
        waited, self.waiting = tuple(self.waiting), []
        chance = Fraction(1)
        for one in waited:
            if isinstance(one, Chance) and one.taken:
                chance = one.probability
        lane = lane or self.lane()
        return Step(kind, said, event.packet, hook=self.hook, lane=lane, table=self.table,
                    chain=self.chain, before=waited, events=(event,), chance=chance)  # fmt: skip

    def lane(self) -> str:
        """Return the lane of a table's chain at a hook; a table of nft has one for each type and priority."""
        if self.priority is not None:
            return nft_lane(self.table, self.kind, self.priority)
        if self.table == "bridge nat":
            return self.table if self.hook == PREROUTING else f"{self.table}.src"
        return nat_lane(self.hook) if self.table == "nat" else self.table


def moves(story: Sequence[Step]) -> list[dict[str, dict[str, str]] | None]:
    """Return the old values of what each step rewrites: so the script finds the next rewrite."""
    return [{"o": {n: old for n, old, _ in s.changes}} if s.changes else None for s in story]


def nft_lane(table: str, kind: str, priority: int) -> str:
    """Return the lane of nft's base chains of one table, type and priority: ``kube-proxy.nat.-100``."""
    return f"{table.rpartition(' ')[2]}.{kind}.{priority}"


def ipvs_lane(hook: str) -> str:
    """Return the lane of IPVS at a hook: behind nat OUTPUT, or before nat INPUT (and on FORWARD)."""
    first = OUTPUT if hook == OUTPUT else INPUT
    return f"ipvs.{min(s for s in stops(first, balancing=True) if s.function == 'answer').priority}"


def nat_lane(hook: str) -> str:
    """Return the lane of nat's chain at a hook: before filter (destinations) or after it."""
    return "nat.src" if hook in (INPUT, POSTROUTING) else "nat"
