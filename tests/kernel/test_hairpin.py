"""Hairpin mode of a bridge's port, and ARP's arp_filter, beside the live kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nb_lib.engine import Host
from nb_lib.frame import arp, read_frame, write_frame
from nb_lib.packet import Packet, udp
from tests.kernel.bridge_compare import difference, host, put
from tests.kernel.bridge_lab import OWN, STATIONS, BridgeLab
from tests.kernel.lab import run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("nft", "ebtables-nft-restore", "arptables-nft-restore"),
]
A, B = STATIONS["p0"], STATIONS["p1"]
DUMPS = {
    "ebtables": "*filter\n-A FORWARD -j CONTINUE\n*nat\n-A POSTROUTING -j CONTINUE\n",
    "iptables": "*nat\n-A PREROUTING -p udp --dport 7 -j DNAT --to-destination 10.3.0.10:9\n"
    "-A POSTROUTING -p udp --dport 9 -j MASQUERADE\nCOMMIT\n*filter\n-A FORWARD\nCOMMIT\n",
}
FRAMES = [
    udp("10.3.0.11:1", "10.3.0.10:8", ident=1, mac_src=B, mac_dst=A),
    udp("10.3.0.10:1", "10.3.0.10:8", ident=2, mac_src=A, mac_dst=A),  # to its own port
    udp("10.3.0.10:1", "10.3.0.11:8", ident=3, mac_src=A, mac_dst=B),
    udp("10.3.0.10:1", "10.3.0.99:8", ident=4, mac_src=A, mac_dst="02:00:00:00:0e:00"),  # flooded
    udp("10.3.0.10:1", "10.3.0.255:8", ident=5, mac_src=A, mac_dst="ff:ff:ff:ff:ff:ff"),
    udp("10.3.0.10:1", "10.3.0.11:7", ident=6, mac_src=A, mac_dst=B),  # DNAT leads back to A
    udp(
        "10.3.0.10:1", "10.96.0.1:7", ident=7, mac_src=A, mac_dst=OWN
    ),  # by the bridge's own address
]


@pytest.fixture(scope="module")
def lab() -> Iterator[BridgeLab]:
    with BridgeLab() as live:
        yield live


@pytest.mark.parametrize("calls", [0, 1])
@pytest.mark.parametrize("hairpin", [False, True])
def test_frames_come_back_only_by_a_port_in_hairpin_mode(
    lab: BridgeLab, calls: int, hairpin: bool
) -> None:
    lab.load(DUMPS, calls=calls)
    word = "on" if hairpin else "off"
    run("ip", "link", "set", "p0", "type", "bridge_slave", "hairpin", word, namespace=lab.host)
    machine: Host = host(DUMPS, calls, None)
    bridge = machine.links.bridges["br0"]
    given = {"mac": OWN, "ports": bridge.ports, "hairpin": ["p0"] if hairpin else []}
    machine.links = Host(bridges={"br0": given}, neighbours={
        str(a): mac for a, mac in machine.links.neighbours.items()}).links  # fmt: skip
    for port in ("p0", "p1"):  # the bridge may know the stations already, and has to
        data = write_frame(replace(FRAMES[0], mac_src=STATIONS[port], mac_dst=OWN))
        lab.inject(port, data)
        put(machine, port, data)
    for frame in FRAMES:
        port = "p1" if frame.mac_src == B else "p0"
        data = write_frame(frame)
        seen, trace = lab.inject(port, data), put(machine, port, data)
        assert not (differs := difference(trace, seen, machine)), f"{frame}\n{differs}\n{trace}"


@pytest.mark.parametrize("arp_filter", [0, 1])
def test_who_is_answered_by_arp(lab: BridgeLab, arp_filter: int) -> None:
    """The way to 198.51.100.0/24 leads elsewhere: with arp_filter nobody from there is answered by br0."""
    lab.load(DUMPS, calls=0)
    for words in (["link", "add", "other", "type", "veth", "peer", "away"], ["link", "set", "other", "up"],
                  ["link", "set", "away", "up"],
                  ["addr", "add", "10.5.0.1/24", "dev", "other"],
                  ["route", "add", "198.51.100.0/24", "dev", "other"]):  # fmt: skip
        run("ip", *words, namespace=lab.host)
    setting = f"net.ipv4.conf.br0.arp_filter={arp_filter}"
    run("sysctl", "-qw", setting, namespace=lab.host)
    machine = Host(
        addresses={"br0": "10.3.0.1/24", "other": "10.5.0.1/24"},
        routes={"198.51.100.0/24": "other", "default": "br0 via 10.3.0.11"},
        bridges={"br0": {"mac": OWN, "ports": list(STATIONS)}},
        sysctls={"net.ipv4.conf.br0.arp_filter": arp_filter},
    )
    try:
        for asker in ("10.3.0.10", "198.51.100.7", "10.5.0.7", "0.0.0.0", "203.0.113.7"):
            for asked in ("10.3.0.1", "10.5.0.1"):
                message = arp(asker, asked, mac_src=A)
                seen = [read_frame(f) for _, f in lab.inject("p0", write_frame(message)).out]
                theirs = any(_answers(frame) for frame in seen)
                ours = bool(machine.receive(message, "p0").replies)
                assert ours == theirs, (asker, asked)
    finally:
        run("ip", "link", "del", "other", namespace=lab.host)


def _answers(frame: Packet) -> bool:
    return getattr(frame, "operation", 0) == 2


SERVICE = {"iptables": "*nat\n-A PREROUTING -d 10.96.0.10 -p udp --dport 80 -j DNAT --to-destination "
           "10.3.0.11:8080\nCOMMIT\n*filter\n-A FORWARD\nCOMMIT\n"}  # fmt: skip
KNOWN = udp("10.3.0.11:1", "10.3.0.1:1", ident=1, mac_src=B, mac_dst=OWN)
ASKED = udp("10.3.0.10:4000", "10.96.0.10:80", ident=2, mac_src=A, mac_dst=OWN)
ANSWER = udp("10.3.0.11:8080", "10.3.0.10:4000", ident=3, mac_src=B, mac_dst=A)


@pytest.mark.parametrize(("calls", "source"), [(0, "10.3.0.11:8080"), (1, "10.96.0.10:80")])
def test_a_neighbours_answer_is_translated_back_only_with_br_netfilter(
    lab: BridgeLab, calls: int, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.load(SERVICE, calls=calls)
    machine = host(SERVICE, calls, None)
    monkeypatch.setattr(lab, "forgets", False)  # the answer needs the entry
    for frame, port in ((KNOWN, "p1"), (ASKED, "p0"), (ANSWER, "p1")):
        seen, trace = lab.inject(port, write_frame(frame)), machine.receive(frame, port)
        assert not (differs := difference(trace, seen, machine)), f"{frame}\n{differs}\n{trace}"
    ((port, left),) = seen.out
    address, _, number = source.partition(":")
    found = read_frame(left)
    assert (port, str(found.src), found.sport) == ("p0", address, int(number))
