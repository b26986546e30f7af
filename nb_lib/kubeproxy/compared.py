"""What a comparison of machines holds: questions, and what each machine answers. Values only.

``nb_lib.kubeproxy.comparison`` computes them, ``nb_lib.views.compared`` draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from nb_lib import present
from nb_lib.errors import ObjectError
from nb_lib.packet import Packet
from nb_lib.trace import Matched, Missed, Trace

REACHED, NODE, REFUSED, SILENCE, ONWARD, UNDECIDED = (
    "reached", "node", "refused", "silence", "onward", "undecided",
)  # fmt: skip
"""How a call ends: at an endpoint; at the node itself, which answers; refused at once; with nothing heard;
sent on as it came; not to be told."""


class Machine(NamedTuple):
    """A mode and the version that runs it; written ``iptables 1.30``."""

    mode: str
    version: str

    def __str__(self) -> str:
        return f"{self.mode} {self.version}"


class Question(NamedTuple):
    """A packet and whence it comes: by ``interface``, or from the node itself if that is empty.

    ``again``: the seconds after which the same client calls once more; the answers then say with which chance
    it meets the same endpoint.
    """

    text: str
    packet: Packet
    interface: str = ""
    again: float | None = None


class End(NamedTuple):
    """How a call ends, and with which chance.

    ``kind`` is one of the words above; ``where`` is the endpoint, the rule that refuses, the device or the
    reason. ``source`` is the address that an endpoint sees, ``seen`` whose it is: ``client``, ``node``,
    ``other``.
    """

    kind: str
    where: str
    source: str = ""
    seen: str = ""
    chance: Fraction = Fraction(1)


@dataclass(frozen=True)
class Answer:
    """What one machine does with one question.

    ``ends`` add up to 1. ``drawn`` says how an endpoint is picked: ``by chance``, ``in turn``, or not at all.
    ``stays`` is the chance that the client meets the same endpoint again. ``traces`` are one way in full: the
    packet's, and where kube-proxy takes it in itself, that of its own connection to the endpoint.
    """

    question: Question
    ends: tuple[End, ...]
    drawn: str
    stays: Fraction | None
    traces: tuple[Trace, ...]

    @property
    def endpoints(self) -> dict[str, Fraction]:
        """The endpoints, each with its chance."""
        found: dict[str, Fraction] = {}
        for end in self.ends:
            if end.kind == REACHED:
                found[end.where] = found.get(end.where, Fraction(0)) + end.chance
        return found

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses that endpoints see."""
        return tuple(dict.fromkeys(end.source for end in self.ends if end.source))

    @property
    def rules(self) -> int:
        """How many rules the packet was compared with on the way of ``traces``."""
        events = [event for trace in self.traces for event in trace.events]
        tried = sum(e.last - e.first + 1 for e in events if isinstance(e, Missed))
        return tried + sum(isinstance(event, Matched) for event in events)

    @property
    def outcome(self) -> frozenset[tuple[str, str, str]]:
        """What client and endpoint notice: how it ends, at which endpoint, and whom that sees."""
        found = {
            (end.kind, end.where if end.kind == REACHED else "", end.seen) for end in self.ends
        }
        return frozenset(
            found | ({("again", str(self.stays), "")} if self.stays is not None else set())
        )


class Size(NamedTuple):
    """How much a machine keeps in the kernel, for IPv4.

    ``rules`` are counted by table, ``chains`` kube-proxy's own; ``elements`` are those of all sets and maps;
    ``servers`` are IPVS's virtual servers, ``reals`` the real ones behind them; ``sockets`` are those of
    kube-proxy that packets are led to.
    """

    rules: Mapping[str, int]
    chains: int
    sets: int = 0
    elements: int = 0
    servers: int = 0
    reals: int = 0
    sockets: int = 0

    @property
    def total(self) -> int:
        """The rules of all tables."""
        return sum(self.rules.values())


@dataclass(frozen=True)
class Row:
    """One machine: what it keeps with the Services and without any, and its answers in the order asked."""

    machine: Machine
    size: Size
    empty: Size
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Sizes:
    """What each machine of a comparison keeps in the kernel, side by side."""

    rows: tuple[Row, ...]

    def table(self) -> Any:
        """Return the counts as a pandas DataFrame: a row for each machine, with Services and without."""
        return present.frame(self)

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


@dataclass(frozen=True)
class Comparison:
    """The same questions put to several machines; differences are counted from the machine ``than``."""

    questions: tuple[Question, ...]
    rows: tuple[Row, ...]
    than: Machine

    def __getitem__(self, machine: tuple[str, str]) -> Row:
        for row in self.rows:
            if row.machine == tuple(machine):
                return row
        known = ", ".join(str(row.machine) for row in self.rows)
        wanted = " ".join(machine)
        raise ObjectError(
            f"{wanted} was not compared, only {known}", what="comparison", path="machine"
        )

    @property
    def sizes(self) -> Sizes:
        """What each machine keeps in the kernel."""
        return Sizes(self.rows)

    def ask(self, text: str) -> tuple[Answer, ...]:
        """Return all answers to one question, in the order of the machines. Raises ObjectError."""
        for at, question in enumerate(self.questions):
            if question.text == text:
                return tuple(row.answers[at] for row in self.rows)
        known = "; ".join(question.text for question in self.questions)
        raise ObjectError(
            f"{text!r} was not asked, only: {known}", what="comparison", path="question"
        )

    @property
    def differing(self) -> Comparison:
        """The same with those questions only that some machine answers unlike ``than``."""
        kept = [at for at in range(len(self.questions)) if self.unlike(at)]
        rows = (replace(row, answers=tuple(row.answers[at] for at in kept)) for row in self.rows)
        return replace(self, questions=tuple(self.questions[at] for at in kept), rows=tuple(rows))

    def unlike(self, at: int) -> tuple[Machine, ...]:
        """Return the machines whose answer to question ``at`` differs from that of ``than``."""
        known = self[self.than].answers[at].outcome
        return tuple(row.machine for row in self.rows if row.answers[at].outcome != known)

    def table(self) -> Any:
        """Return the answers as a pandas DataFrame: a row for each question, machine and end."""
        return present.frame(self)

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)
