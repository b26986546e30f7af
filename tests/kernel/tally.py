"""Counts what was compared: packets, conversations, and for each extension its hits and misses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from nb_lib.options import Use
from nb_lib.rules import Rule
from nb_lib.trace import Answered, Copied, Event, Matched, Missed, Trace
from tests.kernel.compare import Difference

# What every rule can say, whatever it loads: the row of a rule's own options.
CORE = "(addresses, devices, protocol)"


@dataclass
class Row:
    """One extension: packets that met it, and how it answered them.

    A match hits or misses, with a ``!`` or without; a target acts, which counts as a hit.
    """

    packets: int = 0
    hits: int = 0
    misses: int = 0
    negated_hits: int = 0
    negated_misses: int = 0
    mismatches: int = 0


@dataclass
class Tally:
    """What one backend was asked."""

    rulesets: int = 0
    sequences: int = 0
    packets: int = 0
    mismatches: int = 0
    unrepeated: int = 0  # differences that were none when the same was played again
    given_up: list[str] = field(default_factory=list)  # rulesets that could not be watched, by seed
    extensions: dict[str, Row] = field(default_factory=dict)

    def count_all(self, traces: Iterable[Trace], sequences: int) -> None:
        """Count a ruleset, its conversations and their packets."""
        self.rulesets += 1
        self.sequences += sequences
        for trace in traces:
            self.count(trace)

    def count(self, trace: Trace) -> None:
        """Count a packet that was compared."""
        self.packets += 1
        met = set()
        for use, hit in _answers(trace.events):
            row = self.row(use.name)
            met.add(use.name)
            negated = any(setting.inverted for setting in use.settings.values())
            name = ("negated_" if negated else "") + ("hits" if hit else "misses")
            setattr(row, name, getattr(row, name) + 1)
        for name in met:
            self.row(name).packets += 1

    def row(self, name: str) -> Row:
        """Return an extension's row."""
        return self.extensions.setdefault(name or CORE, Row())

    def differs(self, difference: Difference) -> None:
        """Count a mismatch, at the extensions of the last rule that both sides took, or one of them."""
        self.mismatches += 1
        events = difference.trace.events if difference.trace else ()
        met = {use.name for use, _ in _answers(events)}
        for name in met:
            self.row(name).mismatches += 1

    def __str__(self) -> str:
        packets = f"{self.packets:,} packets of {self.sequences:,} sequences"
        noise = f" ({self.unrepeated} not repeated)" if self.unrepeated else ""
        noise += f", given up: {'; '.join(self.given_up)}" if self.given_up else ""
        return f"{packets} over {self.rulesets:,} rulesets, {self.mismatches} mismatches{noise}"

    def as_data(self) -> dict[str, Any]:
        """Return everything as numbers and names, extensions by name."""
        return asdict(self) | {
            "extensions": {name: asdict(self.extensions[name]) for name in sorted(self.extensions)}
        }


def _answers(events: Iterable[Event]) -> Iterator[tuple[Use, bool]]:
    """Yield each extension that a packet met, and whether it hit."""
    for event in events:
        if isinstance(event, Matched) and not event.hotdrop:
            yield from _hits(event.rule)
        elif isinstance(event, Missed):
            for number, (decided, _) in event.known.items():
                for use in (event.rules[number - 1].core, *event.rules[number - 1].matches):
                    if use is decided:
                        break
                    yield use, True
                yield decided, False
        elif isinstance(event, Answered | Copied):
            yield from _answers(event.events)


def _hits(rule: Rule) -> Iterator[tuple[Use, bool]]:
    yield rule.core, True
    for use in (*rule.matches, *([rule.target] if rule.target else [])):
        yield use, True
