"""Rules that are never reached: found in small chains by hand, and never claimed falsely."""

from __future__ import annotations

import random

import pytest

from nb_lib.diagnose import diagnose
from nb_lib.engine import Host
from nb_lib.net import parse_address
from nb_lib.sample import samples
from nb_lib.text import parse
from tests.diagnose.test_conditions import some_rule

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def found(rules: str, *chains: str) -> list[tuple[str, list[int]]]:
    """Return what is said about unreachable rules, each with its rules' numbers."""
    declared = "".join(f":{name} - [0:0]\n" for name in chains)
    text = (
        HEAD
        + declared
        + "\n".join(f"-A {line}" for line in rules.strip().split("\n"))
        + "\nCOMMIT\n"
    )
    names = ("shadowed", "behind-a-catch-all")
    return [(one.name, [e.number for e in one.evidence])
            for one in diagnose({"iptables-save.txt": text}) if one.name in names]  # fmt: skip


SHADOWED = [
    # an -A behind a REJECT for all has no effect
    ("INPUT -p tcp --dport 22 -j ACCEPT\nINPUT -j REJECT\nINPUT -p tcp --dport 80 -j ACCEPT",
     [("behind-a-catch-all", [2, 3])]),
    ("INPUT -j LOG\nINPUT -j DROP\nINPUT -j LOG\nINPUT -s 10.0.0.1 -j ACCEPT", [("behind-a-catch-all", [2, 3, 4])]),
    ("INPUT -j RETURN\nINPUT -j DROP", [("behind-a-catch-all", [1, 2])]),
    ("INPUT -s 10.0.0.0/8 -j DROP\nINPUT -s 10.1.2.3/32 -p tcp --dport 22 -j ACCEPT", [("shadowed", [1, 2])]),
    ("INPUT -p tcp -j DROP\nINPUT -s 10.0.0.1 -j ACCEPT\nINPUT -p tcp --dport 80 -j ACCEPT", [("shadowed", [1, 3])]),
    # the first that takes them is named, once
    ("INPUT -p tcp -j DROP\nINPUT -p tcp --dport 1:90 -j DROP\nINPUT -p tcp --dport 80 -j ACCEPT",
     [("shadowed", [1, 3]), ("shadowed", [1, 2])]),
    # a chain that never comes back takes all
    ("INPUT -j a\nINPUT -p tcp -j ACCEPT\na -p udp -j ACCEPT\na -j DROP", [("behind-a-catch-all", [1, 2])]),
    ("INPUT -p tcp -j a\nINPUT -p tcp --dport 80 -j ACCEPT\na -j b\nb -j DROP", [("shadowed", [1, 2])]),
    ("INPUT -g a\nINPUT -p tcp -j ACCEPT", [("behind-a-catch-all", [1, 2])]),
    ("INPUT -p tcp -g a\nINPUT -p tcp --syn -j ACCEPT", [("shadowed", [1, 2])]),
    # a limit on the narrower rule changes nothing
    ("INPUT -s 10.0.0.0/8 -j DROP\nINPUT -s 10.0.0.1 -m limit --limit 1/s -j LOG", [("shadowed", [1, 2])]),
]  # fmt: skip
# Chains in which every rule can be met.
MET = [
    "INPUT -p tcp --dport 22 -j ACCEPT\nINPUT -j DROP",
    "INPUT -s 10.0.0.0/8 -j LOG\nINPUT -s 10.0.0.1 -j ACCEPT",
    "INPUT -s 10.0.0.0/8 -m limit --limit 1/s -j ACCEPT\nINPUT -s 10.0.0.0/8 -j DROP",
    "INPUT -m mark --mark 0x1 -j ACCEPT\nINPUT -m mark --mark 0x1 -j DROP",
    "INPUT -s 10.0.0.1 -j ACCEPT\nINPUT -s 10.0.0.0/8 -j DROP",
    "INPUT -j a\nINPUT -p tcp -j ACCEPT\na -p udp -j DROP",  # a comes back with tcp
    "INPUT -j a\nINPUT -p tcp -j ACCEPT\na -s 10.0.0.1 -j RETURN\na -j DROP",  # with 10.0.0.1
    "INPUT -j a\nINPUT -p tcp -j ACCEPT\na -s 10.0.0.1 -g b\na -j DROP\nb -j LOG",  # the same, by goto
    "INPUT -p tcp -m sparkle --x -j ACCEPT\nINPUT -p tcp -m sparkle --x -j DROP",
    "INPUT -m statistic --mode random --probability 0.5 -j ACCEPT\nINPUT -j DROP",
    "INPUT -p tcp -j NFQUEUE\nINPUT -p tcp -j ACCEPT",  # with a bypass it goes on
    "INPUT -m set --match-set x src -j DROP\nINPUT -m set --match-set x src -j ACCEPT",
]


@pytest.mark.parametrize(("rules", "expected"), SHADOWED)
def test_what_is_never_reached_is_found(rules: str, expected: list[tuple[str, list[int]]]) -> None:
    assert found(rules, "a", "b") == expected


@pytest.mark.parametrize("rules", MET)
def test_what_can_be_met_is_not_blamed(rules: str) -> None:
    assert found(rules, "a", "b") == []


def test_an_unknown_target_may_change_the_packet() -> None:
    rules = "INPUT -s 10.0.0.0/8 -j DROP\nINPUT -j {}\nINPUT -s 10.0.0.1 -j ACCEPT"
    assert found(rules.format("LOG")) == [("shadowed", [1, 3])]
    assert found(rules.format("DNETMAP --prefix 192.0.2.0/24")) == []


def test_in_raw_a_state_may_change_on_the_way() -> None:
    text = "*raw\n:PREROUTING ACCEPT [0:0]\n{}COMMIT\n".format(
        "-A PREROUTING -m conntrack --ctstate UNTRACKED -j ACCEPT\n-A PREROUTING -j CT --notrack\n"
        "-A PREROUTING -m conntrack --ctstate UNTRACKED -j DROP\n"
    )
    assert diagnose({"iptables-save.txt": text}) == []


def test_the_gravity_depends_on_what_the_later_rule_wanted() -> None:
    text = HEAD + "-A INPUT -p tcp -j ACCEPT\n-A INPUT -p tcp --dport 80 -j {}\nCOMMIT\n"
    same, other = (
        diagnose({"iptables-save.txt": text.format(word)})[0] for word in ("ACCEPT", "DROP")
    )
    assert (same.level, other.level) == ("note", "warning")
    assert same.sentence.endswith("rule 1 takes them all, and does the same")
    assert [e.lineno for e in other.evidence] == [5, 6]
    assert str(other).split("\n")[1:3] == [
        "    line 5: -A INPUT -p tcp -j ACCEPT", "    line 6: -A INPUT -p tcp --dport 80 -j DROP",
    ]  # fmt: skip


TARGETS = ("ACCEPT", "DROP", "RETURN", "LOG", "a", "b", "REJECT", "MARK --set-mark 1")


@pytest.mark.parametrize("seed", range(15))
def test_no_packet_ever_meets_what_is_called_unreachable(seed: int) -> None:
    """Random chains that call each other, and random packets."""
    draw = random.Random(seed)
    chains = {"INPUT": ("a", "b"), "a": ("b",), "b": ()}
    lines = []
    for name, callable_ in chains.items():
        choice = [t for t in TARGETS if t not in "ab" or t in callable_]
        for _ in range(36):
            target = draw.choice(choice)
            jump = "-g" if target in callable_ and draw.random() < 0.4 else "-j"
            lines.append(f"-A {name} {some_rule(draw)} {jump} {target}".replace("  ", " "))
    text = HEAD + ":a - [0:0]\n:b - [0:0]\n" + "\n".join(lines) + "\nCOMMIT\n"
    text = text.replace("*filter", "*mangle").replace("REJECT", "DROP")
    dead = set()
    for one in diagnose({"iptables-save.txt": text}):
        if one.name in ("shadowed", "behind-a-catch-all"):
            dead |= {(e.chain, e.number) for e in one.evidence[1:]}
    assert dead
    ruleset = parse(text)
    host = Host(ruleset, addresses={"eth0": ["10.1.2.3/8"]}, routes={"0.0.0.0/0": "eth0"})
    for sample in samples(ruleset, 150, seed):
        if sample.interface:
            packet = sample._replace(dst=parse_address("10.1.2.3")).packet()
            trace = host.receive(packet, sample.interface)
            assert not dead & {(step[1], step[2]) for step in trace.steps}
