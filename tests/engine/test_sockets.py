"""What the stack answers to what was delivered; beside the kernel in tests/kernel/test_answers.py."""

from __future__ import annotations

import pytest

from nb_lib.engine import Host
from nb_lib.errors import HostError
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.trace import Answered, Trace
from tests.engine.router import C6, R6, C, R, put, router

NAT = """\
*nat
-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 80
COMMIT
*filter
-A OUTPUT -p tcp --tcp-flags RST RST -j REJECT
COMMIT
"""


def machine(*listening: str) -> Host:
    return router(NAT, NAT.replace(R, R6), facts={"listening": listening})


def answers(trace: Trace) -> list[str]:
    """Write each answer as it left, or was stopped."""
    found = [event for event in trace.events if isinstance(event, Answered)]
    return [str(event.events[-1].packet if event.events else event.answer) for event in found]


ANSWERS = [
    ("a ping", icmp(C, R), ["icmp 10.1.0.1 → 10.1.0.2 type 0 code 0"]),
    ("a ping, IPv6", icmp(C6, R6), ["icmpv6 fd00:1::1 → fd00:1::2 type 129 code 0"]),
    ("SYN to a listening socket", tcp(C, R, dport=80), ["tcp 10.1.0.1:80 → 10.1.0.2:40000 SYN,ACK"]),
    ("SYN to a port that is translated", tcp(C, R, dport=81), ["tcp 10.1.0.1:81 → 10.1.0.2:40000 SYN,ACK"]),
    ("FIN to a listening socket", tcp(C, R, dport=80, flags="FIN"), []),
    ("RST to a closed port", tcp(C, R, dport=22, flags="RST"), []),
    ("UDP to a closed port", udp(C, R, dport=9), ["icmp 10.1.0.1 → 10.1.0.2 type 3 code 3"]),
    ("UDP to a closed port, IPv6", udp(C6, R6, dport=9), ["icmpv6 fd00:1::1 → fd00:1::2 type 1 code 4"]),
    ("UDP to a socket", udp(C, R, dport=53), []),
    ("an unknown protocol", raw(C, R, 200, payload=b"x"), ["icmp 10.1.0.1 → 10.1.0.2 type 3 code 2"]),
    ("the same, IPv6", raw(C6, R6, 200, payload=b"x"), ["icmpv6 fd00:1::1 → fd00:1::2 type 4 code 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("packet", "said"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
def test_the_stack_answers(packet: Packet, said: list[str]) -> None:
    trace = put(machine("tcp:80", "udp:10.1.0.1:53"), "c0", packet)
    assert trace.fate.kind == "local"
    assert answers(trace) == said, trace


def test_of_sockets_that_are_not_known_nothing_is_said() -> None:
    assert answers(put(router(NAT), "c0", udp(C, R, dport=9))) == []


def test_a_rejected_rst_is_answered_by_an_error_and_that_is_the_end() -> None:
    trace = put(machine(), "c0", tcp(C, R, dport=22))
    (rst,) = [event for event in trace.events if isinstance(event, Answered)]
    (error,) = [event for event in rst.events if isinstance(event, Answered)]
    assert (rst.answer.flag_names, error.answer.icmp_type) == (("RST", "ACK"), 3)
    assert str(error.answer.dst) == R  # the RST was the router's own
    assert not [event for event in error.events if isinstance(event, Answered)]


def test_a_connection_that_began_is_believed() -> None:
    host = machine("tcp:80")
    put(host, "c0", tcp(C, R, dport=80))
    assert answers(put(host, "c0", tcp(C, R, dport=80, flags="ACK"))) == []
    other = tcp(C, R, sport=40001, dport=80, flags="ACK")
    assert "RST" in answers(put(host, "c0", other))[0]


@pytest.mark.parametrize("text", ["80", "tcp", "sctp:9", "tcp:x", "tcp:1.2.3.4", "udp:99999"])
def test_a_socket_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(HostError, match="listening"):
        put(machine(text), "c0", udp(C, R, dport=9))
