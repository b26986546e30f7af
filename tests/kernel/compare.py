"""One ruleset, some conversations: what the kernel did, and whether nb_lib does the same.

``Played`` holds everything that a comparison needs, as text and bytes; it can be written to a file and
compared again where there is no kernel to ask.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nb_lib.engine import Host
from nb_lib.engine.protocols import checksum_ok
from nb_lib.errors import NbError
from nb_lib.headers import ACK, AH, SYN, TCP
from nb_lib.packet import Packet
from nb_lib.text import nft, parse
from nb_lib.text.ipset import parse_ipsets
from nb_lib.trace import Answered, AtHook, Copied, Event, Matched, PolicyApplied, Trace
from tests.engine.router import ADDRESSES, PEERS, ROUTES, WIRES
from tests.kernel.lab import MAC
from tests.kernel.oracle import Frames, Seen, Step, ends

MAX_PLANS = 64  # ways that chance may have gone, for one packet
# What the lab's router is, besides rules, addresses and routes.
SYSCTLS = {"net.ipv4.conf.all.accept_local": 1, "net.netfilter.nf_conntrack_acct": 1}
FACTS = {
    "cpu": 0, "cgroup": 0, "realm": 0, "ipsec": (), "socket": False, "queues": (),
    "device_groups": {"r0": 0, "r1": 0, "lo": 0},
}  # fmt: skip
SENDER = (("uid", 0), ("gid", 0))


@dataclass
class Played:
    """A ruleset, the packets that were sent, in order, and what the kernel made of each."""

    family: int
    backend: str
    dump: str
    ipsets: str = ""
    cpu: int = 0
    now: float = 0.0  # when it began, in seconds since the epoch
    packets: list[tuple[str, bytes, Seen]] = field(default_factory=list)


@dataclass
class Difference:
    """A packet that nb_lib sees differently."""

    at: int  # its place among the packets
    trace: Trace | None  # None: nb_lib refused what the kernel took
    text: str


def host_of(played: Played) -> Host:
    """The lab's router with these rules, as nb_lib knows it."""
    return Host(
        nft.read_text(played.dump)
        if played.backend == "nftables"
        else parse(played.dump, family=played.family, backend=played.backend),
        addresses=ADDRESSES, routes=ROUTES, sysctls=SYSCTLS, facts={**FACTS, "cpu": played.cpu},
        ipsets=parse_ipsets(played.ipsets), now=played.now,
    )  # fmt: skip


def follow(played: Played) -> Iterator[tuple[Trace | None, Difference | None]]:
    """Let nb_lib's router meet the same packets; stop at the first difference, for it spoils what follows."""
    host: Host | None = None
    for at, (device, data, seen) in enumerate(played.packets):
        try:
            host = host or host_of(played)
            trace, text = _follow_one(host, device, data, seen)
        except NbError as error:
            trace, text = None, f"  ≠ refused   {error} | {seen.end}"
        yield trace, Difference(at, trace, text) if text else None
        if text:
            return


def _follow_one(host: Host, device: str, data: bytes, seen: Seen) -> tuple[Trace, str]:
    """Trace one packet; where chance decides, look for a way that is the kernel's."""
    before = host.state
    drawn = sorted(seen.drawn - ends(data, data[Packet(data=data).header_end :]))
    drawn += sorted(seen.drawn.difference(drawn))  # what is new was drawn, most likely
    plan: tuple[int, ...] | None = ()
    first: tuple[Trace, str] | None = None
    for _ in range(MAX_PLANS):
        host.state = before.fork()
        host.state.random = luck = Luck(plan or (), drawn)
        trace = _put(host, device, data)
        text = difference(trace, seen)
        if not text:
            return trace, ""
        first = first or (trace, text)
        plan = luck.following()
        if plan is None:
            break
    assert first is not None
    return first


def _put(host: Host, device: str, data: bytes) -> Trace:
    if device == "local":
        return host.send(Packet(data=data, facts=SENDER))
    return host.receive(
        Packet(data=data, mac_src=MAC[device], mac_dst=MAC[PEERS[device]]), PEERS[device]
    )


class Luck(random.Random):
    """Draws what the kernel may have drawn, by a plan: which of the possible draws to take, each time.

    A port or an address that was drawn can be seen in a later header; a chance has two ways.
    """

    def __init__(self, plan: tuple[int, ...], drawn: list[int]) -> None:
        super().__init__(0)
        self._plan = plan
        self._drawn = drawn
        self._taken: list[tuple[int, int]] = []  # which, of how many

    def _choose(self, ways: int) -> int:
        at = len(self._taken)
        way = self._plan[at] if at < len(self._plan) else 0
        self._taken.append((way, ways))
        return way

    def randint(self, low: int, high: int) -> int:
        """Return a port that was seen, or the lowest possible one if none was."""
        seen = [number for number in self._drawn if low <= number <= high]
        return seen[self._choose(len(seen))] if seen else low

    def random(self) -> float:
        """Return what makes a chance come out true, or not."""
        return (0.0, 1.0)[self._choose(2)]

    def following(self) -> tuple[int, ...] | None:
        """Return the plan of the next way, None after the last."""
        plan = list(self._taken)
        while plan and plan[-1][0] + 1 >= plan[-1][1]:
            plan.pop()
        if not plan:
            return None
        *kept, (way, _) = plan
        return (*(one for one, _ in kept), way + 1)


# --- one packet ---


def difference(trace: Trace, seen: Seen) -> str:
    """Say what differs between our trace and what the kernel did, or nothing."""
    rows = [*_steps(list(trace.events), seen), *_ends(trace, seen)]
    answers = list(answers_of(trace.events))
    if len(answers) != len(seen.answers):
        rows.append(("answers", len(answers), len(seen.answers)))
    for ours, theirs in zip(answers, seen.answers, strict=False):
        if (
            len(answers) == 1 or not seen.legacy
        ):  # whose a line of legacy is, is a guess among several
            rows += _steps(list(ours.events), theirs)
        left = left_by(ours.events, ours.answer if isinstance(ours, Answered) else ours.copy)
        rows.append(
            ("answer", [(w, blank(p)) for w, p in left], [(w, blank(p)) for w, p in theirs.out])
        )
        if isinstance(ours, Answered):
            rows.append(("its sum", all(checksum_ok(Packet(data=p)) for _, p in left), True))
    if all(a == b for _, a, b in rows):
        return ""
    return "\n".join(
        f"  {'=' if a == b else '≠'} {what:9} {_short(a)} | {_short(b)}" for what, a, b in rows
    )


def answers_of(events: Iterable[Event]) -> Iterator[Answered | Copied]:
    """Yield what the host sent of its own, and what it answered to that, in the order of setting out."""
    for event in events:
        if isinstance(event, Answered | Copied):
            yield event
            yield from answers_of(event.events)


Row = tuple[str, Any, Any]  # what is compared, ours, the kernel's


def _steps(events: list[Event], seen: Seen) -> list[Row]:
    silent = seen.legacy  # of hotdrop, it says nothing
    mine = [(step, _word(event)) for event in events if (step := _step(event))
            if not (silent and isinstance(event, Matched) and event.hotdrop)]  # fmt: skip
    rows: list[Row] = []
    for place in range(max(len(mine), len(seen.steps))):
        ours = mine[place] if place < len(mine) else None
        theirs = seen.steps[place] if place < len(seen.steps) else None
        if ours and theirs and theirs[3] in ("", "QUEUE"):
            # Legacy tells no verdicts; and what becomes of QUEUE, the listener's absence decides.
            rows.append(("step", ours[0][:3], theirs[:3]))
        else:
            rows.append(("step", ours and ours[0], theirs))
        if ours and theirs and seen.ct[place] is not None:
            rows.append(("conntrack", ours[1], seen.ct[place]))
    return rows


def _step(event: Event) -> Step | None:
    if isinstance(event, Matched):
        return (*event.place, event.verdict)
    if isinstance(event, PolicyApplied):
        return event.table, event.chain, "policy", event.verdict
    return None


def _word(event: Event) -> str:
    """Conntrack's state and direction as the kernel's trace tells them: nothing for an INVALID packet.

    It tells them after the target has done its work.
    """
    ct = event.packet.ct
    target = event.rule.target if isinstance(event, Matched) else None
    if target and target.name in ("NOTRACK", "CT") and not event.packet.attached:
        notrack = target.name == "NOTRACK" or "--notrack" in target.settings
        return "UNTRACKED" if notrack else "NEW/original"  # that is its template
    if ct is None or ct.connection is None:
        return ct.state if ct and ct.state == "UNTRACKED" else ""
    return f"{ct.state}/{ct.direction.lower()}"


def _ends(trace: Trace, seen: Seen) -> list[Row]:
    fate = trace.fate
    end = str(fate) if fate.kind in ("forward", "local") else ""
    out: Frames = [(WIRES[fate.device], packet.data) for packet in trace.outgoing]
    rows: list[Row] = [
        ("end", end or f"({fate})", seen.end or f"({fate})" if not end else seen.end)
    ]
    rows.append(("bytes", out, seen.out))
    if fate.kind == "local" and seen.end == "local":
        header, transport = seen.delivered
        packet = trace.packet
        # nf_tables sees the first extension header that ends its search, we the transport behind it.
        at = next((at for kind, at in packet.extensions if kind == AH), packet.header_end)
        mine = packet.data[: len(header)], packet.data[at:][: len(transport)]
        rows.append(("delivered", mine, seen.delivered))
    return rows


def left_by(events: tuple[Event, ...], answer: Packet) -> Frames:
    """Where an answer left, if it did."""
    last = events[-1].packet if events else answer
    hooks = [event.hook for event in events if isinstance(event, AtHook)]
    stopped = [step[3] for event in events if (step := _step(event))][-1:] in (
        ["DROP"],
        ["QUEUE"],
        ["STOLEN"],
    )
    gone = hooks[-1:] == ["POSTROUTING"] and last.out_iface in WIRES and not stopped
    return [(WIRES[last.out_iface], last.data)] if gone else []


def blank(packet: bytes) -> bytes:
    """Blank what the stack fills in: an answer's identification, and the checksums that wait for a device."""
    data = bytearray(packet)
    v4 = data[0] >> 4 == 4
    if v4:
        data[4:6] = data[10:12] = bytes(2)
    at = 20 if v4 else 40
    if (data[9] if v4 else data[6]) == TCP and len(data) >= at + 20:  # a copied one may be cut off
        data[at + 16 : at + 18] = bytes(2)
        if data[at + 13] == SYN | ACK and data[at + 14 : at + 16] == bytes(2):  # SYNPROXY's
            data[at + 4 : at + 8] = bytes(4)
            data = data[: at + 20] + _without_time(data[at + 20 :])
    quoted = Packet(data=packet).inner
    if quoted is not None and quoted.protocol == TCP:  # a RST of the stack's own, perhaps
        inner = at + 8 + quoted.header_end
        data[at + 2 : at + 4] = data[inner + 16 : inner + 18] = bytes(2)
    return bytes(data)


def _without_time(options: bytearray) -> bytearray:
    """Blank the time in SYNPROXY's timestamp; the six bits that hold options stay."""
    where = options.find(b"\x08\x0a")
    if where >= 0:
        time = options[where + 2 : where + 6]
        options[where + 2 : where + 6] = bytes([0, 0, 0, time[3] & 0x3F])
    return options


def _short(value: Any) -> str:
    return str([(w, p.hex()) for w, p in value]) if isinstance(value, list) else str(value)
