"""REJECT's answers, byte for byte as RFC 792, 4443 and 793 have them, and the packets that get none."""

from __future__ import annotations

import pytest

from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.trace import Answered, Trace
from tests.engine.router import C6, R6, S6, C, R, S, mended, put, router


def forward(how: str, packet: Packet, match: str = "") -> Trace:
    """Let the router reject a packet that the client sends through it."""
    rules = f"*filter\n-A FORWARD {match} -j REJECT --reject-with {how}\nCOMMIT\n"
    return put(router(rules) if packet.family == 4 else router(v6=rules), "c0", packet)


UDP4, UDP6 = (
    udp(C, S, sport=1, dport=2, payload=b"abc"),
    udp(C6, S6, sport=1, dport=2, payload=b"abc"),
)
# how → type and code
ICMP4 = {
    "icmp-net-unreachable": (3, 0), "icmp-host-unreachable": (3, 1), "icmp-proto-unreachable": (3, 2),
    "icmp-port-unreachable": (3, 3), "icmp-net-prohibited": (3, 9), "icmp-host-prohibited": (3, 10),
    "icmp-admin-prohibited": (3, 13),
}  # fmt: skip
ICMP6 = {
    "icmp6-no-route": (1, 0), "icmp6-adm-prohibited": (1, 1), "icmp6-addr-unreachable": (1, 3),
    "icmp6-port-unreachable": (1, 4), "icmp6-policy-fail": (1, 5), "icmp6-reject-route": (1, 6),
}  # fmt: skip


@pytest.mark.parametrize("how", ICMP4)
def test_icmp_quotes_the_packet_as_it_was_when_it_was_rejected(how: str) -> None:
    kind, code = ICMP4[how]
    trace = forward(how, UDP4)
    quoted = UDP4.change(ttl=63).data
    built = icmp(R, C, type=kind, code=code, rest=bytes(4), payload=quoted, tos=0xC0)
    assert [answer.data for answer in trace.replies] == [built.data], trace
    assert str(trace.fate) == f"reject filter:FORWARD:1 icmp {kind}/{code}"


@pytest.mark.parametrize("how", ICMP6)
def test_icmpv6_quotes_the_packet(how: str) -> None:
    kind, code = ICMP6[how]
    trace = forward(how, UDP6)
    built = icmp(R6, C6, type=kind, code=code, rest=bytes(4), payload=UDP6.change(ttl=63).data)
    assert [answer.data for answer in trace.replies] == [built.data], trace


@pytest.mark.parametrize(("make", "size", "whole"), [(UDP4, 1400, 576), (UDP6, 1400, 1280)])
def test_an_error_is_no_longer_than_any_host_must_take(make: Packet, size: int, whole: int) -> None:
    packet = udp(make.src, make.dst, sport=1, dport=2, payload=bytes(size))
    how = "icmp-port-unreachable" if make.family == 4 else "icmp6-port-unreachable"
    (answer,) = forward(how, packet).replies
    assert answer.length == len(answer.data) == whole


# what arrives: flags, seq, ack, data → what the RST says: flags, seq, ack
RESETS = {
    "SYN": (("SYN", 1000, 0, b""), ("RST,ACK", 0, 1001)),
    "SYN with data": (("SYN", 1000, 0, b"abc"), ("RST,ACK", 0, 1004)),
    "SYN at the end of the numbers": (("SYN", 2**32 - 1, 0, b""), ("RST,ACK", 0, 0)),
    "ACK": (("ACK", 1000, 77, b""), ("RST", 77, 0)),
    "data": (("PSH,ACK", 1000, 77, b"abc"), ("RST", 77, 0)),
    "FIN without ACK": (("FIN", 1000, 0, b""), ("RST,ACK", 0, 1001)),
    "nothing": (("", 1000, 0, b"ab"), ("RST,ACK", 0, 1002)),
}


@pytest.mark.parametrize("name", RESETS)
@pytest.mark.parametrize("family", [4, 6])
def test_a_reset_answers_what_was_sent(name: str, family: int) -> None:
    (flags, seq, ack, payload), (answer, number, acked) = RESETS[name]
    client, server = (C, S) if family == 4 else (C6, S6)
    packet = tcp(client, server, sport=1, dport=80, flags=flags, seq=seq, ack=ack, payload=payload)
    trace = forward("tcp-reset", packet, "-p tcp")
    built = tcp(server, client, sport=80, dport=1, flags=answer, seq=number, ack=acked, window=0,
                dont_fragment=family == 4)  # fmt: skip
    assert [reply.data for reply in trace.replies] == [built.data], trace
    assert str(trace.fate) == "reject filter:FORWARD:1 tcp-reset"


def spoiled(packet: Packet) -> Packet:
    """Return a TCP packet with a wrong checksum."""
    data = bytearray(packet.data)
    data[36] ^= 1
    return Packet(data=bytes(data))


# packets that are dropped and get no answer
SILENT = {
    "a RST": ("tcp-reset", tcp(C, S, sport=1, dport=80, flags="RST"), "-p tcp"),
    "a segment with a wrong checksum": ("tcp-reset", spoiled(tcp(C, S, sport=1, dport=80)), "-p tcp"),
    "an ICMP error": ("icmp-port-unreachable", icmp(C, S, type=3, rest=bytes(4), payload=UDP4.data), ""),
    "an ICMPv6 error": ("icmp6-no-route", icmp(C6, S6, type=1, rest=bytes(4), payload=UDP6.data), ""),
    "a later fragment":
        ("icmp-port-unreachable", mended(UDP4.data[:6] + b"\x00\x10" + UDP4.data[8:]), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_some_packets_are_dropped_without_an_answer(name: str) -> None:
    trace = forward(*SILENT[name])
    assert (trace.replies, str(trace.fate)) == ((), "drop filter:FORWARD:1"), trace


def test_a_ping_is_answered_by_an_error() -> None:
    (answer,) = forward("icmp-host-prohibited", icmp(C, S, id=7)).replies
    assert (answer.icmp_type, answer.icmp_code) == (3, 10)


def test_other_protocols_are_answered() -> None:
    # The kernel takes what it does not know for a protocol whose bytes sum up to nothing.
    assert not forward("icmp-proto-unreachable", raw(C, S, 99, payload=b"12345678")).replies
    (answer,) = forward("icmp-proto-unreachable", raw(C, S, 99, payload=b"\xff" * 8)).replies
    assert answer.inner is not None
    assert answer.inner.protocol == 99


def test_the_address_that_was_asked_answers_if_it_is_the_hosts_own() -> None:
    rules = "*filter\n-A INPUT -j REJECT\nCOMMIT\n"
    for address in ("10.1.0.1", "10.2.0.1"):
        (answer,) = put(router(rules), "c0", udp(C, address, sport=1, dport=2)).replies
        assert str(answer.src) == address


def test_a_rejected_packet_that_was_translated_is_quoted_as_the_client_sent_it() -> None:
    rules = ("*nat\n-A PREROUTING -p udp -j DNAT --to-destination 10.2.0.2:9\nCOMMIT\n"
             "*filter\n-A FORWARD -j REJECT\nCOMMIT\n")  # fmt: skip
    trace = put(router(rules), "c0", udp(C, R, sport=1, dport=12))
    (event,) = [event for event in trace.events if isinstance(event, Answered)]
    left = event.events[-1].packet
    assert (str(left.src), str(left.dst)) == (R, C), trace
    assert left.inner is not None
    assert (str(left.inner.dst), left.inner.dport) == (R, 12)


def test_the_answer_takes_its_own_way_through_OUTPUT() -> None:  # noqa: N802 - the chain's name
    rules = "*filter\n-A FORWARD -j REJECT\n-A OUTPUT -p icmp -j DROP\nCOMMIT\n"
    trace = put(router(rules), "c0", UDP4)
    (event,) = [event for event in trace.events if isinstance(event, Answered)]
    way = Trace(event.answer, event.events, trace.fate)
    assert way.steps == (("filter", "OUTPUT", 1, "DROP"),)
