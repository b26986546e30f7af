"""IPVS mode beside two recorded nodes: virtual servers, sets, rules, and kube-ipvs0's addresses.

1.30.5 ran first on an empty machine. Before 1.21.1 ran on it, IPv4's rules and the virtual servers were
flushed, but neither the sets nor IPv6's rules: what 1.30 had left there and 1.21 does not touch is added.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from nb_lib.cli import State, run
from nb_lib.cli.machine import machine
from nb_lib.engine import Host
from nb_lib.engine import load as load_host
from nb_lib.errors import ObjectError
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era, era
from nb_lib.kubeproxy.ipvs import Desired, desired, prepared, settled, sysctls
from nb_lib.kubeproxy.manifests import load
from nb_lib.packet import Packet, tcp
from nb_lib.text import parse
from nb_lib.text.ipset import IpSet, parse_ipsets, save_ipsets
from nb_lib.text.ipvs import VirtualServer, parse_ipvs
from nb_lib.trace import Trace
from tests.kubeproxy.recorded import PROGRAMS, chains
from tests.recordings import archive

VERSIONS = ("1.21.1", "1.30.5")
BOTH = [(version, family) for version in VERSIONS for family in (4, 6)]
EQUAL: dict[str, int] = {}
TOTAL: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    for what, total in TOTAL.items():
        figure(f"kube-proxy IPVS mode, {what}", EQUAL[what], total)


def count(what: str, ours: object, theirs: object) -> None:
    """Count the members of two collections that are equal."""
    mine, recorded = (set(map(str, one)) for one in (ours, theirs))
    EQUAL[what] = EQUAL.get(what, 0) + len(mine & recorded)
    TOTAL[what] = TOTAL.get(what, 0) + len(mine | recorded)


def recorded(version: str, name: str) -> str:
    return archive("ipvs.tar.xz")[f"kp{version}-default/{name}.txt"].decode()


def objects() -> list:
    return load(archive("ipvs.tar.xz")["kube-objects.yaml"].decode())


FLAGS = ["--hostname-override=node-a", "--proxy-mode=ipvs", "--cluster-cidr=10.244.0.0/16"]
CONFIG = Config.from_flags(FLAGS, ["192.168.99.10"])


@cache
def ours(version: str, family: int, config: Config | None = None) -> Desired:
    return desired(objects(), config or CONFIG, era(version), family)


# ── What was recorded ───────────────────────────────────────────────────────────────


def normal(servers: tuple[VirtualServer, ...]) -> list[VirtualServer]:
    """Sort what the kernel and ipvsadm keep in an order of their own."""
    by = sorted(servers, key=str)
    return [one.with_servers(*sorted(one.servers, key=str)) for one in by]


@pytest.mark.parametrize("version", VERSIONS)
def test_virtual_servers(version):
    mine = (*ours(version, 4).virtual_servers, *ours(version, 6).virtual_servers)
    theirs = parse_ipvs(recorded(version, "ipvsadm-Sn"))
    count("virtual servers with their real ones", normal(mine), normal(theirs))
    assert normal(mine) == normal(theirs)


@pytest.mark.parametrize("version", VERSIONS)
def test_addresses(version):
    theirs = re.findall(r"inet6? (\S+)/", recorded(version, "ip-addr-kube-ipvs0"))
    mine = [str(a) for f in (4, 6) for a in ours(version, f).addresses]
    count("addresses of kube-ipvs0", mine, theirs)
    assert sorted(mine) == sorted(theirs)


def shown(sets: dict[str, IpSet]) -> dict[str, tuple[object, ...]]:
    return {n: (s.parts, s.family, s.method, sorted(s.members)) for n, s in sets.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_sets(version):
    mine = shown(ours(version, 4).sets | ours(version, 6).sets)
    if version == "1.21.1":
        before = shown(ours("1.30.5", 4).sets | ours("1.30.5", 6).sets)
        mine = before | mine
    theirs = shown(parse_ipsets(recorded(version, "ipset-save")))
    count("sets with their members", mine.items(), theirs.items())
    assert mine == theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_sets_as_text_come_back(version):
    sets = ours(version, 4).sets | ours(version, 6).sets
    text = save_ipsets(sets.values())
    assert parse_ipsets(text) == sets
    header = re.compile(r"create (\S+ .*?)(?: bucketsize.*)?$", re.MULTILINE)
    assert set(header.findall(text)) <= set(header.findall(recorded(version, "ipset-save")))


def synced(state: State, version: str, family: int) -> State:
    """Let a kube-proxy start and sync."""
    program = PROGRAMS[family]
    sets = machine(Host(ipsets=ours(version, family).sets)).sets
    state = replace(state, sets={**state.sets, **sets})
    for _, *words in prepared(era(version), family):
        if "-I" in words:
            asked = run(state, [program, *("-C" if w == "-I" else w for w in words)])
            if asked.status == 0:
                continue
        state = run(state, [program, *words]).state
    text = ours(version, family).rules
    done = run(state, [f"{program}-restore", "--noflush", "--counters"], stdin=text)
    assert (done.status, done.stderr) == (0, "")
    return done.state


@pytest.mark.parametrize(("version", "family"), BOTH)
def test_rules(version, family):
    state = State()
    if (version, family) == ("1.21.1", 6):
        state = synced(state, "1.30.5", 6)
    state = synced(state, version, family)
    program = PROGRAMS[family]
    mine = chains(run(state, [f"{program}-save"]).stdout)
    theirs = chains(recorded(version, f"{program}-save"))
    count("chains with their rules", mine.items(), theirs.items())
    assert mine == theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_settings(version):
    theirs = dict(re.findall(r"(\S+) = (\d+)", recorded(version, "sysctl")))
    for name, value in sysctls(CONFIG, era(version)).items():
        assert theirs[name] == str(value)


def test_a_version_that_was_never_recorded_is_refused():
    with pytest.raises(ObjectError, match=r"1\.21, 1\.30"):
        desired((), CONFIG, era("1.22"))


# ── A packet through it ─────────────────────────────────────────────────────────────

NODE = {"eth0": ["192.168.99.10/24"], "cni0": ["10.244.1.1/24"]}
ROUTES = {"10.244.0.0/16": "eth0 via 192.168.99.1", "default": "eth0 via 192.168.99.1"}


def node(version: str) -> Host:
    """Return the node as IPVS mode leaves it."""
    wanted, which = ours(version, 4), era(version)
    rules = run(synced(State(), version, 4), ["iptables-save"]).stdout
    addresses = NODE | {"kube-ipvs0": [f"{one}/32" for one in wanted.addresses]}
    return Host(parse(rules), addresses=addresses, routes=ROUTES, ipsets=wanted.sets,
                virtual_servers=wanted.virtual_servers, sysctls=sysctls(CONFIG, which),
                facts={"listening": ()})  # fmt: skip


def source_seen(trace: Trace) -> str:
    return str(trace.packet.src)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_calls_a_cluster_ip(version):
    host = node(version)
    seen = [host.receive(tcp(f"10.244.1.20:{1000 + i}", "10.96.0.10:80"), "cni0") for i in range(3)]
    assert {str(t.packet.dst) for t in seen} == {"10.244.2.10", "10.244.3.11", "10.244.2.12"}
    assert {source_seen(t) for t in seen} == {"10.244.1.20"}
    back = host.receive(seen[0].reply(), "eth0")
    assert (str(back.packet.src), back.packet.sport) == ("10.96.0.10", 80)
    assert (str(back.packet.dst), back.fate.device) == ("10.244.1.20", "cni0")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("to", "masked"), [
    ("192.168.99.10:30080", True),  # a nodePort
    ("192.168.99.10:30081", False),  # externalTrafficPolicy Local
    ("192.0.2.77:80", True),  # an external IP
    ("203.0.113.51:443", False),  # a load balancer with externalTrafficPolicy Local
])  # fmt: skip
def test_who_the_endpoint_sees(version, to, masked):
    trace = node(version).receive(tcp("198.51.100.7:999", to), "eth0")
    assert trace.fate.kind == "forward"
    assert (source_seen(trace) != "198.51.100.7") is masked


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("client", "served"), [("198.51.100.7", True), ("8.8.8.8", False)])
def test_source_ranges(version, client, served):
    """1.21 marks what is outside and leaves the drop to the kubelet's rule, which is not here."""
    trace = node(version).receive(tcp(f"{client}:999", "203.0.113.50:443"), "eth0")
    assert trace.fate.kind == ("forward" if served or version == "1.21.1" else "drop")


@pytest.mark.parametrize(("version", "fate"), [("1.21.1", "local"), ("1.30.5", "reject")])
def test_a_port_of_a_service_address_that_nobody_serves(version, fate):
    """The address is the node's own: before the filter of 1.30 the node itself answered there."""
    trace = node(version).receive(tcp("10.244.1.20:999", "10.96.0.10:22"), "cni0")
    assert trace.fate.kind == fate


def test_a_service_without_endpoints_is_refused_by_ipvs():
    trace = node("1.30.5").receive(tcp("10.244.1.20:999", "10.96.0.11:80"), "cni0")
    assert str(trace.fate) == "error icmp 3/3"


def test_a_pod_that_reaches_itself_sees_another_source():
    host = node("1.30.5")
    pod = "10.244.1.30"
    hits: list[Packet] = []
    for i in range(3):
        trace = host.receive(tcp(f"{pod}:{999 + i}", "10.96.0.13:80"), "cni0")
        if str(trace.packet.dst) == pod:
            hits.append(trace.packet)
    assert [str(one.src) for one in hits] == ["10.244.1.1"]


# ── Endpoints that leave ────────────────────────────────────────────────────────────


def test_an_endpoint_leaves_under_traffic():
    """Its connection goes on, no new one comes to it, and it is gone when the last has ended."""
    host = node("1.30.5")
    opened = host.receive(tcp("10.244.1.20:1000", "10.96.0.10:80"), "cni0")
    server = str(opened.packet.dst)
    wanted = tuple(
        one.with_servers(*(s for s in one.servers if str(s.address) != server))
        for one in ours("1.30.5", 4).virtual_servers
    )
    host = host.with_virtual_servers(settled(host.ipvs.services.values(), wanted, host.ipvs.counts))
    weights = {str(s.address): s.weight for s in host.ipvs.services[WEB].servers}
    assert weights == {one: int(one != server) for one in weights}
    assert len(weights) == 3
    again = host.receive(tcp("10.244.1.20:1000", "10.96.0.10:80", flags="ACK"), "cni0")
    assert str(again.packet.dst) == server
    new = {str(host.receive(tcp(f"10.244.1.20:{n}", "10.96.0.10:80"), "cni0").packet.dst)
           for n in range(2000, 2006)}  # fmt: skip
    assert len(new) == 2
    assert server not in new
    host.wait(1000)
    after = settled(host.ipvs.services.values(), wanted, host.ipvs.counts)
    assert {one.key: len(one.servers) for one in after}[WEB] == 2


WEB = next(one.key for one in ours("1.30.5", 4).virtual_servers if one.where == "10.96.0.10:80")


def test_an_endpoint_comes_back_before_it_is_gone():
    wanted = ours("1.30.5", 4).virtual_servers
    service = next(one for one in wanted if one.key == WEB)
    leaving = [replace(service.servers[0], weight=0), *service.servers[1:]]
    assert settled([service.with_servers(*leaving)], [service], {}) == (service,)


def test_udp_leaves_at_once():
    service = next(one for one in ours("1.30.5", 4).virtual_servers if one.protocol == 17)
    counts = {(service.key, one): (0, 5) for one in service.servers}
    assert settled([service], [service.with_servers()], counts)[0].servers == ()


# ── Flags ───────────────────────────────────────────────────────────────────────────


def test_flags():
    given = [*FLAGS, "--ipvs-scheduler=sed", "--masquerade-all", "--ipvs-strict-arp"]
    config = Config.from_flags(given, ["192.168.99.10"])
    wanted = desired(objects(), config, era("1.30"))
    assert {one.scheduler for one in wanted.virtual_servers} == {"sed"}
    assert "--match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ" in wanted.rules
    assert sysctls(config, era("1.30"))["net.ipv4.conf.all.arp_ignore"] == 1
    config = replace(CONFIG, cluster_cidrs=())
    assert (
        "--match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ"
        in desired(objects(), config, era("1.30")).rules
    )


def test_no_service_leaves_the_fixed_rules():
    known: Era = era("1.30")
    empty, full = desired((), CONFIG, known).rules, desired(objects(), CONFIG, known).rules
    assert empty.count("\n-A") < full.count("\n-A") < 40


# ── The book's node ─────────────────────────────────────────────────────────────────

BOOK = Path(__file__).parents[2] / "data" / "kube-proxy" / "ipvs"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_books_node_is_the_recorded_one(version):
    names = ("iptables-save", "ipset-save", "ipvsadm-Sn", "ip-addr-kube-ipvs0", "sysctl")
    for name in names:
        assert (BOOK / version / f"{name}.txt").read_text() == recorded(version, name)
    host = load_host(BOOK / version)
    held = {str(i.address) for i in host.routing.interfaces if i.device == "kube-ipvs0"}
    assert held == set(re.findall(r"inet (\S+)/", recorded(version, "ip-addr-kube-ipvs0")))
    assert host.ipvs is not None
    assert normal(tuple(host.ipvs.services.values())) == normal(ours(version, 4).virtual_servers)
