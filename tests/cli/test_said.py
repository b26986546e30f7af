"""Every option of every extension, right and wrong: said, returned and listed as by the real iptables.

``python -m tests.cli --said`` prints the figures by extension; what still differs stands in
``tests.cli.said.REMAINING``, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.cli.said import REMAINING, Said, ask, figures, heard, reason
from tests.extensions.judge import Case
from tests.extensions.recorded import recorded_helps
from tests.extensions.rules import cases

TARGET = 0.99


@pytest.fixture(scope="module")
def judged():
    return figures(heard())


def shares(rows, figure, note: str) -> None:
    """Print how many agree, and fail if they are too few."""
    for backend in ("nft", "legacy"):
        row = rows["all rules", backend]
        figure(f"what is said of a rule, {backend}", row.said, row.rules, note)
        figure(f"how -L shows a rule, {backend}", row.listed, row.accepted, note)
        assert row.said >= TARGET * row.rules
        assert row.listed >= TARGET * row.accepted


def test_what_is_said_of_a_rule_and_how_it_is_listed(judged, figure) -> None:
    shares(judged[0], figure, "as recorded")


def test_what_differs_has_a_known_reason(judged) -> None:
    unknown = [text for case, text in judged[1].items() if not reason(case)]
    assert not unknown, "\n".join(unknown[:20])


def test_each_reason_is_still_needed(judged) -> None:
    assert {reason(case) for case in judged[1]} >= set(REMAINING.values())


@pytest.mark.kernel
@pytest.mark.needs("xtables-nft-multi", "xtables-legacy-multi", "ipset")
def test_a_sample_of_rules_beside_the_real_iptables(figure) -> None:
    """Other rules than the recorded ones, for the greater part."""
    every = [case for case in cases(recorded_helps(), 3) if case.backend != "stand-in"]
    sample = every[::41]  # odd: both backends
    live: Mapping[Case, Said] = dict(zip(sample, ask(sample), strict=True))
    assert sum(case not in heard() for case in sample) > len(sample) // 3
    shares(figures(live)[0], figure, "of this machine's iptables, a sample")
