"""To whom a host answers by ARP for its addresses, as Linux 6.18 did between two namespaces.

The host has 192.168.99.10/24 on the device by which the requests came, and 203.0.113.50/32 on another.
"""

from __future__ import annotations

import pytest

from nb_lib.engine import Host
from nb_lib.frame import arp

ASKER, OWN = "02:00:00:00:0a:00", "02:00:00:00:0c:00"
HERE, THERE = "192.168.99.10", "203.0.113.50"
WHO = {"192.168.99.200": "near", "10.9.9.9": "far", "0.0.0.0": "nobody"}
ADDRESSES = {"eth0": [f"{HERE}/24"], "eth1": [f"{THERE}/32"]}
ALL = {(address, who) for address in (HERE, THERE) for who in WHO.values()}


def answered(**setting: int) -> set[tuple[str, str]]:
    """Return for which address the host answers to whom."""
    host = Host(addresses=ADDRESSES, routes={"default": "eth0 via 192.168.99.1"},
                neighbours=dict.fromkeys((HERE, THERE), OWN)).with_sysctls(**setting)  # fmt: skip
    return {
        (address, who)
        for address in (HERE, THERE)
        for asker, who in WHO.items()
        if host.receive(arp(asker, address, mac_src=ASKER), "eth0").replies
    }


@pytest.mark.parametrize(("mode", "expected"), [
    (0, ALL),
    (1, {(HERE, who) for who in WHO.values()}),
    (2, {(HERE, "near"), (HERE, "nobody")}),
    (8, set()),
])  # fmt: skip
def test_answers(mode, expected):
    assert answered(net__ipv4__conf__all__arp_ignore=mode) == expected


def test_the_larger_setting_holds():
    assert answered(net__ipv4__conf__eth0__arp_ignore=1) == {(HERE, who) for who in WHO.values()}
    assert answered(net__ipv4__conf__eth1__arp_ignore=8) == ALL
