"""Figures: the same bytes each time, small, and the story beside the picture."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys

import pytest

from nb_lib import draw, hooks, load, tcp
from nb_lib.views import Figure
from nb_lib.views.grid import Box, make
from nb_lib.views.path import draw_path
from nb_lib.views.story import steps
from tests.views.samples import DATA, FROM_OUTSIDE, explored, host, nginx, small

AWAY = tcp("192.168.0.9:1", "10.1.1.1:2")
MAKE = """
from tests.views.samples import host, FROM_OUTSIDE
from nb_lib import draw
import hashlib
there = host()
trace = there.receive(FROM_OUTSIDE, "eth1")
html = draw(trace).html + draw(there.ruleset["nat"], trace).html
html += draw(host().explore(FROM_OUTSIDE, "eth1")).html
print(hashlib.sha256(html.encode()).hexdigest())
"""


def test_the_same_bytes_in_another_process():
    found = set()
    for seed in ("1", "2"):
        there = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."}
        command = [sys.executable, "-c", MAKE]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=there)
        found.add(run.stdout)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("make_figure", "most"),
    [
        (lambda: draw(nginx()), 6000),
        (lambda: draw(explored()), 3000),
        (lambda: draw(host().ruleset["nat"]), 6000),
        (lambda: draw(host().ruleset["nat"], nginx()), 6000),
        (lambda: draw(hooks), 3000),
    ],
    ids=["trace", "exploration", "nat", "nat with a trace", "hooks"],
)
def test_an_nginx_diagram_is_small(make_figure, most):
    assert len(gzip.compress(make_figure().html.encode(), 9)) <= most


def test_a_trace_shows_itself_in_both_ways():
    bundle = nginx()._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert bundle["text/plain"] == str(nginx())
    assert bundle["text/html"] == draw(nginx()).html


@pytest.mark.parametrize("name", ["ruleset", "table", "chain", "exploration"])
def test_whatever_has_a_picture_shows_it(name):
    rules = host().ruleset
    things = {"ruleset": rules, "table": rules["nat"], "chain": rules["nat"]["PREROUTING"],
              "exploration": explored()}  # fmt: skip
    bundle = things[name]._repr_mimebundle_()
    assert bundle["text/html"].startswith('<figure class="nf-figure')
    assert bundle["text/plain"] == str(things[name])


def test_what_has_no_picture():
    with pytest.raises(TypeError, match="nothing is known of how to draw int"):
        draw(3)


def test_the_story_has_an_item_a_step_and_the_data_too():
    html = draw(nginx()).html
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])
    items = re.findall(r'<li data-s="(\d+)"', html)
    assert items == [str(n) for n in range(len(data["steps"]))]
    assert data["steps"][0]["f"]["dst"] == "4.3.2.1:80"
    assert data["steps"][-1]["p"][0] > data["steps"][0]["p"][0]


def test_old_and_new_stand_where_a_field_changes():
    html = draw(nginx()).html
    assert re.search(r'text-decoration="line-through">dst 4\.3\.2\.1:80</text>', html)
    assert re.search(r">\s+10\.244\.\d\.1\d:80</text>", html)


def test_hooks_that_a_packet_cannot_see_are_faint_not_absent():
    html = draw(nginx()).html
    assert all(f">{hook}</text>" in html for hook in hooks.HOOKS)
    assert 'opacity="0.6"' in html


@pytest.mark.parametrize(
    ("make_trace", "words"),
    [
        (lambda: host().send(tcp("10.20.0.10:40001", "4.3.2.1:80")), "was sent"),
        (lambda: host().receive(tcp("10.20.0.200:1", "10.20.0.10:22"), "eth1"), "was delivered"),
        (lambda: small(policy="DROP").receive(AWAY, "eth0"), "was dropped"),
        (lambda: small().receive(tcp("192.168.0.9:1", "11.1.1.1:2"), "eth0"), "got no further"),
        (lambda: small().send(tcp("127.0.0.1:1", "127.0.0.1:2")), "was delivered"),
        (lambda: host().receive(tcp("10.20.0.200:1", "10.20.0.10:22"), "eth0"), "came in"),
    ],
)  # fmt: skip
def test_every_end_has_its_card(make_trace, words):
    assert words in draw(make_trace()).html


def test_a_reply_is_rewritten_in_the_lanes_of_nat():
    there = host()
    first = there.receive(FROM_OUTSIDE, "eth1")
    html = draw(there.receive(first.reply(), first.fate.device)).html
    assert "ESTABLISHED, reply" in html


def test_only_a_figure_that_is_told_to_plays_by_itself():
    assert "data-autoplay-once" not in draw(nginx()).html
    playing = draw(nginx(), autoplay=True)
    assert playing.html.count(" data-autoplay-once>") == 1
    assert playing.html.startswith('<figure class="nf-figure nf-path" id="nf-')
    assert playing == draw(nginx(), autoplay=True)


def test_a_figure_is_a_value():
    assert draw(nginx()) == draw(nginx())
    assert isinstance(draw(nginx()), Figure)


def test_the_way_follows_columns_gutters_and_the_bus():
    plan = make({("PREROUTING", "nat"): 1}, ["PREROUTING"])
    start, column = (70.0, 12.0), plan.columns["PREROUTING"].cx
    cell: Box = plan.cells["PREROUTING", "nat"]
    crossing = plan.crossing("PREROUTING", again=False)
    way = plan.way([start, (column, 12), (cell.cx, cell.cy), crossing])
    assert way == [
        start,
        (column, 12),
        (cell.cx, cell.cy),
        (column, plan.floor),
        (crossing[0], plan.floor),
        crossing,
    ]


def test_an_answer_is_given_where_the_packet_is():
    """The way of a packet to a local process does not turn back for what the process answers."""
    node = load(
        DATA / "kube-proxy/nginx-3-endpoints/1.21.1-userspace", facts={"listening": "tcp:39793"}
    )
    trace = node.receive(tcp("10.244.1.200:40000", "172.17.45.122:80"), "veth0")
    kinds = [step.kind for step in steps(trace)]
    assert kinds[-3:] == ["look", "answer", "fate"]
    look, answer, _ = (step["p"] for step in draw_path(trace).steps[-3:])
    assert answer == look
