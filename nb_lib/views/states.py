"""What a trace says of each rule: matched, tried in vain, undecided, not reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nb_lib.trace import Entered, Matched, Missed, Unsure
from nb_lib.views.story import Step


@dataclass(frozen=True, slots=True)
class State:
    """``kind``: matched, missed, unsure, unreached, or changed (by a command, no packet was there).

    ``steps`` are those at which it came about.
    """

    kind: str
    why: str = ""
    option: str = ""  # the option that decided
    steps: tuple[int, ...] = ()
    verdict: str = ""
    taken: tuple[str, ...] = ()  # the keys found in a map that stands in the rule


@dataclass(slots=True)
class States:
    """The states of a table's rules after a walk; empty without a trace."""

    visited: set[str] = field(default_factory=set)
    entered: dict[str, tuple[int, ...]] = field(default_factory=dict)
    known: dict[tuple[str, int], State] = field(default_factory=dict)
    runs: list[tuple[Missed, int]] = field(default_factory=list)
    changed: frozenset[str] = frozenset()  # the chains that a command has changed

    @property
    def marked(self) -> set[str]:
        """The chains that are to be seen: those visited, and those changed."""
        return self.visited | self.changed

    def of(self, chain: str, number: int) -> State | None:
        """Return the state of a rule, or None if there is no trace to ask."""
        if (found := self.known.get((chain, number))) is not None:
            return found
        for run, step in self.runs:
            if run.chain == chain and run.first <= number <= run.last:
                reason = run.why(number)
                return State("missed", str(reason), _option(reason), (step,))
        return State("unreached") if self.visited else None


def states(
    story: Iterable[Step], table: str, numbers: Mapping[tuple[str, str], int] | None = None
) -> States:
    """Collect the states of the rules of one table from the steps of a trace.

    ``numbers`` tells where in a set of nft a key stands, counted from 1.
    """
    found = States()
    for n, step in enumerate(story):
        for event in (*step.before, *step.events):
            match event:
                case Entered() if event.table == table:
                    found.visited.add(event.chain)
                    found.entered[event.chain] = (*found.entered.get(event.chain, ()), n)
                case Missed() if event.table == table:
                    found.runs.append((event, n))
                case Matched() if event.place.table == table:
                    key = (event.place.chain, event.place.number)
                    before = found.known.get(key)
                    steps = (*(before.steps if before else ()), n)
                    taken = (*(before.taken if before else ()), *_inside(event))
                    found.known[key] = State("matched", "", "", steps, event.verdict, taken)
                    _look_up(found, event, n, numbers or {})
                case Unsure() if event.place.table == table:
                    key = (event.place.chain, event.place.number)
                    found.known[key] = State("unsure", event.missing, "", (n,))
    return found


def _inside(event: Matched) -> tuple[str, ...]:
    return tuple(one.element for one in event.found if not one.where)


def _look_up(
    found: States, event: Matched, step: int, numbers: Mapping[tuple[str, str], int]
) -> None:
    """Mark the elements of named sets that a rule has found."""
    for one in event.found:
        found.visited |= {one.where} - {""}
        if number := numbers.get((one.where, one.element)):
            before = found.known.get((one.where, number))
            steps = (*(before.steps if before else ()), step)
            found.known[one.where, number] = State("matched", "", "", steps)


def changes(places: Iterable[tuple[str, int]]) -> States:
    """Return the states after a command: ``places`` are chains and the numbers of their rules (0: none)."""
    places = list(places)
    known = {place: State("changed") for place in places if place[1]}
    return States(known=known, changed=frozenset(chain for chain, _ in places))


def _option(reason: object) -> str:
    answer = getattr(reason, "answer", None)
    return answer.option if answer else ""
