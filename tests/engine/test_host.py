"""A host's facts: read from what ``ip`` and ``ipset`` print, from folders, or given by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nb_lib.engine import Host, load
from nb_lib.engine.load import read_sysctls
from nb_lib.engine.routing import make_route, read_addresses, read_routes
from nb_lib.errors import HostError
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets
from tests.engine.router import C, R, S, T, router

# --- what ip prints ---

ADDR = [
    {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
    {"ifname": "eth0", "addr_info": [
        {"family": "inet", "local": "192.0.2.5", "prefixlen": 24},
        {"family": "inet6", "local": "fd00::5", "prefixlen": 64},
    ]},
    {"ifname": "eth1"},
]  # fmt: skip
ROUTE = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
    {"dst": "10.0.0.0/8", "dev": "eth1", "metric": 100},
    {"dst": "10.0.0.7", "dev": "eth2", "prefsrc": "192.0.2.5"},
    {"type": "blackhole", "dst": "10.9.0.0/16"},
]


def test_addresses_are_read_from_ip() -> None:
    assert [(i.device, str(i.address), str(i.net)) for i in read_addresses(ADDR)] == [
        ("lo", "127.0.0.1", "127.0.0.0/8"),
        ("eth0", "192.0.2.5", "192.0.2.0/24"), ("eth0", "fd00::5", "fd00::/64"),
    ]  # fmt: skip


def test_routes_are_read_from_ip() -> None:
    assert [str(route) for route in read_routes(ROUTE)] == [
        "default via 192.0.2.1 dev eth0", "10.0.0.0/8 dev eth1", "10.0.0.7/32 dev eth2",
        "blackhole 10.9.0.0/16",
    ]  # fmt: skip
    assert str(read_routes([{"dst": "default", "dev": "eth0"}], 6)[0].net) == "::/0"


@pytest.mark.parametrize(("reader", "data", "message"), [
    (read_addresses, {"a": 1}, "this is not the output of `ip -j addr`"),
    (read_addresses, [{"addr_info": [{}]}], "this is not the output of `ip -j addr`"),
    (read_addresses, [{"ifname": "e", "addr_info": [{"local": "x", "prefixlen": 1}]}], "e=x/1: 'x' is"),
    (read_routes, [{}], "this is not the output of `ip -j route`"),
    (read_routes, [{"dst": "x"}], "route x dev : 'x' is not an IPv4 address"),
    (read_routes, [{"dst": "default", "metric": "much"}], "this is not the output of `ip -j route`"),
])  # fmt: skip
def test_what_ip_did_not_print(reader: Any, data: Any, message: str) -> None:
    with pytest.raises(HostError) as caught:
        reader(data)
    assert str(caught.value).startswith(message)


# destination → device, via
LOOKUPS = {
    "10.0.0.7": ("eth2", None), "10.1.2.3": ("eth1", None), "192.0.2.77": ("eth0", None),
    "203.0.113.1": ("eth0", "192.0.2.1"),
}  # fmt: skip


@pytest.mark.parametrize("destination", LOOKUPS)
def test_the_most_specific_route_wins(destination: str) -> None:
    host = Host(addresses=read_addresses(ADDR), routes=read_routes(ROUTE))
    trace = host.send(udp("192.0.2.5", destination, dport=53))
    assert (trace.fate.device, trace.packet.out_iface) == (LOOKUPS[destination][0],) * 2, trace
    entry = host.routing.lookup(trace.packet.dst)
    assert entry is not None
    assert (entry.device, str(entry.via) if entry.via else None) == LOOKUPS[destination]


def test_of_equal_routes_the_lower_metric_wins() -> None:
    routes = (make_route("default", "a", metric=20), make_route("default", "b", metric=10))
    host = Host(addresses={"a": "192.0.2.5/24"}, routes=routes)
    assert host.send(udp("192.0.2.5", "203.0.113.1", dport=53)).fate.device == "b"


def test_settings_are_read_from_sysctl() -> None:
    text = "net.ipv4.ip_forward = 1\nnet.ipv4.tcp_rmem = 4096\t87380\nnonsense\n\nkernel.core_pattern = |x=y"
    assert read_sysctls(text) == {
        "net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096\t87380", "kernel.core_pattern": "|x=y",
    }  # fmt: skip


# --- sets ---

SETS = """\
create ips hash:ip family inet
add ips 10.1.0.2
create nets hash:net family inet
add nets 10.1.0.0/16
add nets 10.1.0.0/24 nomatch
add nets 10.1.0.2/32
create pairs hash:ip,port family inet
add pairs 10.1.0.1,tcp:80
add pairs 10.1.0.1,udp:53
add pairs 10.1.0.1,icmp:8/0
create ports bitmap:port range 0-1024
add ports 80
create devices hash:net,iface family inet
add devices 10.1.0.0/24,r0
create all list:set
add all ips
create marks hash:ip,mark family inet
add marks 10.1.0.2,0x7
create six hash:ip family inet6
add six fd00::1
"""
WEB, DNS, PING = tcp(C, R, dport=80), udp(C, R, dport=53), icmp(C, R)

# match → packets, and whether it holds
MATCHES: list[tuple[str, Packet, bool]] = [
    ("ips src", WEB, True), ("ips dst", WEB, False), ("ips src", tcp("10.1.0.3", R, dport=80), False),
    ("nets src", WEB, True), ("nets src", tcp("10.1.0.3", R, dport=80), False),
    ("nets src", tcp("10.1.9.3", R, dport=80), True), ("nets src", tcp("10.2.0.3", R, dport=80), False),
    ("pairs dst,dst", WEB, True), ("pairs dst,dst", tcp(C, R, dport=81), False), ("pairs dst,dst", DNS, True),
    ("pairs dst,dst", udp(C, R, dport=80), False), ("pairs dst,dst", PING, True),
    ("pairs src,dst", WEB, False),
    ("ports dst", WEB, True), ("ports src", WEB, False), ("ports dst", PING, False),
    ("devices src,src", WEB, True), ("devices src,dst", WEB, False),
    ("all src", WEB, True), ("all dst", WEB, False),
    ("marks src,src", WEB.change(mark=7), True), ("marks src,src", WEB, False),
    ("six src", WEB, False),
]  # fmt: skip


@pytest.mark.parametrize(("match", "packet", "expected"), MATCHES, ids=str)
def test_a_packet_is_in_a_set_or_not(match: str, packet: Packet, expected: bool) -> None:
    rules = f"*filter\n-A INPUT -m set --match-set {match} -j DROP\n-A INPUT -j ACCEPT\nCOMMIT\n"
    trace = router(rules, ipsets=parse_ipsets(SETS)).receive(packet, "r0")
    assert (trace.fate.kind == "drop") is expected, trace


def test_members_time_out() -> None:
    sets = parse_ipsets("create ips hash:ip timeout 0\nadd ips 10.1.0.2 timeout 60\n", now=1000)
    host = router(
        "*filter\n-A INPUT -m set --match-set ips src -j DROP\nCOMMIT\n", ipsets=sets, now=1000
    )
    assert host.receive(WEB, "r0").fate.kind == "drop"
    host.wait(60)
    assert host.receive(WEB, "r0").fate.kind == "local"


def test_a_rule_adds_members() -> None:
    rules = """\
*filter
-A INPUT -p udp -j SET --add-set ips src
-A INPUT -m set --match-set ips src -j DROP
COMMIT
"""
    host = router(rules, ipsets=parse_ipsets("create ips hash:ip\n"))
    fates = [host.receive(packet, "r0").fate.kind for packet in (WEB, DNS, WEB)]
    assert fates == ["local", "drop", "drop"]


# --- folders ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder, with the dumps of one moment in a folder of their own."""
    rules = "*filter\n-A INPUT -m set --match-set ips src -j DROP\nCOMMIT\n"
    (tmp_path / "ip-addr.json").write_text(json.dumps(ADDR))
    (tmp_path / "ip-route.json").write_text(json.dumps(ROUTE))
    (tmp_path / "ip6-route.json").write_text(json.dumps([{"dst": "default", "dev": "eth0"}]))
    (tmp_path / "sysctl.txt").write_text("net.ipv4.ip_forward = 0\n")
    (tmp_path / "ipset-save.txt").write_text(SETS)
    (tmp_path / "now").mkdir()
    (tmp_path / "now" / "iptables-save.txt").write_text(rules)
    (tmp_path / "now" / "ip6tables-save.txt").write_text(
        "*filter\n-A INPUT -s fd00::1 -j DROP\nCOMMIT\n"
    )
    return tmp_path / "now"


def test_a_folder_holds_a_host(folder: Path) -> None:
    host = load(folder)
    assert set(host.rulesets) == {4, 6}
    assert host.receive(tcp(C, "192.0.2.5", dport=80), "eth0").fate.kind == "drop"
    assert host.receive(tcp("10.1.0.9", "192.0.2.5", dport=80), "eth0").fate.kind == "local"
    assert host.receive(icmp("fd00::1", "fd00::5"), "eth0").fate.kind == "drop"
    assert host.receive(tcp("10.1.0.9", "203.0.113.1", dport=80), "eth0").fate.kind == "lost"
    assert (
        load(folder, sysctls={}).receive(tcp(C, "203.0.113.1", dport=80), "eth1").fate.kind
        == "forward"
    )


def test_a_file_is_a_host_without_facts(folder: Path) -> None:
    host = load(folder / "iptables-save.txt")
    assert host.receive(tcp("192.0.2.1:1", "192.0.2.2:80"), "eth0").assumed


@pytest.mark.parametrize(("name", "text", "message"), [
    ("ip-addr.json", "nonsense", "ip-addr.json: Expecting value"),
    ("ip-addr.json", "{}", ""),
    ("ip-route.json", "[1]", "this is not the output of `ip -j route`"),
])  # fmt: skip
def test_files_that_hold_something_else(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text)
    if not message:
        assert load(folder).receive(tcp(C, R, dport=80), "eth0").assumed
        return
    with pytest.raises(HostError) as caught:
        load(folder)
    assert str(caught.value).startswith(message)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="there is no file or folder"):
        load(tmp_path / "nothing")
    with pytest.raises(HostError, match=r"holds no iptables-save\.txt"):
        load(tmp_path)


# --- given by hand ---


def test_facts_are_given_in_short_forms() -> None:
    host = Host(
        parse("*filter\nCOMMIT\n"),
        addresses={"eth0": "192.0.2.5/24"},
        routes={"default": "eth0 via 192.0.2.1"},
    )
    assert host.send(udp("192.0.2.5", "203.0.113.1", dport=53)).fate.device == "eth0"


def test_settings_can_be_changed_on_a_copy() -> None:
    host = router("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n")
    still = host.with_sysctls(net__ipv4__ip_forward=0)
    packet = udp(C, S, dport=53)
    assert [str(one.receive(packet, "r0").fate) for one in (host, still)] == [
        "forward r1",
        "lost after start",
    ]


def test_a_host_without_rules_routes() -> None:
    host = Host(addresses={"r0": f"{R}/24", "r1": f"{T}/24"})
    trace = host.receive(udp(C, S, dport=53), "r0")
    assert (str(trace.fate), trace.steps, trace.assumed) == ("forward r1", (), ())
