"""The rules of userspace mode beside every recorded run of kube-proxy 1.21.1.

The ports of the proxy's own sockets are the process' choice: they are taken from the rule of each Service's
cluster IP, and have to be among the sockets that the process was seen to hold; every other rule follows.
The order of Services is that of a Go map: each chain is compared Service by Service.
"""

from __future__ import annotations

import re
import shlex
from functools import cache

import pytest

from nb_lib.cli import State, run
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import KubeObject, Service
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace import Rule, prepared, wanted
from nb_lib.kubeproxy.userspace.rules import CHAINS
from tests.kubeproxy.recorded import NODE, calls, chains, loaded
from tests.recordings import archive, dumps

LABEL = "1.21.1-userspace"
DUMPS = {
    name.removeprefix("kube-proxy/").removesuffix("/iptables-save.txt"): text
    for name, text in dumps().items()
    if LABEL in name and name.endswith("/iptables-save.txt")
}
EQUAL, TOTAL = {"dumps": 0, "rules": 0}, {"dumps": 0, "rules": 0}


@pytest.fixture(scope="module", autouse=True)
def figures(figure):
    yield
    for what, equal in EQUAL.items():
        figure(f"kube-proxy userspace mode, {what}", equal, TOTAL[what])


@cache
def files() -> dict[str, str]:
    return {name: data.decode() for name, data in archive("userspace.tar.xz").items()}


def steps(name: str) -> list[str]:
    """Return the folders of a run up to one of its steps."""
    folder, _, step = name.rpartition(f"{LABEL}/")
    if not folder:
        return [name]
    before = {n.split("/")[2] for n in files() if n.startswith(f"{folder}{LABEL}/step-")}
    return [f"{folder}{LABEL}/{one}" for one in sorted(before) if one <= step]


def tracked(name: str) -> Tracked:
    """Return what the process held at a step: the objects, and the events until then."""
    scenario = name.partition("/")[0]
    flags = files()[f"{scenario}/{LABEL}/flags.txt"].splitlines()
    held = Tracked(Config.from_flags(flags, NODE), era("1.21"), 4, loaded(scenario))
    for folder in steps(name):
        held.apply(event(folder, "apply"), removed=event(folder, "delete"))
    return held


def services(name: str) -> list[Service]:
    """Return the Services of a step."""
    held = {one.key: one for one in loaded(name.partition("/")[0]) if isinstance(one, Service)}
    for folder in steps(name):
        for one in event(folder, "delete"):
            held.pop(one.key, None) if isinstance(one, Service) else None
        held |= {one.key: one for one in event(folder, "apply") if isinstance(one, Service)}
    return list(held.values())


def event(folder: str, kind: str) -> list[KubeObject]:
    text = files().get(f"{folder}/event-{kind}.yaml", "")
    return list(load(text)) if text else []


def ports(held: Tracked, dump: str) -> dict[PortName, int]:
    """Return the ports of the proxy's sockets: where the rule of each cluster IP leads."""
    found = {}
    for portal in held.portals.values():
        start = rf"-A KUBE-PORTALS-CONTAINER -d {portal.cluster_ip}/32 -p {portal.protocol} .*"
        match = re.search(rf"{start}--dport {portal.port} -j REDIRECT --to-ports (\d+)", dump)
        if match:
            found[portal.name] = int(match[1])
    return found


def synced(state: State, rules: list[Rule]) -> State:
    """Let the process put what is not there, and delete what it no longer wants."""
    for make, jump in prepared():
        state = ensured(run(state, make).state, jump)
    for rule in rules:
        state = ensured(state, rule)
    return state


def ensured(state: State, rule: Rule) -> State:
    if run(state, rule.command("-C")).status == 0:
        return state
    done = run(state, rule.command())
    assert (done.status, done.stderr) == (0, "")
    return done.state


def after(name: str) -> State:
    """Return the host after a run's steps, with the ports that each step's dump names."""
    state, before = State(), []
    for folder in steps(name):
        shell = files().get(f"{folder}/event-shell.txt", "").partition("\n")[0]
        for command in shell.split(";"):
            if command.strip().startswith("iptables "):
                state = run(state, shlex.split(command)).state
        held = tracked(folder)
        rules = list(wanted(services(folder), ports(held, DUMPS[folder]), NODE_IP))
        if "restart" in folder:  # a new process empties its chains first
            for table, chain in CHAINS:
                state = run(state, ["iptables", "-F", chain, "-t", table]).state
        for rule in before:
            if rule not in rules:
                state = run(state, rule.command("-D")).state
        state, before = synced(state, rules), rules
    return state


NODE_IP = tracked("seed-nginx-extip-1ep/" + LABEL).node.addresses[0]


def by_service(text: str) -> dict[tuple[str, str], list[str]]:
    """Return each chain's rules, a Service's together and in their order."""
    return {
        chain: sorted(rules, key=lambda rule: re.findall('--comment "([^"]*)"', rule)
                      if chain[1].startswith("KUBE-") else 0)
        for chain, rules in chains(text).items()
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(DUMPS))
def test_a_recorded_dump(name):
    recorded = by_service(DUMPS[name])
    mine = by_service(run(after(name), ["iptables-save"]).stdout)
    EQUAL["dumps"] += mine == recorded
    EQUAL["rules"] += sum(len(r) for chain, r in recorded.items() if mine.get(chain) == r)
    TOTAL["dumps"] += 1
    TOTAL["rules"] += sum(map(len, recorded.values()))
    assert mine == recorded


@pytest.mark.parametrize("name", sorted(DUMPS))
def test_every_port_is_one_of_the_process_sockets(name):
    held = tracked(name)
    listening = files().get(f"{name}/listening-sockets.txt", "")
    open_ports = set(re.findall(r"^(tcp|udp) \w+ \S*:(\d+)$", listening, re.MULTILINE))
    found = {(n.protocol.lower(), str(port)) for n, port in ports(held, DUMPS[name]).items()}
    assert found <= open_ports
    served = {n for n, portal in held.portals.items() if portal.protocol != "sctp"}
    assert served == set(ports(held, DUMPS[name]))


def split(words: list[str]) -> list[str]:
    """Undo the joining of a comment's words where it is a Service's name, behind which the rule goes on."""
    return [
        part for one in words for part in (one.split() if "/" in one and " -p " in one else [one])
    ]


FIRST = [name for name in sorted(DUMPS) if name.endswith((LABEL, "step-00-initial"))]


@pytest.mark.parametrize("name", FIRST)
def test_the_commands_are_kube_proxys(name):
    """Each command that put a rule, Service by Service, in its order and words."""
    text = files()[f"{name}/calls.txt"]
    put = [split(words) for words in calls(text, "iptables") if words[1] in ("-A", "-I")]
    held = tracked(name)
    rules = wanted(services(name), ports(held, DUMPS[name]), NODE_IP)
    mine = [jump.command() for _, jump in prepared()] + [rule.command() for rule in rules]

    def service(words: list[str]) -> str:
        comment = words[words.index("--comment") + 1]
        return comment if "/" in comment else ""

    assert sorted(mine, key=service) == sorted(put, key=service)


def test_how_many_are_compared():
    assert len(DUMPS) == 63
    assert len(FIRST) >= 40
