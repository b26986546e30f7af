"""A host among its networks, as a picture and in words."""

from __future__ import annotations

import pytest

from nb_lib import Host, load
from nb_lib.views import wires
from tests.views.samples import DATA, HOSTILE


def test_each_device_has_its_addresses_and_what_is_behind() -> None:
    drawn = wires(load(DATA / "router"), "The router", {"ppp0": "the world", "guest0": "guests"})
    far = "the world; 192.0.2.0/30; 2001:db8::/64; default via 192.0.2.1; default via 2001:db8::1"
    assert drawn.text.splitlines() == [
        "The router",
        f"  ppp0 192.0.2.2, 2001:db8::2: {far}",
        "  guest0 192.168.20.1, 2001:db8:2::1: guests; 192.168.20.0/24; 2001:db8:2::/64",
        "  lan0 192.168.1.1, 2001:db8:1::1: 192.168.1.0/24; 2001:db8:1::/64",
    ]
    for word in ("ppp0", "2001:db8:2::1", "the world", "default via 192.0.2.1"):
        assert f">{word}<" in drawn.html


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_never_becomes_markup(name: str) -> None:
    host = Host(addresses={"eth0": "192.0.2.1/24"})
    plain = wires(host, "X", {"eth0": "Y"}).html
    assert wires(host, name, {"eth0": name}).html.count("<") == plain.count("<")
