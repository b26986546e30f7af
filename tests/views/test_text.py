"""What a terminal shows."""

from __future__ import annotations

import re

from nb_lib import Host, draw, icmp, parse, tcp, udp
from nb_lib.views.text import WIDTH
from tests.views.samples import explored, host, nginx, small


def test_a_short_way_in_full():
    there = small(
        "INPUT -p tcp -m tcp --dport 22 -j EXTRA",
        "INPUT -p udp -j DROP",
        "EXTRA -s 10.0.0.0/8 -j RETURN",
        "EXTRA -j REJECT",
    )
    trace = there.receive(tcp("192.168.0.9:1000", "192.168.0.1:22"), "eth0")
    assert (
        str(trace)
        == """\
A packet arrives on eth0: tcp 192.168.0.9:1000 → 192.168.0.1:22 SYN.

PREROUTING
  Routing: the destination is this host itself, says the route “local 192.168.0.1”.

INPUT
  filter INPUT (2 rules, policy ACCEPT)
    ⤷ 1 -p tcp -m tcp --dport 22 -j EXTRA
    EXTRA
      – 1 source 192.168.0.9 ≠ 10.0.0.0/8
      ▲ 2 -j REJECT --reject-with icmp-port-unreachable
    The host answers by REJECT: icmp 192.168.0.1 → 192.168.0.9 type 3 code 3.
      Routing: it goes out of eth0, from 192.168.0.1, says the route “192.168.0.0/24 dev eth0”.

    OUTPUT
      filter OUTPUT (0 rules, policy ACCEPT)
        ● policy ACCEPT

    POSTROUTING

It is rejected by rule 2 of filter EXTRA: icmp 3/3."""
    )


def test_a_long_run_of_misses_is_told_by_its_ends():
    rules = [f"INPUT -p tcp -m tcp --dport {port} -j DROP" for port in range(1, 30)]
    text = str(small(*rules).receive(tcp("192.168.0.9:1000", "192.168.0.1:80"), "eth0"))
    assert (
        """\
    – 1–29 do not match:
        – 1 dport 80 ≠ 1
        – 2–28 did not match either
        – 29 dport 80 ≠ 29
"""
        in text
    )


def test_lines_fit_a_terminal():
    for text in (str(nginx()), str(explored())):
        assert max(map(len, text.splitlines())) <= WIDTH


def test_an_exploration_tells_fractions():
    lines = str(explored()).splitlines()
    assert lines[0].endswith("Chance has 3 ways:")
    assert lines[2].split()[:2] == ["1/3", "10.244.1.10:80"]
    assert len(explored()) == sum("1/3:" in line for line in lines)


def test_what_was_assumed_is_said():
    bare = small("FORWARD -d 10.1.0.0/16 -j DROP", addresses={})
    trace = bare.receive(tcp("192.168.0.9:1000", "10.1.0.1:22"), "eth0")
    assert trace.assumed
    assert str(trace).splitlines()[-1].startswith("Assumed: ")


def test_a_ruleset_a_table_a_chain():
    rules = host().ruleset
    assert "  nat: 17 chains, 32 rules" in str(rules)
    assert "  KUBE-SVC-2CMXP7HKUVJN7L6M (default/nginx): 3 rules" in str(rules["nat"])
    assert str(rules["nat"]["KUBE-MARK-MASQ"]) == (
        "Chain KUBE-MARK-MASQ: 1 rule\n    1  -j MARK --set-xmark 0x4000/0x4000"
    )


def test_a_big_table_is_cut():
    rules = "".join(f"-A INPUT -s 10.0.{n // 256}.{n % 256}/32 -j DROP\n" for n in range(1000))
    chain = parse(f"*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n")["filter"]["INPUT"]
    lines = str(chain).splitlines()
    assert len(lines) == 122
    assert lines[-1] == "  … and 880 more rules"


def test_a_narrowed_table_tells_only_what_is_drawn():
    eight = host("kube-proxy/eight-services/1.21.1").ruleset["nat"]
    lines = draw(eight, only="prod/cache").text.splitlines()
    assert lines[0] == "Table nat: 8 of 32 chains"
    assert "  KUBE-SERVICES: 21 rules → KUBE-MARK-MASQ, KUBE-SVC-OUKV…" in lines
    assert not any("default/" in line or "NODEPORTS" in line for line in lines)
    assert draw(eight, only="no such thing").text == "Table nat: 0 of 32 chains"


def test_the_story_of_a_narrowed_table_too():
    nat, trace = host().ruleset["nat"], nginx()
    for only, there, absent in [
        ("default/nginx", "nat KUBE-SERVICES", "KUBE-POSTROUTING"),
        ("KUBE-POSTROUTING", "nat KUBE-POSTROUTING", "KUBE-SERVICES"),
    ]:
        story = re.findall('<span class="nf-say">(.*?)</span>', draw(nat, trace, only=only).html)
        assert story[0].startswith("A packet arrives")
        assert any(there in line for line in story)
        assert not any(absent in line for line in story)


def test_a_rule_without_a_value_leaves_no_blank():
    there = small("INPUT -m recent --rcheck --name seen -j DROP")
    text = str(there.receive(tcp("192.168.0.9:1000", "192.168.0.1:22"), "eth0"))
    assert "– 1 not listed\n" in text


def test_what_is_big_is_short_in_a_list():
    rules = host().ruleset
    assert repr(rules) == "<Ruleset IPv4 nft: mangle, filter, nat>"
    assert repr(list(rules["nat"])[:2]) == (
        "[<Chain PREROUTING: 1 rule, policy ACCEPT>, <Chain INPUT: 0 rules, policy ACCEPT>]"
    )
    assert repr(rules["nat"]) == "<Table nat: 17 chains>"
    assert repr(rules["nat"]["KUBE-MARK-MASQ"]) == "<Chain KUBE-MARK-MASQ: 1 rule>"


def router():
    rules = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    where = {"eth0": "192.0.2.1/24", "eth1": "10.0.0.1/24"}
    return Host(parse(rules), addresses=where, routes={"default": "eth0"})


def test_connections_are_listed_as_conntrack_does():
    there = router()
    assert str(there.conntrack) == "No connections."
    assert there.conntrack._repr_mimebundle_()["text/plain"] == "No connections."
    there.receive(tcp("10.0.0.5:4000", "203.0.113.9:443"), "eth1")
    asked = there.receive(udp("10.0.0.5:5000", "203.0.113.53:53"), "eth1")
    there.receive(asked.reply(), "eth0")
    there.wait(3)
    there.receive(asked.sent, "eth1")
    there.receive(icmp("10.0.0.5", "203.0.113.9", id=7), "eth1")
    assert str(there.conntrack).splitlines() == [
        (
            "tcp      6 SYN_SENT src=10.0.0.5 dst=203.0.113.9 sport=4000 dport=443 [UNREPLIED]"
            " src=203.0.113.9 dst=10.0.0.5 sport=443 dport=4000 mark=0"
        ),
        (
            "udp      17 src=10.0.0.5 dst=203.0.113.53 sport=5000 dport=53"
            " src=203.0.113.53 dst=10.0.0.5 sport=53 dport=5000 [ASSURED] mark=0"
        ),
        (
            "icmp     1 src=10.0.0.5 dst=203.0.113.9 type=8 code=0 id=7 [UNREPLIED]"
            " src=203.0.113.9 dst=10.0.0.5 type=0 code=0 id=7 mark=0"
        ),
    ]
    bundle = there.conntrack._repr_mimebundle_()
    assert bundle["text/plain"] == str(there.conntrack)
    assert "<td>10.0.0.5:4000</td>" in bundle["text/html"]


def test_a_long_list_of_connections_is_cut():
    there = router()
    for port in range(1000, 1125):
        there.receive(udp(f"10.0.0.5:{port}", "203.0.113.53:53"), "eth1")
    lines = str(there.conntrack).splitlines()
    assert len(lines) == 121
    assert lines[-1] == "… and 5 more connections"
