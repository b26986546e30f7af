"""Translation, both ways: what leaves is compared with a packet that is built from scratch."""

from __future__ import annotations

import pytest

from nb_lib.engine import Host
from nb_lib.engine.routing import make_route
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.trace import Looked, Trace
from tests.engine.router import C6, R6, S6, T6, C, R, S, T, put, router


def nat(*rules: str) -> str:
    return "\n".join(["*nat", *rules, "COMMIT", ""])


def state_of(trace: Trace) -> str:
    assert trace.packet.ct is not None, trace
    return trace.packet.ct.state


def headers(packet: Packet) -> tuple[str, int | None, str, int | None]:
    return str(packet.src), packet.sport, str(packet.dst), packet.dport


DNAT = nat(
    "-A PREROUTING -d 10.1.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.2.0.2:8080"
)
SNAT = nat("-A POSTROUTING -o r1 -j SNAT --to-source 10.2.0.9")
SNAT_PORTS = nat("-A POSTROUTING -o r1 -p tcp -j SNAT --to-source 10.2.0.9:5000-5000")
MASQUERADE = nat("-A POSTROUTING -o r1 -j MASQUERADE")
REDIRECT = nat("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128")
NETMAP = nat("-A PREROUTING -d 10.9.0.0/16 -j NETMAP --to 10.2.0.0/16")
BOTH = nat("-A PREROUTING -d 10.1.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.2.0.2:8080",
           "-A POSTROUTING -o r1 -j MASQUERADE")  # fmt: skip
HAIRPIN = nat("-A PREROUTING -d 10.1.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.77",
              "-A POSTROUTING -d 10.1.0.77/32 -j MASQUERADE")  # fmt: skip

# rules → a segment from the client: (destination, port); as it leaves; the answer to it as that leaves
WAYS = {
    "DNAT": (DNAT, (R, 80), (C, 40000, S, 8080), (R, 80, C, 40000)),
    "SNAT": (SNAT, (S, 80), ("10.2.0.9", 40000, S, 80), (S, 80, C, 40000)),
    "SNAT to a port": (SNAT_PORTS, (S, 80), ("10.2.0.9", 5000, S, 80), (S, 80, C, 40000)),
    "MASQUERADE": (MASQUERADE, (S, 80), (T, 40000, S, 80), (S, 80, C, 40000)),
    "NETMAP": (NETMAP, ("10.9.0.2", 80), (C, 40000, S, 80), ("10.9.0.2", 80, C, 40000)),
    "DNAT and MASQUERADE": (BOTH, (R, 80), (T, 40000, S, 8080), (R, 80, C, 40000)),
    "back out of the same interface": (HAIRPIN, (R, 80), (R, 40000, "10.1.0.77", 80), (R, 80, C, 40000)),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_a_connection_is_translated_both_ways(name: str) -> None:
    rules, (dst, dport), there, back = WAYS[name]
    host = router(rules)
    out = put(host, "c0", tcp(C, dst, sport=40000, dport=dport, payload=b"odd"))
    src, sport, to, port = there
    built = tcp(src, to, sport=sport, dport=port, payload=b"odd", ttl=63)
    assert (state_of(out), out.packet.data) == ("NEW", built.data), out
    wire = "c0" if to == "10.1.0.77" else "s0"
    answer = tcp(to, src, sport=port, dport=sport, flags="SYN,ACK", ack=1004)
    home = put(host, wire, answer)
    src, sport, to, port = back
    built = tcp(src, to, sport=sport, dport=port, flags="SYN,ACK", ack=1004, ttl=63)
    assert (state_of(home), home.packet.data) == ("ESTABLISHED", built.data), home
    assert str(home.fate) == "forward r0"


def test_a_redirect_is_delivered_and_answered_from_the_old_port() -> None:
    host = router(REDIRECT)
    out = put(host, "c0", tcp(C, S, sport=40000, dport=80))
    assert str(out.fate) == "local", out
    assert headers(out.packet) == (C, 40000, R, 3128), "the address of the device by which it came"
    home = host.send(tcp(R, C, sport=3128, dport=40000, flags="SYN,ACK", ack=1001))
    assert home.packet.data == tcp(S, C, sport=80, dport=40000, flags="SYN,ACK", ack=1001).data, (
        home
    )


def test_the_hosts_own_redirect_goes_to_loopback() -> None:
    host = router(nat("-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128"))
    out = host.send(tcp(T, S, sport=40000, dport=80))
    assert (str(out.fate), headers(out.packet)) == ("local", (T, 40000, "127.0.0.1", 3128)), out


def test_ipv6_is_translated_with_right_checksums() -> None:
    rules = nat(
        "-A PREROUTING -d fd00:1::1/128 -p tcp --dport 80 -j DNAT --to-destination [fd00:2::2]:8080",
        "-A POSTROUTING -o r1 -j MASQUERADE",
    )
    host = router(v6=rules)
    out = put(host, "c0", tcp(C6, R6, sport=40000, dport=80))
    assert out.packet.data == tcp(T6, S6, sport=40000, dport=8080, ttl=63).data, out
    home = put(host, "s0", tcp(S6, T6, sport=8080, dport=40000, flags="SYN,ACK", ack=1001))
    assert (
        home.packet.data
        == tcp(R6, C6, sport=80, dport=40000, flags="SYN,ACK", ack=1001, ttl=63).data
    )


@pytest.mark.parametrize("payload", [b"", b"x", b"xy", bytes(1400), b"\xff" * 99])
def test_checksums_are_those_of_a_packet_built_from_scratch(payload: bytes) -> None:
    for make in (tcp, udp):
        out = put(router(MASQUERADE), "c0", make(C, S, sport=40000, dport=80, payload=payload))
        assert out.packet.data == make(T, S, sport=40000, dport=80, payload=payload, ttl=63).data


def test_udp_without_a_checksum_stays_without() -> None:
    data = bytearray(udp(C, S, sport=40000, dport=53, payload=b"x").data)
    data[26:28] = bytes(2)
    out = put(router(MASQUERADE), "c0", Packet(data=bytes(data)))
    assert (str(out.packet.src), out.packet.data[26:28]) == (T, bytes(2)), out


def test_a_ping_keeps_its_identifier_and_gets_its_answer() -> None:
    host = router(MASQUERADE)
    out = put(host, "c0", icmp(C, S, id=77, payload=b"abc"))
    assert out.packet.data == icmp(T, S, id=77, payload=b"abc", ttl=63).data, out
    home = put(host, "s0", icmp(S, T, type=0, id=77, payload=b"abc"))
    assert home.packet.data == icmp(S, C, type=0, id=77, payload=b"abc", ttl=63).data, home


def test_two_pings_with_one_identifier_get_different_ones() -> None:
    host = router(MASQUERADE)
    first, second = (put(host, "c0", icmp(c, S, id=77)).packet.icmp_id for c in (C, "10.1.0.3"))
    assert first == 77
    assert second != 77
    assert str(put(host, "s0", icmp(S, T, type=0, id=second)).packet.dst) == "10.1.0.3"


@pytest.mark.parametrize("protocol", [47, 50, 253])
def test_protocols_without_ports_are_translated_by_address(protocol: int) -> None:
    host = router(MASQUERADE)
    out = put(host, "c0", raw(C, S, protocol, payload=b"12345678"))
    assert out.packet.data == raw(T, S, protocol, payload=b"12345678", ttl=63).data, out
    home = put(host, "s0", raw(S, T, protocol, payload=b"12345678"))
    assert home.packet.data == raw(S, C, protocol, payload=b"12345678", ttl=63).data, home


# --- ICMP errors about translated connections ---


def test_an_error_about_a_translated_packet_is_translated_with_its_quotation() -> None:
    """The server refuses; the client must read of the packet that it sent, from the address it sent to."""
    host = router(BOTH)
    sent = tcp(C, R, sport=40000, dport=80)
    out = put(host, "c0", sent)
    error = icmp(S, T, type=3, code=3, rest=bytes(4), payload=out.packet.data[:28])
    home = put(host, "s0", error)
    quoted = bytearray(tcp(C, R, sport=40000, dport=80, ttl=63).data[:28])
    built = icmp(R, C, type=3, code=3, rest=bytes(4), payload=bytes(quoted), ttl=63)
    assert (state_of(home), str(home.fate)) == ("RELATED", "forward r0"), home
    assert home.packet.data == built.data, home


def test_an_error_of_a_router_between_comes_from_the_address_that_was_asked() -> None:
    host = router(BOTH)
    out = put(host, "c0", tcp(C, R, sport=40000, dport=80))
    error = icmp("10.2.0.7", T, type=11, rest=bytes(4), payload=out.packet.data[:28])
    home = put(host, "s0", error)
    assert (str(home.packet.src), str(home.packet.dst)) == (R, C), home


def test_an_error_of_the_client_about_an_answer_goes_to_the_server() -> None:
    host = router(BOTH)
    put(host, "c0", tcp(C, R, sport=40000, dport=80))
    back = put(host, "s0", tcp(S, T, sport=8080, dport=40000, flags="SYN,ACK", ack=1001))
    error = icmp(C, R, type=3, code=3, rest=bytes(4), payload=back.packet.data[:28])
    out = put(host, "c0", error)
    assert (state_of(out), str(out.packet.src), str(out.packet.dst)) == ("RELATED", T, S), out
    assert out.packet.inner is not None
    assert headers(out.packet.inner) == (S, 8080, T, 40000)


def test_an_error_about_a_translated_ipv6_packet() -> None:
    host = router(v6=nat("-A POSTROUTING -o r1 -j MASQUERADE"))
    out = put(host, "c0", udp(C6, S6, sport=40000, dport=53, payload=b"x"))
    error = icmp(S6, T6, type=1, code=4, rest=bytes(4), payload=out.packet.data)
    home = put(host, "s0", error)
    quoted = udp(C6, S6, sport=40000, dport=53, payload=b"x", ttl=63)
    built = icmp(S6, C6, type=1, code=4, rest=bytes(4), payload=quoted.data, ttl=63)
    assert home.packet.data == built.data, home


# --- ports that are taken ---


def clash(rules: str, port: int, times: int, seed: int = 0) -> list[int]:
    """Let several clients come from the same port; return the ports that they leave by."""
    host = router(rules, seed=seed)
    found = []
    for number in range(times):
        trace = put(host, "c0", udp(f"10.1.0.{number + 2}", S, sport=port, dport=9))
        found.append(trace.packet.sport or 0)
    assert len(set(found)) == times, "no two of them are one"
    return found


@pytest.mark.parametrize(("port", "low", "high"), [
    (80, 1, 511), (511, 1, 511), (512, 600, 1023), (600, 600, 1023), (1023, 600, 1023),
    (1024, 1024, 65535), (7000, 1024, 65535), (65535, 1024, 65535),
])  # fmt: skip
def test_a_port_that_must_move_stays_among_its_like(port: int, low: int, high: int) -> None:
    first, *others = clash(MASQUERADE, port, 20)
    assert first == port
    assert all(low <= other <= high for other in others)


def test_a_range_of_ports_is_kept_to() -> None:
    rules = nat("-A POSTROUTING -o r1 -p udp -j SNAT --to-source 10.2.0.9:5000-5004")
    assert sorted(clash(rules, 7000, 5)) == [5000, 5001, 5002, 5003, 5004]


def test_with_all_ports_of_a_range_taken_the_packet_is_dropped() -> None:
    rules = nat("-A POSTROUTING -o r1 -p udp -j SNAT --to-source 10.2.0.9:5000-5001")
    host = router(rules)
    fates = [
        str(put(host, "c0", udp(f"10.1.0.{n}", S, sport=7000, dport=9)).fate) for n in (2, 3, 4)
    ]
    assert fates[:2] == ["forward r1", "forward r1"]
    assert fates[2].startswith("lost after"), fates


def test_random_fully_never_keeps_a_port_by_itself() -> None:
    rules = nat("-A POSTROUTING -o r1 -j MASQUERADE --random-fully")
    drawn = [clash(rules, 7000, 10, seed) for seed in range(4)]
    assert len({tuple(ports) for ports in drawn}) == 4
    assert sum(port == 7000 for ports in drawn for port in ports) <= 1


def test_the_port_of_another_destination_is_free() -> None:
    host = router(MASQUERADE)
    for server in (S, "10.2.0.3"):
        assert put(host, "c0", udp(C, server, sport=7000, dport=9)).packet.sport == 7000
    assert put(host, "c0", udp("10.1.0.3", "10.2.0.4", sport=7000, dport=9)).packet.sport == 7000


def test_a_source_is_translated_as_it_was_before() -> None:
    """Of a range of addresses a client keeps the one that its port was given: find_appropriate_src()."""
    rules = nat("-A POSTROUTING -o r1 -j SNAT --to-source 10.2.0.20-10.2.0.29")
    host = router(rules)
    first = put(host, "c0", udp(C, S, sport=7000, dport=9)).packet.src
    assert put(host, "c0", udp(C, "10.2.0.3", sport=7000, dport=10)).packet.src == first


# --- once a connection, and where ---


def test_nat_chains_are_asked_for_the_first_packet_only() -> None:
    host = router(DNAT)
    syn = tcp(C, R, sport=40000, dport=80)
    asked = [
        [step[1] for step in put(host, wire, packet).steps if step[0] == "nat"]
        for wire, packet in (
            ("c0", syn), ("c0", syn), ("s0", tcp(S, C, sport=8080, dport=40000, flags="SYN,ACK", ack=1001)),
            ("c0", tcp(C, R, sport=40000, dport=80, flags="ACK", seq=1001, ack=1)),
        )
    ]  # fmt: skip
    assert asked == [["PREROUTING"], [], [], []]


def test_a_new_rule_does_not_touch_a_connection_that_lives() -> None:
    host = router(DNAT)
    put(host, "c0", udp(C, R, sport=1, dport=53))
    first = put(host, "c0", tcp(C, R, sport=40000, dport=80))
    other = router(DNAT.replace("10.2.0.2:8080", "10.2.0.3:8080")).ruleset
    again = put(host.with_ruleset(other), "c0", tcp(C, R, sport=40000, dport=80))
    fresh = put(host.with_ruleset(other), "c0", tcp(C, R, sport=40001, dport=80))
    assert [str(t.packet.dst) for t in (first, again, fresh)] == [S, S, "10.2.0.3"]


def test_a_dropped_first_packet_leaves_no_connection() -> None:
    host = router(DNAT + "*filter\n-A FORWARD -j DROP\nCOMMIT\n")
    trace = put(host, "c0", tcp(C, R, sport=40000, dport=80))
    assert (str(trace.fate), len(host.conntrack)) == ("drop filter:FORWARD:1", 0)
    assert [event.what for event in trace.events if isinstance(event, Looked)] == ["new"]


def test_without_a_rule_that_needs_it_nothing_is_tracked_or_translated() -> None:
    host = router("*nat\n-A PREROUTING -j ACCEPT\nCOMMIT\n*filter\n-A INPUT -j ACCEPT\nCOMMIT\n")
    trace = put(host, "c0", tcp(C, R, sport=40000, dport=80))
    assert trace.steps == (("filter", "INPUT", 1, "ACCEPT"),), trace
    assert (trace.packet.ct, len(host.conntrack)) == (None, 0)


# --- routing again ---

MARKED = (make_route("default", "r1", via=S), make_route("default", "r0", via=C, mark="0x9"))


def marking(rule: str) -> Host:
    return router(f"*mangle\n{rule}\nCOMMIT\n", routes=MARKED)


def test_a_mark_of_mangle_OUTPUT_sends_the_packet_another_way() -> None:  # noqa: N802 - the chain's name
    packet = udp(T, "203.0.113.9", sport=1, dport=53)
    assert str(marking("-A OUTPUT -p tcp -j MARK --set-mark 9").send(packet).fate) == "forward r1"
    trace = marking("-A OUTPUT -p udp -j MARK --set-mark 9").send(packet)
    assert str(trace.fate) == "forward r0", trace
    assert str(trace.packet.src) == T, "the source was chosen before"


def test_a_mark_of_mangle_PREROUTING_decides_the_route() -> None:  # noqa: N802 - the chain's name
    host = marking("-A PREROUTING -i r1 -j MARK --set-mark 9")
    trace = host.receive(udp(S, "203.0.113.9", sport=1, dport=53), "r1")
    assert str(trace.fate) == "forward r0", trace


def test_a_destination_that_nat_OUTPUT_changes_is_routed_again() -> None:  # noqa: N802 - the chain's name
    host = router(nat("-A OUTPUT -d 203.0.113.9/32 -j DNAT --to-destination 10.1.0.2"))
    trace = host.send(udp(T, "203.0.113.9", sport=1, dport=53))
    assert (str(trace.fate), str(trace.packet.dst)) == ("forward r0", C), trace


def test_a_destination_that_becomes_the_host_comes_back_by_lo() -> None:
    host = router(nat("-A OUTPUT -d 203.0.113.9/32 -j DNAT --to-destination 10.1.0.1"))
    trace = host.send(udp(T, "203.0.113.9", sport=1, dport=53))
    assert (str(trace.fate), str(trace.packet.dst), trace.packet.in_iface) == ("local", R, "lo"), (
        trace
    )


def test_loopback_passes_the_hooks_twice_and_nat_once() -> None:
    rules = "".join(f"*{table}\n-A {a}\n-A {b}\nCOMMIT\n" for table, a, b in (
        ("raw", "OUTPUT", "PREROUTING"), ("nat", "OUTPUT", "PREROUTING"), ("filter", "OUTPUT", "INPUT"),
    )) + "*mangle\n-A POSTROUTING\n-A INPUT -m conntrack --ctstate NEW\nCOMMIT\n"  # fmt: skip
    trace = router(rules).send(udp("127.0.0.1", "127.0.0.1", sport=1, dport=53))
    matched = [f"{t}:{chain}" for t, chain, number, _ in trace.steps if number != "policy"]
    assert matched == ["raw:OUTPUT", "nat:OUTPUT", "filter:OUTPUT", "mangle:POSTROUTING",
                       "raw:PREROUTING", "mangle:INPUT", "filter:INPUT"], trace  # fmt: skip


# --- time ---


def test_udp_lives_30_seconds_and_as_a_stream_120() -> None:
    host = router(MASQUERADE)
    ask, reply = udp(C, S, sport=7000, dport=53), udp(S, T, sport=53, dport=7000)

    def left() -> tuple[float, bool]:
        (entry,) = host.conntrack
        return entry.expires - host.now, "ASSURED" in entry.status

    put(host, "c0", ask)
    assert left() == (30, False)
    host.wait(1)
    put(host, "s0", reply)
    assert left() == (30, False)
    host.wait(0.5)
    put(host, "c0", ask)
    assert left() == (30, False), "within two seconds it is no stream yet"
    host.wait(1)
    put(host, "s0", reply)
    assert left() == (120, True)
    host.wait(119)
    assert len(host.conntrack) == 1
    host.wait(1)
    assert len(host.conntrack) == 0
    assert state_of(put(host, "s0", reply)) == "NEW", "the answer came too late"


def test_udp_without_an_answer_never_becomes_a_stream() -> None:
    host = router(MASQUERADE)
    for _ in range(5):
        put(host, "c0", udp(C, S, sport=7000, dport=53))
        host.wait(10)
    (entry,) = host.conntrack
    assert (entry.expires - host.now, entry.status & {"ASSURED", "SEEN_REPLY"}) == (20, set())


def test_what_is_left_untracked_is_not_translated() -> None:
    host = router(MASQUERADE + "*raw\n-A PREROUTING -p udp -j NOTRACK\nCOMMIT\n")
    trace = put(host, "c0", udp(C, S, sport=7000, dport=53))
    assert (state_of(trace), str(trace.packet.src), len(host.conntrack)) == ("UNTRACKED", C, 0), (
        trace
    )


def test_an_invalid_packet_of_a_translated_connection_goes_where_its_own_header_says() -> None:
    """How a node comes to reset a client: the answer is INVALID, is not translated back, and arrives here."""
    host = router(BOTH)
    put(host, "c0", tcp(C, R, sport=40000, dport=80))
    put(host, "s0", tcp(S, T, sport=8080, dport=40000, flags="SYN,ACK", ack=1001))
    put(host, "c0", tcp(C, R, sport=40000, dport=80, flags="ACK", seq=1001, ack=1001))
    late = tcp(
        S, T, sport=8080, dport=40000, flags="ACK,PSH", seq=900_000_000, ack=1001, payload=b"x"
    )
    trace = put(host, "s0", late)
    assert (state_of(trace), str(trace.fate), str(trace.packet.dst)) == ("INVALID", "local", T), (
        trace
    )
