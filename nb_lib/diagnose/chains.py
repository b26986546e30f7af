"""Rules that cannot be read, chains that do nothing or that nobody calls, rules that stand there twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb_lib.diagnose.conditions import parts
from nb_lib.diagnose.finding import NOTE, WARNING, Diagnosis
from nb_lib.diagnose.subject import Found, RulesetView, Subject
from nb_lib.options import Use
from nb_lib.rules import Chain, Rule, Table
from nb_lib.text import rule_text

# Chains that their programs make as a sign, or keep ready, and do not always call.
_SPARE = re.compile(
    r"KUBE-(?:PROXY|KUBELET)-CANARY|KUBE-MARK-(?:MASQ|DROP)|KUBE-LOAD-BALANCER|KUBE-SOURCE-RANGES-FIREWALL"
    r"|ufw6?-(?:logging-(?:allow|deny)|skip-to-policy-\w+|user-logging-\w+|user-limit(?:-accept)?)"
    r"|shorewall6?|logdrop|logreject|sha-[lr]h-\w+"
)


def unreadable(subject: Subject) -> Iterator[Diagnosis]:
    """Find rules of which nothing can be said."""
    for view in subject.rulesets:
        for table in view:
            bad = [
                view.evidence(table, chain, number)
                for chain in table
                for number in _missing(view, table, chain)
            ]
            if bad:
                are = "a rule cannot" if len(bad) == 1 else f"{len(bad)} rules cannot"
                yield Diagnosis(
                    "unreadable", WARNING,
                    f"in {view.where(table)}, {are} be read: nothing is said about them, and "
                    "iptables-restore would refuse the table",
                    tuple(bad),
                    "python -m nb_lib check says what is wrong",
                )  # fmt: skip


def _missing(view: RulesetView, table: Table, chain: Chain) -> list[int]:
    """Return the numbers of the rules that could not be read."""
    read = {number for number, _ in view.rules(table, chain)}
    every = range(1, len(chain.rules) + 1)
    return [] if len(read) == len(every) else [number for number in every if number not in read]


def empty(subject: Subject) -> Iterator[Diagnosis]:
    """Find jumps to chains without a rule."""
    for view in subject.rulesets:
        for table in view:
            found = [
                one for one in view.every(table)
                if one.rule.jump and not one.rule.goto and not table[one.rule.jump].rules
            ]  # fmt: skip
            if found:
                names = dict.fromkeys(one.rule.jump for one in found)
                what = (
                    f"{next(iter(names))} has" if len(names) == 1 else f"{len(names)} chains have"
                )
                yield Diagnosis(
                    "empty-chain", NOTE,
                    f"in {view.where(table)}, {what} no rule: a jump there does nothing",
                    tuple(map(view.shown, found)),
                    "nothing, if a program keeps them for rules to come; otherwise delete jump and chain",
                )  # fmt: skip


def uncalled(subject: Subject) -> Iterator[Diagnosis]:
    """Find user chains that no packet comes to."""
    for view in subject.rulesets:
        for table in view:
            reached = view.reached(table) if view.whole(table) else {}
            called = {name for names in view.calls(table).values() for name in names}
            lost = [c for c in table if reached and not c.builtin and c.name not in reached]
            lost = [c for c in lost if c.name not in called and not _SPARE.fullmatch(c.name)]
            for chain in lost:
                some = len(chain.rules)
                what = (
                    f"its {some} rule{'s are' if some > 1 else ' is'} dead"
                    if some
                    else "it is empty"
                )
                yield Diagnosis(
                    "uncalled-chain", WARNING if some else NOTE,
                    f"in {view.where(table)}, no rule calls the chain {chain.name}: {what}",
                    tuple(view.evidence(table, chain, n) for n in range(some + 1)),
                    f"call it ({view.command(table)} -A … -j {chain.name}), or delete it; if a program "
                    "made it, its own jump is lost: restart the program",
                )  # fmt: skip


def twice(subject: Subject) -> Iterator[Diagnosis]:
    """Find rules that stand in a chain twice and go on behind it: those that end are shadowed."""
    for view in subject.rulesets:
        for table in view:
            for chain in table:
                first: dict[str, Found] = {}
                for number, rule in view.rules(table, chain):
                    found = Found(table, chain, number, rule)
                    if not _repeatable(rule):
                        continue
                    before = first.setdefault(rule_text(rule), found)
                    if before is not found:
                        yield _twice(view, before, found)


def _repeatable(rule: Rule) -> bool:
    """Whether the second of two such rules finds nothing left to do that the first did not."""
    return parts(rule) is not None and not _counts(rule.target)


def _counts(target: Use | None) -> bool:
    """Whether meeting a target twice differs from once; what ends the chain is looked at elsewhere."""
    return target is not None and target.name not in ("LOG", "NFLOG", "TRACE", "NOTRACK")


def _twice(view: RulesetView, before: Found, found: Found) -> Diagnosis:
    return Diagnosis(
        "duplicate", NOTE,
        f"in {view.where(found.table, found.chain)}, rule {found.number} is the same as rule {before.number}",
        (view.shown(before), view.shown(found)),
        f"{view.command(found.table)} -D {found.chain.name} {found.number}",
    )  # fmt: skip
