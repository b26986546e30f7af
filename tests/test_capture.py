"""Captures are read by scapy, and fields are what scapy finds in the same bytes."""

from __future__ import annotations

import io

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import RawPcapNgReader, rdpcap

from nb_lib import Host, icmp, parse, tcp, udp
from nb_lib.capture import moments, pcap
from nb_lib.dissect import dissect
from nb_lib.sample import samples
from nb_lib.views.octets import draw_octets, hex_dump, octets_text

RULES = """\
*nat
-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.3:80
-A POSTROUTING -o lan0 -j MASQUERADE
COMMIT
*filter
-A INPUT -p udp -j REJECT
COMMIT
"""
PACKETS = [
    tcp("203.0.113.9:4000", "10.2.0.1:80", flags="SYN,ACK", seq=7, options=b"\x02\x04\x05\xb4", ttl=61),
    udp("203.0.113.9:4000", "10.2.0.1:53", payload=b"question", tos=0x10, ident=77, dont_fragment=True),
    icmp("203.0.113.9", "10.2.0.1", id=5, seq=6, payload=b"x" * 40),
    icmp("203.0.113.9", "10.2.0.1", type=3, code=4, rest=b"\0\0\x05\x78"),
    tcp("[fd00::1]:4000", "[fd00::2]:80"),
    udp("[fd00::1]:4000", "[fd00::2]:53", payload=b"abc"),
    icmp("fd00::1", "fd00::2"),
]  # fmt: skip


@pytest.fixture
def host():
    return Host(parse(RULES), addresses={"lan0": "10.1.0.1/24", "wan0": "10.2.0.1/24"})


def test_scapy_reads_the_packet_before_and_behind_each_rewrite(host, tmp_path) -> None:
    trace = host.receive(tcp("203.0.113.9:4000", "10.2.0.1:8080"), "wan0")
    file = tmp_path / "trace.pcapng"
    file.write_bytes(pcap(trace))
    found = [
        (p[IP].src, p[TCP].sport, p[IP].dst, p[TCP].dport, p[IP].ttl) for p in rdpcap(str(file))
    ]
    assert found == [
        ("203.0.113.9", 4000, "10.2.0.1", 8080, 64),
        ("203.0.113.9", 4000, "10.1.0.3", 80, 64),
        ("203.0.113.9", 4000, "10.1.0.3", 80, 63),
        ("10.1.0.1", 4000, "10.1.0.3", 80, 63),
        ("10.1.0.1", 4000, "10.1.0.3", 80, 63),
    ]  # fmt: skip
    for packet in rdpcap(str(file)):
        given = bytes(packet)
        del packet[IP].chksum, packet[TCP].chksum
        assert bytes(packet) == given, "scapy works out the same checksums"


def test_each_packet_has_its_device_and_a_comment(host) -> None:
    trace = host.receive(tcp("203.0.113.9:4000", "10.2.0.1:8080"), "wan0")
    reader = RawPcapNgReader(io.BytesIO(pcap(trace)))
    found = [meta for _, meta in reader]
    notes = [meta.comments[0] for meta in found]
    assert [note.decode() for note in notes] == [moment.note for moment in moments(trace)]
    assert notes[0] == b"came in by wan0"
    assert notes[1] == b"behind DNAT (nat PREROUTING, rule 1)"
    assert notes[-1] == b"left by lan0"
    assert [meta.ifname for meta in found] == [b"wan0", b"host", b"host", b"host", b"lan0"]
    assert [meta.direction for meta in found] == [1, 0, 0, 0, 2]


def test_the_host_s_own_answer_is_in_it(host) -> None:
    trace = host.receive(udp("203.0.113.9:4000", "10.2.0.1:99"), "wan0")
    *_, answer = RawPcapNgReader(io.BytesIO(pcap(trace)))
    read = IP(answer[0])
    assert (read.src, read.dst, read[ICMP].type, read[ICMP].code) == (
        "10.2.0.1",
        "203.0.113.9",
        3,
        3,
    )


def test_several_traces_are_one_capture(host) -> None:
    traces = [host.receive(one, "wan0") for one in PACKETS[:4]]
    assert len(list(RawPcapNgReader(io.BytesIO(pcap(traces))))) == sum(
        len(moments(t)) for t in traces
    )


# ── Fields ───────────────────────────────────────────────────────────────────────────

SCAPY = {
    "IPv4": (IP, {"version": "version", "IHL": "ihl", "TOS": "tos", "total length": "len",
                  "identification": "id", "flags": "flags", "fragment offset": "frag", "TTL": "ttl",
                  "protocol": "proto", "header checksum": "chksum"}),
    "IPv6": (IPv6, {"version": "version", "traffic class": "tc", "flow label": "fl",
                    "payload length": "plen", "next header": "nh", "hop limit": "hlim"}),
    "TCP": (TCP, {"source port": "sport", "destination port": "dport", "sequence number": "seq",
                  "acknowledgement": "ack", "offset": "dataofs", "flags": "flags", "window": "window",
                  "checksum": "chksum", "urgent pointer": "urgptr"}),
    "UDP": (UDP, {"source port": "sport",
            "destination port": "dport", "length": "len", "checksum": "chksum"}),
    "ICMP": (ICMP, {"type": "type", "code": "code", "checksum": "chksum"}),
}  # fmt: skip


@pytest.mark.parametrize("packet", PACKETS, ids=str)
def test_fields_are_those_that_scapy_finds(packet) -> None:
    read = (IP if packet.family == 4 else IPv6)(packet.data)
    compared = 0
    for one in dissect(packet):
        layer, names = SCAPY.get(one.header, (None, {}))
        if one.name in names:
            assert int(read[layer].getfieldval(names[one.name])) == one.value, one
            compared += 1
    assert compared >= 6


def test_fields_have_no_gap_and_no_overlap() -> None:
    drawn = [one.packet() for one in samples(parse(RULES), 60, 3)]
    for packet in [*PACKETS, *drawn]:
        fields = dissect(packet)
        ends = [one.at + one.bits for one in fields]
        assert [one.at for one in fields] == [0, *ends[:-1]]
        assert ends[-1] == len(packet.data) * 8
        joined = 0
        for one in fields:
            joined = joined << one.bits | one.value
        assert joined.to_bytes(len(packet.data), "big") == packet.data


def test_what_a_rewrite_changed_is_told_and_marked() -> None:
    before = PACKETS[0]
    after = before.change(dst="10.1.0.3", dport=8080)
    told = octets_text(after, before)
    assert "  16  IPv4 destination: 10.1.0.3 (was 10.2.0.1)" in told
    assert "  22  TCP destination port: 8080 (was 80)" in told
    html = draw_octets(after, before).html
    assert "10.2.0.1 → 10.1.0.3" in html
    assert "<b>1f</b> <b>90</b>" in html
    assert hex_dump(b"GET /" + bytes(12)).splitlines()[1].startswith("0010  00 ")


def test_every_packet_can_be_drawn() -> None:
    for packet in [
        *PACKETS,
        PACKETS[0].change(data=PACKETS[0].data[:30]),
        udp("10.0.0.1:1", "10.0.0.2:2", payload=bytes(1400)),
    ]:
        assert draw_octets(packet).html.startswith("<figure")
