"""What the kernel says to an edited table: jumps in a circle, rules where they cannot stand.

Sources: net/netfilter/nf_tables_api.c nft_chain_validate(), net/ipv4/netfilter/ip_tables.c
mark_source_chains(), net/netfilter/x_tables.c xt_check_match(), xt_check_target().
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import NamedTuple

from nb_lib.cli.edited import editable
from nb_lib.cli.personality import INVALID, NO_FILE, Personality
from nb_lib.cli.state import Work
from nb_lib.hooks import builtin
from nb_lib.options import RefusedError
from nb_lib.rules import Chain, Rule, Table
from nb_lib.text.decode import called_by
from nb_lib.text.places import MAX_CALLS, reached, unfit, visit

NOT_CALLED = "packets come to a built-in chain from its hook: no rule jumps to one"
VERDICTS = ("ACCEPT", "DROP", "QUEUE", "RETURN")


class Refusal(NamedTuple):
    """What the kernel says, in the words of strerror(3), and why it says so, in ours."""

    said: str
    why: str = ""


def refusal(
    work: Work, chain: str, rules: Iterable[Rule], changed: Callable[[], Chain]
) -> Refusal | None:
    """Return why the kernel refuses ``rules`` that come into a chain, ``changed()`` by them; or None."""
    table, who = work.table, work.who
    jumps = False
    for rule in rules:
        if refused := _own(rule):
            return refused
        jumps |= bool(rule.jump)
    bases = builtin(who.family, who.backend)[table.name]
    called = [rule.jump for rule in rules if rule.jump in bases]
    if called:  # libiptc does not let it come so far; nftables looks at the rule's matches first
        hooks = frozenset({chain}) & set(bases)
        unfitting = (unfit(table.name, chain, rule, hooks, who.backend) for rule in rules)
        if why := next(filter(None, unfitting), ""):
            return Refusal(INVALID, why)
        return Refusal(
            NO_FILE if called[0] in work.absent else "Operation not supported", NOT_CALLED
        )
    if not jumps and not any(map(_particular, rules)):
        return None
    if work.calls().admit(table, chain, rules):
        return None
    work.forget_calls()
    return _misplaced(table.replace(changed()), chain, rules, who, jumps=jumps)


def _misplaced(
    table: Table, chain: str, rules: Iterable[Rule], who: Personality, *, jumps: bool
) -> Refusal | None:
    """Return what is wrong with the place of rules, or of those that packets now reach."""
    bases = builtin(who.family, who.backend)[table.name]
    ways = {one.name: _ways(table, one, who) for one in table}
    below, circle = visit(bases, ways)
    if circle:
        why = f"these chains call each other without end: {' → '.join(circle)}"
        return Refusal("Too many links" if who.nft else "Too many levels of symbolic links", why)
    if who.nft and any(below[base] > MAX_CALLS for base in bases):
        return Refusal("Too many links", f"more than {MAX_CALLS} chains call each other")
    hooks = reached(bases, ways, [*below])
    for name in _below(chain, ways) if jumps else (chain,):
        for rule in rules if name == chain else table[name].rules:
            if why := unfit(table.name, name, rule, hooks.get(name, frozenset()), who.backend):
                return Refusal(INVALID, why)
    return None


def _own(rule: Rule) -> Refusal | None:
    """Return why the kernel refuses a rule wherever it stands."""
    for use in (*rule.matches, *((rule.target,) if rule.target else ())):
        if use.extension.check is None:
            continue
        try:
            reason = use.extension.check(use, rule)
        except RefusedError as error:
            return Refusal(error.kernel or INVALID, str(error))
        if reason:
            return Refusal(INVALID, reason)
    return None


def _particular(rule: Rule) -> bool:
    """Whether it depends on the place of a rule if it is taken."""
    uses = (*rule.matches, *((rule.target,) if rule.target else ()))
    return any(use.extension.tables or use.extension.hooks or use.extension.place for use in uses)


def _ways(table: Table, chain: Chain, who: Personality) -> frozenset[str]:
    """Return the chains that a chain calls; legacy looks no further than a verdict without conditions."""
    if not chain.rules:
        return frozenset()
    names = editable(chain.rules).called
    if not who.nft and any(name in VERDICTS for name in names):
        names = Counter(map(called_by, takewhile(lambda rule: not _final(rule), chain.rules)))
    return frozenset(name for name in names if name in table)


def _final(rule: Rule) -> bool:
    """Whether no packet gets past a rule: a verdict, and nothing asked."""
    ends = rule.target is not None and rule.target.name in VERDICTS
    return ends and not rule.core.settings and not rule.matches


def _below(chain: str, ways: dict[str, frozenset[str]]) -> list[str]:
    """Return a chain and those that it calls, and those that they call."""
    found = [chain]
    for name in found:
        found += [other for other in sorted(ways.get(name, ())) if other not in found]
    return found
