"""A dump without addresses: what is assumed is said, and enough is assumed to go on."""

from __future__ import annotations

from typing import Any

import pytest

from nb_lib.engine import Host
from nb_lib.packet import icmp, tcp
from nb_lib.text import parse
from tests.recordings import dumps

DOCKER = """\
*nat
-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
*filter
-A FORWARD -o docker0 -j ACCEPT
COMMIT
"""


def host(text: str, **facts: Any) -> Host:
    return Host(parse(text), **facts)


def test_a_network_lies_behind_the_device_that_a_rule_names() -> None:
    trace = host(DOCKER).receive(tcp("192.0.2.7:40000", "198.51.100.1:8080"), "eth0")
    assert str(trace.fate) == "forward docker0", trace
    why = "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
    assert trace.assumed == (
        f"172.17.0.0/16 lies behind docker0, where the host is 172.17.0.1 ({why})",
        "192.0.2.7 lies behind eth0 (the packet came by it)",
        "everything else lies behind eth0",
        "198.51.100.1 is the host's address on eth0 (nothing says where else it lies)",
    )


def test_the_way_out_of_a_container_is_masqueraded() -> None:
    trace = host(DOCKER).receive(tcp("172.17.0.2:40000", "198.51.100.1:443"), "docker0")
    assert trace.fate.kind == "forward", trace
    assert trace.assumed


def test_the_hosts_own_packet_starts_from_its_own_address() -> None:
    trace = host("*filter\n-A OUTPUT -j ACCEPT\nCOMMIT\n").send(
        tcp("192.0.2.7:40000", "198.51.100.1:443")
    )
    assert str(trace.fate) == "forward eth0", trace
    assert trace.assumed == (
        "192.0.2.7 is the host's address on eth0 (the packet starts there)",
        "everything else lies behind eth0",
    )


@pytest.mark.parametrize(("facts", "assumed"), [
    ({"addresses": {"eth0": ["192.0.2.1/24"]}, "routes": {"default": "eth0"}}, False),
    ({"addresses": {"eth0": ["192.0.2.1/24"]}}, False),
    ({}, True),
])  # fmt: skip
def test_a_host_that_was_told_its_addresses_assumes_nothing(
    facts: dict[str, Any], assumed: bool
) -> None:
    trace = host("*filter\n-A INPUT -j ACCEPT\nCOMMIT\n", **facts).receive(
        tcp("192.0.2.7:1", "192.0.2.1:80"), "eth0"
    )
    assert bool(trace.assumed) is assumed


def test_each_packet_has_proposals_of_its_own() -> None:
    machine = host("*filter\n-A INPUT -j ACCEPT\nCOMMIT\n")
    first, second = (
        machine.receive(tcp(f"{a}:1", "198.51.100.1:80"), "eth0")
        for a in ("192.0.2.7", "192.0.2.8")
    )
    assert "192.0.2.7 lies behind eth0 (the packet came by it)" in first.assumed
    assert "192.0.2.8 lies behind eth0 (the packet came by it)" in second.assumed


def test_proposals_come_for_ipv6_too() -> None:
    machine = Host(parse("*filter\n-A INPUT -j ACCEPT\nCOMMIT\n", family=6))
    trace = machine.receive(icmp("2001:db8::7", "2001:db8::1"), "eth0")
    assert trace.fate.kind in ("local", "forward"), trace
    assert all("2001:db8::" in line or "everything else" in line for line in trace.assumed)


@pytest.mark.parametrize("name", [n for n in dumps() if n.startswith("dumps/") and ".ip6" not in n])
def test_a_packet_goes_through_every_recorded_dump_as_it_is_pasted(name: str) -> None:
    machine = host(dumps()[name])
    for trace in (
        machine.receive(tcp("203.0.113.7:40000", "198.51.100.1:80"), "eth0"),
        machine.send(tcp("198.51.100.1:40000", "203.0.113.7:443")),
    ):
        assert trace.assumed, trace
        assert trace.fate.kind in ("forward", "local", "drop", "reject", "undecided"), trace
