"""When one rule's packets are all among another's; and that *yes* is never wrong."""

from __future__ import annotations

import random

import pytest

from nb_lib.diagnose.conditions import known_parts, open_to, parts, within
from nb_lib.engine import Host
from nb_lib.net import parse_address
from nb_lib.rules import Rule
from nb_lib.sample import samples
from nb_lib.text import parse


def rule(text: str) -> Rule:
    return parse(f"*filter\n:c - [0:0]\n-A c {text}\nCOMMIT\n")["filter"]["c"].rules[0]


# (the narrower, the wider): every packet of the first is one of the second.
INSIDE = [
    ("-s 10.1.0.0/16", ""), ("-s 10.1.0.0/16", "-s 10.0.0.0/8"), ("-s 10.1.2.3", "-s 10.1.0.0/16"),
    ("-s 10.0.0.1/255.0.0.255", "-s 10.0.0.0/8"), ("! -s 10.0.0.0/8", "! -s 10.1.0.0/16"),
    ("-s 11.0.0.0/8", "! -s 10.0.0.0/8"), ("-d 10.1.0.0/16 -s 1.2.3.4", "-d 10.0.0.0/8"),
    ("-i eth0", "-i eth+"), ("-i eth0", "-i eth0"), ("-i eth1+", "-i eth+"), ("! -i eth0", "! -i eth0"),
    ("-p udp", "! -p tcp"), ("-p tcp", "-p tcp"), ("-p tcp --dport 80", "-p tcp"),
    ("-p tcp --dport 80", "-p tcp --dport 80:90"), ("-p tcp --dport 80", "-p tcp ! --dport 443"),
    ("-p tcp ! --dport 10:500", "-p tcp ! --dport 80"), ("-p tcp ! --dport 80", "-p tcp --dport 0:65535"),
    ("-p tcp -m multiport --dports 80,85:90", "-p tcp -m multiport --dports 443,80:95"),
    ("-p tcp -m multiport --dports 80,81,82", "-p tcp --dport 80:82"),
    ("-p tcp --dport 80", "-p tcp -m multiport --dports 22,80"),
    ("-p tcp --tcp-flags SYN,ACK,FIN SYN", "-p tcp --tcp-flags SYN,ACK SYN"),
    ("-m conntrack --ctstate NEW", "-m conntrack --ctstate NEW,INVALID"),
    ("-m conntrack --ctstate NEW", "-m state --state NEW,RELATED"),
    ("-m conntrack --ctstate NEW", "-m conntrack ! --ctstate INVALID"),
    ("-m conntrack ! --ctstate NEW,INVALID", "-m conntrack ! --ctstate INVALID"),
    ("-m iprange --src-range 10.0.0.3-10.0.0.5", "-m iprange --src-range 10.0.0.1-10.0.0.9"),
    ("-m addrtype --dst-type LOCAL -s 10.0.0.1", "-m addrtype --dst-type LOCAL"),
    ("-m limit --limit 1/s -s 10.0.0.1", "-s 10.0.0.0/8"), ("-p icmp --icmp-type 8", "-p icmp --icmp-type 8"),
    ("-m comment --comment x -s 10.0.0.1", "-s 10.0.0.1"), ("-s 10.0.0.1", "-m comment --comment y"),
]  # fmt: skip
# Some packet of the first is not one of the second, or nobody can be sure.
OUTSIDE = [
    ("", "-s 10.0.0.0/8"), ("-s 10.0.0.0/8", "-s 10.1.0.0/16"), ("-s 10.0.0.0/8", "-d 10.0.0.0/8"),
    ("! -s 10.1.0.0/16", "! -s 10.0.0.0/8"), ("-s 10.1.0.0/16", "! -s 10.0.0.0/8"),
    ("! -s 10.0.0.0/8", "-s 11.0.0.0/8"), ("-s 10.0.0.0/8", "-s 10.0.0.1/255.0.0.255"),
    ("-i eth+", "-i eth0"), ("-i eth0", "-i eth1"), ("-i eth0", "! -i wlan0"), ("! -i eth0", "-i wlan+"),
    ("-i et+", "-i eth+"), ("-p tcp", "-p udp"), ("", "! -p tcp"), ("-p tcp", "-p tcp --dport 80"),
    ("-p tcp --dport 80:90", "-p tcp --dport 80"), ("-p tcp --dport 80", "-p tcp --sport 80"),
    ("-p udp --dport 80", "-p tcp --dport 80"), ("-p tcp ! --dport 80", "-p tcp ! --dport 80:90"),
    ("-p tcp ! --sport 80 ! --dport 80", "-p tcp ! --dport 80"),  # iptables-nft: not both
    ("-p tcp -m multiport ! --dports 80,81", "-p tcp ! --dport 80"),
    ("-p tcp -m multiport --dports 80,91", "-p tcp --dport 80:90"),
    ("-p tcp -m multiport --ports 80", "-p tcp --dport 80"), ("-p tcp --dport 80", "-p tcp -m multiport --ports 80"),
    ("-p tcp --tcp-flags SYN SYN", "-p tcp --tcp-flags SYN,ACK SYN"),
    ("-m conntrack --ctstate NEW,DNAT", "-m conntrack --ctstate NEW"),
    ("-m conntrack --ctstate DNAT", "-m conntrack ! --ctstate NEW"),
    ("-m conntrack --ctstate INVALID --ctorigsrc 10.0.0.1", "-m conntrack --ctstate INVALID --ctorigsrc 10.0.0.1"),
    ("", "-m limit --limit 1/s"), ("-m limit --limit 1/s", "-m limit --limit 1/s"), ("-m mark --mark 1", "-m mark --mark 1"),
    ("-m recent --rcheck --name x", "-m recent --rcheck --name x"),
]  # fmt: skip


@pytest.mark.parametrize(("narrow", "wide"), INSIDE)
def test_a_rule_lies_within_another(narrow: str, wide: str) -> None:
    outer = parts(rule(wide))
    assert outer is not None
    assert within(known_parts(rule(narrow)), outer, whole=True)


@pytest.mark.parametrize(("narrow", "wide"), OUTSIDE)
def test_a_rule_lies_not_within_another(narrow: str, wide: str) -> None:
    outer = parts(rule(wide))
    assert outer is None or not within(known_parts(rule(narrow)), outer, whole=True)


def test_of_fragments_only_the_same_extension_is_sure() -> None:
    outer = parts(rule("-p tcp -m multiport --dports 22,80"))
    assert outer is not None
    assert not within(known_parts(rule("-p tcp --dport 80")), outer, whole=False)
    assert within(known_parts(rule("-p tcp -m multiport --dports 80")), outer, whole=False)


PIECES = (
    ("", "-s 10.0.0.0/8", "-s 10.1.0.0/16", "! -s 10.1.0.0/16", "! -s 10.0.0.0/8", "-s 10.1.2.3"),
    ("", "", "-d 10.0.0.0/9", "! -d 10.1.0.0/16"),
    ("", "", "-i eth0", "-i eth+", "! -i eth0", "! -i eth+"),
    ("-p tcp", "-p tcp --dport 80", "-p tcp --dport 22:80", "-p tcp ! --dport 80", "-p tcp --syn", "-p udp", "! -p tcp",
     "-p tcp -m multiport --dports 22,80", "-p tcp -m multiport ! --dports 22,443", "", "",
     "-p tcp ! --sport 80 ! --dport 80", "-p tcp ! --sport 22 --dport 80"),
    ("", "", "-m conntrack --ctstate NEW", "-m conntrack ! --ctstate ESTABLISHED", "-m state --state NEW,INVALID"),
    ("", "", "-m iprange --src-range 10.1.0.0-10.1.3.255", "-m iprange ! --src-range 10.1.0.0-10.1.3.255",
     "-m addrtype --dst-type LOCAL", "-m limit --limit 5/sec", "-m mark --mark 0x1"),
)  # fmt: skip


def some_rule(draw: random.Random) -> str:
    """Return a rule of some pieces; packets that are sent later meet it now and then."""
    return " ".join(filter(None, map(draw.choice, PIECES)))


@pytest.mark.parametrize("seed", range(12))
def test_yes_is_never_wrong(seed: int) -> None:
    """Each rule in a chain of its own notes the packets that it takes: a narrower one's are all a wider one's."""
    draw = random.Random(seed)
    rules = list(dict.fromkeys(some_rule(draw) for _ in range(30)))
    text = "\n".join(
        f"-A INPUT {one} -j LOG --log-prefix {number}" for number, one in enumerate(rules)
    )
    ruleset = parse(f"*filter\n:INPUT DROP [0:0]\n{text}\nCOMMIT\n")
    host = Host(ruleset, addresses={"eth0": ["10.1.2.3/8"]}, routes={"0.0.0.0/0": "eth0"})
    held = ruleset["filter"]["INPUT"].rules
    pairs = [
        (a, b) for a in range(len(rules)) for b in range(len(rules))
        if a != b and (outer := parts(held[b])) is not None and within(known_parts(held[a]), outer, whole=True)
    ]  # fmt: skip
    assert pairs
    for sample in samples(ruleset, 120, seed):
        if sample.interface:
            trace = host.receive(
                sample._replace(dst=parse_address("10.1.2.3")).packet(), sample.interface
            )
            took = {step[2] for step in trace.steps if step[1] == "INPUT"}
            assert not [
                (rules[a], rules[b]) for a, b in pairs if a + 1 in took and b + 1 not in took
            ]


OPEN = [
    ("", True), ("-d 10.0.0.5", True), ("-d 10.0.0.6", False), ("! -d 10.0.0.0/8", False), ("-p tcp", True),
    ("-p udp", False), ("! -p tcp", False), ("-p tcp --dport 80", True), ("-p tcp --dport 81", False),
    ("-p tcp ! --dport 80", False), ("-p tcp -m multiport --dports 22,80", True),
    ("-p tcp -m multiport --dports 22,81", False), ("-m conntrack --ctstate ESTABLISHED,RELATED", False),
    ("-m conntrack --ctstate NEW", True), ("-m conntrack --ctstate DNAT", True), ("-m state --state ESTABLISHED", False),
    ("-m conntrack ! --ctstate NEW", False), ("-m conntrack ! --ctstate INVALID", True), ("-i eth9", True),
    ("-m limit --limit 1/s", True), ("-m mark --mark 0x1", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "may"), OPEN)
def test_a_rule_may_take_a_new_connection(text: str, may: bool) -> None:
    to = parse_address("10.0.0.5")
    assert open_to(known_parts(rule(text)), dst=to, protocol=6, dport=80) is may


def test_what_is_not_known_may_be() -> None:
    to = parse_address("10.0.0.5")
    assert open_to(known_parts(rule("-p tcp --dport 81")), dst=to, protocol=6, dport=0)
    assert open_to(known_parts(rule("-p udp --dport 81")), dst=to, protocol=0, dport=0)
