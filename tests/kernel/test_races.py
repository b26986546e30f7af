"""Packets that are under way at once: a queue holds them in the live kernel, so none sees another's entry."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing

import pytest

from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.views.connections import conntrack_text
from tests.engine.router import put, router
from tests.kernel.lab import Lab, run
from tests.kernel.queue import Queue

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft", "iptables-nft-restore", "conntrack")]

HOLD = {
    "c0": "*mangle\n-A POSTROUTING -m conntrack --ctstate NEW -j NFQUEUE --queue-num 0\nCOMMIT\n",
    "in": "*security\n-A INPUT -m conntrack --ctstate NEW -j NFQUEUE --queue-num 0\nCOMMIT\n",
}
TWO = """\
*nat
-A PREROUTING -d 10.1.0.1 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.2.0.3
-A PREROUTING -d 10.1.0.1 -j DNAT --to-destination 10.2.0.4
COMMIT
"""
ONE = "*nat\n-A PREROUTING -d 10.1.0.1 -j DNAT --to-destination 10.2.0.3\nCOMMIT\n"
SNAT = "*nat\n-A INPUT -j SNAT --to-source 10.9.9.9\nCOMMIT\n"
NONE = "*filter\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n"
ASKED = udp("10.1.0.2:4000", "10.1.0.1:53")
SYN = tcp("10.1.0.2:4000", "10.1.0.1:53")
NEAR = [kind(f"10.1.0.{n}:4000", "10.1.0.1:53") for kind in (udp, tcp) for n in (2, 3)]
CASES = {
    "UDP, not translated": ("c0", NONE, [udp("10.1.0.2:4000", "10.2.0.3:53")] * 2),
    "UDP, to one server": ("c0", ONE, [ASKED, ASKED]),
    "UDP, to two servers": ("c0", TWO, [ASKED, ASKED]),
    "UDP, three to two servers": ("c0", TWO, [ASKED] * 3),
    "TCP, not translated": ("c0", NONE, [tcp("10.1.0.2:4000", "10.2.0.3:53")] * 2),
    "TCP, to two servers": ("c0", TWO, [SYN, SYN]),
    "ICMP, not translated": ("c0", NONE, [icmp("10.1.0.2", "10.2.0.3", id=7)] * 2),
    "GRE": ("c0", NONE, [raw("10.1.0.2", "10.2.0.3", 47, payload=bytes(8))] * 2),
    "ESP": ("c0", NONE, [raw("10.1.0.2", "10.2.0.3", 50, payload=bytes(8))] * 2),
    "UDP, two clients of one port": ("in", SNAT, NEAR[:2]),
    "TCP, two clients of one port": ("in", SNAT, NEAR[2:]),
    "TCP, two ports drawn": ("in", SNAT.replace("10.9.9.9", "10.9.9.9 --random-fully"), NEAR[2:]),
}
ANSWERS = [udp(f"10.2.0.{n}:53", "10.1.0.2:4000") for n in (3, 4, 4)]


def _left(lab: Lab) -> list[tuple[str, str]]:
    return [(wire, str(Packet(data=data))) for wire, data in lab.left() if data[0] >> 4 == 4]


def _statistic(lab: Lab, name: str) -> int:
    told = run("conntrack", "-S", namespace=lab.router)
    return sum(map(int, re.findall(rf"\b{name}=(\d+)", told)))


def _raced(lab: Lab, rules: str, packets: list[Packet]) -> None:
    """Send the packets while a queue holds them, then let them go, and take the rule of the queue away."""
    with closing(Queue(lab.router)) as queue:
        lab.left()
        for packet in packets:
            lab.inject("c0", packet.data)
        held: list[int] = []
        while len(held) < len(packets):
            held += queue.held()
        for number in held:
            queue.release(number)
    lab.load(rules, 4)


@pytest.mark.parametrize("name", CASES)
def test_a_race_ends_as_in_the_kernel(name: str) -> None:
    place, rules, packets = CASES[name]
    host = router(rules)
    traces = host.race(*packets, interface="r0")
    ours = [("s0", str(t.packet)) for t in traces if t.fate.kind == "forward"]
    with Lab() as lab:
        lab.load(HOLD[place] + rules, 4)
        _raced(lab, rules, packets)
        kernel = _left(lab)
        entries = run("conntrack", "-L", namespace=lab.router).splitlines()
        assert ours == kernel
        assert len(entries) == len(conntrack_text(host.conntrack).splitlines())
        lost = sum(trace.fate.kind == "lost" for trace in traces)
        assert _statistic(lab, "insert_failed") == lost
        resolved = [
            e for t in traces for e in t.events if getattr(e, "what", "") in ("merged", "reply")
        ]
        assert _statistic(lab, "clash_resolve") == len(resolved)
        if packets[0] is ASKED:
            for answer in ANSWERS:
                lab.inject("s0", answer.data)
                assert [("c0", str(put(host, "s0", answer).packet))] == _left(lab)


def test_who_lost_is_forgotten_after_a_second() -> None:
    """The answer of the second server is translated while its entry lives, and is a stranger's afterwards."""
    for wait in (0.3, 1.4):
        host = router(TWO)
        host.race(ASKED, ASKED, interface="r0")
        host.wait(wait)
        ours = str(put(host, "s0", ANSWERS[1]).packet)
        with Lab() as lab:
            lab.load(HOLD["c0"] + TWO, 4)
            _raced(lab, TWO, [ASKED, ASKED])
            subprocess.run(["sleep", str(wait)], check=True)
            lab.left()
            lab.inject("s0", ANSWERS[1].data)
            assert _left(lab) == [("c0", ours)]


def test_a_port_is_sought_in_shrinking_rows() -> None:
    """One port of 256 is free: 128 in a row are tried, then 64, 32, 16 and 8 from new places (Linux 6.18)."""
    rules = "*nat\n-A POSTROUTING -p tcp -j SNAT --to-source 10.2.0.1:20000-20255\nCOMMIT\n"
    to = "10.2.0.3:80"
    tries, chance = 300, 1 - 1 / 2 * 3 / 4 * 7 / 8 * 15 / 16 * 31 / 32
    with Lab() as lab:
        lab.load(rules, 4)
        for port in range(20001, 20256):
            lab.inject("c0", tcp(f"10.1.0.2:{port}", to).data)
        assert len(_left(lab)) == 255
        found = 0
        for port in range(tries):
            lab.inject("c0", tcp(f"10.1.0.3:{30000 + port}", to).data)
            if _left(lab):
                found += 1
                run("conntrack", "-D", "-s", "10.1.0.3", namespace=lab.router)
    host, ours = router(rules), 0
    for port in range(20001, 20256):
        put(host, "c0", tcp(f"10.1.0.2:{port}", to))
    for port in range(tries):
        trace = put(host, "c0", tcp(f"10.1.0.3:{30000 + port}", to))
        if trace.fate.kind == "forward":
            ours += 1
            assert trace.packet.ct is not None
            assert trace.packet.ct.connection is not None
            host.conntrack.delete(trace.packet.ct.connection)
    for count in (found, ours):  # four standard deviations; 128 tries alone would find half
        assert abs(count / tries - chance) < 4 * (chance * (1 - chance) / tries) ** 0.5


@pytest.mark.parametrize(
    ("port", "low", "high"), [(300, 1, 511), (700, 600, 1023), (4000, 1024, 65535)]
)
def test_a_port_that_is_taken_gives_way_to_one_of_its_class(port: int, low: int, high: int) -> None:
    rules = "*nat\n-A POSTROUTING -o r1 -j MASQUERADE\nCOMMIT\n"
    with Lab() as lab:
        lab.load(rules, 4)
        for draw in range(60):
            lab.left()
            for client in (2, 3):
                lab.inject("c0", tcp(f"10.1.0.{client}:{port}", f"10.2.0.2:{1000 + draw}").data)
            first, other = (
                Packet(data=data).sport or 0 for _, data in lab.left() if data[0] >> 4 == 4
            )
            assert first == port
            assert low <= other <= high
            assert other != port
