"""Packets under way at once. The expected ends are Linux 6.18's: tests/kernel/test_races.py asks it again."""

from __future__ import annotations

import pytest

from nb_lib.packet import Packet, icmp, tcp, udp
from tests.engine.router import put, router

TWO = """\
*nat
-A PREROUTING -d 10.1.0.1 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.2.0.3
-A PREROUTING -d 10.1.0.1 -j DNAT --to-destination 10.2.0.4
COMMIT
"""
ONE = "*nat\n-A PREROUTING -d 10.1.0.1 -j DNAT --to-destination 10.2.0.3\nCOMMIT\n"
MASQUERADE = "*nat\n-A POSTROUTING -o r1 -j MASQUERADE\nCOMMIT\n"
ASKED = udp("10.1.0.2:4000", "10.1.0.1:53")
CLIENTS = [udp(f"10.1.0.{n}:4000", "10.2.0.2:53") for n in (2, 3)]


@pytest.mark.parametrize(
    ("rules", "packets", "what"),
    [
        (ONE, [ASKED, ASKED], "merged"),
        (TWO, [ASKED, ASKED], "reply"),
        (TWO, [tcp("10.1.0.2:4000", "10.1.0.1:53")] * 2, "clash"),
        (TWO, [icmp("10.1.0.2", "10.1.0.1", id=7)] * 2, "clash"),
        (MASQUERADE, CLIENTS, "clash"),
        (MASQUERADE.replace("E\nC", "E --random-fully\nC"), CLIENTS, "confirmed"),
    ],
)
def test_how_the_second_packet_ends(rules: str, packets: list[Packet], what: str) -> None:
    first, second = router(rules).race(*packets, interface="r0")
    ends = [[e.what for e in t.events if hasattr(e, "what")][-1] for t in (first, second)]
    assert ends == ["confirmed", what]
    assert first.fate.kind == "forward"
    assert second.fate.kind == ("lost" if what == "clash" else "forward")


def test_before_linux_5_7_who_went_elsewhere_was_dropped() -> None:
    _, second = router(TWO, facts={"resolves_clashes": False}).race(ASKED, ASKED, interface="r0")
    assert second.fate.kind == "lost"


def test_an_entry_for_answers_is_never_renewed_nor_found_by_a_question() -> None:
    host = router(TWO)
    host.race(ASKED, ASKED, interface="r0")
    answer = udp("10.2.0.4:53", "10.1.0.2:4000")
    host.wait(0.6)
    assert str(put(host, "s0", answer).packet.src) == "10.1.0.1"
    assert str(put(host, "c0", ASKED).packet.dst) == "10.2.0.3"
    host.wait(0.6)
    assert str(put(host, "s0", answer).packet.src) == "10.2.0.4"


def test_packets_that_do_not_meet_leave_no_trace_of_the_race() -> None:
    apart = [ASKED, udp("10.1.0.3:4001", "10.1.0.1:53")]
    together, alone = router(ONE), router(ONE)
    traces = together.race(*apart, interface="r0")
    assert [t.events for t in traces] == [put(alone, "c0", packet).events for packet in apart]
