"""Packets: from arguments and from bytes, changed with their checksums mended, answered, and refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nb_lib.errors import PacketError
from nb_lib.packet import (
    Packet,
    checksum,
    endpoint,
    icmp,
    parse_endpoint,
    pseudo_header,
    raw,
    tcp,
    udp,
)

A, B = "10.1.0.2", "10.88.0.4"
A6, B6 = "fd00:1::2", "fd00:2::2"


# --- made from arguments ---

# what a network card has seen (recorded) → how it is made
WIRE = {
    "4500002800010000400666710a0100020a58000475300016000003e8000000005002ffff22560000":
        tcp(A, B, sport=30000, dport=22, ident=1),
    "45000024000700004001f1ce0a0100027f00000108006663000600016162636465666768":
        icmp(A, "127.0.0.1", id=6, seq=1, payload=b"abcdefgh", ident=7),
    "4500001d00040000401134accb0071070a140005753301bb0009cacc78":
        udp("203.0.113.7", "10.20.0.5", sport=30003, dport=443, payload=b"x", ident=4),
}  # fmt: skip


@pytest.mark.parametrize("wire", WIRE)
def test_a_packet_is_made_as_others_make_it(wire: str) -> None:
    assert WIRE[wire].data.hex() == wire


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert checksum(b"") == 0xFFFF
    assert checksum(b"\x01") == checksum(b"\x01\x00")


@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)])
@pytest.mark.parametrize("payload", [b"", b"x", b"xy", bytes(1400)])
def test_transport_checksums_cover_the_pseudo_header(a: str, b: str, payload: bytes) -> None:
    for packet in (
        tcp(a, b, dport=80, payload=payload),
        udp(a, b, dport=80, payload=payload),
        icmp(a, b, payload=payload),
    ):
        body = packet.data[packet.header_end :]
        pseudo = pseudo_header(packet.src, packet.dst, packet.protocol, len(body))
        assert checksum((b"" if packet.protocol == 1 else pseudo) + body) == 0
        assert packet.payload == payload
        assert packet.length == len(packet.data)


def test_what_arguments_mean() -> None:
    packet = tcp(
        "10.0.0.1:1234",
        "10.0.0.2:80",
        flags="SYN,ACK",
        seq=7,
        ack=8,
        window=9,
        ttl=3,
        tos=0x10,
        mark=5,
    )
    assert (packet.sport, packet.dport, packet.flag_names) == (1234, 80, ("SYN", "ACK"))
    assert (packet.seq, packet.ack, packet.window, packet.ttl, packet.tos, packet.mark) == (
        7,
        8,
        9,
        3,
        0x10,
        5,
    )
    assert tcp("10.0.0.1", "10.0.0.2:80").sport == 40000
    assert tcp(A6, f"[{B6}]:80").dport == 80
    assert tcp(packet.src, packet.dst, dport=1).src == packet.src
    assert icmp(A, B).icmp_type == 8
    assert icmp(A6, B6).icmp_type == 128
    assert tcp(A, B, dport=1, flags=0x12).flag_names == ("SYN", "ACK")
    assert tcp(A, B, dport=1, flags="").flag_names == ()
    assert tcp(A, B, dport=1, options=b"\x02\x04\x05\xb4\x01").data[32] >> 4 == 7
    assert udp(A, B, dport=1, dont_fragment=True).dont_fragment


ENDPOINTS = {
    "10.0.0.1": ("10.0.0.1", None), "10.0.0.1:80": ("10.0.0.1", 80), "fd00::1": ("fd00::1", None),
    "[fd00::1]:80": ("fd00::1", 80), "[fd00::1]": ("fd00::1", None),
}  # fmt: skip


@pytest.mark.parametrize("text", ENDPOINTS)
def test_an_endpoint_is_an_address_with_or_without_a_port(text: str) -> None:
    address, port = parse_endpoint(text)
    assert (str(address), port) == ENDPOINTS[text]
    assert parse_endpoint(endpoint(address, port)) == (address, port)


MISTAKES = {
    "nonsense": (lambda: tcp("nonsense", B, dport=1), "'nonsense' is no ADDRESS[:PORT]"),
    "no port": (lambda: tcp(A, B), "to which port? write '10.88.0.4:80' or give dport=80"),
    "no port, IPv6": (lambda: tcp(A6, B6), "to which port? write '[fd00:2::2]:80' or give dport=80"),
    "a great port": (lambda: tcp(A, B, dport=65536), "destination port 65536 is not between 0 and"),
    "a great port in the text": (lambda: tcp(A, f"{B}:65536"), "'10.88.0.4:65536': a port lies between"),
    "a negative port": (lambda: udp(A, B, sport=-1, dport=1), "source port -1 is not between 0 and 65535"),
    "a port that is none": (lambda: tcp(A, f"{B}:http"), "'10.88.0.4:http' is no ADDRESS[:PORT]"),
    "two families": (lambda: tcp(A, B6, dport=1), "10.1.0.2 and fd00:2::2 are not of one family"),
    "an unknown flag": (lambda: tcp(A, B, dport=1, flags="SIN"), "unknown TCP flag 'SIN'; there are FIN, "),
    "a great window": (lambda: tcp(A, B, dport=1, window=65536), "a header field is out of range"),
    "great flags": (lambda: tcp(A, B, dport=1, flags=256), "a header field is out of range"),
    "a great type": (lambda: icmp(A, B, type=256), "a header field is out of range"),
    "a great identifier": (lambda: icmp(A, B, id=65536), "a header field is out of range"),
    "a great TTL": (lambda: udp(A, B, dport=1, ttl=256), "a header field is out of range"),
    "a great hop limit": (lambda: udp(A6, B6, dport=1, ttl=256), "a header field is out of range"),
    "a great TOS": (lambda: udp(A, B, dport=1, tos=256), "a header field is out of range"),
    "a great traffic class": (lambda: udp(A6, B6, dport=1, tos=256), "a header field is out of range"),
    "a negative number": (lambda: udp(A, B, dport=1, ident=-1), "a header field is out of range"),
    "a great protocol": (lambda: raw(A, B, 256), "a header field is out of range"),
    "too long": (lambda: udp(A, B, dport=1, payload=bytes(65536)), "a header field is out of range"),
    "no bytes": (lambda: Packet(data=b""), "no bytes, no packet"),
    "IP version 5": (lambda: Packet(data=b"\x55" * 40), "IP version 5 is neither 4 nor 6"),
    "a short header": (lambda: Packet(data=b"\x45" * 19), "an IPv4 header of 20 bytes does not fit"),
    "a header of 4 bytes": (lambda: Packet(data=b"\x41" * 40), "an IPv4 header of 4 bytes does not fit"),
    "a short IPv6 header": (lambda: Packet(data=b"\x60" * 39), "an IPv6 header does not fit in 39 bytes"),
    "an impossible change": (lambda: udp(A, B, dport=1).change(ttl=256), "ttl=256: byte must be in range"),
    "a change of port": (lambda: udp(A, B, dport=1).change(dport=65536), "dport=65536: "),
    "a change of family": (
        lambda: udp(A, B, dport=1).change(src=A6), "src='fd00:1::2': 'fd00:1::2' is not an IPv4 address",
    ),
    "a change to an address of the other family": (
        lambda: udp(A, B, dport=1).change(dst=tcp(A6, B6, dport=1).dst), "dst=IPv6Address(",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_makes_no_packet_is_told_in_words(name: str) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(PacketError) as caught:
        make()
    assert str(caught.value).startswith(message)


# --- read from bytes ---


def ipv6(following: int, extensions: bytes, body: bytes) -> Packet:
    """Put extension headers between an IPv6 header and its body."""
    head = bytearray(raw(A6, B6, following, payload=extensions + body).data)
    return Packet(data=bytes(head))


SEGMENT = tcp(A6, B6, sport=1, dport=80).data[40:]


@pytest.mark.parametrize(("following", "extensions", "kinds"), [
    (0, bytes([6, 0]) + bytes(6), (0,)),
    (0, bytes([60, 0]) + bytes(6) + bytes([43, 1]) + bytes(14) + bytes([6, 0]) + bytes(6), (0, 60, 43)),
    (51, bytes([6, 4]) + bytes(22), (51,)),
    (44, bytes([6, 0, 0, 0]) + b"\0\0\0\7", (44,)),
])  # fmt: skip
def test_the_transport_stands_behind_ipv6_extension_headers(
    following: int, extensions: bytes, kinds: tuple
) -> None:
    packet = ipv6(following, extensions, SEGMENT)
    assert (packet.protocol, packet.sport, packet.dport, packet.whole) == (6, 1, 80, True)
    assert tuple(kind for kind, _ in packet.extensions) == kinds
    assert packet.header_end == 40 + len(extensions)


def test_fragments_know_their_place() -> None:
    data = tcp(A, B, dport=80, payload=bytes(40)).data
    later = Packet(data=data[:6] + b"\x20\x05" + data[8:])
    assert (later.fragment_offset, later.more_fragments, later.sport, later.whole) == (
        40,
        True,
        None,
        False,
    )
    first = Packet(data=data[:6] + b"\x20\x00" + data[8:])
    assert (first.fragment_offset, first.more_fragments, first.dport) == (0, True, 80)
    six = ipv6(44, bytes([6, 0, 0, 41]) + b"\0\0\0\7", SEGMENT)
    assert (six.fragment_offset, six.more_fragments, six.sport, six.ident) == (40, True, None, 7)


@pytest.mark.parametrize(("size", "ports", "flags", "whole"), [
    (3, False, False, False), (4, True, False, False), (19, True, False, False), (20, True, True, True),
])  # fmt: skip
def test_a_header_that_is_cut_off_gives_what_is_there(
    size: int, ports: bool, flags: bool, whole: bool
) -> None:
    packet = Packet(data=tcp(A, B, dport=80).data[: 20 + size])
    assert (packet.dport is not None, packet.flags is not None, packet.whole) == (
        ports,
        flags,
        whole,
    )


def test_an_error_quotes_another_packet() -> None:
    quoted = udp(A, B, dport=53)
    error = icmp(B, A, type=3, code=3, rest=bytes(4), payload=quoted.data)
    assert error.inner == quoted
    assert icmp(A, B).inner is None
    assert icmp(B, A, type=3, code=3, rest=bytes(4), payload=b"x").inner is None
    assert icmp(B6, A6, type=1, rest=bytes(4), payload=udp(A6, B6, dport=53).data).inner == udp(
        A6, B6, dport=53
    )


# --- changed ---

CHANGES: list[dict[str, Any]] = [
    {"src": "192.0.2.1"}, {"dst": "192.0.2.1"}, {"sport": 1}, {"dport": 65535}, {"ttl": 1}, {"tos": 0xB8},
    {"src": "192.0.2.1", "sport": 7, "dst": "198.51.100.9", "dport": 9, "ttl": 2},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", [tcp, udp])
def test_a_changed_packet_is_the_packet_made_so(make: Any, change: dict[str, Any]) -> None:
    start: dict[str, Any] = {"src": A, "dst": B, "sport": 40000, "dport": 80, "payload": b"odd"}
    assert make(**start).change(**change).data == make(**{**start, **change}).data


def test_ipv6_changes_mend_the_transport_alone() -> None:
    packet = tcp(A6, B6, sport=1, dport=80, payload=b"x")
    changed = packet.change(src="fd00::99", dport=8080, ttl=1, tos=0x28)
    assert (
        changed.data == tcp("fd00::99", B6, sport=1, dport=8080, payload=b"x", ttl=1, tos=0x28).data
    )
    assert packet.data == tcp(A6, B6, sport=1, dport=80, payload=b"x").data, "the old one stays"


@pytest.mark.parametrize("options", [b"", b"\x02\x04\x05\xb4", b"\x01" * 8])
def test_tcp_options_are_exchanged_with_all_lengths(options: bytes) -> None:
    for a, b in ((A, B), (A6, B6)):
        packet = tcp(a, b, dport=80, options=b"\x02\x04\x05\x14", payload=b"odd")
        assert (
            packet.change(tcp_options=options).data
            == tcp(a, b, dport=80, options=options, payload=b"odd").data
        )


def test_what_stands_beside_the_bytes_changes_too() -> None:
    packet = udp(A, B, dport=53).change(mark=7, in_iface="eth0")
    assert (packet.mark, packet.in_iface, packet.data) == (7, "eth0", udp(A, B, dport=53).data)


def test_fragments_have_no_ports_to_change() -> None:
    data = tcp(A, B, dport=80, payload=bytes(40)).data
    later = Packet(data=data[:6] + b"\x00\x05" + data[8:])
    changed = later.change(dst="10.0.0.9", dport=1)
    assert changed.data[20:] == later.data[20:]
    assert str(changed.dst) == "10.0.0.9"


# --- answered and written ---


def test_what_the_other_end_answers() -> None:
    syn = tcp(A, B, sport=1, dport=80, seq=9, payload=b"")
    answer = syn.reply()
    assert (str(answer.src), answer.sport, answer.flag_names, answer.ack) == (
        B,
        80,
        ("SYN", "ACK"),
        10,
    )
    data = tcp(A, B, sport=1, dport=80, flags="PSH,ACK", seq=10, ack=77, payload=b"abc").reply()
    assert (data.flag_names, data.seq, data.ack) == (("ACK",), 77, 13)
    assert tcp(A, B, dport=80).reply(flags="RST,ACK").flag_names == ("RST", "ACK")
    assert udp(A, B, sport=1, dport=53).reply(payload=b"x").dport == 1
    ping = icmp(A6, B6, id=7, seq=8, payload=b"abc").reply()
    assert (ping.icmp_type, ping.icmp_id, ping.payload) == (129, 7, b"abc")
    with pytest.raises(
        PacketError, match=r"^nothing answers 47 10\.1\.0\.2 → 10\.88\.0\.4|^nothing answers gre"
    ):
        raw(A, B, 47).reply()


WRITTEN = {
    "tcp 10.1.0.2:40000 → 10.88.0.4:80 SYN": tcp(A, B, dport=80),
    "tcp [fd00:1::2]:40000 → [fd00:2::2]:80 SYN,ACK": tcp(A6, B6, dport=80, flags="ACK,SYN"),
    "udp 10.1.0.2:40000 → 10.88.0.4:53": udp(A, B, dport=53),
    "icmp 10.1.0.2 → 10.88.0.4 type 8 code 0": icmp(A, B),
    "gre 10.1.0.2 → 10.88.0.4": raw(A, B, 47),
    "253 10.1.0.2 → 10.88.0.4": raw(A, B, 253),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_packet_in_one_line(text: str) -> None:
    assert str(WRITTEN[text]) == text


def test_packets_are_values() -> None:
    assert tcp(A, B, dport=80) == tcp(A, B, dport=80)
    assert hash(tcp(A, B, dport=80)) == hash(tcp(A, B, dport=80))
    assert tcp(A, B, dport=80) != tcp(A, B, dport=80, mark=1)
    with pytest.raises(AttributeError):
        tcp(A, B, dport=80).mark = 1  # type: ignore[misc]


def _fields(packet: Packet) -> dict[str, object]:
    return {field.name: getattr(packet, field.name) for field in dataclasses.fields(packet)}


@pytest.mark.parametrize(
    "packet",
    [
        tcp("10.0.0.1:1", "10.0.0.2:2", options=b"\x02\x04\x05\xb4"),
        udp("10.0.0.1:1", "10.0.0.2:2", payload=b"x"),
        icmp("fd00::1", "fd00::2", type=1, code=4, payload=udp("[fd00::2]:1", "[fd00::1]:2").data),
        raw("fd00::1", "fd00::2", 44, payload=bytes.fromhex("1100000800000007") + bytes(16)),
        raw(
            "fd00::1",
            "fd00::2",
            0,
            payload=bytes.fromhex("2c000502000001001100000900000007") + bytes(8),
        ),
        raw("fd00::1", "fd00::2", 60, payload=bytes.fromhex("1100010400000000") + bytes(12)),
    ],
    ids=str,
)
def test_a_changed_packet_is_what_its_bytes_say(packet: Packet) -> None:
    changed = packet.change(ttl=7)
    assert _fields(changed) == _fields(Packet(data=changed.data))
