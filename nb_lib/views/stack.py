"""The stack of calls over time: a box for each frame, within that of its caller; time runs downwards.

A jump opens a box within a box. RETURN and the end of a chain close the innermost one. A goto closes the box
of the chain that it leaves and opens another in its place, which goes back where the first would have gone.
A verdict ends all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nb_lib.errors import NbError
from nb_lib.rules import Rule
from nb_lib.trace import Entered, Left, Matched, Missed, Place, PolicyApplied, Unsure
from nb_lib.views.figure import Drawing
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, shape, word
from nb_lib.views.sentences import mark, misses
from nb_lib.views.story import Step, moves
from nb_lib.views.svg import Markup, elide, join, mono, number, sans, tag
from nb_lib.views.words import brief, short

SIZE, ROW, EDGE, INSET, LEAST = 10.5, 20.0, 8.0, 16.0, 360.0
LONGEST = 84  # letters of a line


class Line(NamedTuple):
    """A row: what happened, how deep in the stack, at which step; ``kind`` is that of a rule, or ``back``."""

    level: int
    step: int
    kind: str
    label: str
    text: str
    sign: str = ""


@dataclass(slots=True)
class Frame:
    """A chain on the stack: where it goes back to, and from which row and step to which it is there."""

    chain: str
    back: str
    level: int
    top: int
    first: int
    bottom: int = 0
    last: int = 0


@dataclass
class Stack:
    """What happened on the stack of one table, as rows and frames, in the order of time."""

    table: str
    lines: list[Line] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    open: list[Frame] = field(default_factory=list)
    _goto: bool = False

    def take(self, n: int, event: object) -> None:
        """Take an event of step ``n`` in."""
        match event:
            case Entered(table=self.table):
                self._enter(n, event)
            case Missed(table=self.table):
                for numbers, why in misses(event):
                    self._say(n, "missed", numbers, why)
            case Matched(place=Place(table=self.table)):
                self._goto = event.verdict.startswith("GOTO")
                self._say(n, "matched", str(event.place.number), _rule(event.rule), _sign(event))
                if event.verdict.partition(" ")[0] not in ("JUMP", "GOTO", "RETURN", "CONTINUE"):
                    self._end(n, event.verdict)
            case Unsure(place=Place(table=self.table)):
                text = _rule(event.rule)
                self._say(n, "unsure", str(event.place.number), text, "UNDECIDED")
            case Left(table=self.table):
                self._say(n, "back", "", f"back {self.open[-1].back}", "RETURN")
                if event.caller:
                    self._close(n)
            case PolicyApplied(table=self.table):
                self._say(n, "matched", "", f"policy {event.verdict}", event.verdict)
                self._close(n)

    def _enter(self, n: int, event: Entered) -> None:
        caller = event.caller
        back = (
            f"to {short(caller.chain)}, after rule {caller.number}" if caller else "to the policy"
        )
        if caller:
            n -= 1  # the frame is there as soon as the rule has jumped
        if caller and self._goto:
            back = self.open[-1].back
            self._close(n)
        level = len(self.open)
        frame = Frame(event.chain, back, level, len(self.lines), n)
        self.frames.append(frame)
        self.open.append(frame)
        self.lines.append(Line(level, n, "head", "", event.chain))

    def _say(self, n: int, kind: str, label: str, text: str, sign: str = "") -> None:
        self.lines.append(Line(len(self.open) - 1, n, kind, label, elide(text, LONGEST), sign))

    def _close(self, n: int) -> None:
        frame = self.open.pop()
        frame.bottom, frame.last = len(self.lines), max(n - 1, frame.first)

    def _end(self, n: int, verdict: str) -> None:
        if len(self.open) > 1:
            frames = ", ".join(short(frame.chain) for frame in self.open[:-1])
            self._say(n, "back", "", f"{verdict} is final: nobody goes back to {frames}")
        while self.open:
            self._close(n + 1)


def calls(story: Sequence[Step], table: str) -> Stack:
    """Return the rows and frames of a table. Raise NbError if the packet met none of its chains."""
    found = Stack(table)
    for n, step in enumerate(story):
        for event in (*step.before, *step.events):
            found.take(n, event)
    if not found.lines:
        raise NbError(f"the packet met no chain of table {table!r}")
    while found.open:  # a trace that ended undecided
        found._close(len(story))  # noqa: SLF001 - its own maker
    return found


def stack_text(found: Stack) -> str:
    """Write the stack with a bar for each frame that is on it."""
    heads = {frame.top: frame for frame in found.frames}
    lines = [f"The stack of calls in table {found.table}:"]
    for n, line in enumerate(found.lines):
        bars = "│ " * line.level
        if frame := heads.get(n):
            lines.append(f"{bars}┌ {frame.chain} (goes back {frame.back})")
            continue
        other = {"missed": "–", "unsure": "?"}.get(line.kind)
        sign = other or (mark(line.sign) if line.sign else " ")
        lines.append(" ".join(filter(None, (f"{bars}│ {sign}", line.label, line.text))))
    return "\n".join(lines)


def draw_stack(found: Stack, story: Sequence[Step], title: str) -> Drawing:
    """Draw frames and rows."""
    wide = max(LEAST, *(_right(found, n, line) for n, line in enumerate(found.lines)))
    depth = max(frame.level for frame in found.frames)
    width = wide + EDGE * (depth + 1)
    body = [*(_box(frame, width, found.table) for frame in found.frames), *_rows(found, width)]
    text = tag("g", body, font_size=SIZE)
    height = EDGE * 2 + ROW * len(found.lines)
    return Drawing(join([text]), title, width, height, moves(story), stack_text(found))


def _left(level: int) -> float:
    return EDGE + INSET * level


def _right(found: Stack, n: int, line: Line) -> float:
    """Return how far to the right a row reaches."""
    if line.kind == "head":
        frame = next(frame for frame in found.frames if frame.top == n)
        return _left(line.level) + mono(short(line.text), SIZE) + sans(_goes(frame), SIZE) + 44
    return _left(line.level) + 62 + mono(line.text, SIZE)


def _goes(frame: Frame) -> str:
    return f"goes back {frame.back}"


def _box(frame: Frame, width: float, table: str) -> Markup:
    """Draw a frame as long as it is on the stack, with its head."""
    x, y = _left(frame.level), EDGE + ROW * frame.top
    wide = width - x - EDGE * (frame.level + 1)
    high = ROW * (frame.bottom - frame.top) - 2
    body = tag("rect", width=wide, height=high, rx=6, fill=LIGHT.paper, stroke=hue(table).line,
               stroke_width=1.2, class_="nf-body")  # fmt: skip
    head = tag(
        "rect",
        x=1,
        y=1,
        width=wide - 2,
        height=ROW - 4,
        rx=5,
        fill=hue(table).fill,
        class_="nf-band",
    )
    name = word(
        short(frame.chain), 8, 13.5, "i", font_weight=700, font_family=MONO_FAMILY, class_="nf-mono"
    )
    goes = word(_goes(frame), wide - 8, 13.5, "m", text_anchor="end", font_size=SIZE - 1)
    steps = " ".join(map(str, range(frame.first, frame.last + 1)))
    return tag("g", tag("title", f"{frame.chain}: {_goes(frame)}"), body, head, name, goes,
               transform=f"translate({number(x)} {number(y)})",
               class_=f"nf-chain nf-call nf-{table}", data_s=steps)  # fmt: skip


def _rows(found: Stack, width: float) -> Iterator[Markup]:
    for n, line in enumerate(found.lines):
        if line.kind == "head":
            continue
        faded = line.kind in ("missed", "back")
        fill = hue(found.table).fill if line.kind == "matched" else "none"
        x, y = _left(line.level), EDGE + ROW * n
        back = tag("rect", x=3, y=1, width=width - x - EDGE * (line.level + 1) - 6, height=ROW - 4, rx=3,
                   fill=fill, class_="nf-back")  # fmt: skip
        label = word(line.label, 42, 13, "m", text_anchor="end", font_size=SIZE - 1)
        text = word(
            line.text, 50, 13, "m" if faded else "i", font_family=MONO_FAMILY, class_="nf-mono"
        )
        yield tag("g", back, label if line.label else None, text,
                  shape(line.sign, 13, 10) if line.sign else None,
                  transform=f"translate({number(x)} {number(y)})",
                  class_=f"nf-row nf-{line.kind} nf-{found.table}", data_s=str(line.step))  # fmt: skip


def _rule(rule: Rule) -> str:
    return " ".join(part.text for part in brief(rule)) or "(every packet)"


def _sign(event: Matched) -> str:
    target = event.rule.target.name if event.rule.target else ""
    return "REJECT" if target == "REJECT" else event.verdict
