"""Asks the real programs and nb_lib the same sequences, and files the differences by kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.cli.compare import Difference, judge, kind, shrunk
from tests.cli.generate import sequence
from tests.cli.play import Command, Player, play_all

BACKENDS = ("nft", "legacy")
FAMILIES = (4, 6)


@dataclass
class Tally:
    """What a run has found so far."""

    sequences: int = 0
    commands: int = 0  # that the real programs ran
    equal: int = 0
    unjudged: int = 0  # behind a difference
    crashed: int = 0  # killed by a signal in the real program, and those behind them
    refused: int = 0  # commands with a status other than 0
    listings: int = 0  # equal -L and -S with counters that are not zero
    found: dict[str, list[Difference]] = field(default_factory=dict)

    @property
    def differences(self) -> int:
        return sum(len(some) for some in self.found.values())


def drawn(
    commands: int, seed: int, backends: Sequence[str] = BACKENDS, families: Sequence[int] = FAMILIES
) -> Iterator[list[Command]]:
    """Yield sequences, backends and families in turn, until they hold so many commands."""
    count = 0
    while count < commands:
        for backend in backends:
            for family in families:
                made = sequence(seed, backend, family)
                count += len(made)
                yield made
        seed += 1


def compare(
    commands: int, seed: int, backends: Sequence[str] = BACKENDS, families: Sequence[int] = FAMILIES
) -> Tally:
    """Play sequences and judge them."""
    tally = Tally()
    for played_sequence, played in play_all(drawn(commands, seed, backends, families)):
        judged = judge(played_sequence, played)
        tally.sequences += 1
        tally.commands += len(played_sequence)
        tally.equal += judged.equal
        tally.listings += judged.listings
        tally.refused += sum(said.status != 0 for said in played.said)
        left = len(played_sequence) - judged.equal
        if judged.difference is None:
            tally.crashed += left
        else:
            tally.unjudged += left - 1
            tally.found.setdefault(kind(judged.difference), []).append(judged.difference)
    return tally


def report(tally: Tally, shown: int) -> str:
    """Return the figures, and the differences by kind, the most frequent first, each with a small case."""
    lines = [(
        f"{tally.commands:,} commands in {tally.sequences:,} sequences, {tally.refused:,} refused: "
        f"{tally.equal:,} equal, {tally.differences:,} differ, {tally.unjudged:,} stand behind a difference, "
        f"{tally.crashed:,} behind a crash of the real program; "
        f"{tally.listings:,} listings with counters"
    )]  # fmt: skip
    ordered = sorted(tally.found.items(), key=lambda item: -len(item[1]))
    lines += [f"{len(some):6} × {name}" for name, some in ordered]
    with Player() as player:
        for name, some in ordered[:shown]:
            smallest = min(some, key=lambda difference: difference.at)
            lines += ["", f"{len(some)} × {name}", str(shrunk(smallest, player))]
    return "\n".join(lines)
