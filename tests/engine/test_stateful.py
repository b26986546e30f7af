"""Connections packet by packet, beside what Linux 6.18 did with the same packets.

Each step of ``recordings/kernel/stateful.json`` is one packet. Compared are the chains that it met and
what conntrack said of it there, the states that rules of FORWARD matched, the bytes on the wire
(as text), and the whole table of connections, timeouts included.
"""

from __future__ import annotations

import struct

import pytest

from nb_lib.connection import Connection, Tuple
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.engine.router import C, R, S, T, put, recorded, router, visited, wire

RULES = """\
*raw
-A PREROUTING
-A OUTPUT
COMMIT
*mangle
-A PREROUTING
-A FORWARD
-A POSTROUTING
-A INPUT
COMMIT
*nat
-A PREROUTING
-A PREROUTING -d 10.1.0.1 -p tcp --dport 80 -j DNAT --to-destination 10.2.0.2:8080
-A PREROUTING -d 10.1.0.1 -p udp --dport 80 -j DNAT --to-destination 10.2.0.2:8080
-A POSTROUTING
-A POSTROUTING -o r1 -j MASQUERADE
COMMIT
*filter
-A FORWARD -m conntrack --ctstate NEW
-A FORWARD -m conntrack --ctstate ESTABLISHED
-A FORWARD -m conntrack --ctstate RELATED
-A FORWARD -m conntrack --ctstate INVALID
-A FORWARD -m conntrack --ctstate DNAT
-A FORWARD -m conntrack --ctstate SNAT
-A INPUT
COMMIT
"""
STATES = [
    "NEW",
    "ESTABLISHED",
    "RELATED",
    "INVALID",
    "DNAT",
    "SNAT",
]  # the rules of FORWARD, in order
UNREACHABLE = {"type": 3, "rest": b"\0\0\0\0"}


def segment(
    a: str, b: str, sport: int, dport: int, flags: int, *, data: bytes = b"", **numbers: int
) -> Packet:
    return tcp(a, b, sport=sport, dport=dport, flags=flags, payload=data, ident=1, **numbers)


def datagram(a: str, b: str, sport: int, dport: int) -> Packet:
    return udp(a, b, sport=sport, dport=dport, payload=b"x", ident=1)


def message(
    a: str, b: str, kind: int, payload: bytes, *, code: int = 0, rest: bytes = b"\0\0\0\0"
) -> Packet:
    return icmp(a, b, type=kind, code=code, rest=rest, payload=payload, ident=1)


def quoting(a: str, packet: Packet, code: int, rest: bytes = b"\0\0\0\0") -> Packet:
    """An ICMP error with the head of the packet that it is about."""
    return message(a, str(packet.src), 3, packet.data[:28], code=code, rest=rest)


def spoiled(packet: Packet, at: int, mask: int) -> Packet:
    """Return the packet with a wrong checksum."""
    data = bytearray(packet.data)
    data[at] ^= mask
    return Packet(data=bytes(data))


def echo(
    a: str, b: str, kind: int, number: int, *, seq: int = 1, payload: bytes = b"abcdefgh"
) -> Packet:
    return message(a, b, kind, payload, rest=struct.pack("!HH", number, seq))


# The packets of each step: the wire that they came from, and the packet.
STEPS: dict[str, list[tuple[str, Packet]]] = {
    "tcp through DNAT+MASQUERADE": [
        ("c0", segment(C, R, 4000, 80, 2)),
        ("c0", segment(C, R, 4000, 80, 2)),
        ("s0", segment(S, T, 8080, 4000, 0x12, seq=5000, ack=1001)),
        ("c0", segment(C, R, 4000, 80, 0x10, seq=1001, ack=5001)),
        ("c0", segment(C, R, 4000, 80, 0x18, seq=1001, ack=5001, data=b"GET /")),
        ("c0", segment(C, R, 4000, 80, 0x18, seq=900001001, ack=5001, data=b"x")),
        ("s0", quoting(S, segment(T, S, 4000, 8080, 2), 3)),
        ("s0", quoting("10.2.0.9", segment(T, S, 4000, 8080, 0x10), 4, b"\0\0\x05\0")),
        ("c0", segment(C, R, 4000, 80, 0x11, seq=1006, ack=5001)),
        ("s0", segment(S, T, 8080, 4000, 0x11, seq=5001, ack=1007)),
        ("c0", segment(C, R, 4000, 80, 0x10, seq=1007, ack=5002)),
        ("c0", segment(C, R, 4000, 80, 2, seq=99999999)),
    ],
    "tcp RST": [
        ("c0", segment(C, R, 4001, 80, 2)),
        ("s0", segment(S, T, 8080, 4001, 0x14, seq=0, ack=1001)),
        ("c0", segment(C, R, 4001, 80, 0x18, seq=1001, ack=1, data=b"x")),
    ],
    "mid-stream": [
        ("c0", segment(C, S, 4002, 99, 0x10, ack=7)),
        ("s0", segment(S, T, 99, 4002, 0x10, seq=7, ack=1000)),
        ("c0", segment(C, S, 4003, 99, 0x12, ack=7)),
        ("c0", segment(C, S, 4004, 99, 4)),
        ("c0", segment(C, S, 4005, 99, 1)),
        ("c0", segment(C, S, 4006, 99, 0)),
        ("c0", segment(C, S, 4007, 99, 0x29)),
        ("c0", segment(C, S, 4008, 99, 3)),
        ("c0", spoiled(segment(C, S, 4009, 99, 2), 36, 0xFF)),
        ("c0", spoiled(datagram(C, S, 4009, 99), 26, 0x5A)),
    ],
    "udp": [
        ("c0", datagram(C, R, 5000, 80)),
        ("c0", datagram(C, R, 5000, 80)),
        ("s0", datagram(S, T, 8080, 5000)),
        ("c0", datagram(C, R, 5000, 80)),
        ("s0", datagram(S, T, 8080, 5000)),
        ("s0", quoting(S, datagram(T, S, 5000, 8080), 3)),
    ],
    "icmp": [
        ("c0", echo(C, S, 8, 77)),
        ("s0", echo(S, T, 0, 77)),
        ("c0", echo(C, S, 8, 77, seq=2)),
        ("s0", echo(S, T, 0, 77)),
        ("s0", echo(S, C, 0, 99)),
        ("s0", quoting(S, datagram(C, S, 6000, 6), 3)),
        ("c0", echo(C, S, 13, 77, payload=bytes(12))),
        ("c0", echo(C, S, 5, 77)),
        ("c0", echo(C, S, 37, 77)),
    ],
    "port clash under MASQUERADE": [
        ("c0", datagram(source, S, port, 9))
        for source, port in (
            (C, 7000), ("10.1.0.3", 7000), ("10.1.0.4", 80), ("10.1.0.5", 80),
            ("10.1.0.5", 600), ("10.1.0.6", 600),
        )
    ],
    "other protocols": [
        ("c0", raw(C, S, 50, payload=b"\0\0\0\1" * 4, ident=1)),
        ("c0", raw(C, S, 253, payload=b"x" * 20, ident=1)),
    ],
}  # fmt: skip


def entry(connection: Connection, now: float) -> str:
    """Write a connection as ``conntrack -L -o extended`` does."""
    names = {1: "icmp", 6: "tcp", 17: "udp"}
    protocol = connection.original.protocol
    words = [
        "ipv4     2",
        f"{names.get(protocol, 'unknown'):8} {protocol} {int(connection.expires - now) - 1}",
    ]
    words += [connection.state] * bool(connection.state) + [ends(connection.original)]
    words += ["[UNREPLIED]"] * ("SEEN_REPLY" not in connection.status) + [ends(connection.reply)]
    words += ["[ASSURED]"] * ("ASSURED" in connection.status)
    return " ".join([*words, f"mark={connection.mark} use=1"])


def ends(t: Tuple) -> str:
    text = f"src={t.src} dst={t.dst}"
    if t.protocol == 1:
        return f"{text} type={t.dport >> 8} code={t.dport & 255} id={t.sport}"
    return f"{text} sport={t.sport} dport={t.dport}" if t.protocol in (6, 17) else text


def moved(text: str, ports: dict[str, str]) -> str:
    """Give a port that was drawn the number that the kernel drew."""
    for ours, theirs in ports.items():
        text = text.replace(ours, theirs)
    return text


@pytest.mark.parametrize("name", STEPS)
def test_each_packet_of_a_sequence_meets_what_it_met_in_the_kernel(name: str) -> None:
    host, ports = router(RULES), {}
    steps = recorded("stateful")[name]
    assert len(steps) == len(STEPS[name])
    for step, (device, packet) in zip(steps, STEPS[name], strict=True):
        trace = put(host, device, packet)
        if name == "port clash under MASQUERADE":
            assert drawn_in_its_class(packet.sport, trace.packet.sport), step["step"]
            ports[f":{trace.packet.sport}>"] = (
                f":{step['wire'][0][1].partition('>')[0].rpartition(':')[2]}>"
            )
            ports[f"dport={trace.packet.sport} "] = (
                ports[f":{trace.packet.sport}>"].replace(":", "dport=").replace(">", " ")
            )
        seen = visited(trace)
        forward = [place for place, _ in seen].count("filter:FORWARD")
        numbers = [s[2] for s in trace.steps if s[:2] == ("filter", "FORWARD") and s[2] != "policy"]
        story = f"{name}, {step['step']}\n{trace}"
        assert [f"{place}={word}" for place, word in once(seen)] == once_text(step["tables"]), story
        assert [STATES[number - 1] for number in numbers] == step[
            "filter FORWARD matched --ctstate"
        ], story
        assert forward == len(numbers)
        assert [[d, moved(text, ports)] for d, text in wire(trace)] == step["wire"], story
        table = sorted(moved(entry(c, host.now), ports) for c in host.conntrack)
        assert table == sorted(" ".join(line.split(" ", 1)) for line in step["conntrack"]), story


def once(seen: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Name each chain once: the recorder noted the state at the first rule that matched there."""
    return list({place: (place, word) for place, word in reversed(seen)}.values())[::-1]


def once_text(tables: list[str]) -> list[str]:
    return list(dict.fromkeys(tables))


def drawn_in_its_class(old: int | None, new: int | None) -> bool:
    """A source port that has to move stays among its like: RFC 6056, nf_nat_l4proto_unique_tuple()."""
    low, high = (1, 511) if old < 512 else (600, 1023) if old < 1024 else (1024, 65535)
    return low <= new <= high
