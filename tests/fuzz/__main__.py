"""``python -m tests.fuzz``: a million damaged inputs, or as many as a time allows.

Each must be answered within its bounds of time and memory, by a result or by an error of ours
(NbError), and nothing of its text may become markup in a page. An input that fails is shrunk and kept
in a file, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import NamedTuple

from tests.fuzz.bounds import Outcome, attempt, limit_memory, peak
from tests.fuzz.case import Case
from tests.fuzz.make import make, warm_up
from tests.fuzz.shrink import shrunk

STUCK = 120  # seconds without a word from a process, after which it is taken for hanging
DIED, HANGS = "a process died", "a process hangs"


class Report(NamedTuple):
    """What a process says after some inputs; ``done`` is 0 when it is at its end."""

    done: int
    heard: Counter[str]
    slowest: tuple[float, int]
    failures: list[tuple[int, str, str]]  # number, where, traceback
    memory: int  # bytes, the process' peak


class Result(NamedTuple):
    """What a whole run found."""

    inputs: int
    heard: Counter[str]
    slowest: tuple[float, int]
    failures: dict[str, tuple[int, str]]  # where → number, traceback
    memory: int


class Run:
    """Several processes that try inputs, and what they have found so far."""

    def __init__(self, inputs: int, seconds: float, seed: int, workers: int) -> None:
        warm_up()
        context = get_context("fork")
        self.seed, self.inputs, self.until = seed, inputs, time.monotonic() + seconds
        self.out: Queue[Report] = context.Queue()
        self.current = context.Array("q", workers)  # the input that each is at
        self.processes = [
            context.Process(target=self.work, args=(n,), daemon=True) for n in range(workers)
        ]
        self.result = Result(0, Counter(), (0.0, 0), {}, 0)

    # --- in a process of its own ---

    def work(self, worker: int) -> None:
        """Try every so-manieth input until they or the time are over."""
        limit_memory()
        os.nice(5)
        numbers = iter(range(worker, self.inputs, len(self.processes)))
        while time.monotonic() < self.until and (report := self._batch(worker, numbers)).done:
            self.out.put(report)
        self.out.put(Report(0, Counter(), (0.0, 0), [], 0))

    def _batch(self, worker: int, numbers: Iterator[int]) -> Report:
        heard: Counter[str] = Counter()
        slowest, failures, done = (0.0, 0), [], 0
        began = time.monotonic()
        for number in numbers:
            self.current[worker] = number
            outcome = attempt(make(self.seed, number))
            done += 1
            heard += outcome.heard or Counter({"no error": 1})
            slowest = max(slowest, (outcome.seconds, number))
            if outcome.failure:
                failures.append((number, outcome.where, outcome.failure))
            if time.monotonic() - began > 1:
                break
        return Report(done, heard, slowest, failures, peak())

    # --- in the process that asked ---

    def watch(self, tell: Callable[[Result, float], None]) -> Result:
        """Start the processes and add up what they report; ``tell`` hears of it now and then."""
        began = told = heard = time.monotonic()
        for process in self.processes:
            process.start()
        alive = len(self.processes)
        while alive:
            try:
                report = self.out.get(timeout=5)
            except Empty:
                if not self._lost(time.monotonic() - heard):
                    continue
                break
            heard = time.monotonic()
            alive -= not report.done
            self._add(report)
            if heard - told > 10:
                told = heard
                tell(self.result, heard - began)
        for process in self.processes:
            process.kill()
            process.join()
        tell(self.result, time.monotonic() - began)
        return self.result

    def _add(self, report: Report) -> None:
        result = self.result
        for number, where, text in report.failures:
            if where not in result.failures:
                print(f"{where}: --seed {self.seed} --repeat {number}", flush=True)
                result.failures[where] = number, text
        self.result = Result(
            result.inputs + report.done, result.heard + report.heard, max(result.slowest, report.slowest),
            result.failures, max(result.memory, report.memory),
        )  # fmt: skip

    def _lost(self, silent: float) -> bool:
        """Whether a process has died, or hangs where no signal reaches it."""
        for number, process in zip(self.current, self.processes, strict=True):
            if process.exitcode:
                self.result.failures[DIED] = (number, f"exit code {process.exitcode}")
        if silent > STUCK:
            self.result.failures[HANGS] = (0, f"one of the inputs {list(self.current)}")
        return DIED in self.result.failures or HANGS in self.result.failures


def told(result: Result, seconds: float) -> str:
    """Return the line that shows how far a run has come."""
    kinds = " · ".join(f"{name} {count:,}" for name, count in result.heard.most_common(6))
    slow, number = result.slowest
    parts = (
        f"{result.inputs:,} inputs, {result.inputs / max(seconds, 0.01):,.0f}/s",
        f"{len(result.failures)} kinds of failures",
        f"slowest {slow:.2f} s (number {number})",
        f"{result.memory >> 20} MB",
        kinds,
    )
    return "; ".join(parts)


def keep(where: str, case: Case, folder: Path) -> Path:
    """Shrink a failing case, if that is safe, and write it to a file."""
    safe = where not in (DIED, HANGS)
    small = shrunk(case, lambda one: attempt(one).where == where) if safe else case
    name = "".join(c if c.isalnum() else "-" for c in where)[:60]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    small.write(path)
    return path


def main() -> int:
    """Run, print, and return 1 if something failed."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=Path, help="try the input of this file, or of this number")
    parser.add_argument("--folder", type=Path, help="where failing inputs are written")
    given = parser.parse_args()
    if given.repeat:
        return _repeat(given.repeat, given.seed)
    run = Run(given.inputs, given.seconds, given.seed, given.processes)
    result = run.watch(lambda found, seconds: print(told(found, seconds), flush=True))
    folder = given.folder or Path(tempfile.mkdtemp(prefix="nb-fuzz-found-"))
    for where, (number, text) in result.failures.items():
        path = keep(where, make(given.seed, number), folder)
        print(f"\n{where}: number {number}\n{text}\n  python -m tests.fuzz --repeat {path}")
    return bool(result.failures)


def _repeat(path: Path, seed: int) -> int:
    case = Case.read(path) if path.exists() else make(seed, int(str(path)))
    print(case)
    outcome: Outcome = attempt(case)
    print(outcome.failure or f"fine: {dict(outcome.heard)}, {outcome.seconds:.3f} s")
    return bool(outcome.failure)


if __name__ == "__main__":
    sys.exit(main())
