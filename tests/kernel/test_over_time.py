"""Matches that time decides, or what came before: by real packets at measured times, both backends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kernel.timed_rules import chains

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("iptables-nft-restore", "iptables-legacy-restore", "ipset"),
]
RUNS = [(backend, family) for backend in ("nft", "legacy") for family in (4, 6)]


Row = tuple[
    str, str, list[str], list[str]
]  # chain, packet, the rules that counted: the kernel's, ours


def _run(number: int) -> list[Row]:
    words = [*map(str, RUNS[number]), str(number)]
    command = [sys.executable, "-m", "tests.kernel.over_time", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs() -> list[list[Row]]:
    with ThreadPoolExecutor(len(RUNS)) as pool:  # they mostly wait
        return list(pool.map(_run, range(len(RUNS))))


@pytest.mark.parametrize("number", range(len(RUNS)), ids=[f"{b}, IPv{f}" for b, f in RUNS])
def test_rules_count_as_the_kernel_counts(number: int, runs, figure) -> None:
    backend, family = RUNS[number]
    rows = runs[number]
    wrong = [
        f"{packet}\n  kernel {kernel}\n  nb_lib {ours}"
        for _, packet, kernel, ours in rows
        if kernel != ours
    ]
    figure(f"over time, {backend}, IPv{family}", len(rows) - len(wrong), len(rows), "packets")
    assert not wrong, "\n".join(wrong)


def test_every_rule_counts_some_packets_of_its_chain_and_not_others(runs) -> None:
    """A rule that always matches, or never, compares nothing; only those of days and --set may."""
    entered = Counter(row[0] for rows in runs for row in rows)
    counted = Counter(rule for rows in runs for row in rows for rule in row[2])
    constant = [
        rule
        for chain in chains(4, 0)
        for number, rule in enumerate(chain.rules, 1)
        if not 0 < counted[f"{chain.name}:{number}"] < entered[chain.name]
        and not re.search("--(set|weekdays|monthdays) ", rule)
    ]
    assert constant == []
