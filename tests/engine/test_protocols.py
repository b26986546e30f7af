"""Conntrack beyond TCP: facts by hand; thousands meet the kernel in tests/kernel/test_protocols.py."""

from __future__ import annotations

import pytest

from nb_lib.headers import DCCP, SCTP, UDPLITE, checksum, crc32c, pseudo_header
from nb_lib.packet import Packet, icmp, raw, udp
from tests.engine.router import C6, S6, C, S, put, router

RULES = """\
*nat
-A PREROUTING -d 10.1.0.1 -j DNAT --to-destination 10.2.0.2
COMMIT
*filter
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN, SHUTDOWN_ACK, COMPLETE = 1, 2, 10, 11, 7, 8, 14
CLIENT, SERVER = 0x11, 0x22  # the verification tags that the ends choose


def sctp(kind: int, tag: int, *, back: bool = False, body: bytes = b"", to: str = S) -> Packet:
    """Make a packet with one chunk."""
    head = bytes.fromhex("00090050" if back else "00500009") + tag.to_bytes(4, "big")
    rest = bytes((kind, 0)) + (4 + len(body)).to_bytes(2, "big") + body
    ends = (S, C) if back else (C, to)
    return raw(*ends, SCTP, payload=head + crc32c(head + bytes(4) + rest) + rest)


def init(kind: int, tag: int, mine: int, *, back: bool = False) -> Packet:
    return sctp(kind, tag, back=back, body=mine.to_bytes(4, "big") + bytes(12))


LIFE = [  # packet, its wire → the association's state, the seconds that it will live
    (init(INIT, 0, CLIENT), "c0", "CLOSED", 10),
    (init(INIT_ACK, CLIENT, SERVER, back=True), "s0", "COOKIE_WAIT", 3),
    (sctp(COOKIE_ECHO, SERVER), "c0", "COOKIE_ECHOED", 3),
    (sctp(COOKIE_ACK, CLIENT, back=True), "s0", "ESTABLISHED", 210),
    (sctp(SHUTDOWN, SERVER), "c0", "SHUTDOWN_SENT", 3),
    (sctp(SHUTDOWN_ACK, CLIENT, back=True), "s0", "SHUTDOWN_ACK_SENT", 3),
    (sctp(COMPLETE, SERVER), "c0", "CLOSED", 10),
]


def test_an_association_lives() -> None:
    host = router(RULES)
    for packet, wire, state, seconds in LIFE:
        trace = put(host, wire, packet)
        (held,) = host.conntrack
        assert (held.state, held.expires - host.now) == (state, seconds), trace
    assert "ASSURED" in held.status


def test_a_wrong_verification_tag_is_invalid() -> None:
    host = router(RULES)
    for packet, wire, *_ in LIFE[:4]:
        put(host, wire, packet)
    assert put(host, "c0", sctp(0, SERVER)).fate.kind == "forward"
    assert put(host, "c0", sctp(0, CLIENT)).fate.kind == "drop"


def test_translation_makes_the_sctp_checksum_anew() -> None:
    packet = init(INIT, 0, CLIENT).change(dst="10.1.0.1")
    out = put(router(RULES), "c0", packet).packet
    body = out.data[out.header_end :]
    assert (str(out.dst), body[8:12]) == (S, crc32c(body[:8] + bytes(4) + body[12:]))


def udplite(pseudo: int) -> Packet:
    body = bytes.fromhex("0050000900000000") + b"x" * 12
    whole = raw(C, S, UDPLITE, payload=body)
    total = checksum(pseudo_header(whole.src, whole.dst, pseudo, len(body)) + body)
    return Packet(data=whole.data[:26] + total.to_bytes(2, "big") + body[8:])


ERROR = icmp(S, C, type=3, code=3, rest=bytes(4), payload=udp(C, S, sport=1, dport=2).data)
FACTS = [  # packets → what becomes of the last one
    ("UDP-Lite as its ends send it", [udplite(UDPLITE)], "drop"),
    ("UDP-Lite summed as the kernel does", [udplite(17)], "forward"),
    ("an error about a known connection", [udp(C, S, sport=1, dport=2), ERROR], "forward"),
    ("an error about an unknown one", [ERROR], "drop"),
    ("an error to somebody else", [udp(C, S, sport=1, dport=2), ERROR.change(dst="10.1.0.77")], "drop"),
    ("ICMP of an unknown type", [icmp(C, S, type=40)], "drop"),
    ("an ICMP answer without a question", [icmp(C, S, type=0)], "drop"),
    ("a neighbour solicitation", [icmp(C6, S6, type=135)], "forward"),
]  # fmt: skip


@pytest.mark.parametrize(("packets", "kind"), [f[1:] for f in FACTS], ids=[f[0] for f in FACTS])
def test_what_is_invalid(packets: list[Packet], kind: str) -> None:
    v6 = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    host = router(RULES, v6)
    traces = [put(host, "c0" if str(p.src) in (C, C6) else "s0", p) for p in packets]
    assert traces[-1].fate.kind == kind, traces[-1]


def test_two_flows_of_dccp_are_one_connection() -> None:
    host = router(RULES)
    for ports in ("00500009", "00510009"):
        put(host, "c0", raw(C, S, DCCP, payload=bytes.fromhex(ports) + bytes(12)))
    assert len(host.conntrack) == 1
