"""A failing input gets smaller as long as it fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tests.fuzz.case import Case

Fails = Callable[[Case], bool]


def shrunk(case: Case, fails: Fails, seconds: float = 60) -> Case:
    """Return a small case that still fails: without parts, lines, words, letters that it does not need."""
    until = time.monotonic() + seconds

    def still(candidate: Case) -> bool:
        return time.monotonic() < until and fails(candidate)

    for change in ({"facts": ()}, {"packets": ""}, {"told": ""}, {"views": False}, {"rules": ""}):
        smaller = replace(case, **change)  # type: ignore[arg-type]
        if smaller != case and still(smaller):
            case = smaller
    for part in ("rules", "packets", "told"):
        for sign in ("\n", " ", ""):
            case = _thinned(case, part, sign, still)
    for place in range(len(case.facts)):
        case = _thinned_fact(case, place, still)
    return case


def _thinned(case: Case, part: str, sign: str, fails: Fails) -> Case:
    text: str = getattr(case, part)
    pieces = text.split(sign) if sign else list(text)
    kept = fewer(pieces, lambda some: fails(replace(case, **{part: sign.join(some)})))  # type: ignore[arg-type]
    return replace(case, **{part: sign.join(kept)})  # type: ignore[arg-type]


def _thinned_fact(case: Case, place: int, fails: Fails) -> Case:
    name, text = case.facts[place]

    def put(letters: list[str]) -> Case:
        changed = (name, "".join(letters))
        return replace(case, facts=(*case.facts[:place], changed, *case.facts[place + 1 :]))

    return put(fewer(list(text), lambda letters: fails(put(letters))))


def fewer(pieces: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Return a part of ``pieces`` that still fails, none of which can go (Zeller's ddmin, halves first)."""
    size = len(pieces) // 2
    while size:
        at = 0
        while at < len(pieces):
            without = pieces[:at] + pieces[at + size :]
            if fails(without):
                pieces = without
            else:
                at += size
        size //= 2
    return pieces
