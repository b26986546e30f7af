"""Two nodes in the words of Services: what is told, what is not, whatever mode and version."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb_lib.engine import Host
from nb_lib.engine.load import load
from nb_lib.kubeproxy import node
from nb_lib.kubeproxy.differences import differences
from nb_lib.kubeproxy.manifests import load as objects
from nb_lib.text import parse

DATA = Path(__file__).resolve().parents[2] / "data" / "kube-proxy"
NGINX = (DATA / "nginx-3-endpoints" / "objects.yaml").read_text(encoding="utf-8")
PLACES = "default/nginx at 172.17.45.122:80, 4.3.2.1:80, 192.168.64.1:80, nodePort 30935"
ALL = "10.244.1.10:80, 10.244.2.11:80, 10.244.3.12:80"


def told(before: Host, after: Host) -> list[str]:
    return [f"{one.kind}: {one}" for one in differences(before, after).found]


# ── Recorded nodes ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nginx-3-endpoints/1.21.1", "nginx-3-endpoints/1.21.1"),
        ("nginx-3-endpoints/1.21.1", "nginx-3-endpoints/1.22.0"),
        ("nginx-3-endpoints/1.21.1", "nginx-3-endpoints/1.30.5"),
        ("eight-services/1.21.1", "eight-services/1.30.5"),
        ("eight-services/1.30.5", "eight-services/1.30.5-nftables"),
        ("eight-services/1.30.5-nftables", "eight-services/1.22.0"),
    ],
)
def test_rules_that_do_the_same_are_no_difference(before: str, after: str) -> None:
    found = differences(load(f"data/kube-proxy/{before}"), load(f"data/kube-proxy/{after}"))
    assert found.found == ()
    assert found.asked == found.places == (5 if "nginx" in before else 17)


def test_a_node_that_is_behind() -> None:
    one, three = (load(f"data/kube-proxy/nginx-{n}/1.30.5") for n in ("1-endpoint", "3-endpoints"))
    assert told(one, three) == [f"changed: {PLACES}: 10.244.2.11:80, 10.244.3.12:80 came"]
    assert told(three, one) == [f"changed: {PLACES}: 10.244.2.11:80, 10.244.3.12:80 went"]


def test_nodes_with_other_services() -> None:
    nginx, eight = (
        load(f"data/kube-proxy/{n}/1.30.5") for n in ("nginx-3-endpoints", "eight-services")
    )
    found = told(nginx, eight)
    assert f"removed: {PLACES}: {ALL}" in found
    assert "added: prod/auth at 10.96.200.6:85, nodePort 31005: 10.244.1.120:8085" in found
    assert "added: prod/web at 10.96.200.1:80: refused" in found, "it has no endpoint"


# ── One word changed in the manifest ────────────────────────────────────────────────

EDITS = [
    ("10.244.3.12", "10.244.3.13", [f"changed: {PLACES}: 10.244.3.12:80 went, 10.244.3.13:80 came"]),
    (
        "nodePort: 30935", "nodePort: 30936",
        [f"removed: default/nginx at nodePort 30935: {ALL}",
         f"added: default/nginx at nodePort 30936: {ALL}"],
    ),
    (
        "sessionAffinity: None", "sessionAffinity: ClientIP",
        [f"changed: {PLACES}, from outside: a client stays with its endpoint"],
    ),
    # The node of the recording has one of the three pods. Its cluster IP does not care.
    (
        "externalTrafficPolicy: Cluster", "externalTrafficPolicy: Local",
        [("changed: default/nginx at 4.3.2.1:80, 192.168.64.1:80, nodePort 30935, from outside: "
          "10.244.2.11:80, 10.244.3.12:80 went; "
          "endpoints see the node's address → the client's address")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "want"), EDITS, ids=lambda value: str(value)[:24])
@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_one_word_of_the_manifest(old: str, new: str, want: list[str], mode: str) -> None:
    assert old in NGINX
    before, after = (
        node([*objects(text)], mode, "1.30") for text in (NGINX, NGINX.replace(old, new))
    )
    assert told(before, after) == want


def test_a_mode_changes_nothing_and_the_change_is_told_across_modes() -> None:
    moved = NGINX.replace("10.244.3.12", "10.244.3.13")
    before = node([*objects(NGINX)], "ipvs", "1.30")
    for mode in ("iptables", "nftables"):
        assert told(before, node([*objects(NGINX)], mode, "1.30")) == []
        assert told(before, node([*objects(moved)], mode, "1.30")) == EDITS[0][2]


# ── One word changed in the rules ───────────────────────────────────────────────────

DUMP = (DATA / "nginx-3-endpoints" / "1.30.5" / "iptables-save.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        # A third, then half of the rest: the first endpoint gets half if its rule says so.
        ("0.33333333349", "0.50000000000",
         ("10.244.1.10:80: 1/3 → 1/2 of the calls, 10.244.2.11:80: 1/3 → 1/4 of the calls, "
          "10.244.3.12:80: 1/3 → 1/4 of the calls")),
        ("-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
         "-A KUBE-POSTROUTING -j RETURN",
         "endpoints see the node's address → the client's address"),
    ],
    ids=["chance", "masquerade"],
)  # fmt: skip
def test_one_word_of_the_rules(old: str, new: str, want: str) -> None:
    assert DUMP.count(old) == 1
    before = load("data/kube-proxy/nginx-3-endpoints/1.30.5")
    after = before.with_ruleset(parse(DUMP.replace(old, new)))
    [found] = [text for text in told(before, after) if "4.3.2.1" in text]
    assert found.endswith(want)


def test_what_a_dump_alone_tells() -> None:
    """Without addresses and routes of the node."""
    one = (DATA / "nginx-1-endpoint" / "1.30.5" / "iptables-save.txt").read_text(encoding="utf-8")
    assert told(Host(parse(one)), Host(parse(DUMP))) == [
        f"changed: {PLACES}: 10.244.2.11:80, 10.244.3.12:80 came"
    ]


# ── Bounds ──────────────────────────────────────────────────────────────────────────


def test_no_more_places_are_asked_about_than_told() -> None:
    three = load("data/kube-proxy/nginx-3-endpoints/1.30.5")
    one = load("data/kube-proxy/nginx-1-endpoint/1.30.5")
    steps: list[tuple[int, int]] = []
    tell = lambda done, of: steps.append((done, of))  # noqa: E731
    changed = ['-A KUBE-SVC-X -m comment --comment "default/nginx -> 10.244.2.11:80" -j KUBE-SEP-Y']
    found = differences(one, three, changed, tell, most=2)
    assert (found.asked, found.places) == (2, 5)
    assert steps == [(1, 2), (2, 2)]
    [only] = found.found
    assert only.service == "default/nginx", "the changed rule names it, so it is asked first"


def test_neither_node_remembers_it() -> None:
    three = load("data/kube-proxy/nginx-3-endpoints/1.30.5")
    differences(three, load("data/kube-proxy/nginx-1-endpoint/1.30.5"))
    assert len(three.conntrack) == 0
    assert three.state.counters == {}


def test_hosts_without_services() -> None:
    assert differences(Host(), Host()) == ((), 0, 0)
