"""The life of a TCP connection as conntrack sees it.

Theory: each packet is one of six events (SYN, SYN-ACK, FIN, ACK, RST, none of them) in one of two
directions. A table gives the next state for each of ten states. Two entries are no states: INVALID,
the packet does not belong there, and IGNORE, conntrack cannot tell and lets it pass.
Linux: net/netfilter/nf_conntrack_proto_tcp.c tcp_conntracks[], tcp_new(),
nf_conntrack_tcp_packet(); timeouts: tcp_timeouts[].
"""

from __future__ import annotations

from dataclasses import replace

from nb_lib.connection import Connection
from nb_lib.packet import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Packet

NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT = (
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
)
CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2 = (
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
)
INVALID, IGNORE = "INVALID", "IGNORE"
STATES = (
    NONE,
    SYN_SENT,
    SYN_RECV,
    ESTABLISHED,
    FIN_WAIT,
    CLOSE_WAIT,
    LAST_ACK,
    TIME_WAIT,
    CLOSE,
    SYN_SENT2,
)

TIMEOUTS = {SYN_SENT: 120, SYN_RECV: 60, ESTABLISHED: 432000, FIN_WAIT: 120, CLOSE_WAIT: 60,
            LAST_ACK: 30, TIME_WAIT: 120, CLOSE: 10, SYN_SENT2: 120}  # fmt: skip
UNACKNOWLEDGED = 300

_SHORT = dict(zip(("NO", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2", "iv", "ig"),
                  (*STATES, INVALID, IGNORE), strict=True))  # fmt: skip
#        now: NO SS SR ES FW CW LA TW CL S2
_NEXT = {
    ("ORIGINAL", "syn"):     "SS SS ig ig ig ig ig SS SS S2",
    ("ORIGINAL", "syn-ack"): "iv iv SR iv iv iv iv iv iv SR",
    ("ORIGINAL", "fin"):     "iv iv FW FW LA LA LA TW CL iv",
    ("ORIGINAL", "ack"):     "ES iv ES ES CW CW TW TW CL iv",
    ("ORIGINAL", "rst"):     "iv CL CL CL CL CL CL CL CL CL",
    ("ORIGINAL", "none"):    "iv iv iv iv iv iv iv iv iv iv",
    ("REPLY", "syn"):        "iv S2 iv iv iv iv iv SS iv S2",
    ("REPLY", "syn-ack"):    "iv SR ig ig ig ig ig ig ig SR",
    ("REPLY", "fin"):        "iv iv FW FW LA LA LA TW CL iv",
    ("REPLY", "ack"):        "iv ig SR ES CW CW TW TW CL ig",
    ("REPLY", "rst"):        "iv CL CL CL CL CL CL CL CL CL",
    ("REPLY", "none"):       "iv iv iv iv iv iv iv iv iv iv",
}  # fmt: skip
NEXT = {
    key: dict(zip(STATES, (_SHORT[s] for s in row.split()), strict=True))
    for key, row in _NEXT.items()
}

_VALID_FLAGS = frozenset(
    {SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG}
)


def event(packet: Packet) -> str:
    """Name what a TCP packet is to the table."""
    flags = packet.flags or 0
    if flags & RST:
        return "rst"
    if flags & SYN:
        return "syn-ack" if flags & ACK else "syn"
    if flags & FIN:
        return "fin"
    return "ack" if flags & ACK else "none"


def malformed(packet: Packet) -> str:
    """Return what is wrong with the header itself, or an empty string: tcp_error()."""
    if not packet.whole:
        return "the TCP header is cut off"
    flags = (packet.flags or 0) & ~(PSH | ECE | CWR)
    return "" if flags in _VALID_FLAGS else "an impossible combination of TCP flags"


def first_state(packet: Packet) -> str | None:
    """Return the state that a packet opens a connection with, or None if it cannot: tcp_new()."""
    state = NEXT["ORIGINAL", event(packet)][NONE]
    return None if state == INVALID else state


def first_timeout(state: str) -> int:
    """Return how long a new connection lives; one that is picked up in its middle is not trusted."""
    return UNACKNOWLEDGED if state == ESTABLISHED else TIMEOUTS[state]


def follow(connection: Connection, packet: Packet, direction: str, now: float) -> Connection | str:
    """Return the connection after one more packet, or INVALID, ``REOPEN`` or ``KILL``."""
    old = connection.state
    what = event(packet)
    new = NEXT[direction, what][old]
    if new == INVALID:
        return INVALID
    if new == SYN_SENT and old in (TIME_WAIT, CLOSE):
        return "REOPEN"
    if new == IGNORE:
        return connection
    seen = "SEEN_REPLY" in connection.status
    if what == "rst" and not seen:
        return "KILL"
    timeout = TIMEOUTS[CLOSE] if what == "rst" else TIMEOUTS[new]
    status = connection.status
    if not seen and new == ESTABLISHED:
        timeout = min(timeout, UNACKNOWLEDGED)
    elif seen and new == ESTABLISHED and old in (SYN_RECV, ESTABLISHED):
        status |= {"ASSURED"}
    return replace(connection, state=new, status=status, expires=now + timeout)
