"""nft rulesets at work: what each rule does to a packet, by hand; the kernel's word is in tests/kernel."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nb_lib.engine import Host
from nb_lib.errors import HostError, RulesetError
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import nft, parse
from nb_lib.trace import Matched, Missed, Trace, Unsure

TABLE = """table ip t {{
	set known {{
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 1m
	}}

	map services {{
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = {{ 10.9.0.1 . tcp . 80 : goto web,{wide}10.9.0.1 . tcp . 81 : drop }}
	}}

	chain pre {{
		type {kind} hook prerouting priority {priority}; policy accept;
{rules}
	}}

	chain web {{
		meta mark set 0x00000007
	}}
}}
"""


def host(*rules: str, kind: str = "filter", priority: str = "filter", iptables: str = "") -> Host:
    """Return a router with one base chain at PREROUTING."""
    text = TABLE.format(
        wide="\n\t\t\t     ",
        kind=kind,
        priority=priority,
        rules="\n".join(f"\t\t{rule}" for rule in rules),
    )
    rulesets = [nft.read_text(text), *([parse(iptables)] if iptables else [])]
    return Host(rulesets, addresses={"eth0": "10.0.0.1/24", "eth1": "10.1.0.1/24"},
                routes={"10.9.0.0/24": "eth1", "0.0.0.0/0": "eth1"})  # fmt: skip


def packet(dport: int = 80, src: str = "10.0.0.2") -> Packet:
    return tcp(src, "10.9.0.1", sport=4000, dport=dport)


def way(trace: Trace) -> list[tuple[str, int | str, str]]:
    return [(chain, number, verdict) for _, chain, number, verdict in trace.steps]


@pytest.mark.parametrize(
    ("rule", "fate"),
    [
        ("tcp dport 80 drop", "drop ip t:pre:1"),
        ("tcp dport != 80 drop", "forward eth1"),
        ("udp dport 80 drop", "forward eth1"),
        ("udp dport != 80 drop", "forward eth1"),  # it asks for UDP all the same
        ("th dport 80 drop", "drop ip t:pre:1"),
        ("ip saddr 10.0.0.0/24 drop", "drop ip t:pre:1"),
        ("ip saddr 10.0.0.3-10.0.0.9 drop", "forward eth1"),
        ("ip saddr { 10.0.0.2, 10.1.0.0/16 } drop", "drop ip t:pre:1"),
        ("ip saddr . tcp dport { 10.0.0.2 . 80-90 } drop", "drop ip t:pre:1"),
        ("ip6 saddr fd00::1 drop", "forward eth1"),
        ('iifname "eth*" drop', "drop ip t:pre:1"),
        ('oifname != "eth1" drop', "drop ip t:pre:1"),  # it has no way out yet
        ("meta mark & 0x00000001 == 0x00000000 drop", "drop ip t:pre:1"),
        ("tcp flags syn / syn,ack drop", "drop ip t:pre:1"),
        ("ct state new drop", "drop ip t:pre:1"),
        ("ct state established,related drop", "forward eth1"),
        ("ct state vmap { new : drop, established : accept }", "drop ip t:pre:1"),
        ("ct original proto-dst 80 drop", "drop ip t:pre:1"),
        ("fib daddr type local drop", "forward eth1"),
        ("fib saddr . iif oif missing drop", "forward eth1"),
        ("ip daddr . meta l4proto . th dport vmap @services", "forward eth1"),
        ("reject", "reject ip t:pre:1 icmp 3/3"),
        ("reject with tcp reset", "reject ip t:pre:1 tcp-reset"),
    ],
)
def test_a_rule(rule: str, fate: str) -> None:
    assert str(host(rule).receive(packet(), "eth0").fate) == fate


def test_a_vmap_goes_where_the_key_says() -> None:
    rule = "ip daddr . meta l4proto . th dport vmap @services"
    trace = host(rule, "drop").receive(packet(), "eth0")
    assert way(trace) == [
        ("pre", 1, "GOTO web"),
        ("web", 1, "CONTINUE"),
        ("pre", "policy", "ACCEPT"),
    ]
    assert trace.packet.mark == 7
    assert str(host(rule).receive(packet(81), "eth0").fate) == "drop ip t:pre:1"
    assert way(host(rule).receive(packet(82), "eth0")) == [("pre", "policy", "ACCEPT")]


def test_what_stands_before_a_test_stays_done() -> None:
    trace = host(
        "meta mark set 0x00000005 tcp dport 81 accept", "meta mark 0x00000005 drop"
    ).receive(packet(), "eth0")
    assert str(trace.fate) == "drop ip t:pre:2"
    assert trace.packet.mark == 5


def test_a_draw_is_explored_with_its_chance() -> None:
    rule = "numgen random mod 3 vmap { 0 : accept, 1 : drop, 2 : jump web }"
    found = host(rule).explore(packet(), "eth0")
    assert [trace.probability for trace in found] == [Fraction(1, 3)] * 3
    assert {str(trace.fate) for trace in found} == {"forward eth1", "drop ip t:pre:1"}


def test_numbers_come_in_turn() -> None:
    machine = host("numgen inc mod 2 offset 4 vmap { 4 : accept, 5 : drop }")
    assert [machine.receive(packet(), "eth0").fate.kind for _ in range(4)] == [
        "forward",
        "drop",
    ] * 2


def test_an_element_lives_as_long_as_it_is_renewed() -> None:
    machine = host("ip saddr @known drop", "update @known { ip saddr }")
    assert machine.receive(packet(), "eth0").fate.kind == "forward"
    machine.wait(59)
    assert machine.receive(packet(), "eth0").fate.kind == "drop"
    assert machine.receive(packet(src="10.0.0.3"), "eth0").fate.kind == "forward"
    machine.wait(2)
    assert machine.receive(packet(), "eth0").fate.kind == "forward"


def test_add_does_not_renew() -> None:
    machine = host("ip saddr @known tcp dport 99 drop", "add @known { ip saddr timeout 10s }")
    machine.receive(packet(), "eth0")
    machine.wait(8)
    assert machine.receive(packet(99), "eth0").fate.kind == "drop"
    machine.receive(packet(), "eth0")
    machine.wait(3)
    assert machine.receive(packet(99), "eth0").fate.kind == "forward"


def test_a_listing_shows_what_packets_have_added_and_what_is_left_of_its_time() -> None:
    machine = host("update @known { ip saddr }")
    machine.receive(packet(), "eth0")
    machine.wait(20)
    machine.receive(packet(src="10.0.0.3"), "eth0")
    machine.wait(5)
    text = nft.write_text(machine.listed())
    assert "elements = { 10.0.0.2 expires 35s, 10.0.0.3 expires 55s }" in text
    machine.wait(36)
    assert "elements = { 10.0.0.3 expires 19s }" in nft.write_text(machine.listed())
    machine.wait(20)
    assert machine.nftables is not None
    assert nft.write_text(machine.listed()) == nft.write_text(machine.nftables.ruleset)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (
            "ip daddr . meta l4proto . th dport vmap @services",
            "10.9.0.1 . tcp . 80 is in @services",
        ),
        ("tcp dport { 80-90, 99 } drop", "tcp dport is 80"),
        ("tcp dport vmap { 80 : drop }", "tcp dport is 80"),
        ("ip saddr . tcp dport { 10.0.0.2 . 70-90 } drop", "ip saddr . tcp dport is 10.0.0.2 . 80"),
    ],
)
def test_a_match_tells_what_it_found(rule: str, found: str) -> None:
    trace = host(rule).receive(packet(), "eth0")
    held = [e.found for e in trace.events if isinstance(e, Matched) and e.found]
    assert [str(one) for one in held[0]] == [found]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("ip saddr @known drop", "10.0.0.2 is not in @known"),
        ("tcp dport vmap { 81 : drop }", "tcp dport is 80, not in { 81 : drop }"),
        ("ip saddr != 10.0.0.0/24 drop", "ip saddr is 10.0.0.2, and the rule says != 10.0.0.0/24"),
        ("ip saddr 10.0.0.3 drop", "ip saddr is 10.0.0.2, not 10.0.0.3"),
        ("ip saddr != { 10.0.0.2 } drop", "ip saddr is 10.0.0.2, and the rule says !="),
        ("ip6 saddr @known drop", "ip6 saddr is nothing here"),
        ("meta mark & 0x00000001 == 0x00000001 drop",
         "meta mark & 0x00000001 is 0x0, not 0x00000001"),
    ],
)  # fmt: skip
def test_a_miss_tells_why(rule: str, why: str) -> None:
    trace = host(rule).receive(packet(), "eth0")
    missed = next(e for e in trace.events if isinstance(e, Missed))
    assert str(missed.why(1)) == why


def test_a_return_from_a_chain_that_was_gone_to_is_as_deep_as_its_caller() -> None:
    text = TABLE.format(kind="filter", priority="filter", wide="\n\t\t\t     ",
                        rules="\t\tjump one")  # fmt: skip
    text = (
        text.rstrip("}\n")
        + """}

	chain one {
		goto two
	}

	chain two {
		jump web
		accept
	}
}
"""
    )
    machine = Host(nft.read_text(text), addresses={"eth0": "10.0.0.1/24"})
    events = machine.receive(packet(), "eth0").events
    deep = [(e.place.chain, e.depth) for e in events if isinstance(e, Matched)]
    assert deep == [("pre", 0), ("one", 1), ("two", 2), ("web", 3), ("two", 2)]


def test_dnat_by_a_map_and_back() -> None:
    machine = host(
        "tcp dport { 80, 81 } dnat to tcp dport map { 80 : 10.9.0.8, 81 : 10.9.0.9 }",
        kind="nat",
        priority="dstnat",
    )
    trace = machine.receive(packet(81), "eth0")
    assert str(trace.packet.dst) == "10.9.0.9"
    back = machine.receive(trace.reply(), "eth1")
    assert str(back.packet.src) == "10.9.0.1"


def test_chains_of_iptables_and_nft_come_by_priority() -> None:
    dump = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"
    rule = "meta mark 0x00000001 drop"
    assert (
        host(rule, priority="-151", iptables=dump).receive(packet(), "eth0").fate.kind == "forward"
    )
    assert host(rule, priority="-149", iptables=dump).receive(packet(), "eth0").fate.kind == "drop"


def test_th_is_whatever_stands_behind_the_ip_header() -> None:
    ping = icmp("10.0.0.2", "10.9.0.1", id=1)
    checksum = int.from_bytes(ping.data[22:24], "big")
    assert host(f"th dport {checksum} drop").receive(ping, "eth0").fate.kind == "drop"
    assert (
        host("tcp dport 80 drop")
        .receive(udp("10.0.0.2", "10.9.0.1", sport=1, dport=80), "eth0")
        .fate.kind
        == "forward"
    )


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        (
            "synproxy mss 1460 wscale 7",
            "what “synproxy mss 1460 wscale 7” means: nb_lib does not model it",
        ),
        ('counter name "gone" accept', 'nft: nb_lib does not model the counter "gone"'),
        ("meta cpu 1 accept", "nft: nb_lib does not model meta cpu"),
        ("ip saddr @nobody accept", "nft: nb_lib does not model the set @nobody"),
        (
            "ip saddr example accept",
            "nft: nb_lib does not model example as a value of type ipv4_addr",
        ),
    ],
)
def test_what_is_not_modelled_is_undecided(rule: str, missing: str) -> None:
    trace = host(rule, "drop").receive(packet(), "eth0")
    assert trace.fate.kind == "undecided"
    assert missing in trace.fate.detail
    assert isinstance(trace.events[-1], Unsure)


def test_devices_hooks_are_refused() -> None:
    base = '\t\ttype filter hook ingress device "eth0" priority filter; policy accept;\n'
    text = f"table netdev t {{\n\tchain c {{\n{base}\t}}\n}}\n"
    with pytest.raises(HostError, match="hooks of a device are not modelled"):
        Host(nft.read_text(text))
    assert nft.write_text(nft.read_text(text)) == text


def test_a_jump_to_no_chain_says_so() -> None:
    with pytest.raises(RulesetError, match="ip t:pre:1: ip t has no chain nowhere"):
        host("jump nowhere").receive(packet(), "eth0")


METERS = """table ip t {
	counter hits {
		packets 3 bytes 40
	}

	quota month {
		over 100 bytes used 20 bytes
	}

	chain pre {
		type filter hook prerouting priority filter; policy accept;
		counter name "hits"
		quota name "month" drop
		limit rate over 2/minute burst 2 packets reject
	}
}
"""


def test_named_meters_count_and_are_listed() -> None:
    """Packets of 40 bytes: the quota holds 100, of which 20 were used."""
    machine = Host(nft.read_text(METERS), addresses={"eth0": "10.0.0.1/24", "eth1": "10.9.0.2/24"})
    fates = [machine.receive(packet(), "eth0").fate.kind for _ in range(3)]
    assert fates == ["forward", "forward", "drop"]
    text = nft.write_text(machine.listed())
    assert "counter hits {\n\t\tpackets 6 bytes 160\n" in text
    assert "over 100 bytes used 140 bytes" in text


def test_a_limit_fills_again_with_time() -> None:
    machine = host("limit rate 2/minute burst 2 packets accept", "drop")
    kinds = [machine.receive(packet(), "eth0").fate.kind for _ in range(3)]
    assert kinds == ["forward", "forward", "drop"]
    machine.wait(29)
    assert machine.receive(packet(), "eth0").fate.kind == "drop"
    machine.wait(1)
    trace = machine.receive(packet(), "eth0")
    assert trace.fate.kind == "forward"
    again = machine.receive(packet(), "eth0")
    missed = next(e for e in again.events if isinstance(e, Missed))
    assert str(missed.why(1)) == "not limit rate 2/minute burst 2 packets now"


def test_two_limits_of_one_rule_are_two() -> None:
    machine = host(
        "limit rate 1/day burst 1 packets limit rate 1/day burst 1 packets accept", "drop"
    )
    assert machine.receive(packet(), "eth0").fate.kind == "forward"


def test_to_explore_uses_nothing_up() -> None:
    machine = host("limit rate 1/day burst 1 packets accept", "drop")
    for _ in range(3):
        assert machine.explore(packet(), "eth0")[0].fate.kind == "forward"
