"""Lines that differ from one that was read only in words of a known form.

A large dump is the same few lines over and over with other addresses, comments and chains. Once
such a line was read by the grammar, its *shape* is a regular expression: the words that stay, and
for each that varies the form that its kind takes without fail (``Kind.pattern``). A line of a known
shape is correct, and ``check`` need not decode it.
"""

from __future__ import annotations

import re

KEPT = 12  # shapes that are tried; a dump is sorted by chain, so what followed follows again
MET = 4096  # shapes that are remembered until they come a second time


class Shapes:
    """The latest shapes of one table's rules. ``chains`` are what ``-j`` may name."""

    def __init__(self, chains: frozenset[str]) -> None:
        self._chains = chains
        self._shapes: list[re.Pattern[str]] = []
        self._met: set[str] = set()
        self._last: re.Pattern[str] | None = None
        self._after: dict[re.Pattern[str] | None, re.Pattern[str]] = {}  # what followed last time

    def known(self, spec: str) -> bool:
        """Tell whether ``spec`` has a known shape, and is therefore a correct rule."""
        last = self._last
        guess = self._after.get(last)
        if guess is not None and self._fits(guess, spec):
            self._last = guess
            return True
        for shape in self._shapes:
            if self._fits(shape, spec):
                self._after[last] = self._last = shape
                return True
        return False

    def _fits(self, shape: re.Pattern[str], spec: str) -> bool:
        match = shape.fullmatch(spec)
        return match is not None and (match.lastindex is None or match[1] in self._chains)

    def learn(self, clauses: list[tuple[str, str, str]]) -> None:
        """Keep the shape of a rule that was read.

        ``clauses`` are its clauses as (text, what stays, the pattern of the last word); the pattern
        is empty if the whole text stays.
        """
        pieces = []
        for text, prefix, pattern in clauses:
            if text.startswith("-j ") and text[3:] in self._chains:
                pieces.append(r"-j (\S+)")
            elif pattern:
                pieces.append(f"{re.escape(prefix)} (?:{pattern})")
            else:
                pieces.append(re.escape(text))
        form = " ".join(pieces)
        if form in self._met:  # worth the making: it comes again
            self._shapes.insert(0, re.compile(form))
            for old in self._shapes[KEPT:]:
                self._after.pop(old, None)
            del self._shapes[KEPT:]
        elif len(self._met) < MET:
            self._met.add(form)
