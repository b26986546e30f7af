"""The recorded runs of kube-proxy's iptables mode: what it was given, what it wrote, what was there then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import NamedTuple

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era, era
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import KubeObject
from nb_lib.kubeproxy.services import Portal
from tests.recordings import archive, dumps

NODE = ("192.168.99.10", "fd00:99::10", "10.20.0.10", "10.244.1.1")
PROGRAMS = {4: "iptables", 6: "ip6tables"}
SHARED = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"}


@cache
def files() -> dict[str, str]:
    return {name: data.decode() for name, data in archive("kubeproxy.tar.xz").items()}


@cache
def loaded(scenario: str) -> tuple[KubeObject, ...]:
    return tuple(load(files()[f"kube-proxy/{scenario}/objects.yaml"]))


class Run(NamedTuple):
    """One scenario, or one sequence, with one version; ``steps`` are folders, the first sync's first."""

    scenario: str
    label: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.scenario}/{self.label}"

    @property
    def folder(self) -> str:
        return f"kube-proxy/{self}"

    @property
    def era(self) -> Era:
        return era(self.label.partition("-")[0])

    @property
    def legacy(self) -> bool:
        return self.label.endswith("legacybackend")

    @property
    def config(self) -> Config:
        return Config.from_flags(files()[f"{self.folder}/flags.txt"].splitlines(), NODE)

    @property
    def objects(self) -> tuple[KubeObject, ...]:
        return loaded(self.scenario)

    def text(self, name: str, step: str = "") -> str:
        return files().get("/".join(filter(None, (self.folder, step or self.steps[0], name))), "")

    def dump(self, family: int, step: str = "") -> str:
        name = f"{PROGRAMS[family]}-save.txt"
        return dumps().get("/".join(filter(None, (self.folder, step or self.steps[0], name))), "")


def runs() -> Iterator[Run]:
    """Yield every recorded run, each with its steps: an empty name where it has only one."""
    for name in sorted(files()):
        folder, _, last = name.rpartition("/")
        if last != "flags.txt" or "mode-selection" in name:
            continue
        scenario, label = folder.split("/")[1:]
        found = {
            n.removeprefix(folder).strip("/").rpartition("/")[0]
            for n in files()
            if n.startswith(folder + "/")
        }
        steps = sorted(step for step in found if step.startswith("step-")) or [""]
        yield Run(scenario, label, tuple(steps))


def inputs(text: str, family: int) -> list[str]:
    """Return every stdin of a family's restore, in order."""
    parts = re.split(r"^### \S+ (ip6?tables)-restore .*\n", text, flags=re.MULTILINE)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return [
        re.sub(r"^### stderr:\n(?:.*\n)*", "", given, flags=re.MULTILINE)
        for program, given in pairs
        if program == PROGRAMS[family]
    ]


def calls(text: str, program: str) -> list[list[str]]:
    """Return the commands of one program, without their waiting; a comment's words are one word."""
    found = []
    for line in text.splitlines():
        words = line.partition("   # rc=")[0].split(" => ")[0].split()[1:]
        if words and words[0] == program:
            found.append(
                [word for word in _joined(words) if word not in ("-w", "5", "-W", "100000")]
            )
    return found


def _joined(words: list[str]) -> list[str]:
    if "--comment" not in words:
        return words
    start, end = words.index("--comment") + 1, words.index("-j")
    return [*words[:start], " ".join(words[start:end]), *words[end:]]


def chains(text: str) -> dict[tuple[str, str], list[str]]:
    """Return the rules of each (table, chain) of a dump or a restore's input, as they are written."""
    found: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            found.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith(("-A ", "-X ")):
            found.setdefault((table, line.split()[1]), []).append(line)
    return found


def unordered(found: dict[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    """Return the same with the rules of all services' chains sorted: they stand in Go's map order.

    The jump to the nodePorts stays last.
    """
    return {
        (table, chain): sorted(rules, key=lambda rule: ("must be the last" in rule, rule))
        if chain in SHARED
        else rules
        for (table, chain), rules in found.items()
    }


def in_order(portals: dict[PortName, Portal], text: str) -> dict[PortName, Portal]:
    """Return ports in the order in which an input has them: Go's map gave the same for both tables."""
    names = {str(name): name for name in portals}
    known = TopologicalSorter(dict.fromkeys(portals, ()))
    for table in text.split("COMMIT\n"):
        found = dict.fromkeys(
            names[word] for word in table.replace('"', " ").split() if word in names
        )
        for before, after in pairwise(found):
            known.add(after, before)
    return {name: portals[name] for name in known.static_order()}
