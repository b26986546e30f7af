"""The figures of a run as a table, and what no run may leave untried."""

from __future__ import annotations

from collections.abc import Collection

from tests.kernel.tally import Row, Tally
from tests.kernel.words import MATCHES, TARGETS

# What cannot be seen here, and why.
_NEVER_MISSES = {"comment": "it matches whatever comes"}
_NEVER_HITS = {"socket": "no socket waits in the lab", "helper": "no helper is at work"}
_NEVER_NEGATED = {"time": "iptables turns ! --weekdays into the other days"}


def missing(tally: Tally, refused: Collection[str]) -> list[str]:
    """Return what a run has not tried: extensions without hits, misses or negations.

    ``refused`` are words that the kernel does not take.
    """
    found = []
    for name, rows in MATCHES.items():
        if all(words.text in refused for words in rows):
            continue
        row = tally.extensions.get(name, Row())
        if not row.hits + row.negated_hits and name not in _NEVER_HITS:
            found.append(f"{name} never matched")
        if not row.misses + row.negated_misses and name not in _NEVER_MISSES:
            found.append(f"{name} never missed")
        negatable = name not in _NEVER_NEGATED and any("{!}" in words.text for words in rows)
        if negatable and not row.negated_hits + row.negated_misses:
            found.append(f"{name} was never negated")
    for name, rows in TARGETS.items():
        if name not in tally.extensions and not all(w.text in refused for w in rows if w.text):
            found.append(f"{name} never acted")
    return found


def table(tally: Tally) -> str:
    """Return the coverage as text, a line for each extension."""
    lines = [
        f"{'extension':32}{'packets':>9}{'hits':>9}{'misses':>9}{'! hits':>9}{'! misses':>9}{'wrong':>7}"
    ]
    for name in sorted(tally.extensions):
        row = tally.extensions[name]
        counts = (row.packets, row.hits, row.misses, row.negated_hits, row.negated_misses)
        lines.append(
            f"{name:32}" + "".join(f"{count:9,}" for count in counts) + f"{row.mismatches:7}"
        )
    return "\n".join(lines)
