"""Two rulesets compared: what came, what went, what moved; and the packets that notice.

Rules are compared by their text in iptables-save's words, without counters. Of those in both, as many
as possible stay where they are (a longest common order), the others have moved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nb_lib.engine import Host
from nb_lib.net import FAMILY_NAMES
from nb_lib.packet import Packet
from nb_lib.rules import Chain, Ruleset, Table
from nb_lib.text import rule_text
from nb_lib.text.parse import LazyRules
from nb_lib.trace import Trace

SIGNS = {"removed": "-", "added": "+", "moved": "~", "policy": "!"}


class Change(NamedTuple):
    """A rule or a chain that differs: ``kind`` is added, removed, moved or policy.

    ``old`` and ``new`` are the rule's numbers before and after, from 1, 0 where it is not; both are 0 for the
    chain itself. ``lineno`` is its line in the dump that has it (in the new one, if both do).
    """

    kind: str
    family: int
    table: str
    chain: str
    old: int
    new: int
    lineno: int
    text: str

    def __str__(self) -> str:
        where = f" (rule {self.old} → {self.new})" if self.kind == "moved" else ""
        return f"{SIGNS[self.kind]} {self.text}{where}"


def compare(before: Mapping[int, Ruleset], after: Mapping[int, Ruleset]) -> Iterator[Change]:
    """Yield what differs between two hosts' rulesets by family (``Host.rulesets``), table by table."""
    for family in dict.fromkeys((*before, *after)):
        old = before.get(family, Ruleset(family))
        new = after.get(family, Ruleset(family))
        for name in dict.fromkeys((*old.tables, *new.tables)):
            nothing = Table(name, {})
            yield from _tables(family, old.tables.get(name, nothing), new.tables.get(name, nothing))


def _tables(family: int, old: Table, new: Table) -> Iterator[Change]:
    for name in dict.fromkeys((*old.chains, *new.chains)):
        was, is_ = old.chains.get(name), new.chains.get(name)
        if was is None or is_ is None:
            yield from _chain(family, old.name, was, is_)
        elif was.policy != is_.policy:
            text = f":{name} {was.policy} → {is_.policy}"
            yield Change("policy", family, old.name, name, 0, 0, 0, text)
        yield from _rules(family, old.name, name, was, is_)


def _chain(family: int, table: str, was: Chain | None, is_: Chain | None) -> Iterator[Change]:
    """Tell of a chain that came or went; a built-in one that says nothing was always there."""
    some = was or is_
    assert some is not None
    if some.builtin and some.policy == "ACCEPT":
        return
    kind = "added" if was is None else "removed"
    yield Change(kind, family, table, some.name, 0, 0, 0, f":{some.name} {some.policy or '-'}")


def _rules(
    family: int, table: str, name: str, was: Chain | None, is_: Chain | None
) -> Iterator[Change]:
    old, new = _texts(was), _texts(is_)
    if old == new:
        return
    pairs = _pairs(old, new)
    stay = _longest([*pairs.values()])
    here = {(was_at, is_at) for was_at, is_at in pairs.items() if is_at in stay}
    moved = {is_at: was_at for was_at, is_at in pairs.items() if (was_at, is_at) not in here}
    for at, text in enumerate(old):
        if at not in pairs:
            line = _lineno(was, at)
            yield Change(
                "removed", family, table, name, at + 1, 0, line, f"-A {name} {text}".rstrip()
            )
    known = {*pairs.values()}
    for at, text in enumerate(new):
        if at in moved or at not in known:
            kind = "moved" if at in moved else "added"
            before = moved[at] + 1 if at in moved else 0
            line = _lineno(is_, at)
            yield Change(
                kind, family, table, name, before, at + 1, line, f"-A {name} {text}".rstrip()
            )


def _texts(chain: Chain | None) -> list[str]:
    return [rule_text(rule) for rule in chain.rules] if chain else []


def _lineno(chain: Chain | None, at: int) -> int:
    rules = chain.rules if chain else ()
    return rules.lineno(at) if isinstance(rules, LazyRules) else 0


def _pairs(old: list[str], new: list[str]) -> dict[int, int]:
    """Return where each rule of ``old`` stands in ``new``: of equal ones the first to the first."""
    places: dict[str, list[int]] = {}
    for at in range(len(new) - 1, -1, -1):
        places.setdefault(new[at], []).append(at)
    return {at: places[text].pop() for at, text in enumerate(old) if places.get(text)}


def _longest(numbers: list[int]) -> set[int]:
    """Return the numbers of a longest ascending part of a list of different numbers."""
    tails: list[int] = []  # the last number of the best part of each length
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tails, number)
        before[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    found: set[int] = set()
    number_or_none = tails[-1] if tails else None
    while number_or_none is not None:
        found.add(number_or_none)
        number_or_none = before[number_or_none]
    return found


# ── Packets that notice ─────────────────────────────────────────────────────────────


class Noticed(NamedTuple):
    """A packet with another end: what was asked, and its traces before and after."""

    packet: Packet
    interface: str
    before: Trace
    after: Trace


def noticed(before: Host, after: Host, packets: Iterable[tuple[Packet, str]]) -> Iterator[Noticed]:
    """Yield the packets that end otherwise: another fate, another header, another answer.

    Each is a packet and the interface by which it comes, or ``""`` if the host sends it. They are sent one
    after the other, so both hosts remember those before.
    """
    for packet, interface in packets:
        one, two = _sent(before, packet, interface), _sent(after, packet, interface)
        if _end(one) != _end(two):
            yield Noticed(packet, interface, one, two)


def _sent(host: Host, packet: Packet, interface: str) -> Trace:
    return host.receive(packet, interface) if interface else host.send(packet)


def _end(trace: Trace) -> tuple[object, ...]:
    """Return what a packet's sender and receiver see of its way; not which rule it was."""
    fate, last = trace.fate, trace.packet
    return fate.kind, fate.device, fate.detail, last.data, [answer.data for answer in trace.replies]


def heading(change: Change) -> str:
    """Return what stands above the changes of a table: ``IPv4 nat``."""
    return f"{FAMILY_NAMES[change.family]} {change.table}"
