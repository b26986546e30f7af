"""What real kube-proxy 1.30.5 made of its table in nftables mode, against what ours computes from objects.

Compared is `nft -j list ruleset`, as a structure: tables, sets with their elements, chains, the rules of each
in their order; handles aside, and the order of sets' elements (the kernel's hash) and of chains (Go's map).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.nftables import Rules, desired
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.text import nft
from tests.kubeproxy.recorded import NODE, loaded
from tests.recordings import archive

Figure = Callable[..., None]
V1_30 = era("1.30")
MODE = "1.30.5-nftables"


@cache
def files() -> dict[str, str]:
    return {name: data.decode() for name, data in archive("nft.tar.xz").items()}


def structure(ruleset: nft.Ruleset) -> dict[tuple[str, ...], Any]:
    """Return a ruleset as `nft -j` lists it, by name: rules in order, elements sorted."""
    found: dict[tuple[str, ...], Any] = {}
    for each in nft.objects(ruleset):
        ((kind, body),) = each.items()
        body = {key: value for key, value in body.items() if key != "handle"}
        if kind == "rule":
            found.setdefault(("rules", body["family"], body["chain"]), []).append(body)
        elif kind != "metainfo":
            body |= {"elem": sorted(body["elem"], key=json.dumps)} if "elem" in body else {}
            found[kind, body["family"], body["name"]] = body
    return found


def recorded(folder: str) -> nft.Ruleset:
    """Return a recorded ruleset, without the table that the recorder added to trace."""
    ruleset = nft.read_json(files()[f"kube-proxy/{folder}/nft-ruleset.json"])
    return replace(ruleset, tables=tuple(t for t in ruleset if t.name != "kptrace"))


def config(scenario: str, addresses: tuple[str, ...] = NODE) -> Config:
    flags = files()[f"kube-proxy/{scenario}/{MODE}/flags.txt"]
    return Config.from_flags(flags.splitlines(), addresses)


def config_of(folder: str) -> Config:
    """Return a state's flags and addresses: the node that packets went through had none of IPv6."""
    addresses = tuple(a for a in NODE if "." in a) if "flows" in folder else NODE
    return config(folder.partition("/")[0], addresses)


FOLDERS = sorted({
    folder
    for name in files()
    if (folder := name.removeprefix("kube-proxy/").rpartition("/")[0]).endswith(MODE)
    and name.endswith("/nft-ruleset.json")
})  # fmt: skip
SEQUENCES = sorted({name.split("/")[1] for name in files() if "/step-" in name})
EQUAL: dict[str, list[bool]] = {"states": [], "steps": []}


@pytest.fixture(scope="module", autouse=True)
def figures(figure: Figure):
    yield
    for what, said in (("states", "recorded rulesets from objects"),
                       ("steps", "recorded rulesets after each step of the sequences")):  # fmt: skip
        figure(f"kube-proxy nftables mode, {said}", sum(EQUAL[what]), len(EQUAL[what]))


def agree(what: str, ours: nft.Ruleset, theirs: nft.Ruleset) -> None:
    mine, real = structure(ours), structure(theirs)
    EQUAL[what].append(mine == real)
    assert mine.keys() == real.keys()
    assert not [(mine[name], real[name]) for name in real if mine[name] != real[name]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_table_is_kube_proxys(folder: str) -> None:
    scenario = folder.partition("/")[0]
    agree("states", desired(loaded(scenario), config_of(folder), V1_30), recorded(folder))


def test_all_recorded_states_are_compared() -> None:
    assert len(FOLDERS) == 60
    assert len(SEQUENCES) == 8


# --- one sync after the other ---


class Node:
    """A node with kube-proxy running: its tables, and both families' proxiers."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.objects = {
            (type(one), one.key): one for one in loaded(scenario) if hasattr(one, "key")
        }
        self.others = [one for one in loaded(scenario) if not hasattr(one, "key")]
        self.tables: dict[str, nft.Table] = {}
        self.foreign: list[nft.Table] = []
        self.now = 0.0
        self.start()

    def start(self) -> None:
        objects = [*self.objects.values(), *self.others]
        self.rules = {
            family: Rules(Tracked(config(self.scenario), V1_30, family, objects))
            for family in (4, 6)
        }
        self.sync()

    def sync(self) -> None:
        self.now += 5
        for family, rules in self.rules.items():
            name = {4: "ip", 6: "ip6"}[family]
            self.tables[name] = rules.sync(self.tables.get(name), self.now)

    def change(self, text: str, *, gone: bool = False) -> None:
        for one in load(text):
            if gone:
                self.objects.pop((type(one), one.key))
            else:
                self.objects[type(one), one.key] = one
            for rules in self.rules.values():
                rules.tracked.apply([] if gone else [one], [one] if gone else [])
            self.sync()

    def shell(self, command: str) -> None:
        """Do what the recorder's few commands did."""
        table = self.tables["ip"]
        for words in (each.split() for each in command.split(";")):
            match words:
                case ["nft", "flush", "table", "ip", "kube-proxy"]:
                    chains = tuple(replace(chain, rules=()) for chain in table.chains)
                case ["nft", "flush", "chain", "ip", "kube-proxy", name]:
                    chains = tuple(
                        replace(c, rules=()) if c.name == name else c for c in table.chains
                    )
                case ["nft", "add", "rule", "ip", "kube-proxy", name, *rule]:
                    added = nft.read_rule(" ".join(rule))
                    chains = tuple(
                        replace(c, rules=(*c.rules, added)) if c.name == name else c
                        for c in table.chains
                    )
                case ["nft", "add", "chain", "ip", "kube-proxy", name]:
                    chains = (*table.chains, nft.Chain(name))
                case ["nft", "add", "table", "ip", name]:
                    self.foreign.append(nft.Table("ip", name, chains=(nft.Chain("c"),)))
                    continue
                case _:
                    continue
            table = replace(table, chains=chains)
        self.tables["ip"] = table

    @property
    def ruleset(self) -> nft.Ruleset:
        return nft.Ruleset((*self.tables.values(), *self.foreign))


def listed(folder: str, name: str) -> str:
    return files().get(f"kube-proxy/{folder}/{name}", "")


@pytest.mark.parametrize("scenario", SEQUENCES)
def test_each_step_leaves_the_recorded_ruleset(scenario: str) -> None:
    node = Node(scenario)
    pattern = rf"kube-proxy/{scenario}/{MODE}/(step-[^/]*)/"
    steps = sorted({found[1] for name in files() if (found := re.match(pattern, name))})
    assert steps[0] == "step-00-initial"
    for step in steps:
        folder = f"{scenario}/{MODE}/{step}"
        applied, deleted = listed(folder, "event-apply.yaml"), listed(folder, "event-delete.yaml")
        if "restart" in step:
            if applied:
                for one in load(applied):
                    node.objects[type(one), one.key] = one
            node.start()
        elif applied or deleted:
            node.change(applied or deleted, gone=bool(deleted))
        elif command := listed(folder, "event-shell.txt"):
            node.shell(command.partition("\n")[0])
        agree("steps", node.ruleset, recorded(folder))


# --- what no recording shows ---


def test_every_address_takes_node_ports_if_it_is_told_so() -> None:
    flags = ["--nodeport-addresses=0.0.0.0/0", "--hostname-override=node-a"]
    (table,) = desired(loaded("nodeport-tcp"), Config.from_flags(flags, NODE), V1_30, (4,))
    assert "nodeport-ips" not in table.set
    rule = nft.rule_text(table.chain["services"].rules[1])
    assert rule == (
        "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports"
    )


def test_an_affinity_set_keeps_its_clients() -> None:
    objects = loaded("affinity-default")
    rules = Rules(Tracked(config("affinity-default"), V1_30, 4, objects))
    table = rules.sync(None, 0.0)
    (first, *_) = (name for name in table.set if name.startswith("affinity-"))
    client = (nft.Element("10.20.0.200", expires=1000),)
    sets = tuple(replace(s, elements=client) if s.name == first else s for s in table.sets)  # type: ignore[union-attr]
    again = rules.sync(replace(table, sets=sets), 5.0)
    assert again.set[first].elements == client


def test_an_emptied_chain_stays_for_a_second() -> None:
    objects = loaded("clusterip-web-ep1")
    rules = Rules(Tracked(config("clusterip-web-ep1"), V1_30, 4, objects))
    table = rules.sync(None, 0.0)
    stale = replace(
        table, chains=(*table.chains, nft.Chain("service-OLD/x", (nft.read_rule("drop"),)))
    )
    once = rules.sync(stale, 10.0)
    assert once.chain["service-OLD/x"].rules == ()
    assert "service-OLD/x" in rules.sync(once, 10.5).chain
    assert "service-OLD/x" not in rules.sync(once, 12.0).chain
