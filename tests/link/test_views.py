"""A frame's way is told and drawn: the bridge's and ARP's chains have lanes of their own."""

from __future__ import annotations

import pytest

from nb_lib import draw, parse
from nb_lib.frame import arp
from nb_lib.net import BRIDGE
from tests.engine.test_bridge import A, bridge, situations


@pytest.mark.parametrize("number", range(8))
def test_every_situation_is_told_and_drawn(number) -> None:
    _, port, frame, _ = situations(1)[number]
    host = bridge(1)
    trace = host.receive(frame, port) if port else host.send(frame)
    html = draw(trace)._repr_mimebundle_()["text/html"]
    assert "bridge filter" in str(trace)
    assert "bridge filter" in html
    assert len(trace.table()) > 3


def test_an_arp_message_meets_three_layers() -> None:
    text = str(bridge(1).receive(arp("10.3.0.10", "10.3.0.1", mac_src=A), "p0"))
    for said in ("bridge PREROUTING", "Bridging: to p1", "It leaves the bridge by p1.", "arp INPUT",
                 "The host answers by the host's own stack: arp Reply 10.3.0.1 → 10.3.0.10.",
                 "arp OUTPUT", "It leaves the bridge by p0."):  # fmt: skip
        assert said in text


def test_the_map_of_a_bridges_ruleset_shows_its_hooks() -> None:
    ruleset = parse("*filter\n-A FORWARD -j DROP\n*nat\n-A PREROUTING -j ACCEPT\n", family=BRIDGE)
    assert repr(ruleset) == "<Ruleset bridge nft: filter, nat>"
    html = draw(ruleset)._repr_mimebundle_()["text/html"]
    assert "Where the rules of this bridge ruleset hang" in html
    assert "conntrack" not in html
