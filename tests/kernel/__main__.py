"""Ask your own kernel: ``sudo python -m tests.kernel`` compares it with nb_lib, and prints a table.

Namespaces are made for it and removed again; nothing else on the machine is touched.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.kernel import report
from tests.kernel.figures import missing, table
from tests.kernel.recording import FILE, write
from tests.kernel.trial import FAMILIES, Mismatch, Trial

SILENCE = 5  # seconds between two lines of progress
RECORDED = 30  # rulesets of each family and backend


def main() -> int:
    """Run what the command line asks for; return 1 if anything differs."""
    options = _options()
    if options.record:
        _record()
        return 0
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # the namespaces are removed then, too
    with ExitStack() as held:
        trials = [held.enter_context(Trial(name)) for name in options.backend or ("nft", "legacy")]
        mismatches = _run(trials, options)
    for trial in trials:
        print(f"\n▸ {trial.backend}: {trial.tally}\n{table(trial.tally)}")
        for line in missing(trial.tally, trial.lacks):
            print(f"not tried: {line}")
        for text, said in trial.refused[4].items():
            print(f"this kernel lacks: {text} ({said[-60:]})")
    if options.write:
        found = {
            trial.backend: report.backend(trial, mismatches[trial.backend]) for trial in trials
        }
        report.write(options.write, found)
    return int(any(trial.tally.mismatches for trial in trials))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel", description=__doc__)
    parser.add_argument(
        "--backend", choices=("nft", "legacy"), action="append", help="one backend alone"
    )
    parser.add_argument("--rulesets", type=int, default=200, help="for each backend (200)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (1)")
    parser.add_argument(
        "--seconds", type=float, help="so long, instead of until the rulesets are done"
    )
    parser.add_argument(
        "--forever", action="store_true", help="until stopped, new rulesets all the time"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write what the book's last chapter shows"
    )
    parser.add_argument(
        "--record", action="store_true", help=f"write {FILE.name} anew, for machines without root"
    )
    return parser.parse_args()


def _run(trials: Sequence[Trial], options: argparse.Namespace) -> dict[str, list[Mismatch]]:
    """Try seed after seed with every backend; return the first differences of each."""
    began = told = time.monotonic()
    found: dict[str, list[Mismatch]] = {trial.backend: [] for trial in trials}
    try:
        for seed in _seeds(options, began):
            for trial in trials:
                for mismatch in trial.run([seed]):
                    print(f"\n{mismatch}\n", flush=True)
                    if len(found[trial.backend]) < report.SHOWN:
                        found[trial.backend].append(mismatch)
            if time.monotonic() - told > SILENCE:
                told = time.monotonic()
                print(f"  {told - began:,.0f} s, seed {seed}", flush=True)
                for trial in trials:
                    print(f"    {trial.backend}: {trial.tally}", flush=True)
    except KeyboardInterrupt:
        print("  stopped")
    return found


def _seeds(options: argparse.Namespace, began: float) -> Iterator[int]:
    for seed in itertools.count(options.seed):
        if options.seconds and time.monotonic() - began > options.seconds:
            return
        endless = options.forever or options.seconds
        if not endless and seed - options.seed >= options.rulesets // len(FAMILIES):
            return
        yield seed


def _record() -> None:
    games = []
    for backend in ("nft", "legacy"):
        with Trial(backend) as trial:
            games += [
                trial.play(seed, family) for seed in range(1, RECORDED + 1) for family in FAMILIES
            ]
    write(games)
    packets = sum(len(played.packets) for played in games)
    print(f"{FILE}: {packets:,} packets, {len(games)} rulesets, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
