"""A host with rules of iptables-legacy and of iptables-nft; what the live kernel does is in tests/kernel."""

from __future__ import annotations

import pytest

from nb_lib import Host, draw, parse, tcp
from nb_lib.errors import HostError

NET = {"addresses": {"eth0": "192.0.2.10/24"}, "routes": {"default": "eth0"}}


def rules(port: int, verdict: str, backend: str):
    text = f"""*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j {verdict}\nCOMMIT
*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports {port}\nCOMMIT\n"""
    return parse(text, backend=backend)


LEGACY, NFT = rules(1111, "DROP", "legacy"), rules(2222, "ACCEPT", "nft")


@pytest.mark.parametrize(("order", "port", "first"), [
    ([LEGACY, NFT], 2222, "ip filter"), ([NFT, LEGACY], 1111, "filter"),
])  # fmt: skip
def test_the_later_is_met_first(order, port: int, first: str) -> None:
    host = Host(order, **NET)
    ssh = host.receive(tcp("198.51.100.1:1", "192.0.2.10:22"), "eth0")
    assert str(ssh.fate) == "drop filter:INPUT:1"
    assert next(step[0] for step in ssh.steps if step[1] == "INPUT") == first
    web = host.receive(tcp("198.51.100.1:2", "192.0.2.10:80"), "eth0")
    assert web.packet.dport == port
    assert "ip nat" in str(ssh)
    assert draw(ssh).html


def test_two_of_one_program_are_too_many() -> None:
    with pytest.raises(HostError, match="two rulesets of one family"):
        Host([NFT, rules(1, "DROP", "nft")])
