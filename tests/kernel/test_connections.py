"""``conntrack -L`` of the real kernel beside ours, line by line."""

from __future__ import annotations

import re

import pytest

from nb_lib.packet import Packet, tcp
from nb_lib.views.connections import conntrack_text
from tests.engine.router import put, router
from tests.kernel.connections import DATA, host, listed, play
from tests.kernel.lab import Lab, run

_COUNTED = re.compile(r"packets=(\d+) bytes=(\d+) ")


def _lines(text: str) -> list[str]:
    """Leave out what our lines have not: seconds, counters, references."""
    text = re.sub(r"^(\S+ +\d+) \d+ ", r"\1 ", text, flags=re.MULTILINE)
    return sorted(re.sub(r"packets=\d+ bytes=\d+ | use=\d+", "", text).splitlines())


def _compare(kernel: str) -> None:
    ours = host()
    play(ours)
    assert _lines(kernel) == sorted(conntrack_text(ours.conntrack).splitlines())
    counters = [list(zip(one.packets, one.bytes, strict=True)) for one in ours.conntrack]
    theirs = [[(int(a), int(b)) for a, b in _COUNTED.findall(line)] for line in kernel.splitlines()]
    assert sorted(theirs) == sorted(counters)


def test_the_recorded_listing_is_ours() -> None:
    _compare((DATA / "conntrack-L.txt").read_text())


@pytest.mark.kernel
@pytest.mark.needs("conntrack", "iptables-nft-restore")
def test_the_live_listing_is_ours() -> None:
    with Lab() as lab:
        _compare(listed(lab))


@pytest.mark.kernel
@pytest.mark.needs("conntrack", "iptables-nft-restore")
@pytest.mark.parametrize("liberal", [0, 1])
def test_what_is_out_of_the_window_is_not_translated(liberal: int) -> None:
    """The answer goes on with the server's own address, and the RST that it meets passes, too."""
    rules = "*nat\n-A PREROUTING -d 10.1.0.1 -p tcp --dport 80 -j DNAT --to-destination 10.2.0.2\nCOMMIT\n"
    client, server = "10.1.0.2:4000", "10.2.0.2:80"
    syn = tcp(client, "10.1.0.1:80")
    steps = [
        ("c0", syn),
        ("s0", tcp(server, client, flags="SYN,ACK", seq=5000, ack=1001)),
        ("c0", tcp(client, "10.1.0.1:80", flags="ACK", seq=1001, ack=5001)),
        ("s0", tcp(server, client, flags="ACK", seq=205_001, ack=1001, payload=b"far")),
        ("c0", tcp(client, server, flags="RST", seq=1001)),
    ]
    setting = "net.netfilter.nf_conntrack_tcp_be_liberal"
    ours = router(rules, sysctls={setting: liberal})
    left = [str(put(ours, wire, packet).packet) for wire, packet in steps]
    with Lab() as lab:
        lab.load(rules, 4)
        run("sysctl", "-qw", f"{setting}={liberal}", namespace=lab.router)
        lab.left()
        kernel = []
        for wire, packet in steps:
            lab.inject(wire, packet.data)
            kernel += [str(Packet(data=data)) for _, data in lab.left() if data[0] >> 4 == 4]
    assert kernel == left
    assert left[3].startswith("tcp 10.1.0.1:80" if liberal else f"tcp {server}")
