"""Every event has its sentence; every trace has its steps."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nb_lib import icmp, tcp
from nb_lib import trace as events
from nb_lib.connection import Tracked
from nb_lib.trace import (
    Answered,
    AtHook,
    Balanced,
    Chance,
    Copied,
    Entered,
    Event,
    Fate,
    Fragmented,
    Gathered,
    Gone,
    Left,
    Looked,
    Lost,
    Matched,
    Missed,
    Noted,
    Place,
    PolicyApplied,
    Rewritten,
    Route,
    Routed,
    Trace,
    Unsure,
)
from nb_lib.views.sentences import fate_sentence, fate_words, sentence
from nb_lib.views.story import moves, steps
from tests.views.samples import explored, nginx, small

P = tcp("10.0.0.1:1000", "10.0.0.2:80")
REPLY = P.change(ct=Tracked("ESTABLISHED", "REPLY"))
MARKED = P.change(mark=0x4000)
MOVED = P.change(dst="10.0.0.3", dport=8080)
TABLE = small(
    "INPUT -p tcp -m tcp --dport 80 -j EXTRA",
    "INPUT -j LOG",
    "INPUT -g EXTRA",
    "INPUT -j REJECT",
    "INPUT",
    "INPUT -p tcp -j ACCEPT",
).ruleset["filter"]
RULES = TABLE["INPUT"].rules
HERE = Place("filter", "INPUT", 3)

SAID = [
    (AtHook(P, "INPUT"), "The packet meets the hook INPUT."),
    (Looked(P, "new"), "conntrack does not know this connection: it is NEW."),
    (
        Looked(REPLY, "known"),
        "conntrack knows this connection: ESTABLISHED, in the direction of the reply.",
    ),
    (
        Looked(P, "invalid", note="a checksum is wrong"),
        "conntrack can make no sense of it: it is INVALID (a checksum is wrong).",
    ),
    (
        Gathered(P, "whole", "from 2 fragments"),
        "It was the last fragment to come: the datagram goes on whole (from 2 fragments).",
    ),
    (
        Fragmented(P, (P, P)),
        "It is too large, or came in fragments: it leaves in 2 fragments.",
    ),
    (
        Entered(P, "nat", "INPUT", policy="ACCEPT", length=1),
        "Into INPUT of nat: 1 rule, policy ACCEPT.",
    ),
    (Entered(P, "nat", "X", 1, HERE, length=2), "Into X: 2 rules."),
    (Missed(P, "filter", "INPUT", 2, 4), "Rules 2–4 of INPUT do not match."),
    (
        Matched(P, HERE, RULES[0], "JUMP EXTRA"),
        "Rule 3 of filter INPUT matches: jump to EXTRA.",
    ),
    (
        Matched(P, HERE, RULES[1], "CONTINUE"),
        "Rule 3 of filter INPUT matches: LOG, and the walk goes on.",
    ),
    (
        Matched(P, HERE, RULES[2], "GOTO EXTRA"),
        "Rule 3 of filter INPUT matches: go to EXTRA, not to come back.",
    ),
    (
        Matched(P, HERE, RULES[3], "DROP"),
        "Rule 3 of filter INPUT matches: REJECT, then DROP.",
    ),
    (
        Matched(P, HERE, RULES[4], "CONTINUE"),
        "Rule 3 of filter INPUT matches: it counts, and the walk goes on.",
    ),
    (Matched(P, HERE, RULES[5], "ACCEPT"), "Rule 3 of filter INPUT matches: ACCEPT."),
    (
        Unsure(P, HERE, RULES[0], "the owner's uid"),
        "Rule 3 of filter INPUT cannot be decided: the owner's uid.",
    ),
    (Left(P, "filter", "X", 1, HERE), "Out of X: back to INPUT, after rule 3."),
    (Left(P, "filter", "INPUT"), "End of INPUT: its policy decides."),
    (PolicyApplied(P, "filter", "INPUT", "DROP"), "The policy of filter INPUT says DROP."),
    (Rewritten(MARKED, P, "MARK", HERE), "MARK rewrites mark 0x0 → 0x4000."),
    (Rewritten(MOVED, P, "DNAT", HERE), "DNAT rewrites dst 10.0.0.2:80 → 10.0.0.3:8080."),
    (
        Chance(P, HERE, Fraction(1, 3), taken=True),
        "Chance at rule 3 of INPUT: it comes true, with a probability of 1/3.",
    ),
    (Noted(P, HERE, "LOG writes a line"), "LOG writes a line (filter:INPUT:3)."),
    (Routed(P, Route("LOCAL", "lo")), "Routing: the destination is this host itself."),
    (
        Routed(P, Route("FORWARD", "eth1", rule="10.0.0.0/8 dev eth1"), again=True),
        "Routing again: forward it out of eth1, says the route “10.0.0.0/8 dev eth1”.",
    ),
    (
        Balanced(P, "new", "TCP 10.0.0.2:80 rr", "10.0.0.3:8080"),
        "IPVS takes it for the virtual server TCP 10.0.0.2:80 rr: a new connection, given to 10.0.0.3:8080.",
    ),
    (Gone(P, "p1"), "It leaves the bridge by p1."),
    (
        Lost(P, "no route to 9.9.9.9", "PREROUTING", "ip route add"),
        "The kernel drops it, no rule is to blame: no route to 9.9.9.9 (ip route add).",
    ),
    (Copied(P, P, "TEE"), f"TEE sends a copy: {P}."),
    (
        Answered(P, icmp("10.0.0.2", "10.0.0.1", type=3, code=3), "REJECT"),
        "The host answers by REJECT: icmp 10.0.0.2 → 10.0.0.1 type 3 code 3.",
    ),
]


@pytest.mark.parametrize(("event", "said"), SAID, ids=lambda one: type(one).__name__)
def test_an_event_in_a_sentence(event, said):
    assert sentence(event) == said


def test_no_event_is_speechless():
    kinds = {k for k in vars(events).values() if isinstance(k, type) and issubclass(k, Event)}
    assert {type(event) for event, _ in SAID} == kinds - {Event}


@pytest.mark.parametrize(
    ("fate", "words", "said"),
    [
        (Fate("forward", "eth1"), "out of eth1", f"It leaves by eth1 as {P}."),
        (Fate("local"), "delivered here", f"It is delivered to this host as {P}."),
        (
            Fate("drop", place=HERE),
            "dropped by rule 3 of filter INPUT",
            "It is dropped by rule 3 of filter INPUT.",
        ),
        (
            Fate("drop", place=HERE._replace(number=0)),
            "dropped by the policy of filter INPUT",
            "It is dropped by the policy of filter INPUT.",
        ),
        (
            Fate("lost", detail="PREROUTING"),
            "lost after PREROUTING",
            "It is lost after PREROUTING, without a rule.",
        ),
        (
            Fate("reject", place=HERE, detail="icmp 3/3"),
            "rejected by rule 3 of filter INPUT",
            "It is rejected by rule 3 of filter INPUT: icmp 3/3.",
        ),
    ],
)
def test_a_fate_in_words_and_in_a_sentence(fate, words, said):
    assert fate_words(fate) == words
    assert fate_sentence(fate, P) == said


def test_the_steps_of_the_packet_to_nginx():
    found = [(step.kind, step.hook, step.lane, step.verdict) for step in steps(nginx())]
    assert found[0] == ("arrive", "", "", "")
    assert found[1] == ("look", "PREROUTING", "conntrack", "")
    assert found[2] == ("policy", "PREROUTING", "mangle", "ACCEPT")
    assert found[3] == ("match", "PREROUTING", "nat", "JUMP KUBE-SERVICES")
    assert found[-2] == ("look", "POSTROUTING", "confirm", "")
    assert found[-1][0] == "fate"
    assert [s.lane for s in steps(nginx()) if s.kind == "route"] == ["route"]


def test_a_rewrite_belongs_to_the_rule_that_asked_for_it():
    changed = {
        step.place.chain: step.changes for step in steps(nginx()) if step.place and step.changes
    }
    assert changed["KUBE-MARK-MASQ"] == (("mark", "0x0", "0x4000"),)
    masquerade = steps(nginx())[-3]
    assert masquerade.lane == "nat.src"
    assert masquerade.sentence.startswith("Rule 3 of nat KUBE-POSTROUTING matches: MASQUERADE, ")
    assert masquerade.changes[0][:2] == ("src", "10.20.0.200:40000")


def test_the_script_is_told_where_the_rewrites_are():
    told = moves(steps(nginx()))
    assert [n for n, step in enumerate(told) if step and "mark" in step["o"]] == [5, 16]
    assert {"o": {"dst": "4.3.2.1:80"}} in told


def test_an_exploration_takes_each_endpoint_with_a_third():
    assert set(explored().endpoints.values()) == {Fraction(1, 3)}
    chances = [[s.chance for s in steps(trace) if s.chance != 1] for trace in explored()]
    assert len(chances) == 3


def test_an_empty_trace_has_two_steps():
    found = steps(Trace(P, (), Fate("local")))
    assert [step.kind for step in found] == ["arrive", "fate"]
