"""A command that kube-proxy runs, what it leaves, and the place that can run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.tracked import Tracked


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

    def listen(self, tracked: Tracked) -> Mapping[PortName, int]:
        """Hold userspace mode's own sockets, for the ports that there are now; return their numbers."""
        ...

    def close(self) -> None:
        """Close them."""
        ...
