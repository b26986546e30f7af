"""What a client sees: the words of a call, each by a host that makes it so."""

from __future__ import annotations

import pytest

from nb_lib import Host, parse, tcp, udp
from nb_lib.engine.client import call

NETS = {"eth0": "192.0.2.1/24", "eth1": "10.0.0.1/24"}
DNAT = "-A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.80"
TURN = "-A POSTROUTING -s 10.0.0.0/24 -d 10.0.0.80 -j MASQUERADE"


def host(table: str, *rules: str, **facts: object) -> Host:
    text = "\n".join([f"*{table}", *rules, "COMMIT", ""])
    return Host(parse(text), addresses=NETS, routes={"default": "eth0"}, facts=facts)


WORLD, INSIDE = tcp("198.51.100.7:4000", "192.0.2.1:80"), tcp("10.0.0.5:4000", "192.0.2.1:80")
OWN = tcp("192.0.2.1:4000", "198.51.100.7:80")
OUTWARD = tcp("10.0.0.5:4000", "198.51.100.7:80")


@pytest.mark.parametrize(
    ("machine", "packet", "device", "seen"),
    [
        (host("nat"), WORLD, "eth0", "connected"),  # nobody said what listens: somebody does
        (host("nat", listening=("tcp:80",)), WORLD, "eth0", "connected"),
        (host("nat", listening=("tcp:22",)), WORLD, "eth0", "refused"),  # the stack's RST
        (host("filter", "-A INPUT -j DROP"), WORLD, "eth0", "timeout"),
        (host("filter", "-A INPUT -j REJECT"), WORLD, "eth0", "refused"),
        (host("filter", "-A INPUT -p tcp -j REJECT --reject-with tcp-reset"), WORLD, "eth0", "refused"),
        (host("filter", "-A OUTPUT -j DROP", listening=("tcp:80",)), WORLD, "eth0", "timeout"),
        (host("filter", "-A INPUT -j REJECT", "-A OUTPUT -p icmp -j DROP"), WORLD, "eth0", "timeout"),
        (host("filter", "-A OUTPUT -j DROP"), WORLD, "eth0", "timeout"),  # there, and no answer
        (host("nat", DNAT), WORLD, "eth0", "connected"),
        (host("nat", DNAT), INSIDE, "eth1", "wrong address"),
        (host("nat", DNAT, TURN), INSIDE, "eth1", "connected"),
        (host("filter", "-A FORWARD -i eth0 -j DROP"), OUTWARD, "eth1", "timeout"),
        (host("filter", "-A FORWARD -i eth0 -m state --state NEW -j DROP"), OUTWARD, "eth1", "connected"),
        (host("filter"), udp("10.0.0.5:1", "198.51.100.7:53"), "eth1", "connected"),
        (host("filter", "-A OUTPUT -p tcp -j REJECT"), OWN, "", "refused"),
        (host("filter"), OWN, "", "connected"),
        (host("filter"), tcp("10.0.0.5:1", "10.0.0.6:2"), "eth1", "connected"),  # by one device
    ],
)  # fmt: skip
def test_what_a_client_sees(machine: Host, packet, device: str, seen: str) -> None:
    answer = call(machine, packet, device)
    assert str(answer) == answer.seen == seen, answer.there
