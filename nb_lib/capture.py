"""A trace as a capture: the packet as it came, behind each rewrite, and as it left, for Wireshark or tcpdump.

The file is a pcap of the newer form, pcapng, which has room for the names of interfaces and for a comment on
each packet. Packets begin with their IP header (LINKTYPE_RAW); a trace has no clock, so each moment is a
microsecond after the one before.
Source: draft-ietf-opsawg-pcapng, sections 4.1 to 4.3; tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nb_lib.packet import Packet
from nb_lib.trace import Answered, Copied, Event, Fragmented, Place, Rewritten, Trace

HOST = "host"  # the interface of what is seen between two devices
INBOUND, OUTBOUND = 1, 2
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_RAW, _BYTE_ORDER = 101, 0x1A2B3C4D
_END, _COMMENT, _NAME, _FLAGS = (
    0,
    1,
    2,
    2,
)  # options; 2 is a name of an interface, flags of a packet


class Moment(NamedTuple):
    """A packet as it was at some point: ``device`` is "" inside the host, ``way`` INBOUND, OUTBOUND or 0."""

    note: str
    packet: Packet
    device: str = ""
    way: int = 0


def moments(trace: Trace) -> list[Moment]:
    """Return the packet at each moment at which its bytes may differ, then what the host itself sent."""
    came = f"came in by {trace.origin}" if trace.origin else "sent by the host"
    found = [Moment(came, trace.sent, trace.origin, INBOUND if trace.origin else 0)]
    found += _rewrites(trace.events)
    if trace.fate.kind == "forward":
        device = trace.fate.device
        found += [Moment(f"left by {device}", one, device, OUTBOUND) for one in trace.outgoing]
    elif trace.fate.kind == "local":
        found.append(Moment("delivered to the host", trace.packet))
    else:
        found.append(Moment(f"its end: {trace.fate}", trace.packet))
    return [*found, *_own(trace.events)]


def pcap(trace: Trace | Iterable[Trace]) -> bytes:
    """Return one trace, or several one after the other, as a pcapng file."""
    traces = [trace] if isinstance(trace, Trace) else list(trace)
    seen = [moment for one in traces for moment in moments(one)]
    names = list(dict.fromkeys(moment.device or HOST for moment in seen))
    section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
    blocks = [_block(_SECTION, section)]
    for name in names:
        head = struct.pack("<HHI", _RAW, 0, 0)
        blocks.append(_block(_INTERFACE, head + _options((_NAME, name.encode()))))
    for number, moment in enumerate(seen):
        data = moment.packet.data
        where = names.index(moment.device or HOST)
        head = struct.pack("<IIIII", where, 0, number, len(data), len(data))
        told = _options((_COMMENT, moment.note.encode()), (_FLAGS, struct.pack("<I", moment.way)))
        blocks.append(_block(_PACKET, head + _padded(data) + told))
    return b"".join(blocks)


def _rewrites(events: Iterable[Event]) -> Iterator[Moment]:
    for event in events:
        if isinstance(event, Rewritten) and event.before.data != event.packet.data:
            yield Moment(f"behind {event.by}{_where(event.place)}", event.packet)
        elif isinstance(event, Fragmented):
            return


def _own(events: Iterable[Event]) -> Iterator[Moment]:
    """Yield what the host sent because of the packet: its answers, TEE's copies."""
    for event in events:
        if isinstance(event, Answered):
            yield Moment(f"the host answers, by {event.by}", event.answer)
        elif isinstance(event, Copied):
            yield Moment(f"a copy, by {event.by}", event.copy)
        else:
            continue
        yield from _rewrites(event.events)


def _where(place: Place | None) -> str:
    return f" ({place.table} {place.chain}, rule {place.number})" if place and place.number else ""


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _options(*pairs: tuple[int, bytes]) -> bytes:
    told = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in pairs]
    return b"".join(told) + struct.pack("<HH", _END, 0)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
