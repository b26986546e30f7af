"""kube-proxy's commands on a Host: its rules are the recorded ones, its connections go as conntrack's do."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction

import pytest

from nb_lib import Host, Packet, load, parse, save, tcp, udp
from nb_lib.kubeproxy.nodes import machines, node
from nb_lib.kubeproxy.onhost import OnHost, forget, proxier
from tests.conftest import ROOT

NGINX = ROOT / "data" / "kube-proxy" / "nginx-3-endpoints"


@pytest.mark.parametrize("version", ["1.21.1", "1.22.0", "1.30.5"])
def test_the_loop_leaves_what_kube_proxy_left(version):
    loop = proxier(NGINX, version)
    loop.start()
    theirs, host = load(NGINX / version), loop.place.host
    ours, real = (sorted(save(one.ruleset).splitlines()) for one in (host, theirs))
    assert ours == real
    trace = host.receive(tcp("10.244.1.200:40000", "172.17.45.122:80"), "veth0")
    assert trace.fate.kind == "forward"
    local = tcp("127.0.0.1:40000", "127.0.0.1:30935")
    assert loop.place.host.send(local).fate.kind == "forward"  # route_localnet is set


WAYS = [
    (tcp("10.244.1.200:40000", "172.17.45.122:80"), "veth0"),
    (tcp("10.20.0.200:40000", "192.168.99.10:30935"), "eth1"),
    (tcp("192.168.99.10:40000", "172.17.45.122:80"), ""),
    (tcp("10.20.0.200:40000", "172.17.45.122:81"), "eth1"),
]


@pytest.mark.parametrize("machine", machines, ids=str)
def test_the_loop_in_every_mode_leaves_the_node_of_that_mode(machine):
    loop = proxier(NGINX, machine.version, mode=machine.mode)
    assert not [one for one in loop.start() if one.error]
    ours, theirs = loop.place.host, node(NGINX, machine.mode, machine.version)
    for packet, device in WAYS:
        assert ways(ours, packet, device) == ways(theirs, packet, device)


def ways(host: Host, packet: Packet, device: str) -> list[tuple[str, str, Fraction]]:
    found = host.explore(packet, device).traces
    return [(str(one.packet), one.fate.kind, one.probability) for one in found]


def test_without_conntrack_nothing_is_forgotten():
    place = OnHost(emulated(), conntrack=False)
    assert place.run(COMMANDS[0].split()).status == 127
    assert len(place.host.conntrack) == len(ASKED)
    assert place.ran == [COMMANDS[0].split()]


def test_rules_go_and_memory_stays():
    recorded = load(NGINX / "1.30.5")
    place = OnHost(recorded)
    first = place.host.receive(tcp("10.244.1.200:40000", "172.17.45.122:80"), "veth0")
    place.run(["iptables", "-t", "nat", "-F"])
    assert not place.host.ruleset["nat"]["KUBE-SERVICES"].rules
    assert list(place.host.conntrack) == [first.packet.ct.connection]


# Who asks whom, and where DNAT led it; "" for nowhere.
ASKED = [
    ("udp", "10.0.0.9:5001", "10.96.0.10:53", "10.244.2.3"),
    ("udp", "10.0.0.9:5002", "10.96.0.10:53", "10.244.3.4"),
    ("udp", "10.0.0.9:5003", "10.96.0.10:53", ""),
    ("udp", "10.0.0.9:5004", "10.96.0.11:53", "10.244.2.3"),
    ("udp", "10.0.0.9:5005", "192.0.2.1:30053", "10.244.2.3"),
    ("tcp", "10.0.0.9:5006", "10.96.0.10:53", "10.244.2.3"),
    ("udp", "10.0.0.9:30053", "10.96.0.12:7", ""),
]
COMMANDS = [
    "conntrack -D --orig-dst 10.96.0.10 -p udp",
    "conntrack -D --orig-dst 10.96.0.10 --dst-nat 10.244.2.3 -p udp",
    "conntrack -D --orig-dst 10.244.2.3 -p udp",
    "conntrack -D -p udp --dport 30053",
    "conntrack -D -p udp --dport 30053 --dst-nat 10.244.2.3",
    "conntrack -D -p udp --dport 53 --dst-nat 10.96.0.10",
    "conntrack -D --orig-dst fd00::1 -p udp -f ipv6",
]


def emulated() -> Host:
    rules = "".join(
        f"-A PREROUTING -p {protocol} --sport {src.rpartition(':')[2]} "
        f"-j DNAT --to-destination {to}:{dst.rpartition(':')[2]}\n"
        for protocol, src, dst, to in ASKED
        if to
    )
    host = Host(
        parse(f"*nat\n{rules}COMMIT\n"),
        addresses={"eth0": "10.0.0.1/24", "eth1": "10.244.0.1/16"},
        routes={"default": "eth1"},
    )
    for protocol, src, dst, _ in ASKED:
        host.receive({"udp": udp, "tcp": tcp}[protocol](src, dst), "eth0")
    return host


@pytest.mark.kernel
@pytest.mark.needs("conntrack")
@pytest.mark.parametrize("command", COMMANDS)
def test_conntrack_forgets_the_same(command):
    host = emulated()
    assert len(host.conntrack) == len(ASKED)
    entries = ""
    for protocol, src, dst, to in ASKED:
        (ip, sport), (target, dport) = src.split(":"), dst.split(":")
        nat = f"-g {to}:{dport}" if to else ""
        state = "--state SYN_SENT" if protocol == "tcp" else ""
        entries += (
            f"conntrack -I -p {protocol} -s {ip} -d {target} --sport {sport} --dport {dport} "
            f"--timeout 100 {state} {nat} || exit 9\n"
        )
    script = f"ip link set lo up\n{entries}{command}\necho status $?\nconntrack -L"
    shell = ["unshare", "-n", "sh", "-c", script]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    status, real = done.stdout.split("status ")[1].split("\n", 1)
    count = len(forget(host.conntrack, command.split()))
    assert int(status) == int(count == 0)
    left = {str(one.original.sport) for one in host.conntrack}
    assert left == {re.search(r"sport=(\d+)", line)[1] for line in real.splitlines() if line}


def test_others_are_refused():
    with pytest.raises(ValueError, match="deletes no connection"):
        forget(emulated().conntrack, ["conntrack", "-F"])
    with pytest.raises(ValueError, match="--mark is not known"):
        forget(emulated().conntrack, ["conntrack", "-D", "--mark", "1"])
