"""The answer to a question: every way that chance can take, and what is before and after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nb_lib.engine import Host
from nb_lib.engine.propose import propose
from nb_lib.engine.routing import Routing
from nb_lib.errors import LimitError, NbError
from nb_lib.headers import ACK, TCP
from nb_lib.lab.bench import Bench
from nb_lib.lab.question import Question
from nb_lib.packet import Packet, endpoint, tcp
from nb_lib.rules import Chain, Table
from nb_lib.text import nft
from nb_lib.trace import Chance, Entered, Exploration, Lost, Matched, Missed, Trace
from nb_lib.views.draw import draw
from nb_lib.views.sentences import fate_sentence, sentence

MOST_WAYS = 400  # that are listed
BIG = 1500  # rules of a table from which on only the chains on a packet's way are drawn
_ARRIVED = ("forward", "local")
_TRIES = 400  # seeds that are tried for a way that was chosen


class Asked:
    """A question that was put to a host, with its ways; ``note`` says what is unusual about it."""

    def __init__(self, bench: Bench, question: Question) -> None:
        self.bench, self.question, self.note = bench, question, ""
        self.ways = self._ways()

    def _ways(self) -> tuple[Trace, ...]:
        with self.bench.untouched() as host:
            first = _sent(host, self.question.packet, self.question.interface)
        if not any(isinstance(e, Chance) and 0 < e.probability < 1 for e in first.events):
            return (first,)
        try:
            found = self.bench.host.explore(self.question.packet, self.question.interface).traces
        except LimitError as many:
            self.note = f"There are {many}. This is one of the ways."
            return (first,)
        return tuple(sorted(found, key=lambda trace: -trace.probability))

    def answer(self, number: int) -> dict[str, Any]:
        """Return one way as a page shows it."""
        number = number if 0 <= number < len(self.ways) else 0
        trace, before = self._at(number)
        lost = next((sentence(e) for e in trace.events if isinstance(e, Lost)), "")
        note = " ".join(filter(None, (self.note, before, lost)))
        arrives = self.question.state == "new" and trace.fate.kind in _ARRIVED
        return {
            "line": self.question.line,
            "fields": self.question.fields,
            "note": note,
            "way": number,
            "ways": [*map(_way, self.ways[:MOST_WAYS])],
            "count": len(self.ways),
            "fate": trace.fate.kind,
            "sentence": fate_sentence(trace.fate, trace.packet),
            "figure": draw(trace).html,
            "tables": _tables(trace),
            "text": str(trace),
            "answers": arrives and _answered(trace),
            "tried": sum(map(_tried, trace.events)),
        }

    def figure(self, number: int, table: str) -> str:
        """Draw the chains of a table as one way met them, or (``ways``) all ways. Raises NbError."""
        if table == "ways":
            return draw(Exploration(self.ways)).html
        trace, _ = self._at(number if 0 <= number < len(self.ways) else 0)
        found = self._table(table, trace)
        rules = sum(len(chain.rules) for chain in found) if isinstance(found, Table) else 0
        if isinstance(found, Table) and rules > BIG:
            found = _met(found, trace)
        return draw(found, trace).html

    def _table(self, name: str, trace: Trace) -> Table | nft.Table:
        host = self.bench.host
        family = trace.sent.family
        if name in host.family(family):
            return host.family(family)[name]
        listing = host.nftables.ruleset if host.nftables is not None else ()
        for one in listing:
            if f"{one.family} {one.name}" == name:
                return one
        raise NbError(f"there is no table {name!r}")

    def _at(self, number: int) -> tuple[Trace, str]:
        """Return the trace that is shown for a way, and what happened before it."""
        first, state = self.ways[number], self.question.state
        if state == "new":
            return first, ""
        if first.fate.kind not in _ARRIVED:
            return (
                first,
                "The first packet of the connection does not arrive: nothing answers it. This is its way.",
            )
        with self.bench.untouched() as host:
            start = host.state
            for seed in range(_TRIES):  # until chance takes the way that was chosen
                host.state = start.fork()
                host.state.random.seed(seed)
                again = _sent(host, self.question.packet, self.question.interface)
                if again.steps == first.steps:
                    break
            host.routing = _proposed(host, self.question)
            try:
                answered = _back(host, again)
            except NbError as none:
                return first, f"{none}."
            if state == "answer":
                return answered, "This is the answer, after the packet itself has arrived."
            if answered.fate.kind not in _ARRIVED:
                return answered, "No connection comes about: this is what becomes of the answer."
            third = _sent(host, _third(self.question.packet, answered), self.question.interface)
            return third, "This is a packet of the connection after the answer has come."


def _proposed(host: Host, question: Question) -> Routing:
    """Return a host's routes with what was proposed for the first packet: its answer shall find them."""
    packet, held = question.packet, host.routing
    if any(one.address.version == packet.family for one in held.interfaces):
        return held
    return propose(held, host.hints(packet.family), packet, question.interface)[0]


def _sent(host: Host, packet: Packet, interface: str) -> Trace:
    return host.receive(packet, interface) if interface else host.send(packet)


def _back(host: Host, trace: Trace) -> Trace:
    """Send the receiver's answer back."""
    return _sent(host, trace.reply(), trace.fate.device if trace.fate.kind == "forward" else "")


def _third(packet: Packet, answered: Trace) -> Packet:
    """Return the sender's next packet: it acknowledges what came, or is like the first."""
    if packet.protocol != TCP or packet.seq is None:
        return packet
    seen = answered.packet
    acknowledged = (seen.seq or 0) + 1 & 0xFFFFFFFF
    return tcp(packet.src, packet.dst, sport=packet.sport, dport=packet.dport, flags=ACK,
               seq=packet.seq + 1, ack=acknowledged, mark=packet.mark)  # fmt: skip


def _answered(trace: Trace) -> bool:
    try:
        trace.reply()
    except NbError:
        return False
    return True


def _way(trace: Trace) -> dict[str, str]:
    packet = trace.packet
    where = endpoint(packet.dst, packet.dport)
    ends = {"forward": f"to {where} by {trace.fate.device}", "local": f"delivered here, at {where}"}
    return {"share": str(trace.probability), "percent": f"{float(trace.probability):.3%}",
            "end": ends.get(trace.fate.kind, str(trace.fate))}  # fmt: skip


def _tables(trace: Trace) -> list[str]:
    """Return the tables in which a packet met a rule, in the order in which it met them."""
    rules = (e for e in trace.events if isinstance(e, Matched | Missed))
    return [*dict.fromkeys(e.place.table if isinstance(e, Matched) else e.table for e in rules)]


def _tried(event: object) -> int:
    if isinstance(event, Missed):
        return event.last - event.first + 1
    return int(isinstance(event, Matched))


def _met(table: Table, trace: Trace) -> Table:
    """Return a table with those of its chains alone that a packet came into."""
    names = {e.chain for e in trace.events if isinstance(e, Entered) and e.table == table.name}
    chains: dict[str, Chain] = {name: table.chains[name] for name in table.chains if name in names}
    return replace(table, chains=chains)
