"""Dumps redacted: nothing of the owner's is left, conventions are, and the text is a dump again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nb_lib.engine.load import host_of
from nb_lib.errors import HostError, RulesetError
from nb_lib.kubeproxy.iptables.explain import explain
from nb_lib.kubeproxy.writer import written_by
from nb_lib.redact import redact
from nb_lib.text import check, parse, save
from tests.extensions.recorded import recorded
from tests.redact.hosts import files, folders

WORD = re.compile(r"[^\W_]+")


@pytest.mark.parametrize("folder", folders())
def test_every_dump_is_a_dump_again_line_for_line(folder: str) -> None:
    before = files(folder)
    done = redact(before, "k")
    assert done.whole
    for name, text in before.items():
        if not name.endswith("tables-save.txt"):
            continue
        lines, others = text.split("\n"), done.files[name].split("\n")
        assert len(others) == len(lines)
        for line, other in zip(lines, others, strict=True):
            assert (
                len(WORD.findall(other)) == len(WORD.findall(line))
                or line.startswith("#")
                or ":" in line
            )
            assert (other[:2], other.count(" -")) == (
                line[:2],
                line.count(" -"),
            ) or line.startswith("#")
        ruleset = parse(done.files[name])
        assert check(ruleset) == []
        assert sorted(save(ruleset).split("\n")) == sorted(
            line for line in others if not line.startswith("#")
        )
    host_of(done.files)


@pytest.mark.parametrize("folder", folders())
def test_the_same_key_gives_the_same_text_and_another_key_another(folder: str) -> None:
    one, same, other = (redact(files(folder), key).files for key in ("k", "k", "another"))
    assert one == same
    assert one["iptables-save.txt"] != other["iptables-save.txt"]


CANARY = (Path(__file__).parent / "canary.txt").read_text()
BESIDE = {
    "ip-addr.json": json.dumps([{
        "ifname": "acme0", "address": "52:54:00:ac:3e:01", "ifalias": "to acme", "operstate": "UP",
        "mtu": 1500, "altnames": ["acmeslot"],
        "addr_info": [{"family": "inet", "local": "198.51.100.77", "prefixlen": 26, "label": "acme0",
                       "broadcast": "198.51.100.127", "scope": "global"}],
    }]),
    "ip-route.json": json.dumps([{"dst": "default", "gateway": "198.51.100.99", "dev": "acme0"},
                                 {"dst": "203.0.113.96/28", "dev": "acme1", "prefsrc": "198.51.100.77"}]),
    "ipset-save.txt": 'create acme hash:net,iface family inet hashsize 1024\n'
                      'add acme 203.0.113.99,acme0 comment "acme, 198.51.100.77"\n'
                      "create acmelist list:set size 8\nadd acmelist acme\n"
                      "create acme4 bitmap:ip range 203.0.113.96-203.0.113.105\nadd acme4 203.0.113.99\n",
    "sysctl.txt": "kernel.hostname = acme\nnet.ipv4.conf.acme0.rp_filter = 1\nnet.ipv4.ip_forward = 1\n",
}  # fmt: skip


def test_nothing_of_the_owner_is_left_wherever_it_stood() -> None:
    done = redact({"iptables-save.txt": CANARY, **BESIDE}, "k")
    assert done.left["iptables-save.txt"] == ()
    for text in done.files.values():
        assert not re.search(
            r"(?i)acm[eé]|203\.0\.113\.(99|105)|198\.51\.100\.(77|99)|52:54:00:ac:3e:01", text
        )


def test_what_stood_together_stands_together() -> None:
    done = redact({"iptables-save.txt": CANARY, **BESIDE}, "k")
    text, name, device = done.files["iptables-save.txt"], done.redactor.name, done.redactor.device
    for words in (
        f":{name('acme-marks')} - [0:0]", f"--rsource -j {name('acme-marks')}", f"-g {name('acme-marks2')}",
        f"--match-set {name('acme')} src -j SET --add-set {name('acme4')} src --exist",
        f"-i {device('acme')}+ ", "--timeout 60",
        "--mask 255.255.255.0", ":PREROUTING ACCEPT [12:3456]", f"[5:7] -A {name('acme-marks')} ",
        f"{name('acme')} \\\"{name('quoted')}\\\" at ",
    ):  # fmt: skip
        assert words in text
    address = json.loads(done.files["ip-addr.json"])[0]
    assert address["ifname"] == address["addr_info"][0]["label"] == device("acme0")
    assert (address["operstate"], address["mtu"], address["addr_info"][0]["scope"]) == (
        "UP",
        1500,
        "global",
    )
    mine = address["addr_info"][0]["local"]
    assert f"--to-source {mine}\n" in text
    assert f"--ctorigdst {mine} " in text
    assert address["address"] in text
    assert json.loads(done.files["ip-route.json"])[1]["prefsrc"] == mine
    assert address["addr_info"][0]["broadcast"] in ("198.51.100.63", "198.51.100.127", "198.51.100.191",
                                                    "198.51.100.255")  # fmt: skip
    assert done.files["ipset-save.txt"].startswith(
        f"create {name('acme')} hash:net,iface family inet hashsize 1024\n"
    )
    assert f"add {name('acmelist')} {name('acme')}\n" in done.files["ipset-save.txt"]
    assert (
        done.files["sysctl.txt"]
        == f"net.ipv4.conf.{device('acme0')}.rp_filter = 1\nnet.ipv4.ip_forward = 1\n"
    )
    host_of(done.files)


def test_a_header_says_the_program_and_not_the_day() -> None:
    text = redact({"d": CANARY}, "k").files["d"].split("\n")
    assert text[:2] == ["# Generated by iptables-save v1.8.9 (nf_tables)", "#"]
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them"
    assert redact({"d": CANARY + warning + "\n"}, "k").files["d"].split("\n")[-2] == warning


# What hides addresses, or computes with them: table, rule, what is named.
LEFT = [
    ("filter", '-m u32 --u32 "0x0=0x1" -j ACCEPT', "u32"),
    ("filter", '-m bpf --bytecode "1,6 0 0 1" -j ACCEPT', "bpf"),
    ("filter", "-m string --string acme --algo bm -j DROP", "string"),
    ("filter", "-s 10.0.0.1/255.0.0.255 -j ACCEPT", "-s 10.0.0.1/255.0.0.255"),
    ("filter", "-m sparkle --berlin 10.0.0.1 -j ACCEPT", "sparkle --berlin 10.0.0.1"),
    ("mangle", "-j HMARK --hmark-tuple src,dst --hmark-mod 4 --hmark-rnd 0x1", "HMARK"),
    ("filter", "-m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 7", "cluster"),
    ("nat", "-j NETMAP --to 192.168.0.0/16", "NETMAP"),
    ("nat", "-j DNAT --to-destination 1.2.3.9-1.2.3.4", "--to-destination 1.2.3.9-1.2.3.4"),
    ("nat", "-d 10.0.0.0/8 -j NETMAP --to 11.0.0.0/8", "NETMAP"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "rule", "named"), LEFT)
def test_what_cannot_be_exchanged_is_named(table: str, rule: str, named: str) -> None:
    base = "" if table == "filter" else ":PREROUTING ACCEPT [0:0]\n"
    done = redact({"d": f"*{table}\n{base}:c - [0:0]\n-A c {rule}\nCOMMIT\n"})
    assert not done.whole
    lineno = 3 if table == "filter" else 4
    assert [(one.text, one.lineno) for one in done.left["d"]] == [(named, lineno)]
    assert str(done.left["d"][0]).startswith(f"line {lineno}: {named}: ")


def test_kube_proxys_hashes_are_those_of_the_new_names() -> None:
    for folder in folders():
        if not folder.startswith("kube-proxy/eight"):
            continue
        before = files(folder)
        done = redact(before, "k")
        old, new = (parse(text["iptables-save.txt"]) for text in (before, done.files))
        name = done.redactor.name
        was, is_ = explain(old), explain(new)
        assert {name(chain) for chain in was} == set(is_)
        for chain, one in was.items():
            other = is_[name(chain)]
            assert one.service
            assert other.service
            assert str(other.service) == name(str(one.service))
            assert (other.target is None) == (one.target is None)
        assert written_by(new).versions == written_by(old).versions


def test_a_hash_that_nobody_can_explain_still_changes_alike() -> None:
    text = "*nat\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-FW-AAAAAAAAAAAAAAAA - [0:0]\nCOMMIT\n"
    svc, fw = re.findall("KUBE-(?:SVC|FW)-([A-Z2-7]{16}) ", redact({"d": text}, "k").files["d"])
    assert svc == fw != "A" * 16


def test_every_rule_that_iptables_takes_can_be_redacted_or_is_named() -> None:
    """All recorded rules of every extension: what comes out is read again, and what is left is known."""
    left = set()
    for (family, table, backend), rules in _recorded().items():
        program = "ip6tables" if family == 6 else "iptables"
        header = (
            f"# Generated by {program}-save v1.8.9{' (nf_tables)' if backend == 'nft' else ''}\n"
        )
        done = redact(
            {"d": "\n".join([f"{header}*{table}", ":c - [0:0]", *rules, "COMMIT", ""])}, "k"
        )
        assert check(parse(done.files["d"])) == []
        left |= {one.text.split()[0] for one in done.left["d"]}
    assert left == {"string", "HMARK", "cluster", "hbh", "dst", "bpf", "CLUSTERIP", "u32", "eui64", "SNPT",
                    "DNPT", "NETMAP", "-s", "-d",
                    "--to-destination"}  # fmt: skip


def _recorded() -> dict[tuple[int, str, str], list[str]]:
    """Return the recorded rules that nb_lib reads without a complaint, by family, table and backend."""
    found: dict[tuple[int, str, str], dict[str, None]] = {}
    for case, saved in recorded().items():
        for rule in saved:
            found.setdefault((case.family, case.table, case.backend), {})[rule] = None
    return {key: _sound(*key, [*rules]) for key, rules in found.items()}


def _sound(family: int, table: str, backend: str, rules: list[str]) -> list[str]:
    rules = [re.sub(r"^\[\d+:\d+\] ", "", rule) for rule in rules]
    rules = [rule if rule.startswith("-A") else f"-A c {rule}" for rule in rules]
    rules = [re.sub(r"^-A \S+", "-A c", rule) for rule in rules]
    text = "\n".join([f"*{table}", ":c - [0:0]", *rules, "COMMIT", ""])
    wrong = {
        error.lineno for error in check(parse(text, family=family, backend=backend), limit=10_000)
    }
    return [rule for number, rule in enumerate(rules, 3) if number not in wrong]


def test_a_dump_with_a_mistake_is_refused() -> None:
    with pytest.raises(RulesetError, match='line 3, column 13: unknown option "--dprt"'):
        redact({"d": "*filter\n:c - [0:0]\n-A c -p tcp --dprt 80\nCOMMIT\n"})


@pytest.mark.parametrize("text", ["", "hello", "<html>", "apiVersion: v1"])
def test_what_is_no_text_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(HostError, match="x is none of what is read here: iptables-save, "):
        redact({"x": text})


@pytest.mark.parametrize("program", ["ebtables", "arptables"])
def test_what_cannot_be_redacted_yet_is_refused(program: str) -> None:
    text = f"# Generated by {program}-save v1.8.9\n*filter\n:INPUT ACCEPT\n"
    with pytest.raises(HostError, match="cannot be redacted yet"):
        redact({"x": text})
