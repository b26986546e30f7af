"""Runs sequences of commands with the real programs, each sequence on a host that never saw one.

A ``Player`` is one process with mounts of its own that enters a new network namespace for every
sequence (root). There it starts the real programs one after the other and sends back what they printed
and returned. This file is also that process: sequences come as JSON, one in a line, on stdin.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self

ROOT = Path(__file__).parents[2]
MULTI = {"nft": "xtables-nft-multi", "legacy": "xtables-legacy-multi"}
SETS = {"s4": ("hash:ip", 4), "s6": ("hash:ip", 6)}
# What a Debian host knows without asking anybody; other names are looked up in vain.
KNOWN_NAMES = {
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/networks": "default 0.0.0.0\nloopback 127.0.0.0\nlink-local 169.254.0.0\n",
}
_NEWNS, _NEWNET = 0x00020000, 0x40000000  # linux/sched.h
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18  # linux/mount.h
_PATIENCE = 20  # seconds that a command may take


class Command(NamedTuple):
    """A command line, its first word the program's name, and what it reads on stdin."""

    words: tuple[str, ...]
    stdin: str = ""

    def __str__(self) -> str:
        text = f" <<< {self.stdin!r}" if self.stdin else ""
        return shlex.join(self.words) + text


class Said(NamedTuple):
    """What a program did; a negative status is the signal that killed it."""

    status: int
    stdout: str
    stderr: str


class Played(NamedTuple):
    """What each command of a sequence did, and the files that they left behind."""

    said: tuple[Said, ...]
    files: dict[str, str]


def backend_of(program: str) -> str:
    """Return the personality that a program's name asks for; iptables itself is nft."""
    return "legacy" if "-legacy" in program else "nft"


class Player:
    """The process that runs commands; use it as a context manager.

    ``prepared``: on every host there is all that tests/extensions' rules may name, not only SETS.
    """

    def __init__(self, *, prepared: bool = False) -> None:
        self.prepared = prepared

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.play", *["--prepared"] * self.prepared],
            cwd=ROOT, text=True, encoding="ascii",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._process.communicate()

    def play(self, sequence: Sequence[Command]) -> Played:
        """Run a sequence on a fresh host."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(sequence) + "\n")
        self._process.stdin.flush()
        said, files = json.loads(self._process.stdout.readline())
        return Played(tuple(Said(*one) for one in said), files)


def play_all(
    sequences: Iterable[Sequence[Command]], workers: int = 0, *, prepared: bool = False
) -> Iterator[tuple[Sequence[Command], Played]]:
    """Yield each sequence with what the real programs did, in order, several played at once."""
    workers = workers or len(os.sched_getaffinity(0))
    players = [Player(prepared=prepared).__enter__() for _ in range(workers)]
    idle: SimpleQueue[Player] = SimpleQueue()
    for player in players:
        idle.put(player)

    def one(sequence: Sequence[Command]) -> tuple[Sequence[Command], Played]:
        player = idle.get()
        try:
            return sequence, player.play(sequence)
        finally:
            idle.put(player)

    try:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(one, sequences)
    finally:
        for player in players:
            player.__exit__(None, None, None)


# ── The process ─────────────────────────────────────────────────────────────────────


class _Host:
    """The worker's side: namespaces, and programs started in them."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder, "cwd")
        self.folder.mkdir()
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.paths = {name: shutil.which(multi) or multi for name, multi in MULTI.items()}
        self.ipset = shutil.which("ipset") or "ipset"
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "XTABLES_LOCKFILE": f"{folder}/xtables.lock",  # others on this machine have their own
        }
        self.child = 0
        signal.signal(signal.SIGALRM, lambda *_: os.kill(self.child, signal.SIGKILL))
        self._unshare(_NEWNS)
        self._mount("none", "/", _REC | _PRIVATE)
        for path, text in KNOWN_NAMES.items():
            mine = Path(folder, Path(path).name)
            mine.write_text(text, encoding="ascii")
            self._mount(str(mine), path, _BIND)
        os.chdir(self.folder)

    def _unshare(self, what: int) -> None:
        if self.libc.unshare(what):
            raise OSError(ctypes.get_errno(), "unshare")

    def _mount(self, source: str, target: str, flags: int) -> None:
        if self.libc.mount(source.encode(), target.encode(), None, flags, None):
            raise OSError(ctypes.get_errno(), f"mount {target}")

    def play(self, sequence: list[tuple[list[str], str]]) -> tuple[list[Said], dict[str, str]]:
        """Run a sequence in a new network namespace, and take away the files that it left."""
        self._unshare(_NEWNET)
        self.prepare()
        said = [self.run(self.paths[backend_of(w[0])], w, stdin) for w, stdin in sequence]
        left = list(self.folder.iterdir())
        files = {file.name: file.read_bytes().decode("utf-8", "surrogateescape") for file in left}
        for file in left:
            file.unlink()
        return said, files

    def prepare(self) -> None:
        """Make what rules may name."""
        if "--prepared" in sys.argv:
            from tests.extensions.prepare import prepare

            prepare()
            return
        sets = "".join(
            f"create {name} {kind}{' family inet6' if family == 6 else ''}\n"
            for name, (kind, family) in SETS.items()
        )
        self.run(self.ipset, ["ipset", "restore"], sets)

    def run(self, path: str, words: list[str], stdin: str) -> Said:
        """Run one program; its streams are files in memory, so that nothing has to be pumped."""
        streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        os.write(streams[0], stdin.encode("utf-8", "surrogateescape"))
        os.lseek(streams[0], 0, os.SEEK_SET)
        duplicate = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
        self.child = os.posix_spawn(path, words, self.environment, file_actions=duplicate)
        signal.alarm(_PATIENCE)
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        signal.alarm(0)
        texts = []
        for stream in streams[1:]:
            data = os.pread(stream, os.fstat(stream).st_size, 0)
            texts.append(data.decode("utf-8", "surrogateescape"))
        for stream in streams:
            os.close(stream)
        return Said(status, *texts)


def _work() -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = _Host(folder)
        for line in sys.stdin:
            sys.stdout.write(json.dumps(host.play(json.loads(line))) + "\n")
            sys.stdout.flush()
        os.chdir("/")


if __name__ == "__main__":
    _work()
