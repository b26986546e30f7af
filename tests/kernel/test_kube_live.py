"""Real connections through the rules that our loop has written: a node and its pods, each a namespace."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nb_lib import Host, tcp
from nb_lib.kubeproxy.__main__ import HELP
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import ERAS, era
from nb_lib.kubeproxy.loop import Proxier
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.onhost import OnHost
from nb_lib.trace import Trace
from tests.kernel.kube_live import FLAGS, PODS, VIP, Start, write

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


SWITCHED = """\
an open connection, now in nftables mode: 10.244.1.5 10.244.1.7
a new connection: ['10.244.1.5 10.244.1.7']
chains of iptables' services: 0
tables of nft: 2
an open connection, now in iptables mode: 10.244.1.5 10.244.1.7
a new connection: ['10.244.1.5 10.244.1.7']
chains of iptables' services: 4
tables of nft: 0
"""


def test_a_change_of_mode_disturbs_nobody(tmp_path, figure):
    command = [sys.executable, "-m", "tests.kernel.kube_live", str(tmp_path)]
    done = subprocess.run(
        ["unshare", "--net", *command], capture_output=True, text=True, check=False, timeout=120
    )
    heard, wanted = done.stdout.splitlines(), SWITCHED.splitlines()
    figure(
        "kube-proxy's mode changed under a connection",
        sum(map(str.__eq__, heard, wanted)),
        len(wanted),
    )
    assert heard == wanted, done.stderr


# --- the same, as the engine predicts it ---

WAYS = {
    "from a pod": ("10.244.1.7", "veth7", f"{VIP}:80"),
    "from an endpoint itself": ("10.244.1.5", "veth5", f"{VIP}:80"),
    "from the node": ("192.168.99.10", "", f"{VIP}:80"),
    "from beyond the node": ("192.168.99.200", "eth0", f"{VIP}:80"),
    "the node's port from beyond": ("192.168.99.200", "eth0", "192.168.99.10:30080"),
    "the node's port on localhost": ("127.0.0.1", "", "127.0.0.1:30080"),
    "another port of the cluster IP": ("10.244.1.7", "veth7", f"{VIP}:81"),
}


def node(start: Start) -> Host:
    """Return the node of the live test as our loop leaves it."""
    write(start.manifest, pods=PODS)
    veths = {f"veth{n}": ["10.244.1.1/32"] for n in (5, 6, 7)}
    routes = {f"10.244.1.{n}": f"veth{n}" for n in (5, 6, 7)}
    host = Host(addresses={"eth0": ["192.168.99.10/24"], **veths},
                routes={**routes, "default": "eth0 via 192.168.99.200"}, facts={"listening": ()})  # fmt: skip
    config = Config.from_flags(FLAGS, ["192.168.99.10"])
    loop = Proxier(config, era(start.version), OnHost(host), load(start.manifest.read_text()),
                   mode=start.mode)  # fmt: skip
    assert not [one for one in loop.start() if one.error]
    return loop.place.host  # type: ignore[attr-defined]


def answer(trace: Trace) -> str:
    """Say of a first packet what its sender will see: who answers, and whom that one sees."""
    end = str(trace.packet.dst)
    if end in PODS:
        return f"{end} {trace.packet.src}"
    # At the cluster IP beyond the node nobody answers; a rule's REJECT and a closed port do.
    return "TimeoutError" if trace.fate.kind == "forward" else "ConnectionRefusedError"


@pytest.mark.parametrize("run", RUNS[:-1], ids=[" ".join(one[:3]) for one in RUNS[:-1]])
def test_the_engine_predicts_the_same(run: tuple[str, str, str, str], tmp_path, figure):
    version, mode, backend, said = run
    host = node(Start(tmp_path / "web.json", version, mode, backend))
    ours = []
    for scenario, (source, device, to) in WAYS.items():
        found = host.explore(tcp(f"{source}:40000", to), device)
        ours.append(f"{scenario}: {sorted({answer(one) for one in found.traces})}")
    theirs = [line for line in said.splitlines() if line.partition(":")[0] in WAYS]
    figure(f"kube-proxy {version}, {mode}: live scenarios that the engine predicts",
           len(set(ours) & set(theirs)), len(theirs))  # fmt: skip
    assert ours == theirs


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


WEB = """\
kind: Service
metadata: {name: web, namespace: prod}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: web-1, namespace: prod, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [10.244.1.5]}]
"""


@pytest.mark.needs("curl")
def test_what_the_help_teaches_works(tmp_path):
    """The last lines of --help, as they stand there but for sudo and python's place."""
    (tmp_path / "web.yaml").write_text(WEB)
    example = HELP[HELP.index("sudo ") + len("sudo ") :].replace(
        "python -m", f"{sys.executable} -m"
    )
    example = example.replace(
        "8080 &", "8080 >/dev/null 2>&1 & trap 'kill $!' EXIT;".replace("'", '"')
    )
    done = subprocess.run(["sh", "-c", example], cwd=tmp_path, capture_output=True, text=True,
                          check=False, timeout=60)  # fmt: skip
    assert "goto service-" in done.stdout, done.stderr
    assert "Directory listing for /" in done.stdout
