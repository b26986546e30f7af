"""Lines of the kernel's trace, damaged: the recorded ones beside their own rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz.case import Case
from tests.fuzz.text import damaged

TRACE = Path(__file__).parents[2] / "data" / "trace"
LINES = 40  # of a recording


@cache
def _recorded() -> list[tuple[str, str]]:
    """Return lines and the rules that they are about."""
    folders = (
        (TRACE, "iptables-save.txt"),
        (TRACE / "ufw", "iptables-save.txt"),
        (TRACE / "nft", "nft-ruleset.txt"),
    )
    return [
        (file.read_text(), (folder / rules).read_text())
        for folder, rules in folders
        for file in sorted(
            [*folder.glob("*trace.txt"), *folder.glob("*monitor.txt"), *folder.glob("*log.txt")]
        )
    ]


def case(pick: Random, backend: str) -> Case:
    """Return an input of lines, with rules or without."""
    text, rules = pick.choice(_recorded())
    lines = text.splitlines(keepends=True)
    at = pick.randrange(max(1, len(lines) - LINES))
    told = damaged(pick, "".join(lines[at : at + LINES]))
    if rules.startswith("table"):
        return Case(told=told, rules="" if pick.random() < 0.5 else rules, views=True)
    return Case(4, backend, damaged(pick, rules), told=told, views=True)
