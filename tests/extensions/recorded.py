"""What iptables 1.8.9 (nf_tables) on Linux 6.18 made of the rules, for machines without root.

``python -m tests.extensions.recorded`` asks the real iptables again and writes the file anew.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path

from tests.extensions.judge import Case, judge
from tests.extensions.rules import SETUP, generated, written

FILE = Path(__file__).parent / "recorded.jsonl.xz"
EVERY = 5  # of the generated rules the recording holds one of so many


def cases(every: int = EVERY) -> list[Case]:
    """Return the written rules, and one of ``every`` so many generated ones."""
    made = [case for number, case in enumerate(generated()) if number % every == 0]
    return list(dict.fromkeys([*written(), *made]))


def recorded() -> dict[Case, tuple[str, ...]]:
    """Return each case and the rules that iptables saved, none if it refused."""
    lines = lzma.decompress(FILE.read_bytes()).decode().splitlines()
    return {Case(f, t, r): tuple(saved) for f, t, r, saved in map(json.loads, lines)}


def record() -> None:
    """Ask the real iptables, and write what it says."""
    asked = cases()
    lines = [json.dumps([*case, verdict.saved], ensure_ascii=False)
             for case, verdict in zip(asked, judge(asked, setup=SETUP), strict=True)]  # fmt: skip
    FILE.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))


if __name__ == "__main__":
    record()
