"""What iptables 1.8.9 on Linux 6.18 made of the rules, for machines without root.

``python -m tests.extensions.recorded`` asks the real iptables again and writes the file anew. Its first
line holds the options that the help texts name, from which the rules are generated; each other line the
verdict on one rule: the saved rules, 0 for a refusal, 1 for the rule as it was given.
"""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path

from tests.extensions import helps
from tests.extensions.judge import Case, judge
from tests.extensions.rules import cases

FILE = Path(__file__).parent / "recorded.jsonl.xz"
EVERY = 5  # of the generated rules the recording holds one of so many
REFUSED, SAME = 0, 1
Saved = tuple[str, ...]


@cache
def _lines() -> tuple[str, ...]:
    return tuple(lzma.decompress(FILE.read_bytes()).decode().splitlines())


def recorded_helps() -> helps.Helps:
    """Return the options that the recorded help texts name."""
    return json.loads(_lines()[0])


@cache
def recorded() -> dict[Case, Saved]:
    """Return each case and the rules that iptables saved, none if it refused."""
    found: dict[Case, Saved] = {}
    for *case, verdict in map(json.loads, _lines()[1:]):
        asked = Case(*case)
        short = {REFUSED: (), SAME: (asked.rule,)}
        found[asked] = short[verdict] if isinstance(verdict, int) else tuple(verdict)
    return found


def record() -> None:
    """Ask the real iptables, and write what it says."""
    named = helps.read()
    asked = cases(named, EVERY)
    lines = [json.dumps(named)]
    for case, verdict in zip(asked, judge(asked), strict=True):
        short = {(): REFUSED, (case.rule,): SAME}.get(verdict.saved, verdict.saved)
        lines.append(json.dumps([*case, short], ensure_ascii=False))
    FILE.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))


if __name__ == "__main__":
    record()
