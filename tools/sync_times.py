"""Measure what loading kube-proxy's rules costs: python -m tools.sync_times (root).

Services and endpoints are made up, nb_lib's kube-proxy writes the inputs, and the real iptables-restore and
nft load them into network namespaces of their own: all of it into nothing, then what the next sync writes
after one endpoint is gone. What is found, the fastest of some runs, goes into the file named below.
It is processor time, which neighbours on the machine disturb less than the clock's.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.proxy import CONFIG, cluster
from nb_lib.kubeproxy import iptables, nftables
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.objects import EndpointSlice
from nb_lib.kubeproxy.tracked import Tracked

FILE = Path(__file__).resolve().parent.parent / "data" / "kube-proxy" / "sync-times.json"
RUNS = {1_000: 3, 10_000: 1}  # of which the fastest counts; the larger takes minutes
ENDPOINTS = 2
_ONE = 7  # the Service of which an endpoint goes


class Inputs(NamedTuple):
    """A first sync's input, and that of the sync after one endpoint is gone."""

    first: str
    change: str


def change(tracked: Tracked, objects: list[Any]) -> None:
    """Take one endpoint away."""
    piece = objects[2 * _ONE + 1]
    assert isinstance(piece, EndpointSlice)
    tracked.synced()
    tracked.apply([replace(piece, endpoints=piece.endpoints[:1])])


def by_iptables(version: str, services: int) -> Inputs:
    """Return what a version gives iptables-restore: 1.21 always everything, 1.30 what has changed."""
    objects = cluster(services, ENDPOINTS)
    tracked = Tracked(CONFIG, era(version), 4, objects)
    rules = iptables.Rules(tracked)
    first = rules.whole()
    change(tracked, objects)
    return Inputs(first, rules.partial() if tracked.era.partial else rules.whole())


def by_nftables(services: int) -> Inputs:
    """Return what 1.30 gives nft: everything, and everything again."""
    objects = cluster(services, ENDPOINTS)
    tracked = Tracked(CONFIG, era("1.30"), 4, objects)
    rules = nftables.Rules(tracked)
    first = rules.written((), (), 0.0, anew=True)
    change(tracked, objects)
    return Inputs(first, rules.written((), (), 1.0, anew=False))


def load(program: list[str], text: str) -> float:
    """Return the seconds of processor time that a program takes for an input."""
    before = _used()
    subprocess.run(program, input=text, text=True, check=True, capture_output=True)
    return _used() - before


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def once(program: list[str], prepare: list[list[str]], inputs: Inputs) -> tuple[float, float]:
    """Load both inputs, one after the other, where nothing was."""
    for words in prepare:
        subprocess.run(words, check=True, capture_output=True)
    return load(program, inputs.first), load(program, inputs.change)


def fresh(what: str, services: int) -> tuple[float, float]:
    """Measure one of ``HOW`` in a network namespace of its own."""
    words = [sys.executable, "-m", "tools.sync_times", what, str(services)]
    done = subprocess.run(
        ["unshare", "--net", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    first, second = json.loads(done.stdout)
    return first, second


def _restore(backend: str, version: str) -> Callable[[int], tuple[float, float]]:
    program = f"iptables-{backend}"
    made = [[program, *words[1:]] for words in iptables.prepared(era(version)) if words[1] == "-N"]
    made = [words for number, words in enumerate(made) if words not in made[:number]]
    return lambda services: once(
        [f"{program}-restore", "--noflush"], made, by_iptables(version, services)
    )


HOW: dict[str, Callable[[int], tuple[float, float]]] = {
    "iptables 1.21, iptables-nft": _restore("nft", "1.21"),
    "iptables 1.30, iptables-nft": _restore("nft", "1.30"),
    "iptables 1.21, iptables-legacy": _restore("legacy", "1.21"),
    "iptables 1.30, iptables-legacy": _restore("legacy", "1.30"),
    "nftables 1.30, nft": lambda services: once(["nft", "-f", "-"], [], by_nftables(services)),
}


def measured(what: str) -> list[dict[str, Any]]:
    """Return the fastest of some runs for each size."""
    found = []
    for services, times in RUNS.items():
        runs = [fresh(what, services) for _ in range(times)]
        first, second = (min(each) for each in zip(*runs, strict=True))
        found.append(
            {"services": services, "first_s": round(first, 3), "change_s": round(second, 3)}
        )
        print(what, found[-1], file=sys.stderr, flush=True)
    return found


def main(words: list[str]) -> None:
    """Measure everything and write the file, or, in a namespace, one thing and print it."""
    if words:
        print(json.dumps(HOW[words[0]](int(words[1]))))
        return
    versions = [subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
                for program in ("iptables-nft", "iptables-legacy", "nft")]  # fmt: skip
    found = {
        "measured_by": "tools/sync_times.py",
        "kernel": os.uname().release.partition("-")[0],
        "machine": f"{os.cpu_count()} processors, {os.uname().machine}",
        "programs": [version.strip() for version in versions],
        "endpoints_each": ENDPOINTS,
        "fastest_of": RUNS,
        "loads": {what: measured(what) for what in HOW},
    }
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"▸ {FILE.relative_to(Path.cwd())} is written; `make outputs` shows it in chapter 4")


if __name__ == "__main__":
    main(sys.argv[1:])
