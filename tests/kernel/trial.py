"""Tries rulesets by their seeds: the kernel plays, nb_lib follows, differences are shrunk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from nb_lib.packet import Packet
from nb_lib.trace import Trace
from nb_lib.views.text import trace_text
from tests.kernel.compare import Difference, Played, follow
from tests.kernel.flows import flows
from tests.kernel.generate import Rules
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import Oracle
from tests.kernel.play import play
from tests.kernel.probe import make_sets, refused
from tests.kernel.recording import to_data
from tests.kernel.shrink import Shrinker
from tests.kernel.tally import Tally
from tests.kernel.words import TEE_V6

SEQUENCES = 28  # conversations with each ruleset
TRIES = 2  # how often a ruleset may be lost from sight before it is given up
FAMILIES = (4, 6)


@dataclass
class Mismatch:
    """A seed whose packets nb_lib saw differently, as small as it could be made."""

    seed: int
    played: Played
    difference: Difference
    shrunk: bool

    def __str__(self) -> str:
        how = "shrunk" if self.shrunk else "as it was: it could not be repeated"
        played = self.played
        lines = [f"seed {self.seed}, IPv{played.family}, {played.backend} ({how})", played.dump]
        lines += [f"{device}: {Packet(data=data)}" for device, data, _ in played.packets]
        lines += ["nb_lib | kernel", self.difference.text]
        lines += [trace_text(self.difference.trace)] if self.difference.trace else []
        return "\n".join([*lines, "as a golden case:", json.dumps(to_data(played))])


class Trial:
    """One backend in one lab; a context manager."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.tally = Tally()
        self.refused: dict[int, dict[str, str]] = {}
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self.lab = self._held.enter_context(Lab(self.backend))
        self.oracle = self._held.enter_context(closing(Oracle(self.lab)))
        self.sets = make_sets(self.lab)
        self.refused = {family: refused(self.lab, family) for family in FAMILIES}
        if self.backend == "legacy":
            self.refused[6][TEE_V6.text] = "its copy cannot be told from the packet"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._held.close()

    @property
    def lacks(self) -> frozenset[str]:
        """The words that this kernel refused, whichever the family."""
        return frozenset(text for said in self.refused.values() for text in said)

    def play(self, seed: int, family: int) -> Played:
        """Let the kernel play one seed."""
        for name in ("grow4", "grow6"):
            run("ipset", "flush", name, namespace=self.lab.router)
        rules = Rules(seed, family, frozenset(self.refused[family]))
        talks = flows(seed, family, SEQUENCES)
        return play(self.oracle, rules.dump(), family, talks, self.sets)

    def compare(self, seed: int, family: int) -> Mismatch | None:
        """Let the kernel play a seed and nb_lib follow; count, and shrink a difference.

        On a machine too busy to tell in time what the kernel did, a ruleset is given up, and counted as
        that alone.
        """
        for _ in range(TRIES):
            try:
                return self._compare(seed, family)
            except TimeoutError:
                continue
        self.tally.given_up.append(f"seed {seed} IPv{family}")
        return None

    def _compare(self, seed: int, family: int) -> Mismatch | None:
        """Compare once.

        What does not differ when it is played again was a fault of the watching (under load the kernel
        defers what comes by lo, and events of answers get mixed up). It is counted apart.
        """
        played, small = self.play(seed, family), None
        traces, difference = _followed(played)
        if difference is not None:
            small = Shrinker(self.oracle, played).run(difference.at)
        if difference is not None and small is None:
            played = self.play(seed, family)
            traces, difference = _followed(played)
            self.tally.unrepeated += difference is None
        self.tally.count_all(traces, SEQUENCES)
        if difference is None:
            return None
        self.tally.differs(difference)
        return Mismatch(seed, *(small or (played, difference)), shrunk=small is not None)

    def run(self, seeds: Iterable[int]) -> Iterator[Mismatch]:
        """Try seeds with both families; yield what differs."""
        for seed in seeds:
            for family in FAMILIES:
                mismatch = self.compare(seed, family)
                if mismatch:
                    yield mismatch


def _followed(played: Played) -> tuple[list[Trace], Difference | None]:
    """Return nb_lib's traces of what was played, up to the first difference."""
    traces: list[Trace] = []
    for trace, difference in follow(played):
        traces += [trace] if trace else []
        if difference is not None:
            return traces, difference
    return traces, None
