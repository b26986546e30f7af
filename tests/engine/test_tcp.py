"""What conntrack makes of TCP segments, one connection at a time: state, lifetime, and what does not fit.

The live kernel judges thousands of such conversations (tests/kernel/test_conversations.py); these
are the ones to read.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from nb_lib.engine import Host
from nb_lib.packet import Packet, tcp
from nb_lib.trace import Looked
from tests.engine.router import C, S, put, router

RULES = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
SCALE, SACK = b"\x03\x03\x07\x01", b"\x04\x02\x01\x01"


def client(flags: str, seq: int = 1000, ack: int = 0, **more: Any) -> tuple[str, Packet]:
    return "c0", tcp(C, S, sport=40000, dport=80, flags=flags, seq=seq, ack=ack, **more)


def server(flags: str, seq: int = 5000, ack: int = 1001, **more: Any) -> tuple[str, Packet]:
    return "s0", tcp(S, C, sport=80, dport=40000, flags=flags, seq=seq, ack=ack, **more)


OPEN = (client("SYN"), server("SYN,ACK"), client("ACK", 1001, 5001))
DATA = client("PSH,ACK", 1001, 5001, payload=b"GET /")
OPEN_SCALED = (
    client("SYN", options=SCALE + SACK),
    server("SYN,ACK", options=SCALE + SACK),
    OPEN[2],
)


def play(*segments: tuple[str, Packet]) -> tuple[Host, list[str]]:
    """Send segments; return the host and what conntrack called each of them."""
    host = router(RULES)
    words = []
    for wire, packet in segments:
        trace = put(host, wire, packet)
        assert trace.packet.ct is not None
        words.append(trace.packet.ct.state)
    return host, words


def entry(host: Host) -> tuple[str, int, bool]:
    """Return state, seconds to live and whether the connection is assured."""
    (held,) = host.conntrack
    return held.state, round(held.expires - host.now), "ASSURED" in held.status


# segments → the entry after the last of them
LIVES = {
    "a SYN": (OPEN[:1], ("SYN_SENT", 120, False)),
    "its answer": (OPEN[:2], ("SYN_RECV", 60, False)),
    "the handshake": (OPEN, ("ESTABLISHED", 432_000, True)),
    "data without an answer yet": ((*OPEN, DATA), ("ESTABLISHED", 300, True)),
    "data that was acknowledged": ((*OPEN, DATA, server("ACK", 5001, 1006)), ("ESTABLISHED", 432_000, True)),
    "a window of nothing": ((*OPEN, server("ACK", 5001, 1001, window=0)), ("ESTABLISHED", 300, True)),
    "the same ACK four times": ((*OPEN, *[client("ACK", 1001, 5001)] * 3), ("ESTABLISHED", 300, True)),
    "the client closes": ((*OPEN, client("FIN,ACK", 1001, 5001)), ("FIN_WAIT", 120, True)),
    "and is heard": (
        (*OPEN, client("FIN,ACK", 1001, 5001), server("ACK", 5001, 1002)), ("CLOSE_WAIT", 60, True),
    ),
    "both close": (
        (*OPEN, client("FIN,ACK", 1001, 5001), server("FIN,ACK", 5001, 1002)), ("LAST_ACK", 30, True),
    ),
    "the last ACK": (
        (*OPEN, client("FIN,ACK", 1001, 5001), server("FIN,ACK", 5001, 1002), client("ACK", 1002, 5002)),
        ("TIME_WAIT", 120, True),
    ),
    "a reset": ((*OPEN, server("RST", 5001)), ("CLOSE", 10, True)),
    "picked up in the middle": ((client("ACK", 1001, 5001),), ("ESTABLISHED", 300, False)),
    "and answered": ((client("ACK", 1001, 5001), server("ACK", 5001, 1001)), ("ESTABLISHED", 300, False)),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_a_connection_moves_on(name: str) -> None:
    segments, expected = LIVES[name]
    host, words = play(*segments)
    assert entry(host) == expected
    assert "INVALID" not in words


# segments behind the handshake, the last of which does or does not fit
FITS = {
    "data far ahead of the window": (OPEN, client("ACK", 1001 + 200_000, 5001, payload=b"x"), "INVALID"),
    "data a little ahead, as some send it": (
        OPEN, client("ACK", 1001 + 66_000, 5001, payload=b"x"), "ESTABLISHED",
    ),
    "data at the edge of the window": (OPEN, client("ACK", 1001 + 65_535, 5001, payload=b""), "ESTABLISHED"),
    "a scaled window reaches further": (
        (*OPEN_SCALED, server("ACK", 5001, 1001)), client("ACK", 1001 + 200_000, 5001, payload=b"x"),
        "ESTABLISHED",
    ),
    "data that was acknowledged, again": ((*OPEN, DATA, server("ACK", 5001, 1006)), DATA, "ESTABLISHED"),
    "an acknowledgement of what nobody said": (OPEN, client("ACK", 1001, 5002), "INVALID"),
    "an acknowledgement from long ago": (OPEN, client("ACK", 1001, 5001 - 70_000), "ESTABLISHED"),
    "SACK of what nobody said": (
        OPEN_SCALED,
        client("ACK", 1001, 5001, options=b"\x01\x01\x05\x0a" + struct.pack("!II", 6000, 6001)), "INVALID",
    ),
    "a SYN in the middle": (OPEN, client("SYN", 900_000), "ESTABLISHED"),
    "a SYN-ACK in the middle": (OPEN, server("SYN,ACK", 1), "ESTABLISHED"),
    "a SYN-ACK of the client": (OPEN, client("SYN,ACK", 1), "INVALID"),
    "a reset behind what was acknowledged": (
        (*OPEN, DATA, server("ACK", 5001, 1006)), client("RST", 1001), "INVALID",
    ),
    "a reset out of the window": (OPEN, client("RST", 900_000_000), "INVALID"),
    "a reset from the server without a number": (OPEN[:1], server("RST,ACK", 0), "ESTABLISHED"),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_a_segment_fits_or_does_not(name: str) -> None:
    before, segment, expected = FITS[name]
    _, words = play(*before, segment)
    assert words[-1] == expected


def test_what_does_not_fit_says_why() -> None:
    host = router(RULES)
    for wire, packet in OPEN:
        put(host, wire, packet)
    trace = put(host, *client("ACK", 900_000_000, 5001, payload=b"x"))
    (looked,) = [event for event in trace.events if isinstance(event, Looked)]
    assert looked.what == "invalid"
    assert looked.note == "its sequence number 900000000 is not below 66537: out of the window"


def test_a_repeated_SYN_prolongs_nothing() -> None:  # noqa: N802 - the flag's name
    host, _ = play(OPEN[0])
    host.wait(50)
    put(host, *OPEN[0])
    assert entry(host) == ("SYN_SENT", 70, False)


def test_a_reset_before_any_answer_forgets_the_connection() -> None:
    host, words = play(client("SYN"), client("RST", 1001))
    assert (words, len(host.conntrack)) == (["NEW", "NEW"], 0)
    host, words = play(client("SYN"), client("RST", 9999))
    assert (words, len(host.conntrack)) == (["NEW", "INVALID"], 1)
    host, words = play(client("SYN"), server("RST,ACK", 0))
    assert (words[-1], len(host.conntrack)) == ("ESTABLISHED", 0)


def test_a_new_SYN_reopens_a_connection_that_waits() -> None:  # noqa: N802 - the flag's name
    closed = (
        *OPEN,
        client("FIN,ACK", 1001, 5001),
        server("FIN,ACK", 5001, 1002),
        client("ACK", 1002, 5002),
    )
    host, words = play(*closed, client("SYN", 77))
    assert (words[-1], entry(host)) == ("NEW", ("SYN_SENT", 120, False))


def test_sequence_numbers_wrap() -> None:
    top = 2**32 - 3
    host, words = play(
        client("SYN", top), server("SYN,ACK", top, top + 1), client("ACK", top + 1, top + 1),
        client("PSH,ACK", top + 1, top + 1, payload=b"wrapped"), server("ACK", top + 1, top + 8 & 0xFFFFFFFF),
        client("FIN,ACK", top + 8 & 0xFFFFFFFF, top + 1),
    )  # fmt: skip
    assert words == ["NEW", *["ESTABLISHED"] * 5]
    assert entry(host)[0] == "FIN_WAIT"


def test_both_ends_open_at_once() -> None:
    host, words = play(client("SYN"), ("s0", tcp(S, C, sport=80, dport=40000, seq=5000)), server("SYN,ACK"),
                       client("SYN,ACK", 1000, 5001))  # fmt: skip
    assert words == ["NEW", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED"]
    assert len(host.conntrack) == 1
