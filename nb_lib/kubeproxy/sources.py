"""Where the program's objects come from: files that are edited, or an API server that is watched."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from queue import Empty
from typing import Protocol

from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.objects import KubeObject
from nb_lib.kubeproxy.watch import Server, follow, resources

Changes = tuple[list[KubeObject], list[KubeObject]]


class Source(Protocol):
    """What tells of objects."""

    @property
    def ready(self) -> bool:
        """Whether all that there is has been told."""
        ...

    def close(self) -> None:
        """Ask for nothing more."""
        ...

    def changes(self) -> Changes | None:
        """Return what was added or modified, and what is gone; None if nothing has happened."""
        ...


class Files:
    """Manifests in files, and what has changed in them since they were last read."""

    ready = True

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.seen: tuple[float, ...] | None = None
        self.held: dict[tuple[str, str], KubeObject] = {}

    def changes(self) -> Changes | None:
        """Return what was added or modified, and what is gone; None if no file was written to."""
        paths = [Path(name) for name in self.names if name != "-"]
        seen = tuple(path.stat().st_mtime if path.exists() else 0.0 for path in paths)
        if seen == self.seen:
            return None
        text = [sys.stdin.read()] if "-" in self.names and self.seen is None else []
        text += [path.read_text(encoding="utf-8") for path in paths if path.exists()]
        found = {key_of(one): one for part in text for one in load(part)}
        new = [one for key, one in found.items() if self.held.get(key) != one]
        gone = [one for key, one in self.held.items() if key not in found]
        self.held, self.seen = found, seen
        return new, gone

    def close(self) -> None:
        """Files are open only while they are read."""


def key_of(one: KubeObject) -> tuple[str, str]:
    """Return what an object is known by: its kind, and its namespace and name."""
    return type(one).__name__, str(getattr(one, "key", "") or getattr(one, "name", ""))


class Watched:
    """What an API server has; mistakes of its objects, and its own, are told on stderr."""

    def __init__(self, server: Server, host: str) -> None:
        self.missing = {resource.kind for resource in resources(host)}
        self.stop = threading.Event()
        self.queue = follow(server, host, self.stop)

    @property
    def ready(self) -> bool:
        """Whether every kind was listed once."""
        return not self.missing

    def changes(self) -> Changes | None:
        """Return what was added or modified, and what is gone; None if nothing has happened."""
        new: list[KubeObject] = []
        gone: list[KubeObject] = []
        happened = False
        while True:
            try:
                kind, change = self.queue.get_nowait()
            except Empty:
                return (new, gone) if happened else None
            happened = True
            if change.error:
                print(f"{kind}: {change.error}", file=sys.stderr, flush=True)
            if change.listed:
                self.missing.discard(kind)
            for one in (*change.changed, *change.removed):
                new[:] = [other for other in new if key_of(other) != key_of(one)]
                gone[:] = [other for other in gone if key_of(other) != key_of(one)]
            new += change.changed
            gone += change.removed

    def close(self) -> None:
        """Let the threads end."""
        self.stop.set()
