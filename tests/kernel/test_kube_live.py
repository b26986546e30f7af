"""Real connections through the rules that our loop has written: a node and its pods, each a namespace."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nb_lib.kubeproxy.eras import ERAS

pytestmark = pytest.mark.kernel

# Who answered, and whom it saw: a pod by its own address, all others by the gateway's.
BOTH = ["10.244.1.5 10.244.1.1", "10.244.1.6 10.244.1.1"]
SAID = f"""\
from a pod: ['10.244.1.5 10.244.1.7', '10.244.1.6 10.244.1.7']
from an endpoint itself: ['10.244.1.5 10.244.1.1', '10.244.1.6 10.244.1.5']
from the node: {BOTH}
from beyond the node: {BOTH}
the node's port from beyond: {BOTH}
the node's port on localhost: {BOTH}
another port of the cluster IP: ['TimeoutError']
a datagram: True
affinity: 1
one endpoint left: ['10.244.1.5 10.244.1.7']
a client of UDP: 10.244.1.5 10.244.1.7
an open connection, its endpoint removed: 10.244.1.5 10.244.1.7
the client of UDP, its endpoint removed: 10.244.1.6 10.244.1.7
a new connection: ['10.244.1.6 10.244.1.7']
the loop ended: ['10.244.1.6 10.244.1.7']
an open connection, the loop restarted: 10.244.1.5 10.244.1.7
flushed and repaired: ['10.244.1.6 10.244.1.7']
no endpoints: ['ConnectionRefusedError']
no service: ['TimeoutError']
"""
# Where nftables mode differs: no nodePorts on localhost, cluster IPs refuse what they do not serve, and
# nobody watches for a flush: the next sync repairs.
NFTABLES = (
    SAID.replace(f"on localhost: {BOTH}", "on localhost: ['ConnectionRefusedError']")
    .replace("cluster IP: ['TimeoutError']", "cluster IP: ['ConnectionRefusedError']")
    .replace("flushed and", "flushed, nothing changed: ['TimeoutError']\nflushed and")
)
# In userspace mode the process is in the middle: each pod sees the node, and what is open ends with it.
USERSPACE = f"""\
from a pod: {BOTH}
from an endpoint itself: {BOTH}
from the node: {BOTH}
from beyond the node: {BOTH}
the node's port from beyond: {BOTH}
the node's port on localhost: {BOTH}
another port of the cluster IP: ['TimeoutError']
a datagram: True
affinity: 1
one endpoint left: ['10.244.1.5 10.244.1.1']
a client of UDP: 10.244.1.5 10.244.1.1
an open connection, its endpoint removed: 10.244.1.5 10.244.1.1
the client of UDP, its endpoint removed: 10.244.1.6 10.244.1.1
a new connection: ['10.244.1.6 10.244.1.1']
the loop ended: ['ConnectionRefusedError']
an open connection, the loop restarted: closed
flushed, nothing changed: ['TimeoutError']
flushed and repaired: ['10.244.1.6 10.244.1.1']
no endpoints: ['closed']
no service: ['TimeoutError']
"""
RUNS = [
    *((version, "iptables", "nft", SAID) for version in ERAS),
    ("1.30", "iptables", "legacy", SAID),
    ("1.30", "nftables", "nft", NFTABLES),
    ("1.21", "userspace", "nft", USERSPACE),
]


@pytest.mark.parametrize("run", RUNS, ids=[" ".join(one[:3]) for one in RUNS])
def test_connections_go_where_the_rules_lead(run: tuple[str, str, str, str], tmp_path, figure):
    *asked, said = run
    command = [sys.executable, "-m", "tests.kernel.kube_live", str(tmp_path), *asked]
    done = subprocess.run(
        ["unshare", "--net", *command], capture_output=True, text=True, check=False, timeout=120
    )
    heard, wanted = done.stdout.splitlines(), said.splitlines()
    figure(f"kube-proxy {', '.join(asked)}: scenarios with real connections",
           len(set(heard) & set(wanted)), len(wanted))  # fmt: skip
    assert heard == wanted, done.stderr


_CHOICE = """cat > "$0" <<'END'
{"kind": "List", "items": []}
END
for flag in iptables ipvs userspace nftables bogus; do
  "$@" --apply --once --version=1.30 --proxy-mode=$flag "$0" >/dev/null 2>&1; echo "$flag $?"
done
"$@" --apply --once --version=1.21 --proxy-mode=ipvs "$0" 2>&1"""


def test_the_mode_is_chosen_by_what_the_machine_can_do(tmp_path):
    """This is a kernel without modules, if any; then IPVS mode ends (1.30) or gives way (1.21)."""
    words = [str(tmp_path / "none.json"), sys.executable, "-m", "nb_lib.kubeproxy"]
    done = subprocess.run(["unshare", "--net", "sh", "-c", _CHOICE, *words],
                          capture_output=True, text=True, check=True)  # fmt: skip
    statuses = dict(line.split() for line in done.stdout.splitlines()[:5])
    refused = {"userspace": "1", "nftables": "1", "bogus": "1"}
    assert {**statuses, "ipvs": ""} == {"iptables": "0", "ipvs": "", **refused}
    if statuses["ipvs"] == "1":
        assert "Can't use ipvs proxier, trying iptables proxier\n" in done.stdout
        assert "Using iptables Proxier.\n" in done.stdout
