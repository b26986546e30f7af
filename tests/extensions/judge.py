"""Asks the real iptables what it makes of rules: accepted or refused, and how it saves them.

``judge(cases)`` starts workers, each in a network namespace of its own (``unshare -n``, needs
root). A case is (family, table, rule); its rule goes into a chain of its own, which no packet
visits. This file is also the worker: it reads cases as JSON on stdin and writes verdicts as JSON
on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

_PROGRAMS = {4: "iptables", 6: "ip6tables"}


class Case(NamedTuple):
    """A rule without ``-A CHAIN``, for one family and table."""

    family: int
    table: str
    rule: str


class Verdict(NamedTuple):
    """What the real program did: the saved rules (none if refused), and what it said."""

    saved: tuple[str, ...]
    said: str


def judge(cases: list[Case], *, backend: str = "nft", setup: str = "") -> list[Verdict]:
    """Return iptables' verdict on each case. ``setup`` is run by the shell in each namespace."""
    share = max(1, min(400, -(-len(cases) // (2 * (os.cpu_count() or 1)))))
    parts = [cases[at : at + share] for at in range(0, len(cases), share)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [v for part in pool.map(lambda p: _ask(p, backend, setup), parts) for v in part]


def _ask(cases: list[Case], backend: str, setup: str) -> list[Verdict]:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, __file__],
        input=json.dumps([backend, setup, cases]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [Verdict(tuple(saved), said) for saved, said in json.loads(done.stdout)]


def _work() -> None:
    backend, setup, cases = json.load(sys.stdin)
    if setup:
        subprocess.run(["sh", "-c", setup], check=True, capture_output=True)
    said = [_try(backend, number, *case) for number, case in enumerate(cases)]
    kept = {(family, table) for family, table, _ in cases}
    saved: dict[str, list[str]] = {}
    for family, table in kept:
        program = f"{_PROGRAMS[family]}-{backend}-save"
        text = subprocess.run(
            [program, "-t", table], capture_output=True, text=True, check=True
        ).stdout
        for line in text.splitlines():
            if line.startswith(f"-A c{family}."):
                chain, _, rule = line[3:].partition(" ")
                saved.setdefault(chain, []).append(rule)
    verdicts = [
        (saved.get(f"c{case[0]}.{number}", []), words)
        for number, (case, words) in enumerate(zip(cases, said, strict=True))
    ]
    json.dump(verdicts, sys.stdout)


def _try(backend: str, number: int, family: int, table: str, rule: str) -> str:
    """Load one rule; return an empty string if it was taken, else what iptables said."""
    chain = f"c{family}.{number}"
    done = subprocess.run(
        [f"{_PROGRAMS[family]}-{backend}-restore", "--noflush"],
        input=f"*{table}\n:{chain} - [0:0]\n-A {chain} {rule}\nCOMMIT\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


if __name__ == "__main__":
    _work()
