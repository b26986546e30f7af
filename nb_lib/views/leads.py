"""Where rules lead: to the chain that a jump names, and in nft's language to sets and maps as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from nb_lib.engine.nft.tables import STATEMENT
from nb_lib.rules import Rule
from nb_lib.text.nft.as_text import element_text, expression_text
from nb_lib.text.nft.values import (
    Expression,
    Match,
    Members,
    Numgen,
    Statement,
    Update,
    Verdict,
    Vmap,
)


class Branch(NamedTuple):
    """An element of a map that stands in a rule; ``chance`` is None unless lots are drawn."""

    key: str
    words: str
    verdict: Verdict
    chance: Fraction | None


def statements(rule: Rule) -> Iterator[Statement]:
    """Yield the statements of a rule of nft; none of iptables' rules."""
    for use in (*rule.matches, *([rule.target] if rule.target else [])):
        if (setting := use.settings.get(STATEMENT)) is not None:
            yield setting.value


def goals(rule: Rule) -> tuple[str, ...]:
    """Return the chains and sets to which a rule leads: by a jump, or by what it looks up."""
    if not rule.words:
        return (rule.jump,) if rule.jump else ()
    return tuple(dict.fromkeys([*_looked_up(statements(rule)), *filter(None, [rule.jump])]))


def _looked_up(found: Iterable[Statement]) -> Iterator[str]:
    for statement in found:
        match statement:
            case Vmap(_, data):
                yield from _named(data)
            case Match(_, _, right):
                yield from _named(right)
            case Update(_, _, name):
                yield f"@{name}"


def _named(data: Expression) -> Iterator[str]:
    match data:
        case str() if data.startswith("@"):
            yield data
        case Members(elements):
            for element in elements:
                if isinstance(element.data, Verdict) and element.data.target:
                    yield element.data.target


def branches(rule: Rule) -> list[Branch]:
    """Return the elements of a verdict map that stands in a rule, in order."""
    for statement in statements(rule):
        match statement:
            case Vmap(key, Members(elements)):
                drawn = isinstance(key, Numgen) and key.mode == "random" and key.modulus > 1
                odds = Fraction(1, key.modulus) if isinstance(key, Numgen) and drawn else None
                return [
                    Branch(expression_text(e.key), element_text(e, ("",), ("",)), e.data, odds)
                    for e in elements
                    if isinstance(e.data, Verdict)
                ]
    return []
