"""Rules that are well written but stand where iptables or the kernel does not take them.

A rule of INPUT cannot ask for the outgoing interface; DNAT works in PREROUTING and OUTPUT of nat,
and in chains that only they reach; chains must not call each other in a circle, and iptables-nft
takes no more than fifteen below one another.

Sources: iptables/xshared.c do_parse(), "Can't use -%c with %s"; net/netfilter/x_tables.c
xt_check_target(); net/netfilter/nf_tables_api.c nft_chain_validate(); net/ipv4/netfilter/
ip_tables.c mark_source_chains().
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import islice
from typing import NamedTuple, Protocol

from nb_lib.hooks import builtin
from nb_lib.matches import find_match
from nb_lib.matches import known_names as match_names
from nb_lib.options import Extension, Place, Use
from nb_lib.rules import Rule
from nb_lib.targets import find_target
from nb_lib.targets import known_names as target_names
from nb_lib.text.decode import called_by
from nb_lib.text.dialect import Dialect

MAX_CALLS = 15  # chains below a built-in one: NFT_JUMP_STACK_SIZE less one
# The interface that a packet does not have yet, or no longer has, in a built-in chain.
_NO_INTERFACE = {"PREROUTING": "-o", "INPUT": "-o", "OUTPUT": "-i", "POSTROUTING": "-i"}
_INTERFACES = {"-o": re.compile(r"[ \t](?:-o|--o)"), "-i": re.compile(r"[ \t](?:-i|--in)")}
Called = Mapping[str, AbstractSet[str]]  # chain → chains and targets that its rules call


class Text(Protocol):
    """The text of a table; it yields the names of its chains."""

    name: str  # the table's

    def __iter__(self) -> Iterator[str]: ...

    def holding(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the chains in whose rules ``pattern`` is found."""

    def naming(self, pattern: re.Pattern[str], chain: str) -> Iterator[tuple[int, Rule]]:
        """Yield the readable rules of a chain in which ``pattern`` is found, each with its index."""


class Misplaced(NamedTuple):
    """A rule that stands in the wrong place: its chain, its place there from 0, the word, the reason."""

    chain: str
    at: int
    token: str
    reason: str


def misplaced(text: Text, called: Called, family: int, backend: str) -> list[Misplaced]:
    """Return what stands in the wrong place."""
    bases = builtin(family, backend)[text.name]
    dialect = Dialect(family, frozenset(), backend)
    return [*_interfaces(text, bases), *_calls(text, called, bases, dialect)]


def _calls(
    text: Text, called: Called, bases: tuple[str, ...], dialect: Dialect
) -> Iterator[Misplaced]:
    """Find what must not be called: in a circle, too deep, or from there."""
    chains = frozenset(text)
    ways = {chain: names & chains for chain, names in called.items()}
    below, circle = visit(bases, ways)
    if circle:
        reason = f"these chains call each other without end: {' → '.join(circle)}"
        yield from _first_call(text, circle[-2], circle[-1], reason)
        return
    for base in bases:
        if dialect.backend == "nft" and below[base] > MAX_CALLS:
            deepest = max(ways[base], key=below.__getitem__)
            reason = f"{below[base]} chains call one another below {base}: iptables-nft takes {MAX_CALLS}"
            yield from _first_call(text, base, deepest, reason)
    names = frozenset[str]().union(*called.values())
    yield from _builtin(text, called, names & frozenset(bases))
    hooks = reached(bases, ways, [*below])
    yield from _targets(text, called, names - chains, hooks, dialect)
    if dialect.family in (4, 6):
        yield from _uses(text, hooks, dialect)


def visit(bases: tuple[str, ...], ways: Called) -> tuple[dict[str, int], list[str]]:
    """Return for the chains that packets reach how many others are below; and a circle, if there is one.

    Callees come before their callers. A circle ends with the chain that it begins with.
    """
    below: dict[str, int] = {}
    for base in bases:
        if base in below:
            continue
        depth = {base: 0}  # of the chains on the stack
        stack = [(base, iter(ways.get(base, ())))]
        while stack:
            name, ahead = stack[-1]
            for other in ahead:
                if other in depth:
                    callers = [*depth]
                    return below, [*callers[callers.index(other) :], other]
                if other not in below:
                    depth[other] = 0
                    stack.append((other, iter(ways.get(other, ()))))
                    break
                depth[name] = max(depth[name], below[other] + 1)
            else:
                stack.pop()
                below[name] = depth.pop(name)
                if stack:
                    depth[stack[-1][0]] = max(depth[stack[-1][0]], below[name] + 1)
    return below, []


def _builtin(text: Text, called: Called, names: AbstractSet[str]) -> Iterator[Misplaced]:
    """Find calls of built-in chains."""
    for base in names:
        reason = f"{base} is a built-in chain: only the kernel calls it"
        for chain in [chain for chain in called if base in called[chain]]:
            yield from (Misplaced(chain, at, base, reason) for at in calls(text, chain, base))


def reached(bases: tuple[str, ...], ways: Called, order: list[str]) -> dict[str, frozenset[str]]:
    """Return for each chain the built-in chains from which packets come to it."""
    found: dict[str, frozenset[str]] = {base: frozenset({base}) for base in bases}
    nowhere: frozenset[str] = frozenset()
    for name in reversed(order):
        mine = found[name]
        for other in ways.get(name, ()):
            before = found.get(other, nowhere)
            if before is not mine:
                found[other] = before | mine if before else mine
    return found


def _targets(
    text: Text,
    called: Called,
    names: AbstractSet[str],
    reached: Mapping[str, frozenset[str]],
    dialect: Dialect,
) -> Iterator[Misplaced]:
    """Find targets, all of them among ``names``, that work in other tables or chains only."""
    known = {name: find_target(name, dialect.family) for name in names}
    forms = {name: of.under(dialect.backend) for name, of in known.items() if of}
    limited = {name: of for name, of in forms.items() if of.tables or of.hooks or name == "DROP"}
    reasons: dict[tuple[str, frozenset[str]], str] = {}
    for chain, mine in called.items():
        for name in () if mine.isdisjoint(limited) else sorted(mine & limited.keys()):
            case = name, reached.get(chain, frozenset())
            if case not in reasons:
                reasons[case] = _refusal(text.name, limited[name], case[1], dialect.family)
            if reasons[case]:
                for at in calls(text, chain, name):
                    yield Misplaced(chain, at, name, reasons[case])


def _refusal(table: str, target: Extension, hooks: frozenset[str], family: int) -> str:
    """Return why a chain that packets reach from ``hooks`` cannot use a target, or an empty string."""
    if table == "nat" and target.name == "DROP" and family in (4, 6):
        return "the nat table sees only the first packet of a connection: it is no place to drop"
    return _wrong_place(table, target.name, Place(target.tables, target.hooks), hooks)


def _wrong_place(table: str, name: str, place: Place, hooks: frozenset[str]) -> str:
    if place.tables and table not in place.tables:
        return f"{name} stands in table {' or '.join(place.tables)}, not in {table}"
    wrong = sorted(hooks.difference(place.hooks)) if place.hooks else []
    if wrong:
        return f"{name} stands in {' or '.join(place.hooks)}, and packets come here from {wrong[0]}"
    return ""


def _uses(
    text: Text, reached: Mapping[str, frozenset[str]], dialect: Dialect
) -> Iterator[Misplaced]:
    """Find matches that work in other tables or chains only, and what does with some options."""
    pattern = _limited(dialect.family)
    for chain in text.holding(pattern):
        hooks = reached.get(chain, frozenset())
        # Of options iptables-nft learns only when a rule stands in a built-in chain itself.
        told = hooks if dialect.backend == "legacy" or chain in hooks else frozenset()
        for index, rule in text.naming(pattern, chain):
            for use in (*rule.matches, *([rule.target] if rule.target else [])):
                if reason := _misused(text.name, use, hooks, told):
                    yield Misplaced(chain, index, use.name, reason)


def unfit(table: str, chain: str, rule: Rule, hooks: frozenset[str], backend: str) -> str:
    """Return why a rule cannot stand in a chain that packets reach from ``hooks``, or an empty string."""
    told = hooks if backend == "legacy" or chain in hooks else frozenset[str]()
    target = rule.target
    if target and (reason := _refusal(table, target.extension, hooks, rule.family)):
        return reason
    uses = (*rule.matches, *([target] if target else []))
    return next(filter(None, (_misused(table, use, hooks, told) for use in uses)), "")


def _misused(table: str, use: Use, hooks: frozenset[str], told: frozenset[str]) -> str:
    extension = use.extension
    reason = ""
    if extension.test is not None:  # a target's own place is looked at by _targets()
        place = Place(extension.tables, extension.hooks)
        reason = _wrong_place(table, use.name, place, hooks)
    if not reason and extension.place is not None:
        reason = _wrong_place(table, use.name, extension.place(use), told)
    return reason


@cache
def _limited(family: int) -> re.Pattern[str]:
    """Return a pattern of the extensions whose place depends on more than a target's name."""
    matches = [find_match(name, family) for name in match_names(family)]
    names = [one.name for one in matches if one and (one.tables or one.hooks or one.place)]
    targets = [find_target(name, family) for name in target_names(family)]
    names += [one.name for one in targets if one and one.place]
    return re.compile(rf"(?:-[mj]|--match|--jump)[ \t]*(?:{'|'.join(names)})(?=\s|\Z)")


def _interfaces(text: Text, bases: tuple[str, ...]) -> Iterator[Misplaced]:
    """Find rules of built-in chains that ask for an interface that is not known there."""
    for chain in _NO_INTERFACE.keys() & set(bases):
        option = _NO_INTERFACE[chain]
        what = "outgoing" if option == "-o" else "incoming"
        for index, rule in text.naming(_INTERFACES[option], chain):
            if option in rule.core.settings:
                yield Misplaced(
                    chain, index, option, f"a packet in {chain} has no {what} interface"
                )


def _first_call(text: Text, caller: str, callee: str, reason: str) -> Iterator[Misplaced]:
    """Blame the first of the rules by which one chain calls another; none if only a comment does."""
    for index in islice(calls(text, caller, callee), 1):
        yield Misplaced(caller, index, callee, reason)


def calls(text: Text, chain: str, name: str) -> Iterator[int]:
    """Yield the indexes of the rules of a chain that jump to ``name``, a chain or a target."""
    plain = re.split(r'["\\]', name, maxsplit=1)[0]  # a quoted name is spelt as it is up to here
    rules = text.naming(re.compile(re.escape(plain)), chain)
    return (index for index, rule in rules if called_by(rule) == name)
