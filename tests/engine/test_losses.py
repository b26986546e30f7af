"""Packets that the kernel drops with no rule to blame: each loss has its reason, and what would change it.

The first half repeats ``recordings/kernel/pitfalls.json``: chains met and packets on the wire.
"""

from __future__ import annotations

from typing import Any

import pytest

from nb_lib.engine.routing import make_route
from nb_lib.packet import Packet, icmp, udp
from nb_lib.trace import Lost, Trace
from tests.engine.router import C, R, S, T, put, recorded, router, visited, wire

ALL = """\
*raw
-A PREROUTING
COMMIT
*mangle
-A PREROUTING
-A FORWARD
-A INPUT
-A POSTROUTING
COMMIT
*nat
-A PREROUTING
{}-A POSTROUTING -d 192.0.2.1 -j MASQUERADE
COMMIT
*filter
-A INPUT
-A FORWARD
COMMIT
"""
DNAT = "-A PREROUTING -p udp --dport 7 -j DNAT --to-destination 127.0.0.1:7\n"


def datagram(a: str, b: str, sport: int = 1, dport: int = 2, **more: Any) -> Packet:
    return udp(a, b, sport=sport, dport=dport, payload=more.pop("payload", b"x"), ident=1, **more)


def setting(name: str, value: int, device: str = "all") -> dict[str, int]:
    return {f"net.ipv4.conf.{device}.{name}": value}


STRANGE, NORMAL = datagram("10.9.9.9", S), datagram(C, S)
LOCALNET = setting("route_localnet", 1)
# What the recorder wrote → rules of nat, settings, packet. It came by c0.
PITFALLS = {
    "rp_filter=0, source 10.9.9.9 arriving on r0": ("", {}, STRANGE),
    "rp_filter=1 (strict), same packet: dropped by routing after PREROUTING, no trace of the drop":
        ("", setting("rp_filter", 1, "r0"), STRANGE),
    "source = 127.0.0.1 from the wire (martian)": ("", {}, datagram("127.0.0.1", S)),
    "destination 127.0.0.1 from the wire, route_localnet=0": ("", {}, datagram(C, "127.0.0.1")),
    "destination 127.0.0.1 from the wire, route_localnet=1": ("", LOCALNET, datagram(C, "127.0.0.1")),
    "DNAT to 127.0.0.1 with route_localnet=0": (DNAT, {}, datagram(C, R, dport=7)),
    "DNAT to 127.0.0.1 with route_localnet=1": (DNAT, LOCALNET, datagram(C, R, dport=7)),
    "source is the router's own address (accept_local=1)": ("", {}, datagram(T, S)),
    "same, accept_local=0": ("", setting("accept_local", 0), datagram(T, S)),
    "no route": ("", {}, datagram(C, "203.0.113.1")),
    "forward out of the incoming interface (to 10.1.0.2 itself)": ("", {}, datagram("10.1.0.77", C)),
    "ip_forward=0: dropped after PREROUTING": ("", {"net.ipv4.ip_forward": 0}, NORMAL),
    "packet larger than the mtu with DF":
        ("", {}, datagram(C, S, payload=b"x" * 1400, dont_fragment=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", PITFALLS)
def test_a_packet_vanishes_where_it_vanished_in_the_kernel(name: str) -> None:
    nat, sysctls, packet = PITFALLS[name]
    facts: dict[str, Any] = {"routes": {}} if name == "no route" else {}
    if "mtu" in name:
        facts["facts"] = {"mtu": 1000}
    trace = put(router(ALL.format(nat), sysctls=sysctls, **facts), "c0", packet)
    chains, wires = recorded("pitfalls")[name]
    met = list(dict.fromkeys(place for place, _ in visited(trace)))
    assert met == [chain for chain in chains if not chain.startswith("ko_guard")], trace
    assert wire(trace) == wires, trace


def lost(trace: Trace) -> tuple[str, str]:
    """Return why a packet was lost, and what would have changed that."""
    events = [event for event in trace.events if isinstance(event, Lost)]
    assert len(events) == 1, trace
    return events[0].reason, events[0].setting


# packet, settings, routes → why it is lost, what would change that, how it ends
LOSSES = {
    "a martian source": (
        datagram("127.0.0.1", S), {}, {},
        "martian source 127.0.0.1: 127/8 does not come by a wire",
        "net.ipv4.conf.r0.route_localnet=1", "lost after PREROUTING",
    ),
    "nobody can send from a group": (
        datagram("224.0.0.9", S), {}, {},
        "martian source 224.0.0.9: nobody can send from it", "", "lost after PREROUTING",
    ),
    "the host's own address from outside": (
        datagram(T, S), setting("accept_local", 0), {},
        "martian source 10.2.0.1: it is the host's own address",
        "net.ipv4.conf.r0.accept_local=1", "lost after PREROUTING",
    ),
    "strict reverse path": (
        STRANGE, setting("rp_filter", 1), {},
        "rp_filter: an answer to 10.9.9.9 would leave by r1, the packet came by r0",
        "net.ipv4.conf.r0.rp_filter=0", "lost after PREROUTING",
    ),
    "no forwarding": (
        NORMAL, {"net.ipv4.ip_forward": 0}, {},
        "10.2.0.2 is not this host's, and it does not forward",
        "net.ipv4.ip_forward=1", "lost after PREROUTING",
    ),
    "no route": (
        datagram(C, "203.0.113.1"), {}, {"10.3.0.0/16": "r1"},
        "no route to 203.0.113.1", "ip route add 203.0.113.1 …", "error icmp 3/0",
    ),
    "an old packet": (
        datagram(C, S, ttl=1), {}, {}, "its TTL is 1: it may not be forwarded", "", "error icmp 11/0",
    ),
    "a group that nobody joined": (
        datagram(C, "224.1.2.3"), {}, {},
        "the host has not joined the multicast group 224.1.2.3",
        "ip maddr add 224.1.2.3", "lost after PREROUTING",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_says_why(name: str) -> None:
    packet, sysctls, routes, reason, change, fate = LOSSES[name]
    machine = router(ALL.format(""), sysctls=sysctls, **({"routes": routes} if routes else {}))
    trace = put(machine, "c0", packet)
    assert lost(trace) == (reason, change), trace
    assert str(trace.fate) == fate, trace


@pytest.mark.parametrize(("settings", "fate"), [
    ({}, "forward r1"),
    (setting("rp_filter", 2), "forward r1"),  # loose: some route is enough
    (setting("rp_filter", 1), "lost after PREROUTING"),
    ({**setting("rp_filter", 1), **setting("rp_filter", 0, "r0")}, "lost after PREROUTING"),
    ({**setting("rp_filter", 1), **setting("rp_filter", 2, "r0")}, "forward r1"),
])  # fmt: skip
def test_of_two_settings_of_rp_filter_the_larger_holds(settings: dict[str, int], fate: str) -> None:
    trace = put(router(ALL.format(""), sysctls=settings), "c0", STRANGE)
    assert str(trace.fate) == fate, trace


def test_loose_rp_filter_wants_some_route() -> None:
    machine = router(ALL.format(""), sysctls=setting("rp_filter", 2), routes={})
    trace = put(machine, "c0", STRANGE)
    assert str(trace.fate) == "lost after PREROUTING", trace


# kind of route, to the host's own packet and to one that is forwarded
KINDS = {
    "unreachable": ("no route to 203.0.113.1", "error icmp 3/1"),
    "prohibit": ("route prohibit 203.0.113.0/24", "error icmp 3/13"),
    "blackhole": ("route blackhole 203.0.113.0/24", "lost after PREROUTING"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_route_can_be_a_refusal(kind: str) -> None:
    routes = (make_route("203.0.113.0/24", "", kind=kind), make_route("default", "r1", via=S))
    trace = put(router(ALL.format(""), routes=routes), "c0", datagram(C, "203.0.113.1"))
    reason, fate = KINDS[kind]
    assert (lost(trace)[0], str(trace.fate)) == (reason, fate), trace


def test_a_broadcast_needs_a_socket_that_may() -> None:
    machine = router(ALL.format(""))
    trace = machine.send(datagram(T, "10.2.0.255"))
    assert lost(trace)[0] == "10.2.0.255 is a broadcast address and the socket has no SO_BROADCAST"
    assert str(machine.send(datagram(T, "10.2.0.255"), broadcast=True).fate) == "forward r1"


def test_a_broadcast_from_the_wire_is_delivered_and_not_forwarded() -> None:
    trace = put(router(ALL.format("")), "c0", datagram(C, "10.1.0.255"))
    assert str(trace.fate) == "local", trace


# Groups that every host listens to by itself, and some that it does not.
GROUPS = {
    "224.0.0.1": "local", "224.0.0.2": "lost after PREROUTING", "239.1.2.3": "lost after PREROUTING",
    "ff02::1": "local", "ff02::2": "local", "ff05::2": "local", "ff02::1:ff00:1": "local",
    "ff02::1:ff00:99": "lost after PREROUTING", "ff02::fb": "lost after PREROUTING",
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_a_host_hears_the_groups_that_it_has_joined(group: str) -> None:
    source = C if "." in group else "fd00:1::2"
    rules = ALL.format("")
    trace = put(
        router(rules, rules.replace("192.0.2.1", "2001:db8::1")), "c0", datagram(source, group)
    )
    assert str(trace.fate) == GROUPS[group], trace


def test_an_error_that_the_host_sends_quotes_the_packet() -> None:
    packet = datagram(C, S, ttl=1)
    (answer,) = put(router(ALL.format("")), "c0", packet).replies
    assert answer.data == icmp(R, C, type=11, rest=bytes(4), payload=packet.data, tos=192).data


def test_an_error_about_an_error_is_not_sent() -> None:
    error = icmp(C, S, type=3, rest=bytes(4), payload=datagram(S, C).data, ttl=1)
    trace = put(router(ALL.format("")), "c0", error)
    assert (str(trace.fate), trace.replies) == ("lost after PREROUTING", ()), trace


def test_packets_that_fit_the_mtu_or_may_be_cut_up_pass() -> None:
    for packet, mtu, fate in (
        (datagram(C, S, payload=b"x" * 972, dont_fragment=True), 1000, "forward r1"),
        (datagram(C, S, payload=b"x" * 973, dont_fragment=True), 1000, "error icmp 3/4"),
        (datagram(C, S, payload=b"x" * 973), 1000, "forward r1"),
    ):
        trace = put(router(ALL.format(""), facts={"mtu": mtu}), "c0", packet)
        assert str(trace.fate) == fate, trace


def spoilt(packet: Packet, place: int, value: int) -> Packet:
    """Return the packet with another byte, whatever its checksums say."""
    return Packet(data=packet.data[:place] + bytes([value]) + packet.data[place + 1 :])


UNSEEN = [
    ("a header with a wrong checksum", spoilt(NORMAL, 10, 0), "the IP header's checksum is wrong"),
    ("fewer bytes than announced", Packet(data=NORMAL.data[:-1]), "29 bytes are announced, 28 have come"),
    ("another's frame", datagram(C, S, link="OTHERHOST"), "the frame is addressed to somebody else"),
    ("a group as the source", udp("ff02::1", "fd00:2::2", dport=1), "the source ff02::1 is a group"),
    ("loopback on a wire", udp("fd00:1::2", "::1", dport=1), "::1 does not come by a wire"),
]  # fmt: skip


@pytest.mark.parametrize(("packet", "reason"), [u[1:] for u in UNSEEN], ids=[u[0] for u in UNSEEN])
def test_what_no_hook_sees(packet: Packet, reason: str) -> None:
    """Beside the kernel: tests/kernel/test_arrival.py."""
    trace = put(router(ALL.format(""), "*raw\n-A PREROUTING\nCOMMIT\n"), "c0", packet)
    (lost,) = trace.events
    assert isinstance(lost, Lost)
    assert (lost.reason, trace.steps, str(trace.fate)) == (reason, (), "lost after start")


@pytest.mark.parametrize(("device", "kind"), [("r0", "lost"), ("r1", "forward")])
def test_a_device_may_not_forward(device: str, kind: str) -> None:
    """What counts is the device that the packet came by."""
    host = router(ALL.format(""), sysctls=setting("forwarding", 0, device))
    assert put(host, "c0", NORMAL).fate.kind == kind
