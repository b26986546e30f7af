"""The rules of userspace mode beside every recorded run of kube-proxy 1.21.1.

The ports of the proxy's own sockets are the process' choice: they are taken from the rule of each Service's
cluster IP, and have to be among the sockets that the process was seen to hold; every other rule follows.
The order of Services is that of a Go map: each chain is compared Service by Service.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import cache

import pytest

from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.loop import Proxier
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import KubeObject, Node
from nb_lib.kubeproxy.tracked import Tracked
from tests.kubeproxy.recorded import NODE, calls, chains, loaded
from tests.recordings import archive, dumps

LABEL, V1_21 = "1.21.1-userspace", era("1.21")
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
    found = Tracked(config(name), V1_21, 4, loaded(name.partition("/")[0]))
    for folder in steps(name):
        found.apply(event(folder, "apply"), removed=event(folder, "delete"))
    return found


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


class Recorded(Emulated):
    """A host whose process holds the recorded sockets. ``put`` are the commands that changed rules."""

    held: dict[PortName, int]

    def __init__(self) -> None:
        super().__init__()
        self.put: list[list[str]] = []

    def listen(self, _tracked: Tracked) -> dict[PortName, int]:
        return self.held

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        if words[0] == "iptables" and words[1] in CHANGES:
            self.put.append(list(words))
        return super().run(words, stdin)


CHANGES = ("-A", "-I", "-D", "-F")


@cache
def after(name: str) -> Recorded:
    """Return the host after the loop has gone through a run's steps; ``put`` is of the last alone."""
    place = Recorded()
    for folder in steps(name):
        place.held, place.put, place.ran = ports(tracked(folder), DUMPS[folder]), [], []
        shell = files().get(f"{folder}/event-shell.txt", "").partition("\n")[0]
        ours = [one for one in shell.split(";") if one.strip().startswith("iptables ")]
        for command in ours:
            place.run(shlex.split(command))
            place.put.clear()
        if folder == steps(name)[0] or "restart" in folder:  # a new process
            loop = Proxier(
                config(name), V1_21, place, held(folder), mode="userspace", families=(4,)
            )
            loop.start()
        else:
            loop.apply(event(folder, "apply"), event(folder, "delete"))
            _ = loop.watch() if ours else loop.sync()
    return place


def config(name: str) -> Config:
    flags = files()[f"{name.partition('/')[0]}/{LABEL}/flags.txt"].splitlines()
    return Config.from_flags(flags, NODE)


def held(name: str) -> list[KubeObject]:
    """Return all objects at a step."""
    found = {(type(one), one.key): one for one in loaded(name.partition("/")[0])
             if not isinstance(one, Node)}  # fmt: skip
    for folder in steps(name):
        for one in event(folder, "delete"):
            found.pop((type(one), one.key), None)
        found |= {(type(one), one.key): one for one in event(folder, "apply")}
    nodes = [one for one in loaded(name.partition("/")[0]) if isinstance(one, Node)]
    return [*found.values(), *nodes]


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
    mine = by_service(after(name).run(["iptables-save"]).stdout)
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


def by_comment(words: list[str]) -> str:
    comment = words[words.index("--comment") + 1] if "--comment" in words else ""
    return comment if "/" in comment else ""


@pytest.mark.parametrize("name", sorted(DUMPS))
def test_the_commands_are_kube_proxys(name):
    """Each command that put or deleted a rule, Service by Service, in its order and words."""
    text = files().get(f"{name}/calls.txt", "")
    theirs = [split(words) for words in calls(text, "iptables") if words[1] in CHANGES]
    assert sorted(after(name).put, key=by_comment) == sorted(theirs, key=by_comment)
    assert sorted(after(name).ran) == sorted(calls(text, "conntrack"))
