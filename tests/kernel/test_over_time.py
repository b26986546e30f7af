"""limit, hashlimit, recent, statistic and quota, by real packets at measured times."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kernel.over_time import RULES

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("iptables-nft-restore", "iptables-legacy-restore"),
]
PACKETS = 25


def _run(backend: str, name: str) -> list[tuple[str, list[int], list[int]]]:
    command = [
        "unshare",
        "-n",
        sys.executable,
        "-m",
        "tests.kernel.over_time",
        backend,
        name,
        str(PACKETS),
    ]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_stateful_matches_count_as_the_kernel_counts(backend, figure) -> None:
    with ThreadPoolExecutor(len(RULES)) as pool:  # they mostly wait
        results = dict(zip(RULES, pool.map(lambda name: _run(backend, name), RULES), strict=True))
    rows = [(name, *row) for name, found in results.items() for row in found]
    wrong = [
        f"{name}: {packet}\n  kernel {real}\n  nb_lib {mine}"
        for name, packet, real, mine in rows
        if real != mine
    ]
    figure(f"stateful matches, {backend}", len(rows) - len(wrong), len(rows), "packets")
    assert not wrong, "\n".join(wrong)
