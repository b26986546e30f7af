"""Fragments: what becomes of a datagram in pieces; beside the kernel in tests/kernel/test_fragments.py."""

from __future__ import annotations

import pytest

from nb_lib.engine import Host
from nb_lib.packet import Packet, udp
from nb_lib.trace import Fragmented, Trace
from tests.engine.router import C6, S6, C, R, S, mended, put, router

TRACKED = "*filter\n-A FORWARD -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n"
ALONE = "*filter\n-A FORWARD -p udp -j ACCEPT\nCOMMIT\n"


def pieces(size: int, room: int, src: str = C, dst: str = S, **more: object) -> list[Packet]:
    """Cut a datagram with ``size`` bytes of payload at every ``room`` bytes."""
    whole = udp(src, dst, sport=1, dport=9, payload=bytes(size), ident=7, **more).data
    head, body = whole[:20], whole[20:]
    return [piece(head, body[at : at + room], at, more=at + room < len(body))
            for at in range(0, len(body), room)]  # fmt: skip


def piece(head: bytes, body: bytes, at: int, *, more: bool) -> Packet:
    data = bytearray(head + body)
    data[6:8] = (at >> 3 | more << 13).to_bytes(2, "big")
    return mended(data)


def send(host: Host, parts: list[Packet]) -> list[Trace]:
    return [put(host, "c0", part) for part in parts]


def places(trace: Trace) -> list[tuple[int, int]]:
    """Return where each packet that left stands in the datagram, and its length."""
    return [(p.fragment_offset, p.length - p.header_end) for p in trace.outgoing]


@pytest.mark.parametrize(("order", "fates"), [
    ("012", ["held", "held", "forward"]),
    ("210", ["held", "held", "forward"]),
    ("0012", ["held", "lost", "held", "forward"]),  # a repetition is dropped alone
    ("02", ["held", "held"]),
])  # fmt: skip
def test_a_datagram_goes_on_when_all_of_it_has_come(order: str, fates: list[str]) -> None:
    parts = pieces(140, 56)
    traces = send(router(TRACKED), [parts[int(number)] for number in order])
    assert [trace.fate.kind for trace in traces] == fates
    if fates[-1] == "forward":
        assert traces[-1].steps == (("filter", "FORWARD", 1, "ACCEPT"),)
        assert places(traces[-1]) == [(0, 56), (56, 56), (112, 36)]  # as they came


def test_what_overlaps_spoils_the_datagram() -> None:
    host, (first, middle, last) = router(TRACKED), pieces(140, 56)
    astray = piece(middle.data[:20], middle.data[20:], 48, more=True)
    assert [t.fate.kind for t in send(host, [first, astray, middle, last])] == [
        "held",
        "lost",
        "held",
        "held",
    ]


@pytest.mark.parametrize(("seconds", "kind"), [(29, "forward"), (30, "held")])
def test_a_fragment_waits_half_a_minute(seconds: int, kind: str) -> None:
    """net.ipv4.ipfrag_time is 30."""
    host, (first, last) = router(TRACKED), pieces(100, 56)
    put(host, "c0", first)
    host.wait(seconds)
    assert put(host, "c0", last).fate.kind == kind


def test_without_conntrack_a_router_lets_each_pass_and_a_host_puts_them_together() -> None:
    host = router(ALONE)
    assert [t.fate.kind for t in send(host, pieces(100, 56))] == ["forward", "forward"]
    assert [t.fate.kind for t in send(host, pieces(100, 56, dst=R))] == ["held", "local"]


@pytest.mark.parametrize(("size", "mtu", "sizes"), [
    (1472, 1500, [(0, 1480)]),
    (1473, 1500, [(0, 1480), (1480, 1)]),
    (1000, 600, [(0, 576), (576, 432)]),  # 580 bytes fit, 576 are a multiple of 8
])  # fmt: skip
def test_what_is_too_large_is_cut(size: int, mtu: int, sizes: list[tuple[int, int]]) -> None:
    packet = udp(C, S, dport=9, payload=bytes(size))
    trace = put(router(ALONE, facts={"mtu": mtu}), "c0", packet)
    assert places(trace) == sizes
    assert isinstance(trace.events[-1], Fragmented) is (len(sizes) > 1)


def test_a_router_does_not_cut_ipv6() -> None:
    trace = put(router(v6=ALONE), "c0", udp(C6, S6, dport=9, payload=bytes(1500)))
    assert str(trace.fate) == "error icmp 2/0"
    sent = put(router(v6=ALONE), "", udp("fd00:2::1", S6, dport=9, payload=bytes(1500)))
    assert places(sent) == [(0, 1448), (1448, 60)]  # its sender does
