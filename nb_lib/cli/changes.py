"""What a command has changed: two states compared, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from nb_lib.cli import State
from nb_lib.cli.edited import difference
from nb_lib.rules import Chain, Rule, Ruleset, Table
from nb_lib.text.save import rule_text

MOST = 2000  # rules of one chain that are compared one by one; more count as exchanged


class Change(NamedTuple):
    """One rule or chain that a command has changed.

    ``kind`` is added, removed, changed, or counted (its counters alone). ``number`` is the rule's, from 1, as
    it is afterwards, or as it was if it was removed; 0 stands for the chain itself. ``text`` is the rule,
    or the chain's policy (``-`` for a user chain).
    """

    kind: str
    family: int
    backend: str
    table: str
    chain: str
    number: int
    text: str


def changes(before: State, after: State) -> tuple[Change, ...]:
    """Return what differs between two states. What they share costs nothing."""
    found: list[Change] = []
    for place in dict.fromkeys((*before.rulesets, *after.rulesets)):
        old, new = before.rulesets.get(place), after.rulesets.get(place)
        if old is not new:
            for kind, table, chain, number, text in _of_ruleset(old, new):
                found.append(Change(kind, *place, table, chain, number, text))
    return tuple(found)


def _of_ruleset(
    old: Ruleset | None, new: Ruleset | None
) -> Iterator[tuple[str, str, str, int, str]]:
    tables = dict.fromkeys((*(old.tables if old else ()), *(new.tables if new else ())))
    for name in tables:
        was = old.tables.get(name) if old else None
        is_ = new.tables.get(name) if new else None
        if was is not is_:
            yield from ((one[0], name, *one[1:]) for one in _of_table(was, is_))


def _of_table(old: Table | None, new: Table | None) -> Iterator[tuple[str, str, int, str]]:
    names = dict.fromkeys((*(old.chains if old else ()), *(new.chains if new else ())))
    for name in names:
        was = old.chains.get(name) if old else None
        is_ = new.chains.get(name) if new else None
        if was is not is_:
            yield from ((one[0], name, *one[1:]) for one in _of_chain(was, is_))


def _of_chain(old: Chain | None, new: Chain | None) -> Iterator[tuple[str, int, str]]:
    """Compare a chain with what it was; a built-in one that is not there is an empty one."""
    some = old or new
    assert some is not None
    if some.builtin:
        old, new = old or Chain(some.name, (), "ACCEPT"), new or Chain(some.name, (), "ACCEPT")
    if old is None or new is None:
        yield "removed" if new is None else "added", 0, some.policy or "-"
    elif old.policy != new.policy:
        yield "changed", 0, new.policy or "-"
    elif old.counters != new.counters:
        yield "counted", 0, new.policy or "-"
    yield from _of_rules(old.rules if old else (), new.rules if new else ())


def _of_rules(old: Sequence[Rule], new: Sequence[Rule]) -> Iterator[tuple[str, int, str]]:
    if old is new:
        return
    start, stop, end = difference(old, new)
    was, is_ = old[start:stop], new[start:end]
    was_text, is_text = [rule_text(rule) for rule in was], [rule_text(rule) for rule in is_]
    for kind, a, b, c, d in _blocks(was_text, is_text):
        if kind == "equal":
            pairs = zip(range(a, b), range(c, d), strict=True)
            counted = [n for m, n in pairs if was[m].counters != is_[n].counters]
            yield from (("counted", start + n + 1, is_text[n]) for n in counted)
            continue
        both = min(b - a, d - c)  # exchanged one for one; the rest came or went
        yield from (("changed", start + n + 1, is_text[n]) for n in range(c, c + both))
        yield from (("removed", start + n + 1, was_text[n]) for n in range(a + both, b))
        yield from (("added", start + n + 1, is_text[n]) for n in range(c + both, d))


def _blocks(old: list[str], new: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    if len(old) + len(new) > MOST:
        return [("replace", 0, len(old), 0, len(new))]
    return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
