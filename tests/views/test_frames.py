"""Traces and rulesets as pandas tables."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nb_lib import present
from tests.views.samples import explored, host, nginx

pytest.importorskip("pandas")


def test_the_steps_with_misses_between_them():
    frame = nginx().table()
    assert list(frame.columns) == [
        "hook", "table", "chain", "rule", "verdict", "what", "src", "dst", "mark"
    ]  # fmt: skip
    missed = frame[frame.verdict == "no match"]
    assert missed.iloc[0].rule == "1–4"
    assert missed.iloc[0].what.startswith("1: destination 4.3.2.1 ≠ 172.17.0.1; 2: ")
    assert frame.iloc[-1].verdict == "forward"
    assert frame.iloc[-1].src != frame.iloc[0].src


def test_the_ways_with_exact_chances():
    frame = explored().table()
    assert list(frame.probability) == [Fraction(1, 3)] * 3
    assert frame.dst.is_unique


def test_every_rule_is_a_row():
    rules = host().ruleset
    assert len(present.frame(rules)) == 42
    nat = present.frame(rules["nat"])
    assert len(nat) == 32
    assert set(nat[nat.chain.str.startswith("KUBE-SVC-2C")].service) == {"default/nginx"}
    assert list(present.frame(rules["nat"]["KUBE-MARK-MASQ"]).target) == ["MARK"]
