"""Comparisons of machines as words, tables and pictures: the same that was computed, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from nb_lib import Packet, draw, live, tcp
from nb_lib.errors import ObjectError
from nb_lib.kubeproxy import Question, compare
from nb_lib.kubeproxy.compared import Comparison
from nb_lib.views.compared import comparison_sheet, sizes_sheet
from nb_lib.views.machines import aligned, columns_of
from tests.views.samples import DATA, HOSTILE

MODES = (("userspace", "1.21"), ("iptables", "1.30"), ("ipvs", "1.30"), ("nftables", "1.30"))
NGINX = DATA / "kube-proxy/nginx-3-endpoints"


@cache
def four() -> Comparison:
    return compare(NGINX, among=MODES)


def test_what_differs_is_marked_in_the_table() -> None:
    comparison, sheet = four(), comparison_sheet(four())
    for at, row in enumerate(sheet.rows):
        unlike = {str(machine) for machine in comparison.unlike(at)}
        told = {
            name for name, cell in zip(sheet.columns, row, strict=True) if cell.startswith("≠ ")
        }
        marked = {sheet.columns[column] for line, column in sheet.marked if line == at}
        assert told == marked == unlike, row[0]
    assert 4 < len(sheet.marked) < 24
    assert sheet.html().count('class="nf-told nf-marked"') + sheet.html().count(
        'class="nf-marked"'
    ) == len(sheet.marked)


def test_only_what_differs() -> None:
    differing = four().differing
    assert len(differing.questions) == sum(
        bool(four().unlike(at)) for at in range(len(four().questions))
    )
    assert all(
        any(cell.startswith("≠ ") for cell in row[1:]) for row in comparison_sheet(differing).rows
    )


def test_the_words_of_an_answer() -> None:
    rows = {row[0]: row[1:] for row in comparison_sheet(four()).rows}
    assert rows["endpoint → its own Service"] == (
        "≠ 3 endpoints, 1/3 each, in turn\nsees the node",
        "3 endpoints, 1/3 each, by chance\nsees the node 1/3, the client 2/3",
        "3 endpoints, 1/3 each, in turn\nsees the node 1/3, the client 2/3",
        "3 endpoints, 1/3 each, by chance\nsees the node 1/3, the client 2/3",
    )
    assert rows["pod pings the ClusterIP"] == (
        "goes on as it came, by eth1",
        "goes on as it came, by eth1",
        "≠ refused by filter:KUBE-IPVS-FILTER:6",
        "≠ refused by ip kube-proxy:cluster-ips-check:1",
    )
    assert rows["pod → ClusterIP, again after a minute"][1:3] == (
        "3 endpoints, 1/3 each, by chance\nsees the client\nthe same endpoint again: 1/3",
        "≠ 3 endpoints, 1/3 each, in turn\nsees the client\nthe same endpoint again: never",
    )


def test_the_text_puts_together_who_answers_alike() -> None:
    text = str(four())
    assert text.startswith("The same calls; ≠ is not as in iptables 1.30\n")
    block = next(one for one in text.split("\n\n") if one.startswith("pod pings the ClusterIP"))
    assert "    goes on as it came, by eth1\n        userspace 1.21, iptables 1.30\n" in block


def test_sizes() -> None:
    rows = {row[0]: row[1:] for row in sizes_sheet(four().sizes).rows}
    assert rows["rules"] == ("17 (5)", "44 (23)", "35 (26)", "36 (22)")
    assert rows["virtual servers"] == ("–", "–", "7 (0)", "–")
    assert rows["kube-proxy's sockets"] == ("2 (0)", "–", "–", "–")
    assert "17 (5)" in str(four().sizes)
    frame = four().sizes.table()
    assert frame.loc["nftables 1.30", True]["rules"] == 36
    assert frame.loc["nftables 1.30", False]["rules"] == 22


def test_the_frame_has_a_row_for_each_end() -> None:
    frame, comparison = four().table(), four()
    ends = sum(len(answer.ends) for row in comparison.rows for answer in row.answers)
    assert len(frame) == ends
    chances = frame.groupby(["question", "machine"])["chance"].sum()
    assert set(chances) == {1}


# ── The picture ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("question", [q.text for q in compare(NGINX, among=MODES[1:2]).questions])
def test_the_ways_of_all_machines_stand_in_shared_columns(question: str) -> None:
    ways = [columns_of(answer) for answer in four().ask(question)]
    hooks, places = aligned(ways)
    for way, place in zip(ways, places, strict=True):
        assert [hooks[at] for at in place] == [hook for hook, _ in way]
        assert list(place) == sorted(set(place))


def test_a_picture_says_what_each_machine_does() -> None:
    figure = draw(four(), question="pod → ClusterIP")
    svg = figure.html[figure.html.index("<svg") : figure.html.index("</svg>")]
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for mode, version in MODES:
        assert texts.count(mode) == 1
        assert version in texts
    assert "socket 40002, and a call" in texts
    assert texts.count("dst → 10.244.1.10:80") == 2  # iptables and nftables mode
    assert figure.html.count("<li data-s=") == len(MODES)
    told = figure.text.splitlines()
    assert told[2].startswith(
        "  iptables 1.30: PREROUTING (nat · 7 rules: drawn: 1/3, dst → 10.244.1.10:80)"
    )


def test_a_refusal_is_drawn_where_it_happens() -> None:
    text = draw(four(), question="pod pings the ClusterIP").text
    assert "INPUT (filter · 7 rules: REJECT KUBE-IPVS-FILTER). In the end: refused by" in text


def test_some_machines_of_a_comparison() -> None:
    figure = draw(four(), question="pod → ClusterIP", among=MODES[1:3])
    assert "userspace" not in figure.html
    assert draw(four()).html == draw(four(), question="pod → ClusterIP").html
    with pytest.raises(ObjectError, match="was not asked"):
        draw(four(), question="nobody → nothing")
    with pytest.raises(ObjectError, match="was not compared"):
        draw(four(), question="pod → ClusterIP", among=[("ipvs", "1.21")])


def test_a_comparison_may_be_asked_live() -> None:
    def ask(packet: Packet, interface: str, policy: str) -> Comparison:
        text = (NGINX / "objects.yaml").read_text()
        text = text.replace("externalTrafficPolicy: Cluster", f"externalTrafficPolicy: {policy}")
        return compare(text, [Question("your call", packet, interface)], MODES)

    there = live(
        ask, tcp("10.20.0.200:40000", "192.168.99.10:30935"), "eth1", policy=["Cluster", "Local"]
    )
    assert "3 endpoints, 1/3 each, by chance" in there.figure().text
    assert there.figure({"policy": "Local"}).text.count("10.244.1.10:80; sees the client") == 3
    assert "172.17.45.122:80" in there.figure({"dst": "172.17.45.122:80"}).text


def test_the_same_bytes_each_time() -> None:
    again = compare(NGINX, among=MODES)
    for question in ("outside → nodePort", "node → ClusterIP"):
        assert draw(again, question=question).html == draw(four(), question=question).html
    assert comparison_sheet(again).html() == comparison_sheet(four()).html()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_stays_text(text: str) -> None:
    question = Question(text, tcp("10.244.1.200:1", "172.17.45.122:80"), "veth0")
    plain = compare(NGINX, [replace_text(question)], MODES)
    hostile = compare(NGINX, [question], MODES)
    for make in (
        lambda c: draw(c, question=c.questions[0].text).html,
        lambda c: comparison_sheet(c).html(),
    ):
        tags = []
        for comparison in (plain, hostile):
            parser = _Tags()
            parser.feed(make(comparison))
            tags.append(parser.names)
        assert tags[0] == tags[1]


def replace_text(question: Question) -> Question:
    return question._replace(text="plain")


def test_where_an_answer_names_a_rule_its_words_are_escaped() -> None:
    row = four().rows[1]
    (end, *_), (answer, *_) = row.answers[0].ends, row.answers
    bad = replace(answer, ends=(end._replace(kind="silence", where="<script>"),))
    comparison = replace(
        four(), rows=(replace(row, answers=(bad, *row.answers[1:])),), than=row.machine
    )
    assert "<script>no" not in comparison_sheet(comparison).html()
    assert "&lt;script&gt;" in comparison_sheet(comparison).html()
    assert "&lt;script&gt;" in draw(comparison, question="pod → ClusterIP").html
