"""Figures of matplotlib as the book stores them, and ways as rows of places."""

from __future__ import annotations

import re

import pytest

from nb_lib import Host, tcp
from nb_lib.text import parse
from nb_lib.views import bars, lines, passage, passed

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

SECONDS = pd.DataFrame(
    {"1,000": [1.867, 0.136], "10,000": [48, float("nan")]}, index=["old", "new"]
)


def test_the_same_bytes_each_time_and_no_colour_of_its_own():
    first, again = (bars(SECONDS, "A sync", "seconds") for _ in range(2))
    assert first.html == again.html
    own = re.sub(r"var\([^)]*\)|fill=\"#ffffff\"", "", first.html)
    assert re.findall(r"#[0-9a-f]{6}\b", own) == []
    assert "<style" not in first.html


def test_words_stay_words_and_every_number_is_said():
    figure = bars(SECONDS, "A sync", "seconds")
    for word in ("A sync", "seconds", "1.867", "48", "old", "10,000"):
        assert f">{word}<" in figure.html
    assert (
        figure.text == "A sync\nold: 1,000 1.867, 10,000 48 (seconds)\nnew: 1,000 0.136 (seconds)"
    )


def test_ids_are_those_that_something_refers_to():
    frame = pd.DataFrame({"a": [1, 10], "b": [5, 5]}, index=pd.Index([10, 100], name="Services"))
    html = lines(frame, "Rules", "rules tried").html
    inside = html[html.index("</desc>") : html.index("</svg>")]
    ids = re.findall(r' id="([^"]+)"', inside)
    assert ids
    assert set(ids) == set(re.findall(r'(?:href="#|url\(#)([^")]+)', inside))


def test_nothing_is_left_open():
    plt = pytest.importorskip("matplotlib.pyplot")
    bars(SECONDS, "A sync", "seconds")
    assert plt.get_fignums() == []


RULES = "*nat\n-A PREROUTING -d 10.0.0.9 -p tcp -j DNAT --to-destination 192.0.2.7:80\nCOMMIT\n"


def test_a_way_says_where_its_destination_is_exchanged():
    net = {"eth0": "10.0.0.1/24", "eth1": "192.0.2.1/24"}
    host = Host(parse(RULES), addresses=net)
    way = passed(host.receive(tcp("10.0.0.5:4000", "10.0.0.9:80"), "eth0"))
    assert way == {"PREROUTING": "exchanged", "FORWARD": "", "POSTROUTING": ""}
    figure = passage("Ways", ["XDP", "PREROUTING", "FORWARD", "POSTROUTING"], {"by DNAT": way})
    assert figure.text == (
        "Ways\nby DNAT: PREROUTING (exchanged) → FORWARD → POSTROUTING; not seen by: XDP"
    )
    assert figure.html.count('class="nf-none"') == 1
