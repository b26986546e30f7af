"""What IPVS does stands in a lane of its own, at its priority, and on the map of the hooks if asked for."""

from __future__ import annotations

import pytest

from nb_lib import draw, hooks, tcp
from nb_lib.views.cells import texts
from nb_lib.views.story import Step, steps
from tests.views.samples import host

NODE = "kube-proxy/ipvs/1.30.5"
FROM_POD = tcp("10.244.1.200:40000", "10.96.0.10:80")


def balanced(trace) -> Step:
    """Return the one step in which IPVS decides."""
    (found,) = [step for step in steps(trace) if step.kind == "balance"]
    return found


def said(trace) -> list[str]:
    """Return what stands in the cell of IPVS."""
    step = balanced(trace)
    return [line.text for line in texts(steps(trace))[step.hook, step.lane]]


def test_a_request_and_its_answer():
    node = host(NODE)
    request = node.receive(FROM_POD, "veth0")
    step = balanced(request)
    assert (step.hook, step.lane) == ("INPUT", "ipvs.98")
    assert said(request) == [
        "NEW, rr picks",
        "dst 10.96.0.10:80",
        "    10.244.3.11:8080",
        "ttl 64 → 63",
    ]
    answer = node.receive(request.reply(), "eth0")
    assert (balanced(answer).hook, balanced(answer).lane) == ("FORWARD", "ipvs.98")
    assert said(answer)[0] == "an answer"
    assert said(node.receive(FROM_POD, "veth0"))[0] == "known"


def test_nat_is_not_said_to_have_done_it():
    """Only what nat's rules did stands in its lanes."""
    story = steps(host(NODE).receive(FROM_POD, "veth0"))
    assert not [step for step in story if step.lane.startswith("nat") and step.changes]


def test_what_the_node_sends_goes_through_output_twice():
    trace = host(NODE).send(tcp("192.168.99.10:40000", "10.96.0.10:80"))
    assert (balanced(trace).hook, balanced(trace).lane) == ("OUTPUT", "ipvs.-99")
    lanes = [step.lane for step in steps(trace) if step.kind in ("balance", "route", "policy")]
    assert lanes == ["route", "ipvs.-99", "route", "filter"]


def test_a_virtual_server_without_a_real_one():
    trace = host(NODE).receive(tcp("10.244.1.200:40000", "10.96.0.11:80"), "veth0")
    assert said(trace) == ["no real server"]


@pytest.mark.parametrize("ipvs", [False, True])
def test_the_map_shows_it_if_asked(ipvs):
    figure = draw(hooks, ipvs=ipvs)
    for text in (figure.html, figure.text):
        assert ("requests" in text) is ipvs
    line = "OUTPUT: defrag (-400), raw (-300), conntrack (-200), mangle (-150), nat (-100), " + (
        "IPVS, answers (-99), IPVS, requests (-98), " if ipvs else ""
    )
    assert line in figure.text
