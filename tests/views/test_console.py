"""What stands behind a terminal on a page: messages, the table beside it, what is stored."""

from __future__ import annotations

import json

import pytest

from nb_lib import Host, NbError, parse, terminal
from nb_lib.cli.terminal import Terminal
from nb_lib.rules import Ruleset
from nb_lib.views.console import LONGEST, Console
from tests.views.samples import host

DUMP = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:WEB - [0:0]
-A INPUT -j WEB
COMMIT
"""


@pytest.fixture
def console():
    return terminal(parse(DUMP)).console


def ask(console, **message):
    answer = console.answer(message)
    return json.loads(json.dumps(answer))


def lit(figure):
    """Return how many rules and how many cards are lit."""
    rows = figure.count('"nf-row nf-changed"')
    return rows, figure.count(' nf-changed"') - rows


def test_a_line_is_typed_and_its_table_is_drawn(console):
    answer = ask(console, do="type", text="iptables -A WEB -p udp -j DROP\niptables -N more\n")
    assert len(answer["entries"]) == 2
    assert "filter WEB rule 1 added: " in answer["entries"][0]
    assert lit(answer["figure"]) == (1, 2)
    assert (answer["place"], answer["undo"], answer["said"]) == ("4 nft filter", True, "")
    assert ask(console, do="type", text="iptables -S")["figure"].count("nf-changed") == 0


def test_what_is_lit_is_where_it_stands_at_the_end(console):
    answer = ask(
        console, do="type", text="iptables -I WEB -p 1 -j DROP; iptables -I WEB -p 2 -j DROP\n"
    )
    assert lit(answer["figure"]) == (2, 1)
    undone = ask(console, do="undo")
    assert (undone["said"], undone["undo"], lit(undone["figure"])) == ("Undone.", False, (0, 1))
    assert ask(console, do="undo")["said"] == "There is nothing to undo."


def test_the_table_follows_what_was_changed(console):
    assert ask(console, do="type", text="iptables -t nat -N a")["place"] == "4 nft nat"
    answer = ask(console, do="type", text="ip6tables-legacy -t raw -P OUTPUT DROP")
    assert answer["place"] == "6 legacy raw"
    assert ["6 legacy raw", "raw IPv6 legacy"] in answer["places"]
    both = ask(console, do="type", text="iptables -N b; ip6tables-legacy -t raw -N b")
    assert both["place"] == "6 legacy raw", "what is shown has changed too"
    assert ask(console, do="show", place="4 nft mangle")["place"] == "4 nft mangle"
    assert "The chains of table mangle" in console.figure().html


def test_a_table_that_is_not_there_is_an_empty_one():
    console = Console(Terminal())
    assert console.figure().text.startswith("Table filter: 3 chains")
    assert [name for name, _ in console.places()] == [
        f"4 nft {table}" for table in ("raw", "mangle", "nat", "filter", "security")
    ]


def test_words_are_completed(console):
    answer = ask(console, do="complete", text="iptables -A W rest", cursor=13)
    assert answer == {"words": [["WEB", ""]]}


def test_a_dump_is_given_and_taken(console):
    dump = ask(console, do="dump")["dump"]
    assert "[0:0] -A INPUT -j WEB\n" in dump
    other = Console(Terminal())
    assert len(ask(other, do="load", text=dump)["entries"]) == 1
    assert ask(other, do="dump")["dump"] == dump
    assert "status 1" in ask(other, do="load", text="no dump")["entries"][0]


def test_a_late_page_is_told_everything(console):
    ask(console, do="type", text="# first\niptables -S\n")
    answer = ask(console, do="start")
    assert answer["lines"] == ["# first", "iptables -S"]
    assert len(answer["entries"]) == 2


@pytest.mark.parametrize("message", [
    {}, {"do": "nothing"}, {"do": "type"}, {"do": "type", "text": 7}, {"do": "show", "place": "4 nft"},
    {"do": "show", "place": "9 nft filter"}, {"do": "complete", "text": "a"},
])  # fmt: skip
def test_a_message_that_is_none_is_said(console, message):
    assert ask(console, **message)["said"] == "That was not understood."


def test_a_message_may_be_too_long(console):
    answer = ask(console, do="type", text="#" * (LONGEST + 1))
    assert "longer than" in answer["said"]
    assert answer["entries"] == []


def test_a_long_list_of_changes_is_cut(console):
    answer = ask(console, do="type", text="; ".join("iptables -A WEB -j LOG" for _ in range(30)))
    [entry] = answer["entries"]
    assert entry.count("<li>") == 9
    assert "and 22 more" in entry


# --- terminal() ---


@pytest.fixture
def stored(monkeypatch):
    for name in ("NB_LIB_LIVE", "JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("stored")
def test_a_stored_notebook_holds_the_session():
    session = "iptables -A INPUT -s 10.0.0.0/8 -j DROP\niptables-save\n"
    bundle = terminal(parse(DUMP), session)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"].startswith(
        "$ iptables -A INPUT -s 10.0.0.0/8 -j DROP\n$ iptables-save\n"
    )
    assert "on Thu Jan  1 00:00:00 1970" in bundle["text/plain"]
    assert 'class="nf-session"' in bundle["text/html"]
    assert "<figure" in bundle["text/html"]
    assert terminal(parse(DUMP), session)._repr_mimebundle_() == bundle


def test_a_live_notebook_gets_the_widget_as_well(monkeypatch):
    pytest.importorskip("anywidget")
    monkeypatch.setenv("NB_LIB_LIVE", "1")
    bundle, _ = terminal(parse(DUMP))._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("Table filter")


def test_the_widget_answers_with_the_number_of_the_question(monkeypatch):
    pytest.importorskip("anywidget")
    shown = terminal(parse(DUMP))
    sent = []
    monkeypatch.setattr(shown.widget, "send", sent.append)
    shown.widget._heard(shown.widget, {"id": 7, "do": "type", "text": "-N b"}, [])  # noqa: SLF001 - what the page calls
    assert sent[0]["id"] == 7
    assert len(sent[0]["entries"]) == 1
    assert "b" in shown.ruleset["filter"]


def test_a_host_stays_as_it_is_and_the_terminal_has_what_became_of_it():
    router = host()
    assert isinstance(router, Host)
    before = router.ruleset
    shown = terminal(router, "iptables -t nat -F KUBE-SERVICES", table="nat")
    assert isinstance(shown.ruleset, Ruleset)
    assert len(shown.ruleset["nat"]["KUBE-SERVICES"].rules) == 0
    assert router.ruleset is before
    assert len(before["nat"]["KUBE-SERVICES"].rules) > 0


def test_a_table_must_be_one():
    with pytest.raises(NbError, match="no table 'fitler'"):
        terminal(table="fitler")
