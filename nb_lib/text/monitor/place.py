"""Which rule of a dump a line means: by its number, its handle or its text.

A line of the kernel's log gives the number; what it calls a rule's *policy* or *return* is the rule that
matches everything, if there is one of that number. xtables-monitor prints the rule as iptables-save does, nft
in nft's words, which are looked for in nft's listing; of equal rules it is the first behind the one before.
A rule in other words than the dump's is found by its verdict, if no other rule of its chain has the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nb_lib.rules import Rule, Ruleset
from nb_lib.text import nft
from nb_lib.text.monitor.lines import LOG, NFT, Step
from nb_lib.text.monitor.sort import Way
from nb_lib.text.save import rule_text

FAMILIES = {"ip": 4, "ip6": 6}
_VERDICTS = {
    "ACCEPT": "ACCEPT", "DROP": "DROP", "RETURN": "RETURN", "REJECT": "DROP",
    **dict.fromkeys(("DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"), "ACCEPT"),
    **dict.fromkeys(("TRACE", "LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "SET"), "CONTINUE"),
}  # fmt: skip
_COUNTER = re.compile(r"counter packets [0-9]+ bytes [0-9]+")


class _Chain(NamedTuple):
    """A chain of a dump: what can be known of each of its rules."""

    table: str  # as a trace of nb_lib names it
    texts: Sequence[str]
    verdicts: Sequence[str]
    handles: Sequence[int]
    policy: str


class Places:
    """The rules of some dumps, to be found by what lines say of them."""

    def __init__(self, rulesets: Iterable[Ruleset | nft.Ruleset]) -> None:
        given = tuple(rulesets)
        self._iptables = {r.family: r for r in given if isinstance(r, Ruleset)}
        self._nft = [t for r in given if isinstance(r, nft.Ruleset) for t in r]
        self._known: dict[tuple[str, str, str], _Chain | None] = {}

    def placed(self, way: Way) -> Iterator[Step]:
        """Yield a packet's steps with what the dumps know: number, verdict, the table's name in a trace."""
        before: Step | None = None
        for at, step in enumerate(way.steps):
            chain = self._chain(step)
            if chain is None:
                found = (
                    step
                    if way.program != NFT
                    else step._replace(table=f"{step.family} {step.table}")
                )
            elif way.program == LOG:
                found = _numbered(step, chain, way.steps[at + 1 : at + 2])
            else:
                found = _sought(step, chain, before)
            yield found
            before = found

    def _chain(self, step: Step) -> _Chain | None:
        key = step.family, step.table, step.chain
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    def _find(self, family: str, table: str, chain: str) -> _Chain | None:
        dump = self._iptables.get(FAMILIES.get(family, 0))
        if dump is not None and table in dump and chain in dump[table]:
            held = dump[table][chain]
            texts = [f"-A {chain} {rule_text(rule)}".rstrip() for rule in held.rules]
            verdicts = [verdict_of(rule) for rule in held.rules]
            return _Chain(table, texts, verdicts, (), held.policy or "")
        for each in self._nft:
            if (each.family, each.name) == (family, table) and chain in each.chain:
                mine = each.chain[chain]
                texts = [_plain(nft.rule_text(rule, family)) for rule in mine.rules]
                handles = [rule.handle for rule in mine.rules]
                return _Chain(f"{family} {table}", texts, (), handles, mine.policy.upper())
        return None


def verdict_of(rule: Rule) -> str:
    """Return the verdict that a rule of iptables has whenever it matches, empty if that is not certain."""
    if rule.jump:
        return f"{'GOTO' if rule.goto else 'JUMP'} {rule.jump}"
    return _VERDICTS.get(rule.target.name, "") if rule.target else "CONTINUE"


def _plain(text: str) -> str:
    return " ".join(_COUNTER.sub("counter", text).split())


def _numbered(step: Step, chain: _Chain, following: list[Step]) -> Step:
    """Place a line of the kernel's log."""
    if step.number > len(chain.texts):
        return step._replace(number=0, verdict=chain.policy if step.kind == "policy" else "RETURN")
    verdict = chain.verdicts[step.number - 1] if step.number else ""
    if not verdict and any((n.table, n.chain) == (step.table, step.chain) for n in following):
        verdict = "CONTINUE"  # the next line is of the same chain
    rule = chain.texts[step.number - 1] if step.number else ""
    return step._replace(kind="rule", verdict=verdict, rule=rule)


def _sought(step: Step, chain: _Chain, before: Step | None) -> Step:
    """Place a line that tells the rule's text or handle."""
    step = step._replace(table=chain.table)
    if step.kind != "rule":
        return step
    plain = _plain(step.rule)
    same = [n for n, text in enumerate(chain.texts, 1) if text == plain]
    if step.handle in chain.handles and step.handle:
        same = [chain.handles.index(step.handle) + 1]
    if not same:
        alike = [n for n, verdict in enumerate(chain.verdicts, 1) if verdict == step.verdict]
        sure = "" not in chain.verdicts or step.verdict.startswith(("JUMP", "GOTO"))
        same = alike if len(alike) == 1 and sure else []
    here = before is not None and (before.table, before.chain) == (step.table, step.chain)
    behind = [n for n in same if not here or before is None or n > before.number]
    number = (behind or same or [0])[0]
    return step._replace(number=number, rule=chain.texts[number - 1] if number else step.rule)
