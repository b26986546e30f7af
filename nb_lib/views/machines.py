"""One packet through several machines: hooks as columns, a machine in each row, what it does at each hook.

A column is a hook, in the order in which packets come there; what a node sends to itself meets one twice.
A hook that a machine's packet does not meet is faint, and the way goes around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nb_lib.hooks import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from nb_lib.kubeproxy.compared import NODE, ONWARD, REACHED, REFUSED, Answer, Comparison, Machine
from nb_lib.packet import endpoint
from nb_lib.trace import (
    AtHook,
    Balanced,
    Chance,
    Entered,
    Event,
    Lost,
    Matched,
    Missed,
    PolicyApplied,
    Rewritten,
    Trace,
)
from nb_lib.views.compared import answer_lines
from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.grid import Box
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, shape, word
from nb_lib.views.sentences import rewrites
from nb_lib.views.svg import MONO, Markup, elide, join, number, sans, tag
from nb_lib.views.words import short

SIZE, LINE, PAD, BETWEEN, GAP, HEAD = 10.0, 13.0, 7.0, 7.0, 26.0, 26.0
LEFT, SLIM = 118.0, 58.0
LONGEST = 31  # letters of a line
# The hooks in order: for what comes in, and for what the node sends, perhaps to itself.
IN = (PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING)
OUT = (OUTPUT, POSTROUTING, PREROUTING, INPUT, OUTPUT, POSTROUTING)
_PROXY = "kube-proxy"


class Said(NamedTuple):
    """A line in a cell; a sign stands before it."""

    text: str
    sign: str = ""


@dataclass
class Cell:
    """What happens at one stop: a table's base chain, IPVS, or kube-proxy's socket."""

    name: str
    kind: str  # whose hue it has
    lines: list[Said] = field(default_factory=list)
    rules: int = 0

    @property
    def height(self) -> float:
        """The height of its lines and its name."""
        return PAD * 2 + LINE * (len(self.lines) + 1) - 3


Column = tuple[str, list[Cell]]  # a hook, and the cells at it


# ── What each machine does ──────────────────────────────────────────────────────────


def columns_of(answer: Answer) -> list[Column]:
    """Return the hooks that a packet meets on one machine, in order, with what happens there."""
    found: list[Column] = []
    for trace in answer.traces:
        if found:  # the first packet has ended in kube-proxy, which opens a connection of its own
            port, own = answer.traces[0].packet.dport, endpoint(trace.sent.dst, trace.sent.dport)
            said = (f"socket {port}, and a call", f"of its own to {own}")
            found[-1][1].append(Cell(_PROXY, "", list(map(Said, said))))
        found += _hooks(trace)
    return found


def _hooks(trace: Trace) -> Iterator[Column]:
    hook, cells = "", list[Cell]()
    for event in trace.events:
        if isinstance(event, AtHook):
            if hook:
                yield hook, _worth(cells)
            hook, cells = event.hook, []
        else:
            _take(cells, event)
    if hook:
        yield hook, _worth(cells)


def _worth(cells: Iterable[Cell]) -> list[Cell]:
    """Leave out base chains in which there was no rule to meet, and nothing was done."""
    return [cell for cell in cells if cell.rules or cell.lines]


def _take(  # noqa: C901 - one case for a kind of event
    cells: list[Cell], event: Event
) -> None:
    """Note an event in the cell that it belongs to."""
    match event:
        case Entered(caller=None):
            nft = event.priority is not None
            kind = ("nat" if event.chain.startswith("nat") else "filter") if nft else event.table
            cells.append(Cell(event.chain if nft else event.table, kind))
        case Missed():
            cells[-1].rules += event.last - event.first + 1
        case Matched():
            cells[-1].rules += 1
            if sign := _stops(event):
                cells[-1].lines.append(Said(f"{sign} {short(event.place.chain)}", sign))
        case PolicyApplied(verdict="DROP"):
            cells[-1].lines.append(Said("DROP policy", "DROP"))
        case Chance(taken=True) if event.probability != 1:
            cells[-1].lines.append(Said(f"drawn: {event.probability}"))
        case Balanced():
            said = f"takes it: {event.server}" if event.server else "no real server"
            cells.append(Cell("IPVS", "conntrack", [Said(said)]))
        case Rewritten():
            if not cells:
                cells.append(Cell(event.by, ""))
            cells[-1].lines += _changed(event)
        case Lost():
            cells.append(Cell("the kernel", "stop", [Said("lost here", "LOST")]))
        case _:
            pass  # jumps and returns are counted as rules; conntrack and routing are alike everywhere


def _stops(event: Matched) -> str:
    """Return the verdict that ends the packet's way, if a rule has one."""
    target = event.rule.target.name if event.rule.target else ""
    return next((one for one in ("REJECT", "DROP") if one in (target, event.verdict)), "")


def _changed(event: Rewritten) -> list[Said]:
    """Say what is new; TTL is no news."""
    return [
        Said(f"{name} → {new}", "REWRITE")
        for name, _, new in rewrites(event.before, event.packet)
        if name in ("src", "dst", "mark")
    ]


# ── Columns that all machines share ─────────────────────────────────────────────────


def aligned(ways: Sequence[Sequence[Column]]) -> tuple[list[str], list[list[int]]]:
    """Return the hooks of all columns, and for each way the columns that it meets, in order."""
    starts = {way[0][0] for way in ways if way}
    template = OUT if OUTPUT in starts else IN
    places = [_places(way, template) for way in ways]
    used = sorted(
        {at for place in places for at in place} | (set(range(5)) if template is IN else set())
    )
    return [template[at] for at in used], [[used.index(at) for at in place] for place in places]


def _places(way: Sequence[Column], template: Sequence[str]) -> list[int]:
    found: list[int] = []
    for hook, _ in way:
        start = found[-1] + 1 if found else 0
        later = (at for at in range(start, len(template)) if template[at] == hook)
        found.append(next(later, len(template) - 1))
    return found


# ── The picture ─────────────────────────────────────────────────────────────────────


def draw_machines(
    comparison: Comparison, question: str = "", among: Sequence[tuple[str, str]] = ()
) -> Figure:
    """Draw what some machines (all that were compared) do with the packet of one question (the first).

    Raises ObjectError for a question that was not asked, or a machine that was not compared.
    """
    question = question or next((one.text for one in comparison.questions), "")
    rows = [comparison[one] for one in among] or list(comparison.rows)
    asked = comparison.ask(question)
    answers = [asked[comparison.rows.index(row)] for row in rows]
    names = [row.machine for row in rows]
    return figure("machines", _drawing(question, names, answers), _story(names, answers),
                  machines_text(question, names, answers))  # fmt: skip


def _drawing(question: str, names: Sequence[Machine], answers: Sequence[Answer]) -> Drawing:
    ways = [columns_of(answer) for answer in answers]
    hooks, places = aligned(ways)
    widths = [SLIM] * len(hooks)
    for way, place in zip(ways, places, strict=True):
        for (_, cells), at in zip(way, place, strict=True):
            widths[at] = max([widths[at], *map(_width, cells)])
    lefts = [LEFT + sum(widths[:at]) + GAP * at for at in range(len(hooks))]
    right = lefts[-1] + widths[-1] + GAP
    ends = [[piece for line in answer_lines(one) for piece in _folded(line)] for one in answers]
    width = right + max(sans(line, SIZE) for lines in ends for line in lines) + 24
    body, y = [_heads(hooks, lefts, widths)], HEAD + 8
    for n, (name, answer, way, place) in enumerate(zip(names, answers, ways, places, strict=True)):
        tall = [sum(c.height + BETWEEN for c in cells) - BETWEEN for _, cells in way]
        height = max([54.0, *tall]) + 20
        boxes = [Box(x, y, w, height) for x, w in zip(lefts, widths, strict=True)]
        body.append(tag("g",
            tag("rect", x=4, y=y, width=width - 8, height=height, rx=4, fill=LIGHT.panel,
                class_="nf-lane"),
            _trail(boxes, place, right, leaves=_leaves(answer)),
            [_absent(box) for at, box in enumerate(boxes) if at not in place],
            [_stack(cells, boxes[at]) for (_, cells), at in zip(way, place, strict=True)],
            _label(name, answer, y + height / 2),
            _end(answer, ends[n], right, y + height / 2),
            data_s=str(n)))  # fmt: skip
        y += height + 8
    title = f"{question}: {answers[0].question.packet}"
    says = machines_text(question, names, answers)
    return Drawing(join(body), title, width, y + 2, [None] * len(names), says)


def _width(cell: Cell) -> float:
    lines = [len(line.text) * SIZE * MONO + (14 if line.sign else 0) for line in _shown(cell)]
    return max([sans(_named(cell), SIZE), *lines]) + 2 * PAD + 2


def _shown(cell: Cell) -> list[Said]:
    return [Said(elide(line.text, LONGEST), line.sign) for line in cell.lines]


def _named(cell: Cell) -> str:
    return f"{cell.name} · {cell.rules} rule{'s' * (cell.rules != 1)}" if cell.rules else cell.name


def _heads(hooks: Sequence[str], lefts: Sequence[float], widths: Sequence[float]) -> Markup:
    return tag("g", [word(hook, x + w / 2, HEAD - 6, "i")
                     for hook, x, w in zip(hooks, lefts, widths, strict=True)],
               text_anchor="middle", font_size=10.5, font_weight=700)  # fmt: skip


def _label(name: Machine, answer: Answer, middle: float) -> Markup:
    rules = f"{answer.rules} rules met"
    return tag("g",
        word(name.mode, 12, middle - 8, "i", font_size=11.5, font_weight=700),
        word(name.version, 12, middle + 6, "i", font_size=10.5),
        word(rules, 12, middle + 20, "m", font_size=9))  # fmt: skip


def _leaves(answer: Answer) -> bool:
    """Whether the packet leaves the machine, or an endpoint on it is reached."""
    return bool({end.kind for end in answer.ends} & {REACHED, ONWARD})


def _trail(boxes: Sequence[Box], place: Sequence[int], right: float, *, leaves: bool) -> Markup:
    """Draw the way: through the hooks that are met, below the others; it ends where the packet does."""
    middle, under = boxes[0].cy, boxes[0].y + boxes[0].h - 5
    last = max(place, default=-1)
    path = [f"M{number(LEFT - 14)} {number(middle)}"]
    down = False
    for at, box in enumerate(boxes[: len(boxes) if leaves else last + 1]):
        if at in place and down:
            path.append(f"H{number(box.x - 16)}L{number(box.x - 10)} {number(middle)}")
        elif at not in place and not down:
            path.append(f"H{number(box.x - 16)}L{number(box.x - 10)} {number(under)}")
        down = at not in place
        path.append(f"H{number(box.cx)}")
    if leaves:
        path.append(
            f"H{number(right - 20)}L{number(right - 14)} {number(middle)}H{number(right - 8)}"
        )
    return tag("path", d="".join(path), fill="none", stroke=LIGHT.ink, stroke_width=2.4,
               stroke_linejoin="round", class_="nf-way")  # fmt: skip


def _absent(box: Box) -> Markup:
    return tag("rect", x=box.x, y=box.cy - 9, width=box.w, height=18, rx=3, fill=LIGHT.paper,
               stroke=LIGHT.line, stroke_dasharray="2 3", class_="nf-none")  # fmt: skip


def _stack(cells: Sequence[Cell], box: Box) -> Markup:
    """Draw the cells of a hook below each other; one without any is a gate that is passed."""
    top = box.cy - (sum(cell.height + BETWEEN for cell in cells) - BETWEEN) / 2
    found = []
    if not cells:
        found.append(tag("circle", cx=box.cx, cy=box.cy, r=4, fill=LIGHT.paper, stroke=LIGHT.ink,
                         stroke_width=2, class_="nf-dot"))  # fmt: skip
    for cell in cells:
        found.append(_cell(cell, Box(box.x, top, box.w, cell.height)))
        top += cell.height + BETWEEN
    return tag("g", found)


def _cell(cell: Cell, box: Box) -> Markup:
    paint = hue(cell.kind)
    kind = f"nf-h nf-{cell.kind}" if cell.kind else "nf-i"
    name = tag("text", elide(_named(cell), LONGEST + 6), x=box.x + PAD, y=box.y + PAD + 7,
               font_size=SIZE, font_weight=600, fill=paint.text, class_=kind)  # fmt: skip
    lines = []
    for n, line in enumerate(_shown(cell), 1):
        y = box.y + PAD + 7 + n * LINE
        if line.sign:
            lines.append(shape(line.sign, box.x + PAD + 4, y - 3.4))
        lines.append(word(line.text, box.x + PAD + (14 if line.sign else 0), y, "i"))
    return tag("g",
        tag("rect", x=box.x, y=box.y, width=box.w, height=box.h, rx=5, fill=paint.fill, stroke=paint.line,
            stroke_width=1.3),
        name, tag("g", lines, font_size=SIZE, font_family=MONO_FAMILY, class_="nf-mono"),
        class_=f"nf-cell nf-{cell.kind or 'plain'}")  # fmt: skip


_SIGNS = {REACHED: "ACCEPT", NODE: "ACCEPT", REFUSED: "REJECT", ONWARD: "CONTINUE"}


def _end(answer: Answer, lines: Sequence[str], x: float, middle: float) -> Markup:
    """Say how it ends, at the right."""
    kinds = {end.kind for end in answer.ends}
    sign = _SIGNS.get(next(iter(kinds)), "DROP") if len(kinds) == 1 else "UNDECIDED"
    top = middle - len(lines) * LINE / 2 + LINE - 3
    texts = [
        word(line, x + 12, top + n * LINE, "i" if n == 0 else "m") for n, line in enumerate(lines)
    ]
    return tag("g", shape(sign, x, middle), texts, font_size=SIZE)


def _folded(line: str, most: int = 33) -> list[str]:
    """Break a line between words."""
    rows = [""]
    for one in line.split():
        if rows[-1] and len(rows[-1]) + 1 + len(one) > most:
            rows.append(one)
        else:
            rows[-1] = f"{rows[-1]} {one}".lstrip()
    return [elide(row, most + 4) for row in rows]


# ── Words ───────────────────────────────────────────────────────────────────────────


def _story(names: Sequence[Machine], answers: Sequence[Answer]) -> list[Markup]:
    return [
        tag("li", tag("b", str(name), class_="nf-hook"), " ",
            tag("span", _told(answer), class_="nf-say"), data_s=str(n))
        for n, (name, answer) in enumerate(zip(names, answers, strict=True))
    ]  # fmt: skip


def _told(answer: Answer) -> str:
    """Tell one machine's way in a sentence."""
    stops = []
    for hook, cells in columns_of(answer):
        done = [
            f"{_named(cell)}"
            + (f": {', '.join(line.text for line in cell.lines)}" if cell.lines else "")
            for cell in cells
        ]
        stops.append(f"{hook} ({'; '.join(done)})" if done else hook)
    return f"{' → '.join(stops)}. In the end: {'; '.join(answer_lines(answer))}."


def machines_text(question: str, names: Sequence[Machine], answers: Sequence[Answer]) -> str:
    """Tell every machine's way."""
    lines = [f"{question}: {answers[0].question.packet}"]
    lines += [f"  {name}: {_told(answer)}" for name, answer in zip(names, answers, strict=True)]
    return "\n".join(lines)
