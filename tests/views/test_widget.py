"""The live diagram: a widget where somebody sits, a plain figure where it is stored."""

from __future__ import annotations

import time

import pytest

from nb_lib import draw, icmp, tcp
from nb_lib.widget import is_live, live
from tests.views.samples import FROM_OUTSIDE, explored, host, small

pytest.importorskip("anywidget")


@pytest.fixture
def stored(monkeypatch):
    for name in ("NB_LIB_LIVE", "JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sitting(monkeypatch):
    monkeypatch.delenv("NB_LIB_LIVE", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook.ipynb")


@pytest.mark.usefixtures("stored")
def test_a_stored_notebook_holds_a_plain_figure():
    bundle = live(host(), FROM_OUTSIDE, "eth1")._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/html"] == draw(explored()[0]).html
    assert not is_live()


@pytest.mark.usefixtures("sitting")
def test_a_live_notebook_gets_the_widget_as_well():
    bundle, _ = live(host(), FROM_OUTSIDE, "eth1")._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("A packet arrives on eth1")


def test_an_edit_is_answered_in_time():
    widget = live(host(), FROM_OUTSIDE, "eth1").widget
    before = widget.html
    start = time.perf_counter()
    widget.fields = {**widget.fields, "dst": "172.17.45.122:80", "asked": 1}
    assert time.perf_counter() - start < 0.1
    assert widget.html != before
    assert (widget.answered, widget.error) == (1, "")


def test_a_wrong_packet_is_said_and_the_picture_stays():
    widget = live(host(), FROM_OUTSIDE, "eth1").widget
    before = widget.html
    widget.fields = {**widget.fields, "dst": "nowhere:1", "asked": 2}
    assert widget.html == before
    assert "'nowhere:1' is no ADDRESS[:PORT]" in widget.error
    widget.fields = {**widget.fields, "dst": "4.3.2.1:81", "asked": 3}
    assert widget.error == ""


def test_switches_reach_the_function():
    open_, closed = small(), small(policy="DROP")

    def ask(packet, interface, strict, side):
        assert interface == ""
        return (closed if strict else open_).receive(packet, side)

    shown = live(ask, tcp("192.168.0.9:1", "10.1.1.1:2"), strict=False, side=("eth0", "eth1"))
    assert "out of eth1" in shown.figure().html
    assert "dropped by the policy" in shown.figure({"strict": True}).html
    assert shown.switches == {"strict": False, "side": ["eth0", "eth1"]}


def test_ping_has_no_ports():
    shown = live(small(), icmp("192.168.0.9", "10.1.1.1"), "eth0")
    assert shown.fields["proto"] == "icmp"
    assert "icmp 192.168.0.9 → 10.1.1.1" in shown.figure({"dst": "10.1.1.1:80"}).text


def test_the_module_is_the_script_of_the_static_pages():
    script = live(host(), FROM_OUTSIDE, "eth1").widget._esm  # noqa: SLF001 - the module that the page gets
    assert "globalThis" in str(script)
    assert "export default { render }" in str(script)
