"""Chance, made explicit: drawn with a seed, or played through a script.

Exploring means running the same packet again and again, each time with a script that takes the
next untried way, until all ways are known. Probabilities are exact fractions.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Protocol


class Chooser(Protocol):
    """Where the engine's luck comes from."""

    def choose(self, probability: Fraction) -> bool:
        """Tell whether a chance of ``probability`` comes out true."""

    def draw(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""


class Seeded:
    """Draws from a generator that the host owns."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator

    def choose(self, probability: Fraction) -> bool:
        """Draw once; a chance of 1 or 0 uses no draw."""
        if probability >= 1 or probability <= 0:
            return probability >= 1
        return self._random.random() < probability

    def draw(self, low: int, high: int) -> int:
        """Return a number from low to high."""
        return self._random.randint(low, high)


class Script:
    """Follows ``plan`` and then always the first way; remembers what was chosen."""

    def __init__(self, plan: tuple[bool, ...], generator: random.Random) -> None:
        self._plan = plan
        self._random = generator
        self.taken: list[bool] = []
        self.probability = Fraction(1)

    def choose(self, probability: Fraction) -> bool:
        """Take the planned way, or the one that comes true."""
        if probability >= 1 or probability <= 0:
            return probability >= 1
        at = len(self.taken)
        way = self._plan[at] if at < len(self._plan) else True
        self.taken.append(way)
        self.probability *= probability if way else 1 - probability
        return way

    def draw(self, low: int, high: int) -> int:
        """Ports and addresses are drawn, not explored: there are too many, and they are alike."""
        return self._random.randint(low, high)

    def following(self) -> tuple[bool, ...] | None:
        """Return the plan of the next way, or None when all are known."""
        plan = list(self.taken)
        while plan and not plan[-1]:
            plan.pop()
        if not plan:
            return None
        plan[-1] = False
        return tuple(plan)
