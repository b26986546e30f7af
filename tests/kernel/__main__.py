"""Ask your own kernel: ``sudo python -m tests.kernel`` compares it with nb_lib, and prints a table.

Namespaces are made for it and removed again; nothing else on the machine is touched.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kernel import report
from tests.kernel.figures import missing, table
from tests.kernel.recording import FILE, write
from tests.kernel.trial import FAMILIES, Mismatch, Trial

RECORDED = 30  # rulesets of each family and backend


def main() -> int:
    """Run what the command line asks for; return 1 if anything differs."""
    options = _options()
    if options.record:
        _record()
        return 0
    found = {}
    for backend in options.backend or ("nft", "legacy"):
        print(f"▸ {backend}", flush=True)
        with Trial(backend) as trial:
            mismatches = _run(trial, options)
        found[backend] = report.backend(trial, mismatches)
        print(table(trial.tally))
        for line in missing(trial.tally, trial.lacks):
            print(f"not tried: {line}")
        for text, said in trial.refused[4].items():
            print(f"this kernel lacks: {text} ({said[-60:]})")
    if options.write:
        report.write(options.write, found)
    return int(any(data["mismatches"] for data in found.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel", description=__doc__)
    parser.add_argument(
        "--backend", choices=("nft", "legacy"), action="append", help="one backend alone"
    )
    parser.add_argument("--rulesets", type=int, default=200, help="for each backend (200)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (1)")
    parser.add_argument(
        "--seconds", type=float, help="for each backend; otherwise until the rulesets are done"
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


def _run(trial: Trial, options: argparse.Namespace) -> list[Mismatch]:
    """Run one backend; return its first differences."""
    began = told = time.monotonic()
    mismatches: list[Mismatch] = []

    def seeds() -> Iterator[int]:
        for number in itertools.count():
            late = options.seconds and time.monotonic() - began > options.seconds
            enough = number >= options.rulesets // len(FAMILIES) and not (
                options.forever or options.seconds
            )
            if late or enough:
                return
            yield options.seed + number

    def after(seed: int) -> None:
        nonlocal told
        if time.monotonic() - told > 5:
            told = time.monotonic()
            rate = trial.tally.packets / (told - began)
            print(f"  seed {seed}: {trial.tally}, {rate:,.0f} packets/s", flush=True)

    try:
        for mismatch in trial.run(seeds(), after):
            print(f"\n{mismatch}\n", flush=True)
            if len(mismatches) < report.SHOWN:
                mismatches.append(mismatch)
    except KeyboardInterrupt:
        print("  stopped")
    print(f"{trial.backend}: {trial.tally}, {time.monotonic() - began:.0f} s")
    return mismatches


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
