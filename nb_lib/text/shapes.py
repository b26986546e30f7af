"""Lines that differ from one that was read only in words of a known form.

A large dump is the same few lines over and over with other addresses, comments and chains. Once
such a line was read by the grammar, its *shape* is a regular expression: the words that stay, and
for each that varies the form that its kind takes without fail (``Kind.pattern``). A line of a known
shape is correct, and ``check`` need not decode it.
"""

from __future__ import annotations

import re

KEPT = 12  # shapes that are tried; a dump is sorted by chain, so the latest fit best
MET = 4096  # shapes that are remembered until they come a second time


class Shapes:
    """The latest shapes of one table's rules. ``chains`` are what ``-j`` may name."""

    def __init__(self, chains: frozenset[str]) -> None:
        self._chains = chains
        self._shapes: list[re.Pattern[str]] = []
        self._met: set[str] = set()

    def known(self, spec: str) -> bool:
        """Tell whether ``spec`` has a known shape, and is therefore a correct rule."""
        shapes = self._shapes
        for place, shape in enumerate(shapes):
            match = shape.fullmatch(spec)
            if match is not None and (match.lastindex is None or match[1] in self._chains):
                if place:
                    shapes.insert(0, shapes.pop(place))
                return True
        return False

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
            del self._shapes[KEPT:]
        elif len(self._met) < MET:
            self._met.add(form)
