"""What nb_lib makes of a rule, beside what the real iptables made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib.errors import NbError
from nb_lib.text import check, parse, rule_text

if TYPE_CHECKING:
    from tests.extensions.judge import Case


def ours(case: Case) -> tuple[str, ...]:
    """Return the rules as nb_lib saves them, none if it refuses the rule."""
    backend = "nft" if case.backend == "nft" else "legacy"
    text = f"*{case.table}\n:c - [0:0]\n-A c {case.rule}\n{case.call('c')}COMMIT\n"
    try:
        ruleset = parse(text, family=case.family, backend=backend)
        if check(ruleset, limit=1):
            return ()
        return tuple(rule_text(rule) for rule in ruleset[case.table]["c"].rules)
    except NbError:
        return ()


def differs(case: Case, saved: tuple[str, ...]) -> str:
    """Return how nb_lib differs from what iptables saved, or an empty string."""
    mine = ours(case)
    if mine == saved:
        return ""
    place = f"{case.table}:{case.caller}" if case.caller else case.table
    words = f"{case.backend} {case.family} {place} {case.rule}"
    return f"{words}\n  iptables {saved or 'refuses'}\n  nb_lib   {mine or 'refuses'}"
