"""Two dumps compared, and the packets that notice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nb_lib.diff import Change, compare, heading, noticed
from nb_lib.engine import Host
from nb_lib.packet import tcp, udp
from nb_lib.rules import Ruleset
from nb_lib.text import parse

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def ruleset(*rules: str, head: str = HEAD) -> dict[int, Ruleset]:
    lines = "".join(f"{rule}\n" for rule in rules)
    return {4: parse(f"{head}{lines}COMMIT\n")}


def told(before: dict[int, Ruleset], after: dict[int, Ruleset]) -> list[str]:
    return [str(change) for change in compare(before, after)]


A, B, C, D = (f"-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT" for port in (1, 2, 3, 4))
CASES = [
    ((A, B), (A, B), []),
    ((A, B), (A, B, C), [f"+ {C}"]),
    ((A, B, C), (A, C), [f"- {B}"]),
    ((A, B, C), (C, A, B), [f"~ {C} (rule 3 → 1)"]),
    ((A, B, C, D), (B, C, D, A), [f"~ {A} (rule 1 → 4)"]),
    ((A, B), (C, B), [f"- {A}", f"+ {C}"]),
    ((A, A, B), (A, B), [f"- {A}"]),
    ((A, B), (A, B, A), [f"+ {A}"]),
    ((), (A,), [f"+ {A}"]),
    (("-A INPUT -s 10.0.0.1 -j DROP",), ("-A INPUT -s 10.0.0.1/32 -j DROP",), []),  # the same rule
    (("[1:2] " + A,), ("[3:4] " + A,), []),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), CASES)
def test_rules_come_go_and_move(
    before: tuple[str, ...], after: tuple[str, ...], expected: list[str]
) -> None:
    assert told(ruleset(*before), ruleset(*after)) == expected


def test_chains_come_and_go_with_their_rules() -> None:
    more = HEAD + ":web - [0:0]\n"
    assert told(ruleset(), ruleset("-A web -j DROP", head=more)) == ["+ :web -", "+ -A web -j DROP"]
    assert told(ruleset("-A web -j DROP", head=more), ruleset()) == ["- :web -", "- -A web -j DROP"]


def test_a_policy_changes() -> None:
    (change,) = compare(ruleset(), ruleset(head=HEAD.replace("INPUT ACCEPT", "INPUT DROP")))
    assert change == Change("policy", 4, "filter", "INPUT", 0, 0, 0, ":INPUT ACCEPT → DROP")
    assert str(change) == "! :INPUT ACCEPT → DROP"
    assert heading(change) == "IPv4 filter"


def test_a_table_of_nothing_but_policies_is_as_good_as_none() -> None:
    assert told(ruleset(), {4: Ruleset(4)}) == []
    assert told({}, ruleset()) == []
    assert told({}, ruleset(A)) == [f"+ {A}"]


def test_lines_and_numbers_are_those_of_the_dumps() -> None:
    removed, added = compare(ruleset(A, B), ruleset(B, D))
    assert (removed.old, removed.new, removed.lineno) == (1, 0, 5)
    assert (added.old, added.new, added.lineno) == (0, 2, 6)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_told_leads_from_one_to_the_other(seed: int) -> None:
    """Take away, put in: the second chain comes out. And no fewer rules can have moved than are told."""
    draw = random.Random(seed)
    rules = [f"-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(12)]
    old = draw.choices(rules, k=10)
    new = draw.sample(old, 8) + draw.choices(rules, k=3)
    changes = [*compare(ruleset(*old), ruleset(*new))]
    gone = {change.old for change in changes if change.old}
    rest = [rule for number, rule in enumerate(old, 1) if number not in gone]
    for change in sorted((c for c in changes if c.new), key=lambda c: c.new):
        rest.insert(change.new - 1, change.text)
    assert rest == new
    for change in changes:
        if change.kind == "moved":
            assert old[change.old - 1] == new[change.new - 1] == change.text


def test_two_versions_of_kube_proxy_differ_as_diff_says() -> None:
    """Nothing moved between the two: so what came and went is what the lines differ by."""
    folder = Path(__file__).parents[1] / "data" / "kube-proxy" / "nginx-3-endpoints"
    old, new = (
        (folder / version / "iptables-save.txt").read_text() for version in ("1.21.1", "1.22.0")
    )
    changes = [*compare({4: parse(old)}, {4: parse(new)})]
    lines = [[line for line in text.split("\n") if line[:1] in ("-", ":")] for text in (old, new)]
    for kind, mine, others in (("removed", *lines), ("added", *lines[::-1])):
        assert [c.text for c in changes if c.kind == kind] == [
            line for line in mine if line not in others
        ]
    assert len(changes) == 8


def test_thousands_of_rules_are_compared_one_by_one() -> None:
    rules = [
        f"-A INPUT -s 10.{number // 256}.{number % 256}.1/32 -j DROP" for number in range(6000)
    ]
    other = [rules[4000], *rules[:3000], *rules[3001:4000], *rules[4001:], "-A INPUT -j LOG"]
    assert told(ruleset(*rules), ruleset(*other)) == [
        f"- {rules[3000]}", f"~ {rules[4000]} (rule 4001 → 1)", "+ -A INPUT -j LOG",
    ]  # fmt: skip


def test_packets_notice_what_changes_their_end_and_nothing_else() -> None:
    before = Host(ruleset(A, "-A INPUT -p tcp -m tcp --dport 5 -j DROP")[4])
    after = Host(
        ruleset("-A INPUT -p udp -j REJECT", "-A INPUT -p tcp -m tcp --dport 5 -j DROP")[4]
    )
    packets = [(tcp("192.0.2.1:9", f"192.0.2.2:{port}"), "eth0") for port in (1, 5, 6)]
    packets.append((udp("192.0.2.1:9", "192.0.2.2:53"), "eth0"))
    (one,) = noticed(before, after, packets)
    assert one.packet is packets[3][0]
    assert (one.before.fate.kind, one.after.fate.kind) == ("local", "reject")
