"""What a host holds, kept in a file between two commands.

The file is JSON: for each family and backend the text that its ``-save -c`` prints (``family``, ``backend``,
``dump``), ``absent`` and ``hidden``, the built-in chains that iptables-nft shows but has not made, and those
that it has renamed (see State), and ``sets``, the ipsets: name → [type, family]. It is written beside itself
and renamed, so a reader finds the old state or the new one and nothing between.

Two locks keep commands apart, both in files beside the state, both flock(2)'s. The state's own is held from
reading to writing and stands for the kernel, which carries out one command at a time. xtables.lock is what
iptables-legacy takes (``-w``); iptables-nft has none. As for the real program, XTABLES_LOCKFILE names
another file for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nb_lib.cli import State
from nb_lib.errors import NbError
from nb_lib.rules import Ruleset
from nb_lib.text.parse import parse
from nb_lib.text.save import save


class LockError(Exception):
    """The lock was not to be had: what iptables prints of that."""


class Store:
    """The file that holds a host's state; one that is not there yet is an empty host."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> State:
        """Read the state. Raise NbError for a file that holds none, OSError if it cannot be read."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return State()
        return loads(text, str(self.path)) if text else State()

    def write(self, state: State) -> None:
        """Put ``state`` into the file, in one step."""
        beside = self._beside(f".{os.getpid()}")
        beside.write_text(dumps(state), "utf-8")
        beside.replace(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the state's own lock."""
        with _flock(os.fspath(self._beside(".lock")), 0):
            yield

    @contextmanager
    def xtables_lock(self, seconds: int) -> Iterator[None]:
        """Hold what iptables-legacy calls the xtables lock; wait for it, 0 seconds: for ever.

        So does 1.8.9, though the man page says that it gives up at once without ``-w``: alarm(0) sets
        no alarm (iptables/xshared.c xtables_lock()). Raises LockError.
        """
        path = os.environ.get("XTABLES_LOCKFILE") or os.fspath(self._beside(".xtables.lock"))
        with _flock(path, seconds):
            yield

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def dumps(state: State) -> str:
    """Write a state as JSON."""
    rulesets = [
        {"family": family, "backend": backend, "dump": save(ruleset, counters=True)}
        for (family, backend), ruleset in state.rulesets.items()
    ]
    whole = {
        "rulesets": rulesets,
        "absent": _listed(state.absent),
        "hidden": _listed(state.hidden),
        "sets": dict(state.sets),
    }
    return json.dumps(whole, indent=1) + "\n"


def loads(text: str, where: str = "the state") -> State:
    """Read what ``dumps`` wrote; rules stay text until they are looked at. Raise NbError."""
    try:
        found = json.loads(text)
        rulesets = {(one["family"], one["backend"]): _ruleset(**one) for one in found["rulesets"]}
        absent, hidden = _chains(found["absent"]), _chains(found["hidden"])
        sets = {name: (kind, family) for name, (kind, family) in found["sets"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NbError(f"{where} holds no state of nb_lib.cli: {error}") from error
    return State(rulesets, absent=absent, hidden=hidden, sets=sets)


_Chains = Mapping[tuple[int, str], tuple[str, ...]]  # those of a family and a table


def _listed(chains: _Chains) -> list[list[object]]:
    return [[family, table, names] for (family, table), names in chains.items()]


def _chains(listed: list[tuple[int, str, list[str]]]) -> _Chains:
    return {(family, table): tuple(names) for family, table, names in listed}


def _ruleset(family: int, backend: str, dump: str) -> Ruleset:
    return parse(dump, family=family, backend=backend)


@contextmanager
def _flock(path: str, seconds: int) -> Iterator[None]:
    try:
        file = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LockError(f"Fatal: can't open lock file {path}: {error.strerror}\n") from error
    try:
        _wait_for(file, path, seconds)
        yield
    finally:
        os.close(file)  # and with it goes the lock


def _wait_for(file: int, path: str, seconds: int) -> None:
    import fcntl  # these two are not there where a browser runs Python
    import signal

    def expired(*_: object) -> None:
        raise LockError(
            f"Can't lock {path}: Resource temporarily unavailable\n"
            f"Another app is currently holding the xtables lock. Stopped waiting after {seconds}s.\n"
        )

    signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    fcntl.flock(file, fcntl.LOCK_EX)
    signal.alarm(0)
