"""Asks the real iptables what it makes of rules: accepted or refused, and how it saves them.

``judge(cases)`` starts workers, each in a network namespace of its own (``unshare -n``, needs
root). A case is (family, table, rule, backend); its rule goes into a chain of its own, which no packet
visits. This file is also the worker: it reads cases as JSON on stdin and writes verdicts as JSON
on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_PROGRAMS = {4: "iptables", 6: "ip6tables"}


class Case(NamedTuple):
    """A rule without ``-A CHAIN``, for one family and table."""

    family: int
    table: str
    rule: str
    backend: str = "nft"  # nft, legacy, or stand-in: legacy over standin.c
    caller: str = ""  # a built-in chain that calls the rule's own, if packets are to come there

    def call(self, chain: str) -> str:
        """Return the line by which the caller calls ``chain``, the rule's own."""
        return f"-A {self.caller} -j {chain}\n" if self.caller else ""


class Verdict(NamedTuple):
    """What the real program did: the saved rules (none if refused), and what it said."""

    saved: tuple[str, ...]
    said: str


def judge(cases: list[Case]) -> list[Verdict]:
    """Return iptables' verdict on each case."""
    numbered: dict[str, list[int]] = {}
    for number, case in enumerate(cases):
        numbered.setdefault(case.backend, []).append(number)
    share = max(1, min(400, -(-len(cases) // (2 * (os.cpu_count() or 1)))))
    parts = [
        mine[at : at + share] for mine in numbered.values() for at in range(0, len(mine), share)
    ]
    verdicts: dict[int, Verdict] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        library = stand_in(folder) if "stand-in" in numbered else ""
        for part, said in zip(
            parts, pool.map(lambda p: _ask([cases[n] for n in p], library), parts), strict=True
        ):
            verdicts.update(zip(part, said, strict=True))
    return [verdicts[number] for number in range(len(cases))]


def stand_in(folder: str) -> str:
    """Compile the stand-in for the kernel."""
    library = f"{folder}/standin.so"
    source = Path(__file__).with_name("standin.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def _ask(cases: list[Case], library: str) -> list[Verdict]:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.extensions.judge"],
        input=json.dumps([library, cases]), capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return [Verdict(tuple(saved), said) for saved, said in json.loads(done.stdout)]


def _work() -> None:
    library, listed = json.load(sys.stdin)
    cases = [Case(*case) for case in listed]
    if cases[0].backend == "stand-in":
        json.dump([_over_stand_in(case, library) for case in cases], sys.stdout)
        return
    from tests.extensions.prepare import prepare

    prepare()
    said = [_try(number, case) for number, case in enumerate(cases)]
    saved: dict[str, list[str]] = {}
    for family, table, backend in {(case.family, case.table, case.backend) for case in cases}:
        for line in _run(f"{_PROGRAMS[family]}-{backend}-save", "-t", table).stdout.splitlines():
            if line.startswith(f"-A c{family}."):
                chain, _, rule = line[3:].partition(" ")
                saved.setdefault(chain, []).append(rule)
    verdicts = [
        (saved.get(f"c{case.family}.{number}", []), words)
        for number, (case, words) in enumerate(zip(cases, said, strict=True))
    ]
    json.dump(verdicts, sys.stdout)


def _try(number: int, case: Case) -> str:
    """Load one rule; return an empty string if it was taken, else what iptables said."""
    text = _dump(case, f"c{case.family}.{number}")
    done = _run(f"{_PROGRAMS[case.family]}-{case.backend}-restore", "--noflush", text=text)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def _over_stand_in(case: Case, library: str) -> tuple[list[str], str]:
    """Load one rule into the stand-in for the kernel, and return how it is saved."""
    program = f"{_PROGRAMS[case.family]}-legacy"
    with tempfile.NamedTemporaryFile() as table:
        beside = {"LD_PRELOAD": library, "NB_STANDIN": table.name}
        done = _run(f"{program}-restore", text=_dump(case, "c"), beside=beside)
        if done.returncode:
            return [], done.stderr.strip()
        text = _run(f"{program}-save", "-t", case.table, beside=beside).stdout
    return [line[5:] for line in text.splitlines() if line.startswith("-A c ")], ""


def _dump(case: Case, chain: str) -> str:
    return f"*{case.table}\n:{chain} - [0:0]\n-A {chain} {case.rule}\n{case.call(chain)}COMMIT\n"


def _run(
    *command: str, text: str = "", beside: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False,
        env=None if beside is None else {**os.environ, **beside},
    )  # fmt: skip


if __name__ == "__main__":
    _work()
