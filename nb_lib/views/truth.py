"""How true the model is: tables of what a test run found, from the file that it wrote.

The file (``data/truth.json``) is written by ``make truth``; tests/kernel/report.py says what it holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nb_lib.targets import not_modelled
from nb_lib.views.sheet import Sheet

ALL = "all"
COUNTS = ("packets", "hits", "misses", "negated_hits", "negated_misses", "mismatches")
HEADS = ("packets", "hits", "misses", "! hits", "! misses", "≠")
NOTHING = dict.fromkeys(COUNTS, 0)
YES, PARTLY, NO = "yes", "in part", "no"


class Truth:
    """One run of the comparisons. ``data`` is the file as it is."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.backends: Mapping[str, Any] = data["backends"]
        self.sample: Mapping[str, Any] = data["sample"]

    def totals(self) -> Sheet:
        """Return a row for each backend: what it was asked, and how often nb_lib said something else."""
        columns = ("backend", "rulesets", "conversations", "packets", "once", "given up", "≠")
        keys = ("rulesets", "sequences", "packets", "unrepeated")
        rows = [
            (name, *(found[key] for key in keys), len(found["given_up"]), found["mismatches"])
            for name, found in self.backends.items()
        ]
        caption = f"Linux {self.data['kernel']}, iptables {self.data['iptables']}"
        return _sheet(columns, rows, caption)

    def extensions(self) -> Sheet:
        """Return a row for each extension: rules read and saved alike, decided, packets, differences."""
        columns = ("extension", "read", "saved", "decided", *self.backends, "≠")
        return _sheet(columns, [self._summary(name) for name in self.names()], "Each extension")

    def coverage(self, backend: str) -> Sheet:
        """Return how a backend's packets fared at each extension: hits, misses, the same with ``!``."""
        found: Mapping[str, Mapping[str, int]] = self.backends[backend]["extensions"]
        rows = [
            (name, *(found.get(name, NOTHING)[key] for key in COUNTS)) for name in self.names()[1:]
        ]
        return _sheet(("extension", *HEADS), rows, f"iptables-{backend}")

    def elsewhere(self) -> Sheet:
        """Return what random packets do not meet, and what is compared instead."""
        rows = list(self.data["elsewhere"].items())
        return _sheet(("extension", "compared by"), rows, "Not met by random packets")

    def refused(self) -> Sheet:
        """Return the rules that this kernel did not take."""
        found = sorted({text for one in self.backends.values() for text in one["refused"]})
        return _sheet(("rule",), [(text,) for text in found], "Refused by this kernel")

    def compared(self) -> Sheet:
        """Return what else was compared with the real thing."""
        rows = [
            (what, f"{equal:,}", f"{total:,}", note, equal != total and "on purpose" not in note)
            for what, equal, total, note in self.data["compared"]
        ]
        wrong = frozenset(number for number, row in enumerate(rows) if row[-1])
        columns = ("what", "equal", "of", "")
        return Sheet(columns, [row[:-1] for row in rows], "Other comparisons", wrong)

    def differences(self) -> Sheet:
        """Return the differences that are known: how to see them again, and what differs."""
        rows = [
            (one["case"], one["differs"])
            for b in self.backends.values()
            for one in b["differences"]
        ]
        caption = "nb_lib | kernel" if rows else "No difference is known"
        return Sheet(("case", "what differs"), rows, caption, frozenset(range(len(rows))))

    def names(self) -> list[str]:
        """Return ``all``, the rule's own options, the matches, the targets."""
        met = {name for found in self.backends.values() for name in found["extensions"]}
        known = met | set(self.data["rules"]) | set(self.data["elsewhere"])
        return [
            ALL,
            *sorted(known - {ALL}, key=lambda name: (name[:1] != "(", name.isupper(), name)),
        ]

    def _summary(self, name: str) -> tuple[Any, ...]:
        texts = self.data["rules"].get(name, {"asked": 0, "accepted_equal": 0, "saved_equal": 0})
        each = [found["extensions"].get(name, NOTHING) for found in self.backends.values()]
        if name == ALL:
            each = list(self.backends.values())
        packets = [one["packets"] for one in each]
        return (
            name,
            _of(texts["accepted_equal"], texts["asked"]),
            _of(texts["saved_equal"], texts["asked"]),
            "" if name == ALL else decided(name, met=any(packets)),
            *packets,
            sum(one["mismatches"] for one in each),
        )


def read(path: str | Path = "data/truth.json") -> Truth:
    """Read what a run wrote. Raises FileNotFoundError if there is none."""
    path = Path(path)
    root = Path(__file__).resolve().parents[2]  # chapters run in book/
    found = path if path.exists() else root / path
    return Truth(json.loads(found.read_text(encoding="utf-8")))


def decided(name: str, *, met: bool) -> str:
    """Say whether an extension's answers are decided: always, but for some cases, or never."""
    beyond = {option for what, option, _ in not_modelled() if _name(what) == name}
    if not beyond:
        return YES
    return NO if beyond == {""} and not met else PARTLY


def limits() -> Sheet:
    """Return what is not modelled, and why: as the extensions themselves tell it."""
    rows = [(what, option or "as a whole", why) for what, option, why in not_modelled()]
    return _sheet(("extension", "option", "why"), rows, "Not modelled, and why")


def _name(what: str) -> str:
    return what.rsplit(maxsplit=1)[-1].partition("/")[0]


def _of(equal: int, asked: int) -> str:
    return f"{equal:,}" if equal == asked else f"{equal:,} of {asked:,}"


def _sheet(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> Sheet:
    """Make a sheet; a row is wrong if its last column counts differences or a share is not the whole."""
    wrong = frozenset(_wrong(columns, rows))
    return Sheet(columns, rows, caption, wrong)


def _wrong(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[int]:
    for number, row in enumerate(rows):
        differs = columns[-1] == "≠" and row[-1]
        if differs or any(isinstance(value, str) and " of " in value for value in row[1:3]):
            yield number
