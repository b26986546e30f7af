"""The life of a TCP connection as conntrack sees it.

Theory: each packet is one of six events (SYN, SYN-ACK, FIN, ACK, RST, none of them) in one of two
directions. A table gives the next state for each of ten states. Two entries are no states: INVALID,
the packet does not belong there, and IGNORE, conntrack cannot tell and lets it pass. What the table
allows must also fit the window (engine/window.py).
Linux: net/netfilter/nf_conntrack_proto_tcp.c tcp_conntracks[], tcp_new(),
nf_conntrack_tcp_packet(); timeouts: tcp_timeouts[].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nb_lib.connection import Connection
from nb_lib.engine import window as windows
from nb_lib.engine.followed import Followed
from nb_lib.engine.window import DIRECTIONS, Side, Window
from nb_lib.frozen import changed
from nb_lib.headers import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from nb_lib.packet import Packet

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


def opening(
    packet: Packet, now: float, timeouts: Mapping[str, int]
) -> tuple[str, Window, float] | None:
    """Return the state, window and expiry that a packet opens a connection with: tcp_new().

    None if it cannot open one.
    """
    what = event(packet)
    state = NEXT["ORIGINAL", what][NONE]
    if state == INVALID or (state == ESTABLISHED and not timeouts["tcp_loose"]):
        return None
    _, window, _ = windows.fits(windows.opened(packet), packet, 0, NONE, what)
    window = window._replace(last=window.last._replace(event=what, direction=0))
    return state, window, now + _unanswered(timeouts, _timeout(timeouts, window, state, what))


class _Case(NamedTuple):
    """A packet that meets a connection: where it goes (0 original, 1 reply), what it is, and when."""

    connection: Connection
    packet: Packet
    here: int
    what: str
    now: float
    timeouts: Mapping[str, int]

    @property
    def state(self) -> str:
        return self.connection.state

    @property
    def window(self) -> Window:
        found = self.connection.proto
        assert isinstance(found, Window)
        return found

    @property
    def last(self) -> windows.Last:
        return self.window.last

    def has(self, status: str) -> bool:
        return status in self.connection.status

    def after(self, follower: str) -> bool:
        """Whether the latest segment was a ``follower`` from the other end."""
        return self.last.direction != self.here and self.last.event == follower

    def change(self, to: Window | None = None, /, **last: object) -> _Case:
        """Return the case with another window, or with some of the latest segment's facts changed."""
        window = to or self.window
        window = window._replace(last=window.last._replace(**last))  # type: ignore[arg-type]
        return self._replace(connection=changed(self.connection, proto=window))


def follow(
    connection: Connection,
    packet: Packet,
    direction: str,
    now: float,
    timeouts: Mapping[str, int],
) -> Followed:
    """Return the connection after one more packet: nf_conntrack_tcp_packet()."""
    case = _Case(connection, packet, DIRECTIONS.index(direction), event(packet), now, timeouts)
    new = NEXT[direction, case.what][case.state]
    if new == INVALID:
        return Followed("invalid", connection, f"a connection in {case.state} has no place for it")
    if new == SYN_SENT and case.state in (TIME_WAIT, CLOSE, SYN_SENT2):
        closed = any(side.closer for side in case.window.sides)
        if closed or (case.last.direction == case.here and case.last.event == "rst"):
            return Followed("reopen", connection)
        new = IGNORE
    if new == IGNORE:
        return _ignore(case)
    if new == TIME_WAIT and case.state == LAST_ACK and case.after("syn") and case.last.challenge:
        # The ACK answers a SYN that came too late, and not the last FIN (RFC 5961).
        return Followed("ignore", case.change(challenge=False).connection, "a challenge")
    if case.what == "rst":
        return _reset(case)
    if new == SYN_SENT2:
        case = case.change(both=True)
    if new == SYN_RECV and case.here and case.what == "ack" and case.last.both:
        new = ESTABLISHED
    return _fit(case, new)


def closed(connection: Connection, now: float, timeouts: Mapping[str, int]) -> Connection:
    """Return a connection after REJECT answered one of its packets with a RST.

    Conntrack never sees that RST, so it is told: nf_conntrack_tcp_set_closing(), since Linux 6.3.
    """
    if "CONFIRMED" not in connection.status or connection.state == CLOSE:
        return connection
    return changed(connection, state=CLOSE, expires=now + timeouts["tcp_timeout_close"])


def _fit(case: _Case, new: str) -> Followed:
    """Enter state ``new`` if the packet fits the window."""
    verdict, window, note = windows.fits(
        case.window, case.packet, case.here, case.state, case.what,
        liberal=case.timeouts["tcp_be_liberal"] != 0,
    )  # fmt: skip
    case = case.change(window)
    if verdict == windows.INVALID:
        return Followed("invalid", _shorten(case), note)
    return (
        Followed("ignore", case.connection, note)
        if verdict == windows.IGNORE
        else _enter(case, new)
    )


def _enter(case: _Case, new: str) -> Followed:
    """Enter state ``new``; the connection lives on from now."""
    old, here = case.state, case.here
    case = case.change(event=case.what, direction=here)
    window = case.window
    if new == FIN_WAIT != old:
        window = window.put(here, window.sides[here]._replace(closer=True))
    moved = changed(case.connection, state=new, proto=window)
    timeout = _timeout(case.timeouts, window, new, case.what)
    if case.has("SEEN_REPLY"):
        if new == ESTABLISHED and old in (SYN_RECV, ESTABLISHED):
            moved = changed(moved, status=moved.status | {"ASSURED"})
    elif case.what == "rst":
        return Followed("kill", moved)
    elif case.what == "syn" and old == SYN_SENT:  # a repeated SYN prolongs nothing
        return Followed("ignore", moved)
    elif new == ESTABLISHED:
        timeout = _unanswered(case.timeouts, timeout)
    return Followed("accept", changed(moved, expires=case.now + timeout))


def _timeout(timeouts: Mapping[str, int], window: Window, state: str, what: str) -> int:
    """How long a connection lives without another packet."""
    usual = timeouts[f"tcp_timeout_{state.lower()}"]
    if window.repeats >= timeouts["tcp_max_retrans"]:
        return min(usual, timeouts["tcp_timeout_max_retrans"])
    if what == "rst":
        return timeouts["tcp_timeout_close"]
    waiting = any(side.unacknowledged for side in window.sides) or not window.last.window
    return _unanswered(timeouts, usual) if waiting else usual


def _unanswered(timeouts: Mapping[str, int], usual: int) -> int:
    return min(usual, timeouts["tcp_timeout_unacknowledged"])


def _ignore(case: _Case) -> Followed:
    """Let a packet pass unbelieved, but note it: its answer may show that it was right."""
    last, here = case.last, case.here
    if case.what == "syn-ack" and case.after("syn") and case.packet.ack == last.end:
        # It answers a SYN that was let pass: believe that one, and start anew.
        opener = Side(
            last.end,
            last.end,
            last.window or 1,
            scale=last.scale,
            sack=last.sack,
            scales=last.scales,
        )
        fresh = Side(liberal=case.window.sides[here].liberal)
        case = case.change(case.window.put(last.direction, opener, fresh), challenge=False)
        return _fit(case._replace(connection=changed(case.connection, state=SYN_SENT)), SYN_RECV)
    now = windows.segment(case.packet)
    kept = case.change(direction=here, event=case.what, seq=now.seq, end=now.end, window=now.window)
    if case.what == "syn" and not here:
        offer = windows.opened(case.packet).sides[0]
        kept = kept.change(scale=offer.scale, sack=offer.sack, scales=offer.scales)
        kept = kept.change(both=False, challenge=case.state == LAST_ACK)
    if case.state == SYN_SENT and case.what == "ack" and here:
        kept = kept.change(ack=now.ack)
    return Followed(
        "ignore", kept.connection, f"a connection in {case.state} cannot tell what it is"
    )


def _reset(case: _Case) -> Followed:
    """A RST closes the connection, if its number is what the other end expects."""
    if case.state in (FIN_WAIT, LAST_ACK, TIME_WAIT, CLOSE, CLOSE_WAIT):
        return _enter(case, CLOSE)
    last, now = case.last, windows.segment(case.packet)
    expected, new = case.window.sides[1 - case.here].acked, CLOSE
    established = case.state == ESTABLISHED and case.has("ASSURED")
    if expected is not None and last.event != "syn":
        answers_syn = not now.seq and not established
        strict = not case.timeouts["tcp_ignore_invalid_rst"]
        if strict and not answers_syn and windows.before(now.seq, expected):
            return Followed("invalid", case.connection, "a RST behind what was acknowledged")
        train = last.event == "ack" and last.direction == case.here and now.seq == last.end
        if not established or now.seq == expected or train:
            return _fit(case, CLOSE)
        new = case.state  # not exactly what was expected: the answer may be a challenge
    doubted = case.after("syn") if case.has("SEEN_REPLY") else False
    doubted = doubted or (case.after("ack") and not case.has("ASSURED"))
    challenge = case.state == SYN_SENT and last.event == "ack" and last.direction == 1
    if (doubted and now.ack == last.end) or (challenge and now.seq == last.ack):
        return _enter(case, new)
    return _fit(case, new)


def _shorten(case: _Case) -> Connection:
    """A FIN or RST out of the window, answered by another: the end is near: nf_tcp_handle_invalid()."""
    if case.what not in ("fin", "rst") or not case.has("ASSURED"):
        return case.connection
    if case.after("fin") or case.after("rst"):
        soon = min(case.connection.expires, case.now + case.timeouts["tcp_timeout_unacknowledged"])
        return changed(case.connection, expires=soon)
    return case.change(event=case.what, direction=case.here).connection
