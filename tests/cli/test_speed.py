"""A command is quick on a large ruleset: it does not read what it does not touch."""

from __future__ import annotations

from benchmarks import appends

LIMIT = 0.25  # seconds of processor time
ROUNDS = 3  # other work on the machine makes caches cold: the quickest round counts


def test_a_thousand_appends_to_ten_thousand_rules() -> None:
    measured: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, took in appends.measured().items():
            measured[name] = min(took, measured.get(name, took))
        if max(measured.values()) < LIMIT:
            return
    raise AssertionError(f"limit {LIMIT} s: {measured}")
