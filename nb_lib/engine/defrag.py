"""Fragments are put together: before conntrack looks at them, and before a packet is delivered.

Theory of operation. Fragments of one datagram agree in addresses, identification and, for IPv4, protocol.
They are held until the first, the last and everything between have come, or time is up. What touches
within one run of fragments that came in order is known as a repetition and dropped alone; any other
overlap spoils the whole datagram (RFC 5722, RFC 8200 4.5). The whole datagram has the first
fragment's header and goes on in the last comer's stead; what it looked like in pieces is
remembered (``Pieces``), for it will be cut up alike on its way out.

Linux: net/ipv4/ip_fragment.c ip_frag_queue(), ip_frag_reasm(); net/ipv4/inet_fragment.c
inet_frag_queue_insert(); net/ipv6/netfilter/nf_conntrack_reasm.c; nf_defrag_ipv4.c, nf_defrag_ipv6_hooks.c.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from nb_lib.connection import Address
from nb_lib.headers import FRAGMENT, NO_NEXT, TCP, UDP, checksum
from nb_lib.packet import Packet

MAX_LENGTH = 65_535
_NEEDED = {
    TCP: 20,
    UDP: 8,
}  # what a first fragment of IPv6 must hold of its transport header; others: 0
_SPOILT = frozenset({3, 5, 7, 9, 11, 13, 15})  # ECN bits seen: some not capable, and others


class Key(NamedTuple):
    """What fragments of one datagram have in common; ``hook`` is where they are gathered."""

    hook: str
    src: Address
    dst: Address
    ident: int
    protocol: int


class Pieces(NamedTuple):
    """How a datagram came: the sizes of its fragments' bodies, its largest fragment, whether that had DF."""

    sizes: tuple[int, ...]
    largest: int
    dont_fragment: bool = False


class Gathered(NamedTuple):
    """What became of a fragment: ``kept``, ``whole``, ``dropped``, or ``passed`` on as it is."""

    what: str
    packet: Packet
    pieces: Pieces | None = None
    note: str = ""


class _Queue(NamedTuple):
    """The fragments of a datagram that have come: (offset, end, packet), sorted; ``runs`` came in order."""

    expires: float
    parts: tuple[tuple[int, int, Packet], ...] = ()
    runs: tuple[tuple[int, int], ...] = ()
    end: int = 0  # the datagram's length, as far as it is known
    last_in: bool = False
    ecn: int = 0


class Fragments:
    """The datagrams of one host that wait for more fragments."""

    def __init__(self) -> None:
        self._queues: dict[Key, _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def fork(self) -> Fragments:
        """Return a copy that may change without changing this one."""
        copy = Fragments()
        copy._queues = dict(self._queues)
        return copy

    def gather(self, packet: Packet, hook: str, now: float, timeout: float) -> Gathered:
        """Take a fragment in; ``timeout`` is how long, in seconds, a new datagram may wait."""
        self._queues = {key: queue for key, queue in self._queues.items() if queue.expires > now}
        if packet.family == 6 and not packet.fragment_offset and _truncated(packet):
            return Gathered("passed", packet, note="the first fragment lacks a part of the headers")
        protocol = packet.protocol if packet.family == 4 else 0
        key = Key(hook, packet.src, packet.dst, packet.ident, protocol)
        queue = self._queues.get(key) or _Queue(now + timeout)
        verdict, queue, note = (_queue4 if packet.family == 4 else _queue6)(queue, packet)
        if verdict in ("spoilt", "passed"):
            self._queues.pop(key, None)
            return Gathered("dropped" if verdict == "spoilt" else verdict, packet, note=note)
        self._queues[key] = queue
        if verdict == "dropped":
            return Gathered(verdict, packet, note=note)
        if not _complete(queue):
            return Gathered("kept", packet)
        del self._queues[key]
        return _whole(queue, packet)


def is_fragment(packet: Packet) -> bool:
    """Whether the packet is a fragment; in IPv6 one with a fragment header, be it all there is."""
    if packet.family == 4:
        return packet.more_fragments or packet.fragment_offset > 0
    return any(kind == FRAGMENT for kind, _ in packet.extensions)


def body_at(packet: Packet) -> int:
    """Return where the part of the datagram begins that the fragment holds."""
    if packet.family == 4:
        return packet.header_end
    return next(at for kind, at in packet.extensions if kind == FRAGMENT) + 8


def _truncated(packet: Packet) -> bool:
    """net/ipv6/reassembly.c ipv6frag_thdr_truncated(): RFC 8200 wants all headers in the first fragment."""
    if packet.protocol == NO_NEXT:
        return False
    return packet.header_end + _NEEDED.get(packet.protocol, 1) > packet.length


Verdict = tuple[str, _Queue, str]


def _queue4(queue: _Queue, packet: Packet) -> Verdict:
    start = packet.fragment_offset
    end = start + packet.length - packet.header_end
    if packet.more_fragments:
        end &= ~7
    if not _fits(queue, packet, end):
        return "spoilt", queue, "its end contradicts that of another fragment"
    if end == start:
        return "spoilt", queue, "an empty fragment"
    return _insert(queue, packet, start, end)


def _queue6(queue: _Queue, packet: Packet) -> Verdict:
    start = packet.fragment_offset
    end = start + packet.length - body_at(packet)
    if end > MAX_LENGTH:
        return "dropped", queue, "a datagram of that length cannot be"
    if packet.more_fragments and end & 7:
        return "passed", queue, "its length is no multiple of 8"
    if not _fits(queue, packet, end):
        return "dropped", queue, "its end contradicts that of another fragment"
    if end == start:
        return "dropped", queue, "an empty fragment"
    return _insert(queue, packet, start, end)


def _fits(queue: _Queue, packet: Packet, end: int) -> bool:
    """Whether the fragment ends where the datagram can end."""
    if packet.more_fragments:
        return end <= queue.end or not queue.last_in
    return end >= queue.end and not (queue.last_in and end != queue.end)


def _insert(queue: _Queue, packet: Packet, start: int, end: int) -> Verdict:
    """inet_frag_queue_insert(): behind all others, or between runs, or nowhere.

    Where the datagram ends is learned even from a fragment that is then dropped.
    """
    last = queue.last_in or not packet.more_fragments
    queue = queue._replace(end=max(queue.end, end), last_in=last)
    for low, high in queue.runs:
        if low <= start and end <= high:
            return "dropped", queue, "it has come before"
        if start < high and low < end:
            return "spoilt", queue, "it overlaps another fragment"
    runs = queue.runs
    if runs and start == runs[-1][1]:
        runs = (*runs[:-1], (runs[-1][0], end))
    else:
        runs = tuple(sorted((*runs, (start, end))))
    parts = tuple(sorted((*queue.parts, (start, end, packet)), key=lambda part: part[0]))
    ecn = queue.ecn | 1 << (packet.tos & 3)
    return "kept", queue._replace(parts=parts, runs=runs, ecn=ecn), ""


def _complete(queue: _Queue) -> bool:
    return queue.last_in and sum(end - start for start, end, _ in queue.parts) == queue.end


def _whole(queue: _Queue, last: Packet) -> Gathered:
    """Put the bodies behind the first fragment's header; ``last`` came last."""
    first = queue.parts[0][2]
    note = f"from {len(queue.parts)} fragments"
    if queue.ecn in _SPOILT:
        return Gathered("dropped", last, note="its fragments disagree about ECN")
    body = b"".join(p.data[body_at(p) :][: end - start] for start, end, p in queue.parts)
    packet = replace((_header4 if first.family == 4 else _header6)(first, body),
                     in_iface=last.in_iface, out_iface=last.out_iface, ct=last.ct)  # fmt: skip
    if len(packet.data) > MAX_LENGTH + (40 if packet.family == 6 else 0):
        return Gathered("dropped", last, note="the datagram is too long")
    if queue.ecn & 0b1000:  # some fragment met congestion
        packet = packet.change(tos=packet.tos | 3)
    largest = max(p.length for _, _, p in queue.parts)
    with_df = [p.length for _, _, p in queue.parts if p.dont_fragment]
    sizes = tuple(end - start for start, end, _ in queue.parts)
    pieces = Pieces(sizes, largest, bool(with_df) and max(with_df) == largest)
    if pieces.dont_fragment:
        packet = _with_df(packet)
    return Gathered("whole", packet, pieces, note)


def _header4(first: Packet, body: bytes) -> Packet:
    """An IPv4 header without a word of fragments."""
    data = bytearray(first.data[: first.header_end] + body)
    data[2:4], data[6:8], data[10:12] = (len(data) & 0xFFFF).to_bytes(2, "big"), bytes(2), bytes(2)
    data[10:12] = checksum(data[: first.header_end]).to_bytes(2, "big")
    return replace(first, data=bytes(data))


def _header6(first: Packet, body: bytes) -> Packet:
    """IPv6 headers without the fragment header: the one before it points behind it."""
    place = next(n for n, (kind, _) in enumerate(first.extensions) if kind == FRAGMENT)
    at = first.extensions[place][1]
    data = bytearray(first.data[:at] + body)
    data[first.extensions[place - 1][1] if place else 6] = first.data[at]
    data[4:6] = (len(data) - 40 & 0xFFFF).to_bytes(2, "big")
    return replace(first, data=bytes(data))


def _with_df(packet: Packet) -> Packet:
    data = bytearray(packet.data)
    data[6:8], data[10:12] = b"\x40\0", bytes(2)
    data[10:12] = checksum(data[: packet.header_end]).to_bytes(2, "big")
    return replace(packet, data=bytes(data))
