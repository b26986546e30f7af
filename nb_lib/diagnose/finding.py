"""What a diagnosis is: a name, a sentence, the rules that show it, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.errors import visible

# How grave a diagnosis is: something does not do what it says, or is open; or it is only worth knowing.
WARNING, NOTE = "warning", "note"


class Evidence(NamedTuple):
    """A rule (``number`` from 1), a chain (0) or a setting that shows it; ``lineno`` is its line in the dump.

    Without a dump ``lineno`` is 0. ``text`` is the rule as it stands there.
    """

    family: int
    table: str
    chain: str
    number: int
    lineno: int
    text: str

    def __str__(self) -> str:
        where = f"line {self.lineno}: " if self.lineno else ""
        return where + self.text


class Diagnosis(NamedTuple):
    """Something that was found: ``name`` is its key in ``nb_lib.diagnose.NAMES``."""

    name: str
    level: str
    sentence: str
    evidence: tuple[Evidence, ...]
    remedy: str

    def __str__(self) -> str:
        shown = [f"    {one}" for one in self.evidence[:MOST]]
        more = len(self.evidence) - MOST
        shown += [f"    … and {more} more"] if more > 0 else []
        return visible("\n".join([f"{self.name}: {self.sentence}", *shown, f"  → {self.remedy}"]))


MOST = 8  # pieces of evidence that a text shows
