"""How a packet goes through chains: small rulesets, and the steps that anybody can check by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nb_lib.engine import Host
from nb_lib.errors import LimitError, RulesetError
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import parse
from nb_lib.trace import Chance, Left, Matched, Missed, Trace, Unsure
from tests.engine.router import C, R, S, T, mended, router

WEB = tcp(f"{C}:40000", f"{R}:80")
DNS = udp(f"{C}:40000", f"{R}:53")
CUT = mended(WEB.data[:30])  # a TCP packet that ends within its header
LATER = mended(WEB.data[:6] + b"\x00\x10" + WEB.data[8:])  # a later fragment


def table(rules: str, name: str = "filter", *, policy: str = "ACCEPT", chain: str = "INPUT") -> str:
    """Return a dump of one table; user chains are those that rules of their own have."""
    lines = [line.strip() for line in rules.strip().splitlines()]
    chains = dict.fromkeys(line.split()[1] for line in lines)
    declared = [
        f":{c} {policy if c == chain else 'ACCEPT' if c.isupper() else '-'}"
        for c in {chain: 0, **chains}
    ]
    return "\n".join([f"*{name}", *declared, *lines, "COMMIT", ""])


def arrive(rules: str, packet: Packet = WEB, *, backend: str = "nft", **facts) -> Trace:
    """Let a packet arrive at the router by r0."""
    return router(rules, backend=backend, **facts).receive(packet, "r0")


def steps(trace: Trace) -> list[str]:
    """Write each step as ``INPUT 1 ACCEPT``."""
    return [f"{chain} {number} {verdict}" for _, chain, number, verdict in trace.steps]


# rules of filter, policy of INPUT → the steps of a packet to port 80
WALKS = {
    "the policy decides if no rule does": ("-A INPUT -p udp -j DROP", "ACCEPT", ["INPUT policy ACCEPT"]),
    "a policy of DROP": ("-A INPUT -p udp -j ACCEPT", "DROP", ["INPUT policy DROP"]),
    "the first rule that matches decides": (
        "-A INPUT -p tcp -j ACCEPT\n-A INPUT -j DROP", "DROP", ["INPUT 1 ACCEPT"],
    ),
    "a user chain": (
        "-A INPUT -j a\n-A INPUT -j DROP\n-A a -p tcp -j ACCEPT", "DROP", ["INPUT 1 JUMP a", "a 1 ACCEPT"],
    ),
    "the end of a user chain goes back to the caller": (
        "-A INPUT -j a\n-A INPUT -j DROP\n-A a -p udp -j ACCEPT", "ACCEPT",
        ["INPUT 1 JUMP a", "INPUT 2 DROP"],
    ),
    "RETURN goes back to the caller": (
        "-A INPUT -j a\n-A INPUT -j DROP\n-A a -j RETURN\n-A a -j ACCEPT", "ACCEPT",
        ["INPUT 1 JUMP a", "a 1 RETURN", "INPUT 2 DROP"],
    ),
    "RETURN in a base chain is its policy": (
        "-A INPUT -p tcp -j RETURN\n-A INPUT -j ACCEPT", "DROP", ["INPUT 1 RETURN", "INPUT policy DROP"],
    ),
    "an empty user chain": (
        "-A INPUT -j a\n-A INPUT -j ACCEPT\n-A a -p udp", "DROP", ["INPUT 1 JUMP a", "INPUT 2 ACCEPT"],
    ),
    "chains below chains": (
        "-A INPUT -j a\n-A a -j b\n-A a -j DROP\n-A b -j c\n-A b -j ACCEPT\n-A c -j RETURN", "DROP",
        ["INPUT 1 JUMP a", "a 1 JUMP b", "b 1 JUMP c", "c 1 RETURN", "b 2 ACCEPT"],
    ),
    "goto forgets the caller": (
        "-A INPUT -j a\n-A INPUT -j ACCEPT\n-A a -g b\n-A a -j DROP\n-A b -j RETURN", "DROP",
        ["INPUT 1 JUMP a", "a 1 GOTO b", "b 1 RETURN", "INPUT 2 ACCEPT"],
    ),
    "goto from a base chain ends in its policy": (
        "-A INPUT -g a\n-A INPUT -j ACCEPT\n-A a -p udp -j ACCEPT", "DROP",
        ["INPUT 1 GOTO a", "INPUT policy DROP"],
    ),
    "goto behind goto": (
        "-A INPUT -g a\n-A INPUT -j ACCEPT\n-A a -g b\n-A a -j ACCEPT\n-A b -p udp", "DROP",
        ["INPUT 1 GOTO a", "a 1 GOTO b", "INPUT policy DROP"],
    ),
    "a rule without a target counts and goes on": (
        "-A INPUT -p tcp\n-A INPUT\n-A INPUT -j DROP", "ACCEPT",
        ["INPUT 1 CONTINUE", "INPUT 2 CONTINUE", "INPUT 3 DROP"],
    ),
    "LOG goes on": ("-A INPUT -j LOG\n-A INPUT -j DROP", "ACCEPT", ["INPUT 1 CONTINUE", "INPUT 2 DROP"]),
    "the same chain twice": (
        "-A INPUT -p tcp -j a\n-A INPUT -j a\n-A a -p udp -j ACCEPT", "DROP",
        ["INPUT 1 JUMP a", "INPUT 2 JUMP a", "INPUT policy DROP"],
    ),
    "! inverts the port alone": ("-A INPUT -p tcp -m tcp ! --dport 22 -j DROP", "ACCEPT", ["INPUT 1 DROP"]),
    "! of its own port": ("-A INPUT -p tcp -m tcp ! --dport 80 -j DROP", "ACCEPT", ["INPUT policy ACCEPT"]),
    "! of a protocol": ("-A INPUT ! -p udp -j DROP", "ACCEPT", ["INPUT 1 DROP"]),
    "! of an address": ("-A INPUT ! -s 10.1.0.0/16 -j DROP", "ACCEPT", ["INPUT policy ACCEPT"]),
    "! of an interface": ("-A INPUT ! -i r1 -j DROP", "ACCEPT", ["INPUT 1 DROP"]),
    "an interface with +": ("-A INPUT -i r+ -j DROP", "ACCEPT", ["INPUT 1 DROP"]),
    "the policy of an untouched table": ("-A INPUT -i r1 -j DROP", "ACCEPT", ["INPUT policy ACCEPT"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_a_packet_walks_through_chains(name: str) -> None:
    rules, policy, expected = WALKS[name]
    trace = arrive(table(rules, policy=policy))
    assert steps(trace) == expected, trace


def test_what_is_not_tcp_never_fits_a_tcp_port_not_even_inverted() -> None:
    trace = arrive(table("-A INPUT -p tcp -m tcp ! --dport 22 -j DROP"), DNS)
    assert steps(trace) == ["INPUT policy ACCEPT"], trace


def test_a_rule_that_misses_says_why() -> None:
    rules = """
        -A INPUT -s 10.2.0.0/16 -j DROP
        -A INPUT ! -s 10.1.0.2/32 -j DROP
        -A INPUT -i r1 -j DROP
        -A INPUT -p udp -j DROP
        -A INPUT -p tcp -m tcp --dport 443 -j DROP
        -A INPUT -p tcp -m tcp ! --dport 80 -j DROP
        -A INPUT -p tcp -m tcp --sport 1:1023 -j DROP
    """
    trace = arrive(table(rules))
    (missed,) = [
        event for event in trace.events if isinstance(event, Missed) and event.table == "filter"
    ]
    assert (missed.first, missed.last) == (1, 7)
    assert [str(missed.why(number)) for number in range(1, 8)] == [
        "source 10.1.0.2 ≠ 10.2.0.0/16",
        "source 10.1.0.2 = 10.1.0.2, and the rule says !",
        "in-interface r0 ≠ r1",
        "protocol tcp ≠ udp",
        "dport 80 ≠ 443",
        "dport 80 = 80, and the rule says !",
        "sport 40000 ≠ 1:1023",
    ]


@pytest.mark.parametrize(("packet", "backend", "expected"), [
    (CUT, "legacy", ["PREROUTING 1 DROP"]),  # hotdrop: the match itself drops what it cannot read
    (CUT, "nft", ["PREROUTING 1 ACCEPT"]),  # nftables reads no more than the ports
    (LATER, "legacy", ["PREROUTING policy ACCEPT"]),  # a later fragment has no ports
    (LATER, "nft", ["PREROUTING 1 ACCEPT"]),
])  # fmt: skip
def test_a_header_that_cannot_be_read(packet: Packet, backend: str, expected: list[str]) -> None:
    rules = table("-A PREROUTING -p tcp -m tcp --dport 80 -j ACCEPT", "mangle", chain="PREROUTING")
    assert steps(arrive(rules, packet, backend=backend)) == expected


# what cannot be decided → what the trace says is missing
UNDECIDED = {
    "-A INPUT -m nonsense --a 1 -j DROP": "what nonsense means: nb_lib does not model it",
    "-A INPUT -j NONSENSE --a 1": "what NONSENSE means: nb_lib does not model it",
    "-A INPUT -m set --match-set gone src -j DROP": "gone",
}


@pytest.mark.parametrize("rule", UNDECIDED)
def test_what_cannot_be_decided_stops_the_trace_and_says_what_is_missing(rule: str) -> None:
    trace = arrive(table(f"{rule}\n-A INPUT -j ACCEPT"))
    (unsure,) = [event for event in trace.events if isinstance(event, Unsure)]
    assert UNDECIDED[rule] in unsure.missing, trace
    assert (trace.fate.kind, trace.fate.place) == ("undecided", ("filter", "INPUT", 1)), trace
    assert trace.steps == ()


def test_the_owner_of_a_packet_is_a_fact_to_be_given() -> None:
    rules = table("-A OUTPUT -m owner --uid-owner 0 -j DROP", chain="OUTPUT")
    packet = tcp(f"{T}:40000", f"{S}:80")
    trace = router(rules).send(packet)
    assert str(trace.fate).startswith("undecided filter:OUTPUT:1 "), trace
    assert "who sent the packet" in trace.fate.detail
    for uid, expected in ((0, ["OUTPUT 1 DROP"]), (1000, ["OUTPUT policy ACCEPT"])):
        assert (
            steps(router(rules).send(tcp(f"{T}:40000", f"{S}:80", facts=(("uid", uid),))))
            == expected
        )
        assert steps(router(rules, facts={"uid": uid}).send(packet)) == expected


def test_a_match_behind_one_that_failed_is_not_asked() -> None:
    """Else limit would count packets of other protocols: one packet a day fits."""
    rules = table(
        "-A INPUT -p udp -m limit --limit 1/day --limit-burst 1 -j DROP\n-A INPUT -p tcp -j ACCEPT"
    )
    host = router(rules)
    for _ in range(3):
        assert steps(host.receive(WEB, "r0")) == ["INPUT 2 ACCEPT"]
    assert steps(host.receive(DNS, "r0")) == ["INPUT 1 DROP"]
    assert steps(host.receive(DNS, "r0")) == ["INPUT policy ACCEPT"]


def test_an_index_passes_over_rules_and_still_knows_why() -> None:
    """Of 300 rules for 300 addresses the packet meets one; the reasons of the others are worked out."""
    rules = "\n".join(f"-A INPUT -d 10.9.{n // 250}.{n % 250}/32 -j DROP" for n in range(300))
    rules += f"\n-A INPUT -d {R}/32 -j ACCEPT"
    trace = arrive(table(rules, policy="DROP"))
    assert steps(trace) == ["INPUT 301 ACCEPT"]
    (missed,) = [
        event for event in trace.events if isinstance(event, Missed) and event.table == "filter"
    ]
    assert (missed.first, missed.last) == (1, 300)
    assert str(missed.why(260)) == "destination 10.1.0.1 ≠ 10.9.1.9"


COUNTED = """\
*filter
:INPUT DROP [5:500]
:a - [0:0]
[1:10] -A INPUT -p tcp -j a
-A a -p udp
-A a
COMMIT
"""


def test_counters_count_packets_and_bytes() -> None:
    host = router(COUNTED)
    for packet in (WEB, WEB, DNS):
        host.receive(packet, "r0")
    chains = host.counted()["filter"]
    assert chains["INPUT"].rules[0].counters == (1 + 2, 10 + 80)
    assert [rule.counters for rule in chains["a"].rules] == [(0, 0), (2, 80)]
    assert chains["INPUT"].counters == (5 + 3, 500 + 40 + 40 + 28)
    assert host.ruleset["filter"]["INPUT"].counters == (5, 500), "the host's own ruleset stays"


@pytest.mark.parametrize("rules", [
    "-A INPUT -j a\n-A a -j a",
    "-A INPUT -j a\n-A a -j b\n-A b -j a",
    "-A INPUT -g a\n-A a -g b\n-A b -g a",
])  # fmt: skip
def test_a_loop_of_chains_is_cut_off_in_clear_words(rules: str) -> None:
    with pytest.raises(LimitError, match="a loop of rules"):
        arrive(table(rules))


def test_ways_that_multiply_are_cut_off() -> None:
    """Thirty chains, each calling the next twice: a thousand million jumps."""
    calls = "\n".join(f"-A c{n} -j c{n + 1}\n-A c{n} -j c{n + 1}" for n in range(30))
    with pytest.raises(LimitError, match="more than 20,000 jumps on one way through INPUT"):
        arrive(table(f"-A INPUT -j c0\n{calls}\n-A c30 -p udp"), backend="legacy")


def test_a_bad_rule_is_an_error_only_when_a_packet_comes_to_it() -> None:
    rules = table("-A INPUT -p tcp -j ACCEPT\n-A INPUT -p udp --dprt 53 -j ACCEPT")
    assert steps(arrive(rules)) == ["INPUT 1 ACCEPT"]
    with pytest.raises(RulesetError, match="line 4, column 17"):
        arrive(rules, DNS)


def test_the_steps_of_a_goto_leave_no_frame() -> None:
    trace = arrive(
        table("-A INPUT -j a\n-A INPUT -j ACCEPT\n-A a -g b\n-A b -p udp", policy="DROP")
    )
    assert steps(trace) == ["INPUT 1 JUMP a", "a 1 GOTO b", "INPUT 2 ACCEPT"]
    (left,) = [event for event in trace.events if isinstance(event, Left)]
    assert (left.chain, left.caller) == ("b", ("filter", "INPUT", 1))


# --- chance ---


def share(endpoints: int) -> str:
    """Rules that spread connections over endpoints as kube-proxy does."""
    rules = [
        f"-A PREROUTING -m statistic --mode random --probability {1 / left:.11f}"
        f" -j DNAT --to-destination 10.2.1.{left}"
        for left in range(endpoints, 1, -1)
    ]
    return "\n".join(
        ["*nat", *rules, "-A PREROUTING -j DNAT --to-destination 10.2.1.1", "COMMIT", ""]
    )


@pytest.mark.parametrize("endpoints", [1, 2, 3, 7, 50])
def test_endpoints_have_exactly_equal_chances(endpoints: int) -> None:
    host = router(share(endpoints))
    found = host.explore(tcp(f"{C}:40000", f"{R}:80"), "r0")
    assert found.endpoints == {
        f"10.2.1.{n}:80": Fraction(1, endpoints) for n in range(1, endpoints + 1)
    }
    assert sum(trace.probability for trace in found) == 1
    assert len(found) == endpoints


def test_exploring_changes_nothing() -> None:
    host = router(share(3))
    before = [host.receive(tcp(f"{C}:{port}", f"{R}:80"), "r0").packet.dst for port in (1, 2, 3)]
    explored = router(share(3))
    after = []
    for port in (1, 2, 3):
        explored.explore(tcp(f"{C}:9999", f"{R}:80"), "r0")
        after.append(explored.receive(tcp(f"{C}:{port}", f"{R}:80"), "r0").packet.dst)
    assert before == after
    assert len(explored.conntrack) == 3
    assert (
        explored.counted()["nat"]["PREROUTING"].rules[0].counters
        == host.counted()["nat"]["PREROUTING"].rules[0].counters
    )


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_same_seed_draws_the_same(seed: int) -> None:
    def draws() -> list[str]:
        host = router(share(5), seed=seed)
        return [
            str(host.receive(tcp(f"{C}:{port}", f"{R}:80"), "r0").packet.dst)
            for port in range(1, 40)
        ]

    assert draws() == draws()
    assert set(draws()) == {f"10.2.1.{n}" for n in range(1, 6)}


def test_different_seeds_draw_differently() -> None:
    drawn = {
        tuple(
            str(host.receive(tcp(f"{C}:{port}", f"{R}:80"), "r0").packet.dst)
            for port in range(1, 20)
        )
        for host in (router(share(5), seed=seed) for seed in range(4))
    }
    assert len(drawn) == 4


def test_a_draw_is_told_with_its_chance() -> None:
    trace = router(share(3)).receive(tcp(f"{C}:40000", f"{R}:80"), "r0")
    told = [
        (event.place.number, event.probability)
        for event in trace.events
        if isinstance(event, Chance)
    ]
    assert told[0] in ((1, Fraction(1, 3)), (1, Fraction(2, 3)))


def test_chance_without_end_is_an_error_of_its_own() -> None:
    rules = "\n".join("-A INPUT -m statistic --mode random --probability 0.5" for _ in range(13))
    with pytest.raises(LimitError, match="more than 4096 ways"):
        router(table(rules)).explore(WEB, "r0")


def test_each_way_of_chance_is_a_trace_of_its_own() -> None:
    rules = """
        -A INPUT -m statistic --mode random --probability 0.25 -j DROP
        -A INPUT -j a
        -A a -m statistic --mode random --probability 0.5 -j DROP
    """
    found = router(table(rules)).explore(WEB, "r0")
    assert [(str(t.fate), t.probability) for t in found] == [
        ("drop filter:INPUT:1", Fraction(1, 4)),
        ("drop filter:a:1", Fraction(3, 8)),
        ("local", Fraction(3, 8)),
    ]
    assert found.endpoints == {
        "drop filter:INPUT:1": Fraction(1, 4), "drop filter:a:1": Fraction(3, 8), f"{R}:80": Fraction(3, 8),
    }  # fmt: skip


# --- which tables, in which order ---


def test_security_stands_behind_nat_on_input_with_nft_and_before_it_with_legacy() -> None:
    rules = "*nat\n-A INPUT\n-A POSTROUTING -d 192.0.2.1 -j MASQUERADE\nCOMMIT\n*security\n-A INPUT\nCOMMIT\n"
    order = {"nft": ["nat", "security"], "legacy": ["security", "nat"]}
    for backend, expected in order.items():
        trace = arrive(rules, backend=backend)
        matched = [event.place.table for event in trace.events if isinstance(event, Matched)]
        assert matched == expected, trace


def test_a_family_without_rules_passes() -> None:
    trace = router(table("-A INPUT -j DROP")).receive(icmp("fd00:1::2", "fd00:1::1"), "r0")
    assert (str(trace.fate), trace.steps) == ("local", ()), trace


def test_a_host_has_rules_for_both_families() -> None:
    v4, v6 = (table(f"-A INPUT -j {verdict}") for verdict in ("DROP", "ACCEPT"))
    host = router(v4, v6)
    assert str(host.receive(WEB, "r0").fate) == "drop filter:INPUT:1"
    assert str(host.receive(icmp("fd00:1::2", "fd00:1::1"), "r0").fate) == "local"


def test_another_ruleset_keeps_the_memory() -> None:
    drop, accept = (
        parse(table(f"-A INPUT -j {verdict}"), family=4) for verdict in ("DROP", "ACCEPT")
    )
    host = Host(drop, addresses={"r0": "10.1.0.1/24"})
    host.state.memory["key",] = 1
    other = host.with_ruleset(accept)
    assert str(other.receive(WEB, "r0").fate) == "local"
    assert other.state is host.state
    assert str(host.receive(WEB, "r0").fate) == "drop filter:INPUT:1"
