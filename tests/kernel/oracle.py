"""What the live kernel does with packets, in the words of nb_lib's trace.

Packets of a batch are told apart by their IPv4 identification or IPv6 flow label; the trace's own
ids repeat. What the router sends by itself (REJECT's answers) is traced while its cause is on its
way. A sentinel packet ends the batch: when one comes with nothing before it, all others have come.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from nb_lib.hooks import BUILTIN
from nb_lib.packet import Packet, udp
from tests.kernel.lab import NFT_FAMILY, SENTINEL, Lab
from tests.kernel.netlink import TRACE_GROUP, Netlink, TraceEvent, trace_events
from tests.kernel.nflog import TraceLine, TraceLog

MAX_WAIT = 5.0  # seconds for a batch; a lost sentinel must not hang the test
_NOISE = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})  # ICMPv6 that keeps a link going

Step = tuple[str, str, int | str, str]
Frames = list[tuple[str, bytes]]


@dataclass
class Seen:
    """What the kernel did with one packet.

    ``steps`` are (table, chain, number or ``policy``, verdict), the verdict empty where the kernel
    does not tell it (legacy); ``ct`` is conntrack's word at each of them, None where the kernel does
    not say it: it does for the first rule that matches in a base chain and what that calls.
    ``end`` is ``local``, ``forward DEVICE`` or empty; ``out`` are the packets that left by a wire;
    ``delivered`` is the network header, and the transport header's beginning, of a packet for the host
    itself.
    """

    steps: list[Step] = field(default_factory=list)
    ct: list[str | None] = field(default_factory=list)
    end: str = ""
    out: Frames = field(default_factory=list)
    delivered: tuple[bytes, bytes] = (b"", b"")
    drawn: set[int] = field(default_factory=set)  # addresses and ports that it had on its way
    error: int = 0  # errno of a local send
    answers: list[Seen] = field(default_factory=list)
    legacy: bool = False
    copy_of: int = -1  # identity of the packet that TEE copied
    began: bytes = b""  # the network header with which an answer set out


def together(parts: list[Seen]) -> Seen:
    """What became of a datagram that was sent in parts."""
    return Seen(
        [step for part in parts for step in part.steps],
        end=next((part.end for part in reversed(parts) if part.end), ""),
        out=[frame for part in parts for frame in part.out],
        error=parts[0].error,
    )


class Oracle:
    """A router under test; ``load`` its rules, then ``send`` batches."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._trace = Netlink(lab.router, TRACE_GROUP)
        self._ask = Netlink(lab.router)
        self._log = TraceLog(lab.router) if lab.backend == "legacy" else None
        self._handles: dict[tuple[str, str, int], int] = {}
        self._lengths: dict[tuple[str, str], int] = {}
        self._out_rule = self._guards_rule_for_answers()
        self.family = 4
        self.says_states = False  # whether this kernel's trace has told of conntrack yet

    def close(self) -> None:
        """Give the sockets back."""
        for link in filter(None, (self._trace, self._ask, self._log)):
            link.close()

    def load(self, text: str, family: int = 4) -> str:
        """Give the router a ruleset and forget its connections; return the rules that it has now."""
        if family != self.family and self._log:
            self.lab.load("", self.family)
        text = self.lab.load(text, family)
        self.family = family
        if self._log:
            self._lengths = _lengths(text)
        else:
            self._handles = self._ask.handles(2 if family == 4 else 10)
            self._out_rule = self._guards_rule_for_answers()
        list(self._trace.drain())
        self.lab.left()
        self.forget()
        return text

    def forget(self) -> None:
        """Forget all connections."""
        self._ask.flush_conntrack()

    def send(self, batch: list[tuple[str, bytes]]) -> list[Seen]:
        """Send (device, packet) pairs, ``local`` being the router itself; return what was seen."""
        found = [Seen(legacy=self._log is not None) for _ in batch]
        for seen, (device, packet) in zip(found, batch, strict=True):
            try:
                if device == "local":
                    self.lab.send(packet)
                else:
                    self.lab.inject(device, packet)
            except OSError as error:
                seen.error = error.errno or -1
        sorting = _Sorting(self, zip((packet for _, packet in batch), found, strict=True))
        sorting.events(self._events())
        if self._log:
            sorting.lines(self._log.lines())
        sorting.frames(self.lab.left())
        return found

    def _events(self) -> list[TraceEvent]:
        """Read trace events until nothing more comes.

        On a busy machine a packet may be worked on after its sender has gone on; what it sends by lo then
        comes behind the sentinel. It has been queued by then, so another sentinel comes behind it in turn.
        """
        events: list[TraceEvent] = []
        until = time.monotonic() + MAX_WAIT
        while new := self._up_to_sentinel(until):
            events += new
        return events

    def _up_to_sentinel(self, until: float) -> list[TraceEvent]:
        """Send a sentinel, read what comes before it. Raises TimeoutError if it does not come."""
        self.lab.inject("c0", udp("10.1.0.2:1", "10.1.0.2:1", ident=SENTINEL).data)
        events: list[TraceEvent] = []
        came: bytes | None = None  # the sentinel's trace id
        while came is None:
            if not self._trace.wait(until - time.monotonic()):
                raise TimeoutError("the sentinel's trace event did not come")
            for event in (e for datagram in self._trace.drain() for e in trace_events(datagram)):
                if event.header[:1] == b"E" and identity(event.header) == SENTINEL:
                    came = event.id
                elif event.header or event.chain != "pre" or event.id != came:
                    events.append(event)
        return events

    def _guards_rule_for_answers(self) -> int:
        """Return the handle of the guard's rule that only the router's own packets meet."""
        rules = self._ask.handles(1)
        return max(handle for (table, chain, handle) in rules if (table, chain) == ("guard", "out"))

    def step(self, event: TraceEvent) -> Step | None:
        """Return a trace event as a step; None for the end of a user chain."""
        named = self.lab.backend == "nftables"
        table = f"{NFT_FAMILY[self.family]} {event.table}" if named else event.table
        if event.kind == "policy":
            return table, event.chain, "policy", event.verdict
        number = self._handles.get((event.table, event.chain, event.handle))
        if event.kind != "rule" or number is None:
            return None
        return table, event.chain, number, f"{event.verdict} {event.target}".strip()

    def logged(self, line: TraceLine) -> Step | None:
        """Return a legacy TRACE line as a step; None for the end of a user chain."""
        if line.kind == "rule" or line.number <= self._lengths.get((line.table, line.chain), 0):
            return line.table, line.chain, line.number, ""
        return (line.table, line.chain, "policy", "") if line.kind == "policy" else None

    def answers_begin(self, event: TraceEvent) -> bool:
        """Whether the event is the first of a packet that the router made itself."""
        return event.table == "guard" and event.chain == "out" and event.handle == self._out_rule


class _Sorting:
    """Gives events, lines and frames of one batch to their packets."""

    def __init__(self, oracle: Oracle, batch: Iterable[tuple[bytes, Seen]]) -> None:
        self.oracle = oracle
        self.waiting: dict[int, list[Seen]] = {}
        sent = list(batch)
        self.sent = {identity(packet): packet for packet, _ in sent}
        every = [(identity(packet), seen) for packet, seen in sent]
        self.errors = {identity(data) for data, _ in sent if Packet(data=data).inner is not None}
        # A later fragment of IPv6 has no header in its events: it must share its batch with its like alone.
        self.only = every[0][1] if len({key for key, _ in every}) == 1 else None
        self.alike: dict[int, list[Seen]] = {}
        for key, seen in every:
            self.waiting.setdefault(key, []).append(seen)
            self.alike.setdefault(key, []).append(seen)
        self.begun: dict[int, Seen] = {}  # by identity: the last packet that started
        self.by_id: dict[bytes, Seen | None] = {}
        self.own: dict[int, Seen] = {}  # answers, by an identity that no packet of the batch has
        self.latest: Seen | None = None
        self.looping: dict[int, list[Seen]] = {}  # sent by lo, by identity, and not yet back
        self.answers: list[Seen] = []

    def events(self, events: Iterable[TraceEvent]) -> None:
        """The first event of each chain carries the header; the others follow by their id."""
        for event in events:
            if event.header:
                self.by_id[event.id] = self._owner(event)
            seen = self.by_id.get(event.id)
            if self.only and not event.header and not any(seen is one for one in self.answers):
                seen = (
                    self.latest or self.only
                )  # a fragment without a header; its id may be an old one
            if seen is None:
                continue
            if event.header:
                seen.drawn |= ends(event.header, event.transport)
            if event.table == "guard":
                self._guard(seen, event)
            elif (step := self.oracle.step(event)) is not None:
                seen.steps.append(step)
                seen.ct.append(self._word(event))

    def _word(self, event: TraceEvent) -> str | None:
        """Conntrack's word; none is one as well (INVALID), of a kernel that ever says any."""
        self.oracle.says_states |= event.ct != ""
        said = self.oracle.says_states and event.header and event.kind == "rule"
        return event.ct if said else None

    def _owner(self, event: TraceEvent) -> Seen | None:
        key = identity(event.header)
        begins = bool(event.handle)  # what comes back by lo meets none of the guard's rules
        if event.table == "guard" and event.chain in ("pre", "out") and begins:
            if self.oracle.answers_begin(event):
                return self._answer(event)
            if self.waiting.get(key):
                self.latest = self.begun[key] = self.waiting[key].pop(0)
                return self.latest
            if event.chain == "out":
                return self._answer(event)  # TEE's copy of a packet of ours
            return None if key == SENTINEL else self._bearer(key, event.header)
        if event.table == "guard" and event.chain == "pre" and self.looping.get(key):
            return self.looping[key].pop(0)
        known = self.by_id.get(event.id)
        if known and any(known is one for one in (*self.answers, self.begun.get(key))):
            return known
        return self._bearer(key, event.header)

    def _bearer(self, key: int, header: bytes) -> Seen | None:
        """Return who bears an identity: a packet, or TEE's copy of it, or an answer."""
        seen = self.begun.get(key)
        copies = [one for one in seen.answers if one.copy_of == key] if seen else ()
        if copies and _is_copy(header, self.sent[key]):
            return copies[0]
        return seen or self.own.get(key)

    def _answer(self, event: TraceEvent) -> Seen | None:
        if _is_noise(event):
            return None
        answer = Seen(legacy=self.oracle.lab.backend == "legacy", began=event.header)
        if self.latest is not None:
            key = identity(event.header)
            answer.copy_of = key if key in self.alike else -1
            self.latest.answers.append(answer)
            self.answers.append(answer)
            self.own[key] = answer
        return answer

    def _guard(self, seen: Seen, event: TraceEvent) -> None:
        if event.chain == "inp":
            seen.end = "local"
            seen.delivered = event.header, event.transport
        elif event.chain == "post":
            device = self.oracle.lab.devices.get(event.out, "?")
            seen.end = f"forward {device}" if device != "lo" else ""
            if device == "lo" and event.header:
                self.looping.setdefault(identity(event.header), []).append(seen)

    def lines(self, lines: Iterable[TraceLine]) -> None:
        """Legacy's lines; those of a packet that nobody sent belong to the last one's answer."""
        current: Seen | None = None
        seen: Seen | None = None
        for line in lines:
            key = identity(line.packet)
            error = key not in self.errors and Packet(data=line.packet).inner is not None
            if key in self.begun and not error:
                current, seen = self.begun[key], self._bearer(key, line.packet)
            elif current is not None and current.answers:
                seen = current.answers[0]
            else:
                continue
            if seen is not None and (step := self.oracle.logged(line)) is not None:
                seen.steps.append(step)
                seen.ct.append(None)
                seen.drawn |= ends(line.packet, line.packet[Packet(data=line.packet).header_end :])

    def frames(self, frames: Frames) -> None:
        """What left by a wire; an answer has an identity of its own, which may be a packet's too."""
        for wire, data in frames:
            device, key = f"forward {WIRES[wire]}", identity(data)
            mine = [seen for seen in self.alike.get(key, ()) if seen.end == device]
            others = [seen for seen in self.answers if seen.end == device and not seen.out]
            copy = next((seen for seen in others if seen.copy_of == key), None)  # it leaves first
            if copy is not None:
                copy.out.append((wire, data))
            elif mine and (key in self.errors or Packet(data=data).inner is None):
                # Fragments that went alone left one by one; one that was put together left as many.
                next((seen for seen in mine if not seen.out), mine[-1]).out.append((wire, data))
            elif others and Packet(data=data).icmp_type not in _NOISE:
                # An answer and TEE's copy of it have one identity, too.
                like = (seen for seen in others if _may_be_cut(seen.began) == _may_be_cut(data))
                next(like, others[0]).out.append((wire, data))


WIRES = {"c0": "r0", "s0": "r1"}


def ends(header: bytes, transport: bytes) -> set[int]:
    """Return the addresses and ports (or the echo's identifier) in the headers."""
    v4 = header[0] >> 4 == 4
    span = (12, 16, 20) if v4 else (8, 24, 40)
    found = {int.from_bytes(header[a:b], "big") for a, b in pairwise(span)}
    places = (4,) if (header[9] if v4 else header[6]) in (1, 58) else (0, 2)
    return found | {int.from_bytes(transport[at : at + 2], "big") for at in places}


def _is_noise(event: TraceEvent) -> bool:
    """Whether the router spoke of itself: neighbour discovery, multicast listeners."""
    header = event.header
    if header[0] >> 4 == 4 or header[6] not in (0, 58) or identity(header):
        return False
    return event.transport[:1] != b"" and event.transport[0] in _NOISE


def _is_copy(packet: bytes, sent: bytes) -> bool:
    """Whether a packet is TEE's copy: of IPv4 it may not be cut up, of IPv6 its hop limit was lowered."""
    if packet[0] >> 4 == 4:
        return _may_be_cut(sent) and not _may_be_cut(packet)
    return packet[7] < sent[7]


def _may_be_cut(packet: bytes) -> bool:
    """Whether an IPv4 packet's DF is off."""
    return packet[0] >> 4 == 4 and not packet[6] & 0x40


def _lengths(dump: str) -> dict[tuple[str, str], int]:
    """Return how many rules each chain of a dump has."""
    found = {(table, chain): 0 for table, chains in BUILTIN.items() for chain in chains}
    table = ""
    for line in dump.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            chain = line.split()[1]
            found[table, chain] = found.get((table, chain), 0) + 1
    return found


def identity(packet: bytes) -> int:
    """Return what tells a packet of a batch from the others."""
    if packet[0] >> 4 == 4:
        return packet[4] << 8 | packet[5]
    return int.from_bytes(packet[1:4], "big") & 0xFFFFF
