"""Packets to and from scapy."""

from __future__ import annotations

import pytest

from nb_lib import icmp, tcp, udp
from nb_lib.errors import PacketError
from nb_lib.views.scapy_bridge import dissected, from_scapy, to_scapy

inet = pytest.importorskip("scapy.layers.inet")
l2 = pytest.importorskip("scapy.layers.l2")


@pytest.mark.parametrize(
    "packet",
    [
        tcp("10.0.0.1:1", "10.0.0.2:80", payload=b"hello"),
        udp("10.0.0.1:1", "10.0.0.2:53"),
        icmp("10.0.0.1", "10.0.0.2"),
        tcp("[fd00::1]:1", "[fd00::2]:80"),
    ],
    ids=str,
)
def test_there_and_back(packet):
    assert from_scapy(to_scapy(packet)) == packet


def test_scapy_sees_the_same_fields():
    found = to_scapy(tcp("10.0.0.1:1234", "10.0.0.2:80", ttl=9))
    assert (found.src, found.dst, found.ttl, found.sport, found.dport) == (
        "10.0.0.1", "10.0.0.2", 9, 1234, 80
    )  # fmt: skip
    assert str(found["TCP"].flags) == "S"


def test_a_frame_gives_its_addresses_and_meta_is_kept():
    frame = l2.Ether(src="02:00:00:00:00:01") / inet.IP(src="10.0.0.1", dst="10.0.0.2") / inet.UDP()
    packet = from_scapy(frame, mark=7)
    assert (packet.mac_src, packet.mark, packet.protocol_name) == ("02:00:00:00:00:01", 7, "udp")


def test_no_ip_no_packet():
    with pytest.raises(PacketError, match="no IPv4 or IPv6 header"):
        from_scapy(l2.Ether() / l2.ARP())


def test_dissected_names_the_fields_of_a_quoted_packet():
    quoted = tcp("10.0.0.1:1234", "10.0.0.2:80").data[:28]
    error = icmp("10.0.0.2", "10.0.0.1", type=3, code=3, rest=bytes(4), payload=quoted)
    found = dissected(error)
    assert (found["IP: src"], found["IP in ICMP: src"]) == ("10.0.0.2", "10.0.0.1")
    assert found["TCP in ICMP: dport"] == "80"
    assert found["ICMP: chksum"] == f"0x{error.data[22:24].hex()}"
    assert "TCP in ICMP: chksum" not in found  # it was cut off
