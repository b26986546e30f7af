"""In which column a chain stands, and with what chance its rules are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction

from nb_lib.matches.statistic import simplest
from nb_lib.rules import Chain, Rule
from nb_lib.views.leads import goals
from nb_lib.views.words import shape


def layers(chains: Mapping[str, Chain], calls: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return each chain's column: one past the chain that calls it.

    Called from several columns, a chain stands behind the last; chains of one kind (KUBE-SVC-…)
    stand together, behind the column that calls most of them.
    """
    depth = _depths(chains, calls)
    votes: dict[str, Counter[int]] = {}
    found: dict[str, int] = {}
    kinds = {name: shape(name) or name for name in depth}
    members: dict[str, list[str]] = {}
    last: dict[str, int] = {}
    for name, level in depth.items():
        members.setdefault(kinds[name], []).append(name)
        last[kinds[name]] = max(level, last.get(kinds[name], 0))
    for kind, _ in sorted(last.items(), key=lambda pair: pair[1]):
        seen = votes.get(kind, Counter({0: 1}))
        most = max(seen.values()) if kind.endswith("-") else 0
        found[kind] = max(level for level, count in seen.items() if count >= most)
        for name in members[kind]:
            for goal in (goal for rule in chains[name].rules for goal in goals(rule)):
                if goal in depth:
                    votes.setdefault(kinds[goal], Counter())[found[kind] + 1] += 1
    return {name: found[kinds[name]] for name in depth}


def _depths(chains: Mapping[str, Chain], calls: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return how deep each chain can be called, at most; a call that closes a loop does not count."""
    seen: dict[str, None] = {}
    done: dict[str, int] = {}  # chains behind all that they call, numbered
    for base in (name for name, chain in chains.items() if chain.builtin):
        seen[base] = None
        way = [(base, iter(calls[base]))]
        while way:
            name, left = way[-1]
            called = next((one for one in left if one not in seen), None)
            if called is None:
                way.pop()
                done[name] = len(done)
            else:
                seen[called] = None
                way.append((called, iter(calls[called])))
    depth = dict.fromkeys(seen, 0)
    for name in reversed(done):
        for called in calls[name]:
            if done[called] < done[name]:
                depth[called] = max(depth[called], depth[name] + 1)
    return depth


def reach(start: str, arrows: Mapping[str, Iterable[str]]) -> set[str]:
    """Return every name that ``arrows`` lead to from ``start``."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in arrows[waiting.pop()]:
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def chances(chain: Chain) -> dict[int, Fraction]:
    """Return the chance of each rule of a chain that draws lots, exact: 1/3, 1/3, 1/3."""
    found: dict[int, Fraction] = {}
    rest = Fraction(1)
    for number, rule in enumerate(chain.rules, 1):
        odds = _odds(rule)
        if odds is None and (not found or any(u.name != "comment" for u in rule.matches)):
            continue
        if not rule.jump:
            continue
        found[number] = rest * (1 if odds is None else odds)
        rest -= found[number]
    return found if len(found) > 1 else {}


def _odds(rule: Rule) -> Fraction | None:
    """Return the probability of ``-m statistic``, exact; the kernel's 0.33333333349 is 1/3."""
    for use in rule.matches:
        setting = use.settings.get("--probability")
        if use.name == "statistic" and setting is not None:
            odds = simplest(setting.value)
            return 1 - odds if setting.inverted else odds
    return None
