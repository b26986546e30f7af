"""A command that kube-proxy runs, what it leaves, and the place that can run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Command(NamedTuple):
    """A program with its arguments, and what it is given to read; what need not succeed is no ``must``."""

    words: tuple[str, ...]
    stdin: str = ""
    must: bool = True


class Done(NamedTuple):
    """What a command left: its exit status and what it printed."""

    status: int
    stdout: str = ""
    stderr: str = ""


class Place(Protocol):
    """What can run the programs of a node."""

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        """Run one command and wait for its end."""
        ...
