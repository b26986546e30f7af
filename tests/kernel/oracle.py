"""What the live kernel does with packets, in the words of nb_lib's trace.

Packets of a batch are told apart by their IPv4 identification or IPv6 flow label; nft's own trace
ids repeat. A sentinel packet ends the batch: when its event has been read, all others have been.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from nb_lib.packet import Packet, udp
from tests.kernel.lab import Lab
from tests.kernel.netlink import TRACE_GROUP, Netlink, TraceEvent, trace_events

SENTINEL = 0xFFFE
MAX_WAIT = 2.0  # seconds for a batch; a lost sentinel must not hang the test


@dataclass
class Seen:
    """What the kernel did with one packet: steps, fate, and the bytes that left by a wire."""

    steps: list[tuple[str, str, int | str, str]] = field(default_factory=list)
    end: str = ""  # local, forward DEVICE, or nothing
    out: list[tuple[str, bytes]] = field(default_factory=list)
    error: int = 0  # errno of a local send


class Oracle:
    """A router under test; ``load`` its rules, then ``send`` batches."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._trace = Netlink(lab.router, TRACE_GROUP)
        self._ask = Netlink(lab.router)
        self._handles: dict[tuple[str, str, int], int] = {}
        self.family = 4

    def close(self) -> None:
        """Give the sockets back."""
        self._trace.close()
        self._ask.close()

    def load(self, text: str, family: int = 4) -> None:
        """Give the router a ruleset and forget its connections."""
        self.lab.load(text, family)
        self.family = family
        self._handles = self._ask.handles(2 if family == 4 else 10)
        list(self._trace.drain())
        self.lab.left()
        self._ask.flush_conntrack()

    def send(self, batch: list[tuple[str, bytes]]) -> list[Seen]:
        """Send (device, packet) pairs, ``local`` being the router itself; return what was seen."""
        found = {identity(packet): Seen() for _, packet in batch}
        for device, packet in batch:
            try:
                if device == "local":
                    self.lab.send(packet)
                else:
                    self.lab.inject(device, packet)
            except OSError as error:
                found[identity(packet)].error = error.errno or -1
        self.lab.inject("c0", udp("10.1.0.2:1", "10.1.0.2:1", ident=SENTINEL).data)
        self._sort(self._events(), found)
        for wire, packet in self.lab.left():
            # REJECT's errors have identities of their own, which may be those of a packet.
            if identity(packet) in found and Packet(data=packet).inner is None:
                found[identity(packet)].out.append((wire, packet))
        self._ask.flush_conntrack()
        return [found[identity(packet)] for _, packet in batch]

    def _events(self) -> list[TraceEvent]:
        """Read trace events up to the sentinel's."""
        events: list[TraceEvent] = []
        until = time.monotonic() + MAX_WAIT
        while time.monotonic() < until:
            new = [event for datagram in self._trace.drain() for event in trace_events(datagram)]
            events += new
            if any(e.header[:1] == b"E" and identity(e.header) == SENTINEL for e in new):
                return events
        raise TimeoutError("the sentinel's trace event did not come")

    def _sort(self, events: list[TraceEvent], found: dict[int, Seen]) -> None:
        """Give each event to its packet: the first of a base chain carries the header.

        Only a later fragment of IPv6 has none there: it must share its batch with its like alone.
        """
        current: Seen | None = next(iter(found.values())) if len(found) == 1 else None
        for event in events:
            if event.header:
                current = found.get(identity(event.header))
            if current is None:
                continue
            if event.table == "guard":
                if event.chain == "inp":
                    current.end = "local"
                elif event.chain == "post":
                    device = self.lab.devices.get(event.out, "?")
                    current.end = f"forward {device}" if device != "lo" else ""  # it comes back
            elif event.kind == "rule":
                number = self._handles.get((event.table, event.chain, event.handle))
                if number is not None:
                    verdict = f"{event.verdict} {event.target}".strip()
                    current.steps.append((event.table, event.chain, number, verdict))
            elif event.kind == "policy":
                current.steps.append((event.table, event.chain, "policy", event.verdict))


def identity(packet: bytes) -> int:
    """Return what tells a packet of a batch from the others."""
    if packet[0] >> 4 == 4:
        return packet[4] << 8 | packet[5]
    return int.from_bytes(packet[1:4], "big") & 0xFFFFF
