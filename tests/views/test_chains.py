"""Chain diagrams: columns, folding, chance, states, narrowing."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nb_lib import draw, parse, tcp
from nb_lib.views.chains import LONG, MANY, model
from nb_lib.views.layout import place
from nb_lib.views.states import States, states
from nb_lib.views.story import steps
from nb_lib.views.words import brief, clauses, service, shape, short
from tests.views.samples import host, nginx, small


def kube(count: int, endpoints: int = 3):
    """Return the nat table of a node with ``count`` Services."""
    lines, chains = [], [":KUBE-MARK-MASQ", ":KUBE-SERVICES"]
    for n in range(count):
        name, chain = f"ns/web-{n:04}:http", f"KUBE-SVC-{n:016}"
        told = f'-m comment --comment "{name} cluster IP"'
        aim = f"-d 10.96.{n // 256}.{n % 256}/32 -p tcp"
        lines += [
            f"KUBE-SERVICES ! -s 10.244.0.0/16 {aim} {told} -m tcp --dport 80 -j KUBE-MARK-MASQ",
            f"KUBE-SERVICES {aim} {told} -m tcp --dport 80 -j {chain}",
        ]
        chains.append(f":{chain}")
        for e in range(endpoints):
            sep = f"KUBE-SEP-{n * endpoints + e:016}"
            chains.append(f":{sep}")
            odds = f"-m statistic --mode random --probability {1 / (endpoints - e):.11f} "
            lines += [
                f"{chain} {odds * (e < endpoints - 1)}-j {sep}",
                f"{sep} -s 10.244.{e}.{n % 256}/32 -j KUBE-MARK-MASQ",
                f"{sep} -p tcp -m tcp -j DNAT --to-destination 10.244.{e}.{n % 256}:8080",
            ]
    text = ["*nat", ":PREROUTING ACCEPT [0:0]", *(f"{c} - [0:0]" for c in chains),
            "-A PREROUTING -j KUBE-SERVICES", "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
            *(f"-A {line}" for line in lines), "COMMIT\n"]  # fmt: skip
    return parse("\n".join(text))["nat"]


def cards(table, trace=None, only=""):
    story = steps(trace) if trace else ()
    return model(table, states(story, table.name), only).cards


def nat():
    return host().ruleset["nat"]


def test_a_chain_stands_one_column_behind_its_caller():
    found = {card.title: card.layer for card in cards(nat())}
    assert found["PREROUTING"] == 0
    assert found["KUBE-SERVICES"] == 1
    assert found["KUBE-SVC-2CMX…"] == found["KUBE-SVC-NPX4…"] == found["KUBE-NODEPORTS"] == 2
    assert found["3 × KUBE-SEP-…"] == 3


def test_endpoints_fold_into_one_card_in_the_order_of_their_calls():
    card = next(c for c in cards(nat()) if c.members)
    assert card.strong == "default/nginx"
    assert [row.text[0] for row in card.rows] == [
        "-s ‹…› -j KUBE-MARK-MASQ",
        "-p tcp -j DNAT --to-destination ‹…›",
        "WANU… 10.244.1.10:80",
        "DJUN… 10.244.2.11:80",
        "TH7K… 10.244.3.12:80",
    ]


def test_one_endpoint_is_a_card_of_its_own():
    found = cards(host("kube-proxy/nginx-1-endpoint/1.21.1").ruleset["nat"])
    assert not any(card.members for card in found)


@pytest.mark.parametrize("endpoints", [1, 2, 3, 7])
def test_chance_is_exact(endpoints):
    found = next(c for c in cards(kube(1, endpoints)) if shape(c.key) == "KUBE-SVC-")
    chances = [row.chance for row in found.rows]
    assert chances == ([Fraction(1, endpoints)] * endpoints if endpoints > 1 else [None])


def test_what_everybody_calls_and_nobody_calls_has_no_edges():
    aside = {card.title for card in cards(nat()) if card.aside}
    assert aside == {"KUBE-MARK-MASQ", "KUBE-PROXY-CANARY"}


def test_rules_of_one_service_fold_in_a_long_chain():
    table = kube(20)
    assert len(table["KUBE-SERVICES"].rules) > LONG
    card = next(c for c in cards(table) if c.key == "KUBE-SERVICES")
    assert (card.rows[3].label, card.rows[3].strong) == ("7–8", "ns/web-0003:http")
    assert card.rows[3].text == ("10.96.0.3:80",)
    assert len(card.rows) == 20


def test_many_cards_start_closed():
    by_layer = {}
    for card in cards(kube(20)):
        by_layer.setdefault((card.layer, card.aside), set()).add(card.closed)
    assert by_layer[2, False] == by_layer[3, False] == {True}
    assert by_layer[1, False] == {False}


def test_what_a_trace_visited_is_open_and_has_its_states():
    found = {card.title: card for card in cards(nat(), nginx())}
    services = found["KUBE-SERVICES"].rows
    assert [row.state.kind for row in services] == ["missed"] * 4 + ["matched"] * 2 + [
        "unreached"
    ] * 2
    assert services[0].state.why == "destination 4.3.2.1 ≠ 172.17.0.1"
    assert services[0].state.option == "-d"
    assert not found["KUBE-SVC-2CMX…"].closed
    assert found["KUBE-NODEPORTS"].closed
    assert found["2 × KUBE-SEP-…"].closed


def test_an_undecided_rule_says_what_is_missing():
    there = small("INPUT -m bogus --foo 3 -j DROP")
    trace = there.receive(tcp("192.168.0.9:1000", "192.168.0.1:80"), "eth0")
    row = cards(there.ruleset["filter"], trace)[0].rows[0]
    assert row.state.kind == "unsure"
    assert "bogus" in row.state.why
    figure = draw(there.ruleset["filter"], trace).html
    ident = figure.split('id="')[1].split('"')[0]
    assert f'<pattern id="{ident}-h"' in figure
    assert f'fill="url(#{ident}-h)"' in figure


@pytest.mark.parametrize(
    ("only", "titles"),
    [
        ("web-0007", ["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-0000…", "3 × KUBE-SEP-…"]),
        ("10.96.0.7/32", ["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-0000…", "3 × KUBE-SEP-…"]),
        ("10.244.1.7:8080", ["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-0000…", "KUBE-SEP-0000…"]),
    ],
)
def test_only_what_belongs_to_a_service_or_an_address(only, titles):
    found = cards(kube(20), only=only)
    assert sorted(c.title for c in found if not c.aside and c.key != "KUBE-MARK-MASQ") == sorted(
        titles
    )
    rows = next(c for c in found if c.key == "KUBE-SERVICES").rows
    assert rows[-1].text[0].startswith("… 3")


def test_a_huge_table_is_cut_and_says_so():
    found = model(kube(300), States())
    assert len(found.cards) < 4 * MANY
    assert found.left_out > 1000
    assert "more chains are not drawn" in draw(kube(300)).html


def test_cards_do_not_overlap():
    for count in (1, 3, 20):
        spots = list(place(model(kube(count), States())).spots.values())
        for n, one in enumerate(spots):
            for other in spots[n + 1 :]:
                apart = (
                    one.x + one.w <= other.x or other.x + other.w <= one.x
                    or one.y + one.h <= other.y or other.y + other.h <= one.y
                )  # fmt: skip
                assert apart


def test_the_words_of_a_rule():
    rule = nat()["KUBE-SERVICES"].rules[0]
    assert [c.option for c in clauses(rule)] == [
        "-s", "-d", "-p", "-m", "--comment", "-m", "--dport", "-j"
    ]  # fmt: skip
    assert " ".join(c.text for c in brief(rule)) == (
        "! -s 10.244.0.0/16 -d 172.17.0.1/32 -p tcp --dport 443 -j KUBE-MARK-MASQ"
    )
    assert service(rule) == "default/kubernetes:https"


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("KUBE-SVC-2CMXP7HKUVJN7L6M", "KUBE-SVC-2CMX…"),
        ("KUBE-MARK-MASQ", "KUBE-MARK-MASQ"),
        ("CNI-ffc5a0a2c3a5e0a1b2c3d4e5", "CNI-ffc5…"),
        ("DOCKER-USER", "DOCKER-USER"),
    ],
)
def test_a_hash_is_cut(name, cut):
    assert short(name) == cut
