"""What a chain diagram is made of: rows, cards, and where each chain is to be found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from nb_lib.rules import Chain, Rule
from nb_lib.text import rule_text
from nb_lib.views.leads import branches, goals
from nb_lib.views.states import State
from nb_lib.views.words import Clause, lines, short

WIDTH = 40  # letters in a line of a rule
BROAD = 50  # in a line of an element of a map


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a card: one rule, some rules of one Service, or one of the chains folded here."""

    label: str  # the rule's number or numbers
    text: tuple[str, ...]
    full: str
    sign: str = ""
    goes: tuple[str, ...] = ()
    strong: str = ""  # the Service's name
    chance: Fraction | None = None
    state: State | None = None
    member: str = ""  # the chain that this row stands for


@dataclass(frozen=True, slots=True)
class Card:
    """A chain, or several of one shape."""

    key: str
    title: str
    note: str
    rows: tuple[Row, ...]
    layer: int
    strong: str = ""
    aside: bool = False  # called from everywhere, or from nowhere: drawn without edges
    faint: bool = False
    closed: bool = False
    changed: bool = False  # by the last command
    hue: str = ""  # the table whose colour it has, if its own has none
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """The cards of one table and what had to be left out."""

    table: str
    cards: tuple[Card, ...]
    left_out: int = 0
    where: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # chain → card, row (or -1)

    @property
    def chains(self) -> frozenset[str]:
        """The chains that are drawn, those folded into one card included."""
        return frozenset(name for card in self.cards for name in card.members or (card.key,))

    @property
    def steps(self) -> frozenset[int]:
        """The steps of a trace at which something happens to a rule that is drawn."""
        states = (row.state for card in self.cards for row in card.rows)
        return frozenset(n for state in states if state for n in state.steps)


def rule_row(rule: Rule, number: int, parts: Sequence[Clause], width: int = WIDTH) -> Row:
    """Make the row of one rule out of the clauses that are to be shown."""
    inside = branches(rule)
    if inside:  # they get rows of their own
        words = [part.text for part in parts]
        parts = parts[: len(words) - words[::-1].index("{") - 1]
    text = tuple(lines(parts, width))
    goes = () if inside else goals(rule)
    return Row(str(number), text, rule_text(rule), _sign(rule), goes)


def branch_rows(rule: Rule, state: State | None) -> Iterator[Row]:
    """Yield the rows of a map that stands in a rule: one for each element, with its chance."""
    for branch in branches(rule):
        taken = state if state and branch.key in state.taken else None
        shown = taken or (State("unreached") if state else None)
        target = branch.verdict.target
        text = (f"{branch.key} : {branch.verdict.kind} {short(target)}".rstrip(),)
        sign = {"jump": "JUMP", "goto": "GOTO"}.get(
            branch.verdict.kind, branch.verdict.kind.upper()
        )
        yield Row(
            "",
            text,
            branch.words,
            sign,
            (target,) if target else (),
            chance=branch.chance,
            state=shown,
        )


def note(chain: Chain, callers: int) -> str:
    """Say beside a chain's name what its policy is, or how many chains call it."""
    if chain.builtin:
        return f"policy {chain.policy}"
    if not callers:
        return "nobody calls it"
    parts = ("" if chain.rules else "no rules", f"called by {callers}" if callers > 1 else "")
    return " · ".join(filter(None, parts))


def _sign(rule: Rule) -> str:
    if rule.jump:
        return "GOTO" if rule.goto else "JUMP"
    if rule.target is None or rule.target.name == "vmap":
        return ""
    return rule.target.name
