"""What a chain diagram is made of: rows, cards, and where each chain is to be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from nb_lib.rules import Chain, Rule
from nb_lib.text import rule_text
from nb_lib.views.states import State
from nb_lib.views.words import Clause, lines

WIDTH = 40  # letters in a line of a rule


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
    goes = (rule.jump,) if rule.jump else ()
    text = tuple(lines(parts, width))
    return Row(str(number), text, rule_text(rule), _sign(rule), goes)


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
    return rule.target.name if rule.target else ""
