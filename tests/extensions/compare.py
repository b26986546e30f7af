"""What nb_lib makes of a rule, beside what the real iptables made of it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from nb_lib.errors import NbError
from nb_lib.text import check, parse, rule_text

if TYPE_CHECKING:
    from nb_lib.rules import Ruleset
    from tests.extensions.judge import Case

# Where nb_lib differs on purpose or not yet: a pattern of rules, and why.
KNOWN = {
    r"--tcp-flags (NONE|\"\") ": "iptables-nft drops a comparison of no flags, and -m with it",
    r"! -p (tcp|udp) --[sd]port": "iptables-nft reads ports of any protocol behind ! -p tcp",
    r"^-m rpfilter$": "matches that some tables do not take are taken everywhere",
    r"--next": "policies of more than one element",
    r"-m physdev.*--physdev-(in|out) \"\"": "an empty port name is taken, which its own restore refuses",
    r"-(i|o) \+ .*-(i|o) \+": "a second -i + is not noticed",
    r"--(week|month)days ": "days that do not exist are taken for others or for none",
    r"--time(start|stop) \S*:( |$)|--time(start|stop) :": "hours or minutes may be left out",
    r"--dccp-types \"\"": "a list of no types is taken",
    r"--label (65536|4294967296)": "a label's number is cut to 16 bits",
    r"--(hbh|dst)-opts (-1|4294967296)": "an option's number wraps around",
    r"--header 255": "every other number is a protocol",
    r"--rateest-(name|interval|ewmalog) (\S+)?": "times may be hexadecimal or negative, names empty",
    r"-j SET .*(--timeout \S+ --timeout|--exist --exist)": "options of SET may be repeated",
}


def ours(case: Case) -> tuple[str, ...]:
    """Return the rules as nb_lib saves them, none if it refuses the rule."""
    try:
        ruleset = _parse(case)
        if check(ruleset, limit=1):
            return ()
        return tuple(rule_text(rule) for rule in ruleset[case.table]["c"].rules)
    except NbError:
        return ()


def _parse(case: Case) -> Ruleset:
    backend = "nft" if case.backend == "nft" else "legacy"
    text = f"*{case.table}\n:c - [0:0]\n-A c {case.rule}\nCOMMIT\n"
    return parse(text, family=case.family, backend=backend)


@cache
def _known() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in KNOWN))


def is_known(case: Case) -> bool:
    """Tell whether a rule is one of those that nb_lib is known to see differently."""
    return _known().search(case.rule) is not None


def differs(case: Case, saved: tuple[str, ...]) -> str:
    """Return how nb_lib differs from what iptables saved, or an empty string."""
    mine = ours(case)
    if mine == saved:
        return ""
    words = f"{case.backend} {case.family} {case.table} {case.rule}"
    return f"{words}\n  iptables {saved or 'refuses'}\n  nb_lib   {mine or 'refuses'}"
