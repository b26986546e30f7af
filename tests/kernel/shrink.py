"""Makes a ruleset and its packets as small as they can be while kernel and model still disagree.

Delta debugging (Zeller and Hildebrandt, 2002) by packets, then by rules, then by the words of a rule.
Every try asks the kernel again, so what is left is a case that anybody can repeat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.kernel.compare import Difference, Played, follow
from tests.kernel.oracle import Oracle
from tests.kernel.play import replay

MAX_TRIES = 400
T = TypeVar("T")


class Shrinker:
    """Shrinks one difference."""

    def __init__(self, oracle: Oracle, played: Played) -> None:
        self.oracle = oracle
        self.played = played
        self.tries = 0
        self.best: tuple[Played, Difference] | None = None

    def run(self, at: int) -> tuple[Played, Difference] | None:
        """Return a small case that differs, or None if it cannot be repeated."""
        packets = [(device, data) for device, data, _ in self.played.packets[: at + 1]]
        lines = self.played.dump.splitlines()
        if not self._differs(lines, packets):
            return None
        *before, last = packets
        before = smaller(before, lambda some: self._differs(lines, [*some, last]))
        packets = [*before, last]
        rules = [number for number, line in enumerate(lines) if line.startswith("-A ")]

        def with_rules(kept: Sequence[int]) -> list[str]:
            return [line for n, line in enumerate(lines) if n in kept or not line.startswith("-A ")]

        kept = smaller(rules, lambda some: self._differs(with_rules(some), packets))
        self._shorter(with_rules(kept), packets)
        return self.best

    def _shorter(self, lines: list[str], packets: list[tuple[str, bytes]]) -> None:
        """Take words out of rules."""
        for number, line in enumerate(lines):
            if not line.startswith("-A "):
                continue
            chain, *parts = re.split(r" (?=! -|-)", line.removeprefix("-A "))
            for part in list(parts):
                fewer = [one for one in parts if one is not part]
                trial = [*lines[:number], " ".join(["-A", chain, *fewer]), *lines[number + 1 :]]
                if self._differs(trial, packets):
                    lines, parts = trial, fewer

    def _differs(self, lines: Sequence[str], packets: list[tuple[str, bytes]]) -> bool:
        self.tries += 1
        if self.tries > MAX_TRIES:
            return False
        try:
            played = replay(self.oracle, self.played, "\n".join([*lines, ""]), packets)
        except (RuntimeError, TimeoutError):  # the kernel refuses these rules, or was not seen
            return False
        found = next((difference for _, difference in follow(played) if difference), None)
        if found is not None:
            self.best = played, found
        return found is not None


def smaller(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Return items of which none can be left out, in chunks first: ``fails`` stays true for them."""
    kept, size = list(items), max(1, len(items) // 2)
    while kept:
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            if fails(fewer):
                kept = fewer
                break
        else:
            if size == 1:
                return kept
            size = max(1, size // 2)
    return kept
