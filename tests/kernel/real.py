"""The real iptables, each time in a network namespace of its own that ends with the command.

Nothing has to be removed afterwards: ``unshare --net`` gives the shell a new namespace, and the kernel
destroys it when the last process in it is gone, however that happened.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

PROGRAMS = {4: "iptables", 6: "ip6tables"}
# A restore in nft waits most of its time for the kernel, so more run at once than there are cores.
AT_ONCE = 8
T = TypeVar("T")
R = TypeVar("R")


class Saved(NamedTuple):
    """What iptables-restore made of a dump: its status, what it said, and what was saved then."""

    status: int
    said: str
    text: str


def restore_and_save(
    dump: str, *, family: int = 4, backend: str = "nft", counters: bool = False, ipsets: str = ""
) -> Saved:
    """Load ``dump`` into an empty namespace and return what iptables-save prints there."""
    program = f"{PROGRAMS[family]}-{backend}"
    flag = " -c" if counters else ""
    sets = f"printf '%s\\n' '{ipsets}' | ipset restore && " if ipsets else ""
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "sh",
            "-c",
            f"{sets}{program}-restore{flag} && exec {program}-save{flag}",
        ],
        input=dump.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    said, text = (out.decode("utf-8", "surrogateescape") for out in (done.stderr, done.stdout))
    return Saved(done.returncode, said, body(text))


def body(text: str) -> str:
    """Return a dump without its ``#`` lines, which carry a date."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def each(work: Callable[[T], R], items: Iterable[T]) -> Sequence[R]:
    """Return ``work`` of each item, several at once, in order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))
