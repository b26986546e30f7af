"""Packets drawn for a ruleset: repeatable, and about what its rules name."""

from __future__ import annotations

from collections import Counter

import pytest

from nb_lib.net import parse_address, parse_net
from nb_lib.sample import Sample, samples
from nb_lib.text import nft, parse

RULES = """\
*filter
:FORWARD DROP [0:0]
-A FORWARD -s 203.0.113.0/24 -i wan+ -p tcp -m tcp --dport 8443 -j ACCEPT
-A FORWARD -d 10.9.8.0/24 -p udp -m multiport --dports 5353,6000:6010 -m mark --mark 0x77 -j ACCEPT
COMMIT
"""
LISTING = (
    "table inet t {\n\tchain c {\n"
    '\t\tiifname "wan1" ip saddr 203.0.113.0/24 tcp dport 8443 accept\n'
    "\t\tip6 daddr fd00:9::/64 udp dport 5353 accept\n\t}\n}\n"
)


def test_the_same_seed_draws_the_same_packets() -> None:
    ruleset = parse(RULES)
    one, same, other = ([*samples(ruleset, 50, seed)] for seed in (1, 1, 2))
    assert one == same != other
    assert len(one) == 50


def test_most_packets_are_about_what_the_rules_name() -> None:
    found = [*samples(parse(RULES), 600, 1)]
    inside, to = parse_net("203.0.113.0/24", 4), parse_net("10.9.8.0/24", 4)
    assert sum(one.src in inside for one in found) > 300
    assert sum(one.dst in to for one in found) > 300
    assert {"wan1", ""} <= {one.interface for one in found}
    assert {8443, 8444, 5353, 6000, 6010, 80} <= {one.dport for one in found}
    assert {0, 0x77} == {one.mark for one in found}
    assert {"tcp", "udp", "icmp"} == {one.proto for one in found}
    edges = Counter(str(one.src) for one in found)
    assert edges["203.0.113.0"] > 20
    assert edges["203.0.113.255"] > 20


@pytest.mark.parametrize(("family", "net"), [(4, "203.0.113.0/24"), (6, "fd00:9::/64")])
def test_a_listing_of_nft_speaks_for_both_families(family: int, net: str) -> None:
    found = [*samples(nft.read_text(LISTING), 300, 1, family=family)]
    assert {one.src.version for one in found} == {family}
    assert sum(one.dst in parse_net(net, family) for one in found) > 100
    assert {"wan1"} <= {one.interface for one in found}


def test_a_sample_is_a_packet_and_says_so() -> None:
    one = Sample(
        "eth0",
        "tcp",
        parse_address("192.0.2.1"),
        parse_address("192.0.2.2"),
        40000,
        80,
        "SYN,ACK",
        5,
    )
    packet = one.packet()
    assert (str(packet.src), packet.sport, str(packet.dst), packet.dport, packet.mark) == (
        "192.0.2.1", 40000, "192.0.2.2", 80, 5,
    )  # fmt: skip
    assert str(one) == "tcp 192.0.2.1 → 192.0.2.2 ports 40000 → 80, in eth0"
    assert str(one._replace(proto="icmp", interface="")) == "icmp 192.0.2.1 → 192.0.2.2, sent here"
    assert one._replace(proto="icmp").packet().protocol == 1
