"""Whether a TCP segment fits what its connection's two ends have said: sequence numbers and windows.

Theory. Conntrack sees both directions and keeps four numbers of each end: the highest sequence
number that it has sent (``end``), the highest that the other end allows it to send (``limit``), the
largest window that it has offered (``window``), and the highest acknowledgement that it has given
(``acked``). A segment fits if its data begins below the limit and ends within reach of the other
end's window, and if what it acknowledges was sent, and not too long ago. Numbers wrap at 2³².

Linux: net/netfilter/nf_conntrack_proto_tcp.c tcp_in_window(), tcp_init_sender(), tcp_options(),
tcp_sack(); Guido van Rooij, Real Stateful TCP Packet Filtering in IP Filter. RFC 1323, 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nb_lib.headers import ACK, FIN, RST, SYN
from nb_lib.packet import Packet

ACCEPT, IGNORE, INVALID = "accept", "ignore", "invalid"
DIRECTIONS = ("ORIGINAL", "REPLY")
_ALL = 0xFFFFFFFF
_HALF = 1 << 31
_FAR = 66000  # how far behind an acknowledgement may be, at least: MAXACKWINCONST
_MAX_SCALE = 14
_END_OF_OPTIONS, _NO_OPERATION, _SCALE, _SACK_PERMITTED, _SACK = 0, 1, 3, 4, 5


class Side(NamedTuple):
    """What is known of one end. A ``window`` of 0: nothing yet.

    ``sack`` and ``scales``: it offered these options; ``scale`` is its exponent. ``liberal``: it was
    picked up in the middle, so its window is not known and nothing is held against it.
    ``unacknowledged``: it has sent data that was not acknowledged. ``closer``: it sent the first FIN.
    """

    end: int = 0
    limit: int = 0
    window: int = 0
    acked: int | None = None
    scale: int = 0
    sack: bool = False
    scales: bool = False
    liberal: bool = False
    unacknowledged: bool = False
    closer: bool = False


class Last(NamedTuple):
    """The latest segment that changed something: where it went, what it was, its numbers.

    ``scale``, ``sack`` and ``scales`` are the options of a SYN that was let through unbelieved;
    ``challenge`` tells that its answer may be a challenge ACK, ``both`` that both ends sent a SYN.
    """

    direction: int = 0
    event: str = "none"
    seq: int = 0
    ack: int = 0
    end: int = 0
    window: int = 0
    scale: int = 0
    sack: bool = False
    scales: bool = False
    challenge: bool = False
    both: bool = False


class Window(NamedTuple):
    """Both ends, original direction first; the latest segment; how often it was repeated."""

    sides: tuple[Side, Side] = (Side(), Side())
    last: Last = Last()
    repeats: int = 0

    def put(self, here: int, sender: Side, receiver: Side | None = None) -> Window:
        """Return the window with the end that sends in direction ``here`` exchanged, or both."""
        other = self.sides[1 - here] if receiver is None else receiver
        return self._replace(sides=(other, sender) if here else (sender, other))


class Segment(NamedTuple):
    """The numbers of one packet; ``end`` is that of the byte behind it, SYN and FIN counted."""

    seq: int
    ack: int
    end: int
    window: int
    flags: int


def segment(packet: Packet) -> Segment:
    """Read the numbers of a TCP packet."""
    assert packet.seq is not None
    assert packet.ack is not None
    assert packet.window is not None
    flags = packet.flags or 0
    size = len(packet.payload) + bool(flags & SYN) + bool(flags & FIN)
    return Segment(packet.seq, packet.ack, packet.seq + size & _ALL, packet.window, flags)


def opened(packet: Packet) -> Window:
    """Return the window of a connection that begins with ``packet``: tcp_new()."""
    new = segment(packet)
    size = new.window or 1
    if new.flags & SYN:
        return Window((_with_options(Side(new.end, new.end, size), packet), Side()))
    # Picked up in the middle: assume that it scales and may send SACK.
    first = Side(new.end, new.end + size & _ALL, size, sack=True, liberal=True)
    return Window((first, Side(sack=True, liberal=True)))


def fits(
    window: Window, packet: Packet, here: int, state: str, event: str, *, liberal: bool = False
) -> tuple[str, Window, str]:
    """Judge a packet that goes in direction ``here`` (0 original, 1 reply): tcp_in_window().

    ``liberal``: net.netfilter.nf_conntrack_tcp_be_liberal lets pass what is out of the window.
    Return ACCEPT, IGNORE (it may pass, but says nothing) or INVALID; the window after it; and a reason.
    """
    now = segment(packet)
    sender, receiver = window.sides[here], window.sides[1 - here]
    seq, ack, end, size, flags = now
    sack = _highest_sack(packet, ack) if receiver.sack else ack
    if not sender.window and not flags & SYN:
        sender, receiver = _pick_up(now, sack, sender, receiver)
    elif not sender.window or (
        flags & SYN and _after(end, sender.end) and state in ("SYN_SENT", "SYN_RECV")
    ):
        first = not sender.window
        sender, receiver = _begin(now, packet, sender, receiver, here)
        if not flags & ACK and (first or here):  # both ends open at once
            return ACCEPT, window.put(here, sender, receiver), ""
    if not flags & ACK or (flags & RST and not ack):
        ack = sack = receiver.end  # nothing is acknowledged: pretend that all is well
    if flags & RST and not seq and state == "SYN_SENT":
        seq = end = sender.end  # a RST that answers a SYN
    now = Segment(seq, ack, end, size, flags)
    verdict, reason, sender = _judge(now, sack, sender, receiver)
    if verdict != ACCEPT and not (sender.liberal or liberal):
        return verdict, window.put(here, sender, receiver), reason
    if verdict == ACCEPT:
        sender, receiver = _update(now, sack, sender, receiver)
    window = window.put(here, sender, receiver)
    if verdict == ACCEPT and event == "ack":
        window = _count_repeats(window, now, here)
    return ACCEPT, window, ""


def _begin(
    now: Segment, packet: Packet, sender: Side, receiver: Side, here: int
) -> tuple[Side, Side]:
    """Take the sender's numbers and options from its SYN: tcp_init_sender()."""
    sender = sender._replace(end=now.end, limit=now.end, window=now.window or 1)
    sender = _with_options(sender, packet)
    if here and not (sender.scales and receiver.scales):  # both have to want it
        sender, receiver = sender._replace(scale=0), receiver._replace(scale=0)
    return sender, receiver


def _pick_up(now: Segment, sack: int, sender: Side, receiver: Side) -> tuple[Side, Side]:
    """Take what can be known of a sender whose SYN was not seen."""
    size = (now.window << sender.scale) or 1
    sender = sender._replace(end=now.end, window=size, limit=now.end + size & _ALL)
    if not receiver.window:
        receiver = receiver._replace(end=sack, limit=sack)
    elif sack == receiver.end + 1 & _ALL:  # the answer to a keep-alive
        receiver = receiver._replace(end=sack)
    return sender, receiver


def _judge(now: Segment, sack: int, sender: Side, receiver: Side) -> tuple[str, str, Side]:
    """Compare a segment with the four bounds; the sender comes back, as it may have overshot."""
    reach = max(sender.window, _FAR)
    oldest = receiver.end - reach - 1 & _ALL
    lowest = sender.end - receiver.window - 1 & _ALL
    if not before(now.seq, sender.limit + 1 & _ALL):
        over = now.end - sender.limit + 1 & _ALL
        near = bool(receiver.window) and _after(now.end, lowest) and over <= receiver.window
        if near and _after(sack, oldest) and before(sack, receiver.end + 1 & _ALL):
            sender = sender._replace(end=now.end, unacknowledged=True)
            return IGNORE, f"{over} bytes more than the receiver's window allows", sender
        upper = sender.limit + 1 & _ALL
        return (
            INVALID,
            f"its sequence number {now.seq} is not below {upper}: out of the window",
            sender,
        )
    if not before(sack, receiver.end + 1 & _ALL):
        return INVALID, f"it acknowledges {sack}, and only {receiver.end} was sent", sender
    if receiver.window and not _after(now.end, lowest):
        return IGNORE, "it repeats data that was acknowledged", sender
    if not _after(sack, oldest):
        return IGNORE, f"its acknowledgement {sack} is too old", sender
    return ACCEPT, "", sender


def _update(now: Segment, sack: int, sender: Side, receiver: Side) -> tuple[Side, Side]:
    """Learn from a segment that fits."""
    size = now.window if now.flags & SYN else now.window << sender.scale
    offered = size + (sack - now.ack) & _ALL
    if receiver.window and _after(now.end, sender.limit):
        receiver = receiver._replace(window=receiver.window + (now.end - sender.limit & _ALL))
    sender = sender._replace(window=max(sender.window, offered))
    if _after(now.end, sender.end):
        sender = sender._replace(end=now.end, unacknowledged=True)
    if now.flags & ACK and (sender.acked is None or _after(now.ack, sender.acked)):
        sender = sender._replace(acked=now.ack)
    if _after(sack + size & _ALL, receiver.limit - 1 & _ALL):
        receiver = receiver._replace(limit=sack + size + (not size) & _ALL)
    if now.ack == receiver.end:
        receiver = receiver._replace(unacknowledged=False)
    return sender, receiver


def _count_repeats(window: Window, now: Segment, here: int) -> Window:
    """Count acknowledgements that say the same again: the other end no longer answers."""
    last = window.last
    numbers = (now.seq, now.ack, now.end, now.window)
    if (last.direction, last.seq, last.ack, last.end, last.window) == (here, *numbers):
        return window._replace(repeats=window.repeats + 1)
    last = last._replace(direction=here, seq=now.seq, ack=now.ack, end=now.end, window=now.window)
    return window._replace(last=last, repeats=0)


def _with_options(side: Side, packet: Packet) -> Side:
    """Return the end with the options of its SYN: tcp_options()."""
    if not _option_bytes(packet):
        return side
    side = side._replace(
        scale=0, sack=False, scales=False, unacknowledged=False, closer=False, acked=None
    )
    for kind, value in options(packet):
        if kind == _SACK_PERMITTED and not value:
            side = side._replace(sack=True)
        elif kind == _SCALE and len(value) == 1:
            side = side._replace(scale=min(value[0], _MAX_SCALE), scales=True)
    return side


def _highest_sack(packet: Packet, ack: int) -> int:
    """Return the right edge of the highest block that is acknowledged: tcp_sack()."""
    for kind, value in options(packet):
        if kind == _SACK and value and not len(value) % 8:
            for at in range(4, len(value), 8):
                edge = int.from_bytes(value[at : at + 4], "big")
                ack = edge if _after(edge, ack) else ack
            break
    return ack


def options(packet: Packet) -> Iterator[tuple[int, bytes]]:
    """Yield the TCP options of a packet, each as (kind, value); stop where they make no sense."""
    data, at = _option_bytes(packet), 0
    while at < len(data) and data[at] != _END_OF_OPTIONS:
        if data[at] == _NO_OPERATION:
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if size < 2 or at + size > len(data):
            return
        yield data[at], data[at + 2 : at + size]
        at += size


def _option_bytes(packet: Packet) -> bytes:
    start = packet.header_end
    return packet.data[start + 20 : start + (packet.data[start + 12] >> 4) * 4]


def before(one: int, other: int) -> bool:
    """Whether a sequence number comes before another, which may be behind the wrap at 2³²."""
    return one - other & _ALL >= _HALF


def _after(one: int, other: int) -> bool:
    return before(other, one)
