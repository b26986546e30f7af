"""Markup is made in one place, and what it is made of cannot break out of it."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from nb_lib import draw, hooks, tcp
from nb_lib.views.svg import data, elide, escape, tag
from tests.views.samples import HOSTILE, explored, host, hostile, nginx


def test_an_element_has_its_attributes_and_children_in_order():
    assert tag("g", tag("path", d="M0 0"), "a<b", class_="x", data_s=3, hidden=None) == (
        '<g class="x" data-s="3"><path d="M0 0"/>a&lt;b</g>'
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text):
    element = ET.fromstring(tag("text", text, title=text))  # noqa: S314 - our own markup
    assert element.text == text
    assert element.get("title") == text


@pytest.mark.parametrize(
    ("text", "shown"), [("a\x00b", "a␀b"), ("a\x1b[31m", "a␛[31m"), ("\u202eevil", "�evil")]
)
def test_control_characters_become_visible(text, shown):
    assert escape(text) == shown


def test_data_cannot_close_its_script():
    text = data({"a": "</script><!--", "b": ["\u2028", "&"]})
    inside = re.fullmatch(r'<script type="application/json">(.*)</script>', text)[1]
    assert not re.search(r"[<>&\u2028]", inside)
    assert json.loads(inside) == {"a": "</script><!--", "b": ["\u2028", "&"]}


@pytest.mark.parametrize(
    ("text", "most", "shown"), [("abc", 3, "abc"), ("abcdefghij", 7, "abcd…ij"), ("", 5, "")]
)
def test_a_long_text_loses_its_middle(text, most, shown):
    assert elide(text, most) == shown


class Page(HTMLParser):
    """What a browser would find in a page: scripts, handlers, text."""

    def __init__(self):
        super().__init__()
        self.scripts, self.handlers, self.open = [], [], []

    def handle_starttag(self, name, attributes):
        if name == "script":
            self.scripts.append(dict(attributes).get("type"))
        self.handlers += [key for key, _ in attributes if key.startswith("on")]


@cache
def figures():
    wicked = hostile()
    there = wicked.receive(tcp("192.168.0.9:1", "192.168.0.1:2"), "eth0")
    server = host()
    return {
        "trace": draw(nginx()),
        "exploration": draw(explored()),
        "table": draw(server.ruleset["nat"]),
        "table with a trace": draw(server.ruleset["nat"], nginx()),
        "chain": draw(server.ruleset["nat"]["KUBE-SERVICES"]),
        "ruleset": draw(server.ruleset),
        "hooks": draw(hooks),
        "hostile trace": draw(there),
        "hostile table": draw(wicked.ruleset["filter"], there),
        "hostile chain": draw(wicked.ruleset["filter"]["INPUT"], there),
    }


@pytest.mark.parametrize("name", list(figures()))
def test_every_figure_is_sound(name):
    html = figures()[name].html
    page = Page()
    page.feed(html)
    assert page.scripts == ["application/json"]
    assert page.handlers == []
    svg = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])  # noqa: S314 - our own markup
    space = "{http://www.w3.org/2000/svg}"
    assert svg.get("role") == "img"
    assert svg.find(f"{space}title").text
    assert svg.find(f"{space}desc").text
    ident = re.match(r'<figure class="[^"]+" id="(nf-[0-9a-f]{10})">', html)[1]
    assert all(one.startswith(ident) for one in re.findall(r' id="([^"]+)"', html))
    assert "0x7f" not in html


def test_the_hostile_comment_can_be_read():
    html = draw(hostile().ruleset["filter"]["INPUT"]).html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
