"""Packets between machines: told, drawn, stepped through."""

from __future__ import annotations

import pytest

from nb_lib import NbError, tcp
from nb_lib.views import Arrow, ladder
from tests.views.browser import in_browser
from tests.views.samples import HOSTILE

SYN = tcp("10.0.0.5:4000", "192.0.2.1:80")
ARROWS = [
    Arrow("client", "router", SYN),
    Arrow("router", "server", tcp("10.0.0.5:4000", "10.0.0.80:80"), "translated"),
    Arrow(
        "server", "client", tcp("10.0.0.80:80", "10.0.0.5:4000", flags="SYN,ACK"), "refused", "LOST"
    ),
]
NAMES = ("client", "router", "server")


def test_each_packet_is_told():
    assert ladder("A hairpin", NAMES, ARROWS).text.splitlines() == [
        "A hairpin",
        "  1. client to router, tcp 10.0.0.5:4000 → 192.0.2.1:80 SYN.",
        "  2. router to server, tcp 10.0.0.5:4000 → 10.0.0.80:80 SYN: translated.",
        "  3. server to client, tcp 10.0.0.80:80 → 10.0.0.5:4000 SYN,ACK: refused.",
    ]


def test_machines_must_be_known_and_packets_be_there():
    with pytest.raises(NbError, match="no machine router, server"):
        ladder("A hairpin", ["client"], ARROWS)
    with pytest.raises(NbError, match="no packets"):
        ladder("Silence", NAMES, [])


def test_names_are_text():
    text = "".join(HOSTILE)
    html = ladder(text, [text, "router"], [Arrow(text, "router", SYN, text)]).html
    assert "<script>alert" not in html
    assert "<!--" not in html
    assert "onload='" not in html.partition("<script")[0]


@in_browser(lambda: [ladder("A hairpin", NAMES, ARROWS)])
def test_arrows_appear_one_by_one_and_cards_lie_between_their_machines(page):
    assert page.locator("svg [data-s]").count() == 3
    page.keyboard.press("Tab")
    page.locator("[data-act=first]").click()
    assert page.locator("svg .nf-later").count() == 2
    page.locator("[data-act=next]").click()
    assert page.locator("svg .nf-later").count() == 1
    boxes = [card.bounding_box() for card in page.locator("svg .nf-cell > rect").all()]
    picture = page.locator(".nf-frame svg").bounding_box()
    for box in boxes:
        assert picture["x"] <= box["x"] < box["x"] + box["width"] <= picture["x"] + picture["width"]
