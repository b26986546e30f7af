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
        self._targets: dict[re.Pattern[str], str] = {}  # what a shape calls, if always the same
        self._met: set[str] = set()
        self._last: re.Pattern[str] | None = None
        self._after: dict[re.Pattern[str] | None, re.Pattern[str]] = {}  # what followed last time

    def known(self, spec: str) -> str | None:
        """Return what ``spec`` calls if it has a known shape, and is therefore a correct rule.

        That is the name of a chain or target, empty if it calls none; None: the shape is new.
        """
        last = self._last
        guess = self._after.get(last)
        if guess is not None and (called := self._called(guess, spec)) is not None:
            self._last = guess
            return called
        for shape in self._shapes:
            if (called := self._called(shape, spec)) is not None:
                self._after[last] = self._last = shape
                return called
        return None

    def _called(self, shape: re.Pattern[str], spec: str) -> str | None:
        match = shape.fullmatch(spec)
        if match is None:
            return None
        if match.lastindex is None:
            return self._targets[shape]
        return match[1] if match[1] in self._chains else None

    def learn(self, clauses: list[tuple[str, str, str]], called: str) -> None:
        """Keep the shape of a rule that was read, and what it calls.

        ``clauses`` are its clauses as (what stays, the pattern of a word that varies, what stays behind
        it); the pattern is empty if the whole text stays.
        """
        pieces = []
        for text, pattern, behind in clauses:
            if text.startswith("-j ") and text[3:] in self._chains:
                pieces.append(r"-j (\S+)")
            elif pattern:
                pieces.append(f"{re.escape(text)}(?:{pattern}){re.escape(behind)}")
            else:
                pieces.append(re.escape(text))
        form = " ".join(pieces)
        if form in self._met:  # worth the making: it comes again
            shape = re.compile(form)
            self._shapes.insert(0, shape)
            self._targets[shape] = called
            for old in self._shapes[KEPT:]:
                self._after.pop(old, None)
            del self._shapes[KEPT:]
        elif len(self._met) < MET:
            self._met.add(form)
