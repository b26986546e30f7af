"""What real kube-proxy 1.30.5 made of its table in nftables mode, against what ours computes from objects.

Compared is `nft -j list ruleset`, as a structure: tables, sets with their elements, chains, the rules of each
in their order; handles aside, and the order of sets' elements (the kernel's hash) and of chains (Go's map).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.nftables import desired
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
EQUAL: list[bool] = []


@pytest.fixture(scope="module", autouse=True)
def figures(figure: Figure):
    yield
    said = "recorded rulesets from objects"
    figure(f"kube-proxy nftables mode, {said}", sum(EQUAL), len(EQUAL))


def agree(ours: nft.Ruleset, theirs: nft.Ruleset) -> None:
    mine, real = structure(ours), structure(theirs)
    EQUAL.append(mine == real)
    assert mine.keys() == real.keys()
    assert not [(mine[name], real[name]) for name in real if mine[name] != real[name]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_table_is_kube_proxys(folder: str) -> None:
    scenario = folder.partition("/")[0]
    agree(desired(loaded(scenario), config_of(folder), V1_30), recorded(folder))


def test_all_recorded_states_are_compared() -> None:
    assert len(FOLDERS) == 60
    assert len(SEQUENCES) == 8


# --- what no recording shows ---


def test_every_address_takes_node_ports_if_it_is_told_so() -> None:
    flags = ["--nodeport-addresses=0.0.0.0/0", "--hostname-override=node-a"]
    (table,) = desired(loaded("nodeport-tcp"), Config.from_flags(flags, NODE), V1_30, (4,))
    assert "nodeport-ips" not in table.set
    rule = nft.rule_text(table.chain["services"].rules[1])
    assert rule == (
        "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports"
    )
