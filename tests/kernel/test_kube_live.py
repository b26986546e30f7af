"""Real connections through the rules that our loop has written, in a namespace of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nb_lib.kubeproxy.eras import ERAS

pytestmark = pytest.mark.kernel

SAID = """\
both endpoints: ['10.244.1.5', '10.244.1.6']
the node's port: True
the node's port on localhost: True
affinity: 1
one endpoint left: ['10.244.1.5']
an open connection, its endpoint removed: 10.244.1.5
a new one: 10.244.1.6
the loop ended: 10.244.1.6
an open connection, the loop restarted: 10.244.1.5
flushed and repaired: 10.244.1.6
no endpoints: ConnectionRefusedError
no service: TimeoutError
"""


@pytest.mark.parametrize(
    ("version", "backend"), [*((version, "nft") for version in ERAS), ("1.30", "legacy")]
)
def test_connections_go_where_the_rules_lead(version: str, backend: str, tmp_path, figure):
    command = [sys.executable, "-m", "tests.kernel.kube_live", str(tmp_path), version, backend]
    done = subprocess.run(
        ["unshare", "--net", *command], capture_output=True, text=True, check=False, timeout=120
    )
    said = set(done.stdout.splitlines())
    wanted = SAID.splitlines()
    figure(f"kube-proxy {version}, {backend}: scenarios with real connections",
           len(said & set(wanted)), len(wanted))  # fmt: skip
    assert done.stdout.splitlines() == wanted, done.stderr
