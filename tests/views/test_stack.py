"""The stack of calls: what opens a frame, what closes it, and where it goes back to."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from nb_lib import Host, NbError, draw, parse, tcp, udp
from tests.views.browser import in_browser
from tests.views.samples import host, hostile

RULES = """\
*filter
:INPUT DROP [0:0]
:guests - [0:0]
:ports - [0:0]
-A INPUT -s 10.0.0.0/24 -j guests
-A INPUT -p tcp --dport 22 -j ACCEPT
-A guests -p udp -j ports
-A guests -s 10.0.0.9 -j RETURN
-A guests -p tcp --dport 80 -j ACCEPT
-A ports -p udp --dport 67 -j ACCEPT
COMMIT
"""
QUERY = udp("10.0.0.5:4004", "10.0.0.1:69")
WEB = tcp("10.0.0.5:4004", "10.0.0.1:80")


def stacked(packet, rules=RULES):
    router = Host(parse(rules), addresses={"eth1": "10.0.0.1/24"})
    return draw(router.receive(packet, "eth1"), stack="filter")


def told(packet, rules=RULES):
    return stacked(packet, rules).text.splitlines()[1:]


def test_the_end_of_a_chain_goes_back_to_its_caller():
    assert told(QUERY) == [
        "┌ INPUT (goes back to the policy)",
        "│ ⤷ 1 -s 10.0.0.0/24 -j guests",
        "│ ┌ guests (goes back to INPUT, after rule 1)",
        "│ │ ⤷ 1 -p udp -j ports",
        "│ │ ┌ ports (goes back to guests, after rule 1)",
        "│ │ │ – 1 dport 69 ≠ 67",
        "│ │ │ ↩ back to guests, after rule 1",
        "│ │ – 2 source 10.0.0.5 ≠ 10.0.0.9",
        "│ │ – 3 protocol udp ≠ tcp",
        "│ │ ↩ back to INPUT, after rule 1",
        "│ – 2 protocol udp ≠ tcp",
        "│ ■ policy DROP",
    ]


def test_return_does_what_the_end_of_the_chain_does():
    assert told(tcp("10.0.0.9:4004", "10.0.0.1:22"))[3:6] == [
        "│ │ – 1 protocol tcp ≠ udp",
        "│ │ ↩ 2 -s 10.0.0.9/32 -j RETURN",
        "│ │ ↩ back to INPUT, after rule 1",
    ]


def test_a_goto_takes_the_place_of_its_chain():
    assert told(QUERY, RULES.replace("-j ports", "-g ports"))[3:] == [
        "│ │ ⤷ 1 -p udp -g ports",
        "│ ┌ ports (goes back to INPUT, after rule 1)",
        "│ │ – 1 dport 69 ≠ 67",
        "│ │ ↩ back to INPUT, after rule 1",
        "│ – 2 protocol udp ≠ tcp",
        "│ ■ policy DROP",
    ]


def test_a_goto_from_a_base_chain_ends_at_the_policy():
    lines = told(QUERY, RULES.replace("-j guests", "-g guests"))
    assert lines[2] == "┌ guests (goes back to the policy)"
    assert lines[-2:] == ["│ ↩ back to the policy", "│ ■ policy DROP"]


def test_a_verdict_ends_every_frame():
    assert told(WEB)[-2:] == [
        "│ │ ● 3 -p tcp --dport 80 -j ACCEPT",
        "│ │   ACCEPT is final: nobody goes back to INPUT",
    ]


def test_an_undecided_rule_leaves_the_frames_as_they_are():
    lines = told(QUERY, RULES.replace("--dport 67", "-m geoip --src-cc AQ"))
    assert lines[-1].startswith("│ │ │ ? 1 -p udp -m geoip")


def test_each_frame_is_drawn_for_as_long_as_it_is_there():
    found = re.findall(r'nf-call nf-filter" data-s="([\d ]+)"', stacked(QUERY).html)
    whole, middle, inner = ([int(n) for n in steps.split()] for steps in found)
    assert whole[0] <= middle[0] < inner[0]
    assert inner[-1] <= middle[-1] <= whole[-1]


def test_a_table_that_the_packet_does_not_meet():
    with pytest.raises(NbError, match="met no chain of table 'nat'"):
        draw(
            Host(parse(RULES), addresses={"eth1": "10.0.0.1/24"}).receive(WEB, "eth1"), stack="nat"
        )


def test_a_hostile_comment_stays_text():
    html = draw(hostile().receive(udp("10.0.0.5:1", "10.0.0.1:2"), "eth1"), stack="filter").html
    assert "<script>alert" not in html
    assert "<svg/onload" not in html


def ufw():
    trace = host("ufw").receive(tcp("203.0.113.50:4010", "192.0.2.10:22"), "eth0")
    return [draw(trace, stack="filter")]


@in_browser(ufw)
def test_the_frames_on_the_stack_stand_out(page):
    counts = []
    page.locator("[data-act=first]").click()
    for _ in range(13):
        counts.append(page.locator(".nf-call.nf-now").count())
        page.locator("[data-act=next]").click()
    assert max(counts) == 4  # INPUT, ufw-before-input, ufw-user-input, ufw-user-limit-accept
    assert counts[0] == 0
    assert any(after < before for before, after in pairwise(counts))
