"""Userspace mode for real: the kernel's rules, our proxy, real bytes from a node and from a pod."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.userspace_node import ENDPOINTS

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nsenter", "iptables")]
ROOT = Path(__file__).resolve().parents[2]


def test_a_service_is_reached_through_rules_and_proxy():
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.kernel.userspace_node"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert {who: len(answers) for who, answers in got.items()} == {"node": 2, "pod": 3}
    calls = [answer.split() for answers in got.values() for answer in answers]
    # In turn, and each endpoint sees the proxy, never the client: userspace mode hides who called.
    assert [endpoint for endpoint, _, _ in calls] == [*ENDPOINTS, *ENDPOINTS, ENDPOINTS[0]]
    assert {seen for _, seen, _ in calls} == {"127.0.0.1"}
    assert {word for _, _, word in calls} == {"hello"}
