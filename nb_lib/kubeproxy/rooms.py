"""What every mode has in common with the others, seen from the loop: how a family's state becomes commands.

A mode is a room: ``iptables.room``, ``nftables.room``, ``ipvs.room``, ``userspace.room``. It may look at the
place (which rules are there?) and yields the commands of one sync, one after the other; the loop runs each
before it asks for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from nb_lib.kubeproxy.commands import Command, Place


class Room(Protocol):
    """One family in one mode."""

    partial: bool
    """A sync may write what has changed alone."""

    def start(self) -> None:
        """Make what shows later that nobody has flushed the rules."""
        ...

    def commands(self, now: float, *, whole: bool) -> Iterator[Command]:
        """Yield the commands of one sync; ``now`` is in seconds of any clock."""
        ...

    def intact(self) -> bool:
        """Tell, once in a sync period, whether the rules may be trusted to be there."""
        ...

    def close(self) -> None:
        """Let go of what the process itself holds. Rules stay."""
        ...


def ensure(place: Place, commands: Iterable[Sequence[str]]) -> None:
    """Run commands that make something; a rule is made only where ``-C`` does not find it."""
    for words in commands:
        asked = ["-C" if word in ("-I", "-A") else word for word in words]
        if asked == list(words) or place.run(asked).status:
            place.run(words)


def forgotten(commands: Iterable[Sequence[str]]) -> Iterator[Command]:
    """Yield conntrack's commands: one that finds nothing to delete is no failure."""
    for words in commands:
        yield Command(tuple(words), must=False)
