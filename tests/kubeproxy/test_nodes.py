"""A node as any mode and version leaves it, beside the recorded dumps and the recorded connections.

Nothing recorded is in force here: objects and flags go in, and what ``node`` makes of them is compared with
what real kube-proxy wrote, and with what the kernel did to the packets that went through it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from nb_lib.engine import Host
from nb_lib.errors import HostError, ObjectError
from nb_lib.headers import ACK, SYN
from nb_lib.kubeproxy import machines, node, objects_of
from nb_lib.kubeproxy.hosts import FIRST_SOCKET
from nb_lib.kubeproxy.nodes import FLAGS, FOLDER
from nb_lib.packet import icmp, tcp
from nb_lib.rules import Ruleset
from nb_lib.text import rule_text, save
from nb_lib.text.ipset import parse_ipsets
from nb_lib.text.ipvs import parse_ipvs
from tests.golden import test_flows, test_nft_flows
from tests.kubeproxy import test_ipvs, test_nftables, test_userspace_rules
from tests.kubeproxy.recorded import Run, chains, files, loaded, runs, unordered
from tests.recordings import flows, nft_flows

Figure = Callable[..., None]
EQUAL: Counter[str] = Counter()
TOTAL: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def figures(figure: Figure) -> Iterator[None]:
    yield
    for what, total in TOTAL.items():
        figure(f"kube-proxy nodes from objects, {what}", EQUAL[what], total)


def count(what: str, *, equal: bool) -> None:
    EQUAL[what] += equal
    TOTAL[what] += 1


# ── Rules ───────────────────────────────────────────────────────────────────────────

DUMPED = [
    (one, family)
    for one in runs()
    for family in one.config.families(one.era)
    if one.dump(family) and not one.legacy and not one.scenario.startswith("scale")
]


@cache
def made(scenario: str, mode: str, label: str, flags: tuple[str, ...]) -> Host:
    routes = [*json.loads((test_flows.DATA / "ip-route.json").read_text()), *test_flows.LOCAL_PODS]
    given = test_flows.read_routes(routes)
    return node(loaded(scenario), mode, label, flags=flags, routes=given)


def node_of(one: Run) -> Host:
    flags = tuple(files()[f"{one.folder}/flags.txt"].splitlines())
    return made(one.scenario, "iptables", one.label.partition("-")[0], flags)


@pytest.mark.parametrize(("one", "family"), DUMPED, ids=[f"{one}-ipv{f}" for one, f in DUMPED])
def test_iptables_modes_dump(one: Run, family: int) -> None:
    ours = unordered(chains(save(node_of(one).family(family))))
    theirs = unordered(chains(one.dump(family)))
    count("iptables mode's dumps", equal=ours == theirs)
    assert ours == theirs


@pytest.mark.parametrize("folder", [f for f in test_nftables.FOLDERS if "/flows" not in f])
def test_nftables_modes_ruleset(folder: str) -> None:
    scenario = folder.partition("/")[0]
    flags = test_nftables.files()[f"kube-proxy/{scenario}/{test_nftables.MODE}/flags.txt"]
    host = made(scenario, "nftables", "1.30.5", tuple(flags.splitlines()))
    assert host.nftables is not None
    mine = test_nftables.structure(host.nftables.ruleset)
    real = test_nftables.structure(test_nftables.recorded(folder))
    count("nftables mode's rulesets", equal=mine == real)
    assert mine == real


@pytest.mark.parametrize("version", test_ipvs.VERSIONS)
def test_ipvs_modes_node(version: str) -> None:
    """1.21 ran where 1.30 had run: there are sets that it knows nothing of."""
    where = {"addresses": {"eth0": "192.168.99.10/24"}, "routes": {"default": "eth0"}}
    host = node(test_ipvs.objects(), "ipvs", version, **where)
    own = {"rules": chains(save(host.ruleset)), "sets": test_ipvs.shown(host.state.sets)}
    real = {
        "rules": chains(test_ipvs.recorded(version, "iptables-save")),
        "sets": test_ipvs.shown(parse_ipsets(test_ipvs.recorded(version, "ipset-save"))),
    }
    if version == "1.21.1":
        real["sets"] = {name: real["sets"][name] for name in own["sets"]}
    assert host.ipvs is not None
    own["servers"] = test_ipvs.normal(tuple(host.ipvs.services.values()))
    real["servers"] = test_ipvs.normal(parse_ipvs(test_ipvs.recorded(version, "ipvsadm-Sn")))
    own["addresses"] = sorted(
        str(one.address) for one in host.routing.interfaces if one.device == "kube-ipvs0"
    )
    listed = test_ipvs.recorded(version, "ip-addr-kube-ipvs0")
    real["addresses"] = sorted(re.findall(r"inet6? (\S+)/", listed))
    for what, found in own.items():
        count("IPVS mode's rules, sets, servers, addresses", equal=found == real[what])
    assert own == real


INITIAL = [name for name in sorted(test_userspace_rules.DUMPS) if name.endswith("1.21.1-userspace")]


@pytest.mark.parametrize("name", INITIAL)
def test_userspace_modes_dump(name: str) -> None:
    """The proxy's own ports are its choice: each dump's are put in place of ours."""
    recorded = test_userspace_rules.DUMPS[name]
    held = test_userspace_rules.tracked(name)
    ports = test_userspace_rules.ports(held, recorded)
    flags = test_userspace_rules.files()[f"{name}/flags.txt"].splitlines()
    text = save(made(name.partition("/")[0], "userspace", "1.21.1", tuple(flags)).ruleset)
    served = [p.name for p in held.portals.values() if p.protocol != "sctp"]
    for at, one in enumerate(served):
        text = re.sub(rf"\b{FIRST_SOCKET + at}\b", str(ports[one]), text)
    ours, theirs = map(test_userspace_rules.by_service, (text, recorded))
    count("userspace mode's dumps", equal=ours == theirs)
    assert ours == theirs


# ── Connections ─────────────────────────────────────────────────────────────────────


def worded(steps: list[str], ruleset: Ruleset) -> list[str]:
    """Name a step by its rule's words, not its number; what the recorder put into raw is left out."""
    found = []
    for step in steps:
        table, chain, number, verdict = step.split(":", 3)
        if table == "raw":
            continue
        if number.isdecimal():
            number = rule_text(ruleset[table][chain].rules[int(number) - 1])
        found.append(f"{table}:{chain}:{number}:{verdict}")
    return found


def test_connections_in_iptables_mode_go_the_recorded_way() -> None:
    known = {str(one): one for one in runs()}
    wrong = []
    for folder, flow in flows():
        _, scenario, label = folder.split("/")
        machine = node_of(known[f"{scenario}/{label.removeprefix('flows-')}"])
        difference = test_flows.judge(folder, flow, machine, worded)
        count("recorded connections in iptables mode", equal=not difference)
        if difference:
            wrong.append(f"{folder} {flow['client']} → {flow['dst']}:{flow['port']}\n{difference}")
    assert TOTAL["recorded connections in iptables mode"] == 619
    assert not wrong, "\n".join(wrong[:8])


def test_connections_in_nftables_mode_go_the_recorded_way() -> None:
    wrong = []
    for folder, flow in nft_flows():
        scenario = folder.split("/")[1]
        flags = test_nftables.files()[f"kube-proxy/{scenario}/{test_nftables.MODE}/flags.txt"]
        machine = made(scenario, "nftables", "1.30", tuple(flags.splitlines()))
        difference = test_nft_flows.judge(flow, machine)
        count("recorded connections in nftables mode", equal=not difference)
        if difference:
            wrong.append(f"{folder} {flow['client']} → {flow['dst']}:{flow['port']}\n{difference}")
    assert TOTAL["recorded connections in nftables mode"] == 318
    assert not wrong, "\n".join(wrong[:8])


# ── What node() takes ───────────────────────────────────────────────────────────────


def test_every_machine_is_a_host() -> None:
    for mode, version in machines:
        host = node(f"{FOLDER}/eight-services", mode, f"v{version}.1")
        trace = host.receive(tcp("10.244.1.200:4000", "10.96.200.3:82"), "veth0")
        assert str(trace.packet.dst) != "10.96.200.3", (mode, version)


def test_objects_may_be_text_a_file_a_folder_or_themselves() -> None:
    folder = f"{FOLDER}/eight-services"
    held = objects_of(folder)
    text = (test_flows.DATA / "eight-services" / "objects.yaml").read_text()
    assert held == objects_of(f"{folder}/objects.yaml") == objects_of(text) == objects_of(held)
    assert len(held) > 16
    with pytest.raises(HostError, match="no file or folder nowhere"):
        objects_of("nowhere")


@pytest.mark.parametrize(("mode", "version"), [
    ("nftables", "1.22"), ("userspace", "1.30"), ("ipvs", "1.20"), ("ebpf", "1.30"), ("ipvs", "2.0"),
])  # fmt: skip
def test_a_machine_that_never_was_is_refused(mode: str, version: str) -> None:
    with pytest.raises(ObjectError, match=r"is none of .*1\.30"):
        node((), mode, version)


def test_a_node_without_an_object_has_its_devices_addresses() -> None:
    objects = [
        one for one in objects_of(f"{FOLDER}/eight-services") if not hasattr(one, "pod_cidrs")
    ]
    host = node(objects, "nftables", addresses={"eth7": "198.51.100.9/24"}, routes={})
    assert host.nftables is not None
    sets = host.nftables.ruleset.tables[0].set
    assert [one.key for one in sets["nodeport-ips"].elements] == ["198.51.100.9"]


@pytest.mark.parametrize(("mode", "version", "flags", "expected"), [
    ("iptables", "1.21", (), "1"), ("iptables", "1.30", (), "1"),
    ("iptables", "1.30", ("--iptables-localhost-nodeports=false",), "0"),
    ("nftables", "1.30", (), "0"), ("ipvs", "1.21", (), "0"), ("ipvs", "1.30", (), "0"),
])  # fmt: skip
def test_route_localnet_is_set_by_iptables_mode_alone(
    mode: str, version: str, flags: tuple[str, ...], expected: str
) -> None:
    """As recorded: the log of each start in iptables mode, sysctl.txt of the nodes in IPVS mode."""
    host = node((), mode, version, flags=(*FLAGS, *flags))
    assert host.routing.sysctls["net.ipv4.conf.all.route_localnet"] == expected


def test_the_old_proxies_hold_the_ports_of_services() -> None:
    """1.21 listened on each nodePort, so that nobody else would; 1.30 does not."""
    objects = f"{FOLDER}/nginx-3-endpoints"
    held = {v: "tcp:30935" in node(objects, "iptables", v).state.facts["listening"]
            for v in ("1.20", "1.21", "1.22", "1.30")}  # fmt: skip
    assert held == {"1.20": True, "1.21": True, "1.22": True, "1.30": False}


def test_facts_are_the_nodes_before_kube_proxy_came() -> None:
    host = node((), "ipvs", sysctls={"net.ipv4.vs.conntrack": 0, "net.ipv4.ip_forward": 0},
                facts={"listening": ("tcp:22",)})  # fmt: skip
    assert host.routing.sysctls["net.ipv4.vs.conntrack"] == "1"
    answers = host.receive(tcp("10.20.0.200:4000", "10.20.0.10:22"), "eth1").replies
    assert [one.flags for one in answers] == [SYN | ACK]
    assert host.receive(icmp("10.20.0.200", "10.20.0.10"), "eth1").replies[0].icmp_type == 0
