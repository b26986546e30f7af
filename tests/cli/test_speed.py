"""A command is quick on a large ruleset: it does not read what it does not touch."""

from __future__ import annotations

from benchmarks import appends

LIMIT = 0.25  # seconds of processor time


def test_a_thousand_appends_to_ten_thousand_rules() -> None:
    measured = appends.measured()
    assert max(measured.values()) < LIMIT, measured
