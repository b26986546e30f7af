"""A host's folder with what nft lists, beside the dumps of iptables or alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nb_lib.engine.load import load
from nb_lib.packet import tcp
from nb_lib.text import nft

SYN = tcp("10.0.0.2", "10.0.0.1", dport=80)


def table(name: str, *expressions: dict) -> list[dict]:
    about = {"family": "ip", "table": name, "handle": 1}
    return [
        {"table": {"family": "ip", "name": name, "handle": 1}},
        {"chain": {**about, "name": "INPUT", "type": "filter", "hook": "input", "prio": 0,
                   "policy": "accept"}},
        {"rule": {**about, "chain": "INPUT", "expr": list(expressions)}},
    ]  # fmt: skip


def folder(path: Path, *objects: dict, dump: str = "") -> Path:
    (path / "nft-ruleset.json").write_text(json.dumps({"nftables": list(objects)}))
    (path / "ip-addr.json").write_text(
        json.dumps([{"ifname": "eth0", "addr_info": [{"local": "10.0.0.1", "prefixlen": 24}]}])
    )
    if dump:
        (path / "iptables-save.txt").write_text(dump)
    return path


def test_a_folder_with_nft_alone(tmp_path: Path) -> None:
    host = load(folder(tmp_path, *table("mine", {"drop": None})))
    assert str(host.receive(SYN, "eth0").fate) == "drop ip mine:INPUT:1"
    assert str(load(tmp_path / "nft-ruleset.json").receive(SYN, "eth0").fate).startswith("drop")


def test_iptables_own_tables_are_known_by_their_dump(tmp_path: Path) -> None:
    """Nft cannot say what an xt match asks for; iptables-save can."""
    objects = table("filter", {"xt": {"type": "match", "name": "multiport"}}, {"drop": None})
    assert load(folder(tmp_path, *objects)).receive(SYN, "eth0").fate.kind == "undecided"
    dump = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m multiport --dports 80,81 -j DROP\nCOMMIT\n"
    trace = load(folder(tmp_path, *objects, dump=dump)).receive(SYN, "eth0")
    assert str(trace.fate) == "drop filter:INPUT:1"


def test_a_folder_with_nft_s_text(tmp_path: Path) -> None:
    host = load(folder(tmp_path, *table("mine", {"drop": None})))
    assert host.nftables is not None
    (tmp_path / "nft-ruleset.txt").write_text(nft.write_text(host.nftables.ruleset))
    (tmp_path / "nft-ruleset.json").unlink()
    for path in (tmp_path, tmp_path / "nft-ruleset.txt"):
        assert str(load(path).receive(SYN, "eth0").fate) == "drop ip mine:INPUT:1"
    assert host.nftables["ip mine"] is host.nftables.ruleset.tables[0]
    for name in ("ip other", "mine"):
        with pytest.raises(KeyError):
            host.nftables[name]
