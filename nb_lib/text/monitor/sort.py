"""Lines → packets: each packet's steps, with the header as it was at each of them.

The kernel's trace ids are made of a buffer's place in memory and come again; a packet that enters a base
chain a second time, or starts over at PREROUTING or OUTPUT, is another one. The kernel's log has no ids:
there the header's fields that no rule changes tell packets apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nb_lib.errors import LimitError
from nb_lib.hooks import HOOKS, OUTPUT, PREROUTING
from nb_lib.text.monitor.lines import LOG, Header, Line, Step, Unread, read_line

MOST = 100_000  # lines
LOOPING = 64  # packets among which one that comes back by lo is looked for
_STARTS = (PREROUTING, OUTPUT)
_CONSTANT = ("protocol", "ident", "seq", "ack", "icmp_id", "icmp_seq", "length")


@dataclass
class Way:
    """What was told of one packet: ``steps``, and the header that was known at each of them."""

    program: str
    steps: list[Step] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    ended: bool = False
    _entered: list[tuple[str, str]] = field(default_factory=list)  # base chains

    @property
    def first(self) -> Header:
        """The header before the first rule."""
        return self.headers[0] if self.headers else {}

    def add(self, step: Step, header: Header, *, enters: bool) -> None:
        """Take a step; ``enters``: it is the first of a base chain."""
        before = self.headers[-1] if self.headers else {}
        self.steps.append(step)
        self.headers.append({**before, **header})
        if enters:
            self._entered.append((step.table, step.chain))
        self.ended = step.verdict == "DROP"

    def goes_on(self, step: Step, header: Header, *, enters: bool) -> bool:
        """Whether a step can be this packet's next."""
        if not enters:
            return not self.ended
        loops = header.get("in") == "lo"
        starts_over = step.chain in _STARTS and any(c != step.chain for _, c in self._entered)
        return not (self.ended or (step.table, step.chain) in self._entered) and (
            loops or not starts_over
        )


def sort(text: str) -> tuple[tuple[Way, ...], tuple[Unread, ...]]:
    """Return the packets that lines tell of, in the order of their first lines, and the lines left over.

    Raises LimitError for more than ``MOST`` lines.
    """
    lines = text.splitlines()
    if len(lines) > MOST:
        raise LimitError(f"{len(lines):,} lines of a trace; at most {MOST:,} are read at once")
    read = [read_line(line, number) for number, line in enumerate(lines, 1)]
    told = [line for line in read if isinstance(line, Line)]
    unread = tuple(line for line in read if isinstance(line, Unread))
    return tuple(_Sorting(told).ways), unread


class _Sorting:
    """Gives steps to their packets."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.ways: list[Way] = []
        self._open: dict[tuple[str, ...], Way] = {}
        self._headers: dict[
            tuple[str, ...], Header
        ] = {}  # told, and their first step still to come
        for line in lines:
            self._take(line)

    def _take(self, line: Line) -> None:
        header = line.header or {}
        key = _key(line)
        if line.step is None:
            self._headers[key] = {**self._headers.get(key, {}), **header}
            return
        way = self._open.get(key)
        if line.program == LOG:
            enters = _log_enters(line.step, way)
        else:
            enters = key in self._headers
            header = self._headers.pop(key, {})
        if way is None or not way.goes_on(line.step, header, enters=enters):
            way = self._looped(line, header)
            if way is None:
                way = Way(line.program)
                self.ways.append(way)
            self._open[key] = way
        way.add(line.step, header, enters=enters)

    def _looped(self, line: Line, header: Header) -> Way | None:
        """Return the packet that the host has just sent to itself: what comes by lo has another trace id."""
        if header.get("in") != "lo" or not self.ways:
            return None
        for way in self.ways[: -1 - LOOPING : -1]:
            last = way.headers[-1]
            same = all(last.get(name) == header.get(name) for name in _CONSTANT)
            if way.program == line.program and last.get("out") == "lo" and not way.ended and same:
                return way
        return None


def _key(line: Line) -> tuple[str, ...]:
    if line.program != LOG:
        return line.program, line.trace_id
    header = line.header or {}
    return LOG, *(header.get(name, "") for name in _CONSTANT)


def _log_enters(step: Step, way: Way | None) -> bool:
    """Whether a line of the log begins a base chain: it goes on in it only with a higher number."""
    if step.chain not in HOOKS:
        return False
    mine = [s for s in (way.steps if way else ()) if s.chain in HOOKS]
    last = mine[-1] if mine else None
    same = last is not None and (last.table, last.chain) == (step.table, step.chain)
    return not (same and last is not None and last.number < step.number and last.kind == "rule")
