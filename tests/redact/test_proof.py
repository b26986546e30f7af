"""The meaning is kept: packets, and what becomes of them, are the same under other names."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nb_lib.engine.load import host_of
from nb_lib.redact import redact
from nb_lib.redact.proof import Both, proof
from nb_lib.sample import samples
from tests.redact.hosts import files, folders

KEYS = ("k", "Schlüssel")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("folder", folders())
def test_packets_take_the_same_way_through_every_dump(folder: str, key: str) -> None:
    before = files(folder)
    done = proof(before, redact(before, key), count=100, seed=len(folder) + len(key))
    assert done.differences == ()
    assert str(done) == f"{done.packets} packets take the same way through both"
    assert done.packets == 100 * sum(name.endswith("tables-save.txt") for name in before)


RULES = (Path(__file__).parent / "ranges.txt").read_text()
BESIDE = {
    "ip-addr.json": '[{"ifname": "eth0", "addr_info": [{"local": "203.0.113.9", "prefixlen": 24}]},'
                    '{"ifname": "corp0", "addr_info": [{"local": "10.1.0.1", "prefixlen": 16}]},'
                    '{"ifname": "corp1", "addr_info": [{"local": "10.8.0.1", "prefixlen": 13}]}]',
    "ip-route.json": '[{"dst": "default", "gateway": "203.0.113.1", "dev": "eth0"},'
                     '{"dst": "10.7.0.0/16", "gateway": "10.8.0.2", "dev": "corp1"}]',
    "ipset-save.txt": "create berlin hash:net family inet\nadd berlin 10.1.4.0/22\n"
                      "add berlin 10.1.5.0/24 nomatch\n"
                      "create pairs hash:ip,port family inet\nadd pairs 10.1.0.2,tcp:80\n",
    "sysctl.txt": "net.ipv4.conf.corp0.rp_filter = 1\nnet.ipv4.conf.eth0.rp_filter = 2\n",
}  # fmt: skip


@pytest.mark.parametrize("key", [f"key {number}" for number in range(4)])
def test_ranges_pools_maps_sets_and_memory_keep_their_meaning(key: str) -> None:
    before = {"iptables-save.txt": RULES, **BESIDE}
    done = proof(before, redact(before, key), count=300, seed=len(key))
    assert [(one.sample, one.what) for one in done.differences] == []


def test_the_packets_visit_most_rules_and_every_fate() -> None:
    """What is compared must not be policies only."""
    host = host_of({"iptables-save.txt": RULES, **BESIDE})
    visited: Counter[object] = Counter()
    fates: Counter[str] = Counter()
    for sample in samples(host.ruleset, 1500, 3):
        packet = sample.packet()
        trace = host.receive(packet, sample.interface) if sample.interface else host.send(packet)
        visited.update((table, chain, n) for table, chain, n, _ in trace.steps if n != "policy")
        fates[trace.fate.kind] += 1
    every = {
        (t.name, c.name, n) for t in host.ruleset for c in t for n in range(1, len(c.rules) + 1)
    }
    assert len(every) == 22
    assert every - visited.keys() <= {
        ("filter", "INPUT", 1),
        ("filter", "FORWARD", 2),
        ("filter", "FORWARD", 3),
    }
    assert {"forward", "local", "drop", "reject", "lost"} <= fates.keys()


def test_another_meaning_is_found() -> None:
    """The comparison can fail: a rule that is left out is missed."""
    before = {"iptables-save.txt": RULES, **BESIDE}
    done = redact(before, "k")
    text = done.files["iptables-save.txt"]
    few = ("-o corp1", "rpfilter", "tcp-reset", "pairs")  # met by too few of these packets
    lines = [
        one for one in RULES.split("\n") if one.startswith("-A") and not any(w in one for w in few)
    ]
    assert len(lines) >= 17
    renamed = dict(zip(RULES.split("\n"), text.split("\n"), strict=True))
    packets = [*samples(host_of(before).ruleset, 400, 5)]
    for line in lines:
        other = host_of({**done.files, "iptables-save.txt": text.replace(renamed[line], "#")})
        both = Both(host_of(before), other, done.redactor)
        assert any(both.send(packet) for packet in packets), line


def test_a_difference_is_told() -> None:
    before = {"iptables-save.txt": RULES, **BESIDE}
    done = redact(before, "k")
    wrong = done.files["iptables-save.txt"].replace(":INPUT DROP", ":INPUT ACCEPT")
    found = proof(before, replace(done, files={**done.files, "iptables-save.txt": wrong}), count=60)
    assert found.differences
    told = f"{len(found.differences)} of 60 packets take another way; the first: "
    assert str(found).startswith(told + str(found.differences[0].sample))


def test_two_hosts_with_different_keys_do_not_agree() -> None:
    before = files("docker")
    one, other = redact(before, "k"), redact(before, "l")
    both = Both(host_of(before), host_of(other.files), one.redactor)
    assert any(both.send(sample) for sample in samples(both.original.ruleset, 200, 1))
