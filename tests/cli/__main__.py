"""``python -m tests.cli``: random commands to the real iptables and to nb_lib, the differences by kind.

Needs root. ``--shown N`` shrinks an example of the N most frequent kinds. ``--said`` compares what is
said of every rule of tests/extensions with the recording, ``--record`` makes that anew.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.cli import said
from tests.cli.live import BACKENDS, FAMILIES, compare, report


def main() -> int:
    """Compare and print; the status is 1 if anything differs."""
    arguments = argparse.ArgumentParser(prog="python -m tests.cli", description=__doc__)
    arguments.add_argument("--commands", type=int, default=3000, metavar="N")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--backend", choices=BACKENDS, action="append")
    arguments.add_argument("--family", type=int, choices=FAMILIES, action="append")
    arguments.add_argument("--shown", type=int, default=20, metavar="N")
    arguments.add_argument("--said", action="store_true")
    arguments.add_argument("--record", action="store_true")
    asked = arguments.parse_args()
    if asked.record:
        said.record()
        return 0
    if asked.said:
        rows, wrong = said.figures(said.heard())
        reasons = Counter(said.reason(case) or "no reason is known" for case in wrong)
        lines = [f"{count:6} × {why}" for why, count in reasons.most_common()]
        sys.stdout.write("\n".join([*wrong.values(), said.table(rows), *lines, ""]))
        return 1 if wrong else 0
    tally = compare(asked.commands, asked.seed, asked.backend or BACKENDS, asked.family or FAMILIES)
    sys.stdout.write(report(tally, asked.shown) + "\n")
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
