"""A command is quick on a large ruleset: it does not read what it does not touch."""

from __future__ import annotations

import pytest

from benchmarks import appends

LIMIT = 0.25  # seconds of processor time


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    return appends.measured()


def test_a_thousand_appends_to_ten_thousand_rules(measured, figure) -> None:
    for kind, took in measured.items():
        figure(f"1,000 appends, {kind}", round(took * 1000), round(LIMIT * 1000), "ms, the limit")
    assert max(measured.values()) < LIMIT, measured
