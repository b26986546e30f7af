"""Measure a loop of -A beside one restore: python -m tools.restore_times (root).

What is found goes into data/restore-times.json. For both backends, in a network namespace of its own, the
same rules are loaded twice: by one iptables-restore, and by one iptables after another. The loop's clock is
read on its way, so that one run gives every size. Then one more rule is appended to chains that are long
already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "data" / "restore-times.json"
SIZES = (100, 200, 500, 1000)
LONG = (1_000, 10_000, 50_000)
RUNS = 5
BACKENDS = ("nft", "legacy")
_WITHIN = "--in-namespace"


def rules(count: int) -> list[str]:
    """Return rules as people have them: one a blocked address."""
    return [f"-A INPUT -s 10.{n >> 16}.{n >> 8 & 255}.{n & 255} -j DROP" for n in range(count)]


def run(program: str, *words: str, stdin: str = "") -> str:
    """Run a program, which must succeed; return what it prints."""
    return subprocess.run(
        [program, *words], input=stdin, check=True, capture_output=True, text=True
    ).stdout


def loop(backend: str, count: int) -> dict[int, float]:
    """Return the seconds after which a loop of -A has loaded each of the sizes."""
    run(f"iptables-{backend}", "-F", "INPUT")
    found, start = {}, time.perf_counter()
    for number, rule in enumerate(rules(count), 1):
        run(f"iptables-{backend}", *rule.split())
        if number in SIZES:
            found[number] = time.perf_counter() - start
    return found


def restore(backend: str, count: int) -> float:
    """Return the seconds that one restore takes."""
    text = "\n".join(["*filter", *rules(count), "COMMIT", ""])
    start = time.perf_counter()
    run(f"iptables-{backend}-restore", stdin=text)
    seconds = time.perf_counter() - start
    loaded = run(f"iptables-{backend}-save", "-t", "filter").count("\n-A INPUT")
    assert loaded == count, f"{loaded} of {count} rules are there"
    return seconds


def append(backend: str, count: int) -> float:
    """Return the seconds that one -A takes in a chain of so many rules."""
    restore(backend, count)
    start = time.perf_counter()
    run(f"iptables-{backend}", "-A", "INPUT", "-j", "ACCEPT")
    return time.perf_counter() - start


def one_more(backend: str) -> list[dict[str, Any]]:
    """Return the fastest of some runs of ``append`` for each size."""
    return [
        {"rules": size, "append_s": round(min(append(backend, size) for _ in range(RUNS)), 4)}
        for size in LONG
    ]


def measured(backend: str) -> list[dict[str, Any]]:
    """Return the fastest of some runs for each size."""
    restore(backend, 1)  # modules are loaded and tables made
    loops = [loop(backend, max(SIZES)) for _ in range(RUNS)]
    return [
        {
            "rules": size,
            "loop_s": round(min(found[size] for found in loops), 3),
            "restore_s": round(min(restore(backend, size) for _ in range(RUNS)), 4),
        }
        for size in SIZES
    ]


def origin() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {name: run(f"iptables-{name}", "-V").strip() for name in BACKENDS}
    return {
        "measured_by": "tools/restore_times.py",
        "kernel": os.uname().release.partition("-")[0],
        "machine": f"{os.cpu_count()} processors, {os.uname().machine}",
        "iptables": versions,
        "fastest_of": RUNS,
    }


def main(words: list[str]) -> None:
    """Measure, and write the file."""
    if _WITHIN not in words:
        command = ["unshare", "--net", sys.executable, "-m", "tools.restore_times", _WITHIN]
        raise SystemExit(subprocess.call(command))
    found = {
        **origin(),
        "loading": {name: measured(name) for name in BACKENDS},
        "appending": {name: one_more(name) for name in BACKENDS},
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"▸ {FILE.relative_to(Path.cwd())} is written; `make outputs` shows it in chapter 3")


if __name__ == "__main__":
    main(sys.argv[1:])
