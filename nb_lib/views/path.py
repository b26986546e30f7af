"""The path diagram: a packet's way through hooks and tables, drawn from a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nb_lib.engine.nft.tables import Nftables
from nb_lib.hooks import CONFIRM, FORWARD, HOOKS, INPUT, OUTPUT, POSTROUTING, PREROUTING, stops
from nb_lib.net import FAMILY_NAMES
from nb_lib.rules import Ruleset
from nb_lib.trace import AtHook, Trace
from nb_lib.views import grid
from nb_lib.views.cells import BALANCING, Line, base_lines, stop_line, texts
from nb_lib.views.figure import Drawing
from nb_lib.views.grid import BUS, LINE, NAMES, Box, Grid, Point
from nb_lib.views.packet_card import draw_cards
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, hue_of, shape, word
from nb_lib.views.sentences import fate_words
from nb_lib.views.story import Step, ipvs_lane, steps
from nb_lib.views.svg import MONO, Markup, elide, join, number, tag

SIZE, START = 10.0, 70.0


def draw_path(trace: Trace) -> Drawing:
    """Draw the way of a packet."""
    story = steps(trace)
    words = texts(story)
    hooks = {e.hook for e in trace.events if isinstance(e, AtHook)}
    widest = max((len(line.text) for lines in words.values() for line in lines), default=0)
    width = min(max(grid.WIDE, widest * SIZE * MONO + 26), 270.0)
    room = int((width - 26) / (SIZE * MONO))
    layers = grid.layers_of(lane for _, lane in words)
    plan = grid.make({key: len(lines) for key, lines in words.items()}, hooks, width, layers)
    spots = _spots(plan, story, trace)
    cards = draw_cards(plan, trace, story, spots)
    body = [
        _lanes(plan, layers, {lane for _, lane in words}),
        _map(plan),
        _trail(plan, story, spots),
        _names(plan, hooks),
        _crossings(plan, story, spots),
        _cells(plan, story, words, hooks, room),
        _ends(plan, trace, spots[-1]),
        cards.svg,
    ]
    title = f"The way of {trace.sent}: {fate_words(trace.fate)}"
    width = max(plan.width, cards.right)
    return Drawing(join(body), title, width, cards.bottom, cards.steps, _says(story))


def _says(story: Sequence[Step]) -> str:
    """Say in words what the picture shows: whence, through which hooks, what changed, the end."""
    hooks = " → ".join(dict.fromkeys(step.hook for step in story if step.hook))
    changed = [
        f"{step.hook}: {name} {old} → {new}." for step in story for name, old, new in step.changes
    ]
    return " ".join([story[0].sentence, f"Hooks: {hooks}.", *changed, story[-1].sentence])


def draw_map(
    ruleset: Ruleset | None = None, nftables: Nftables | None = None, *, ipvs: bool = False
) -> Drawing:
    """Draw the map alone: hooks, tables, priorities; of a ruleset, how many rules are where.

    With the base chains of ``nftables``, between them and the kernel's own functions; ``ipvs``: with the
    places of IPVS on a host that has virtual servers.
    """
    family, backend = (ruleset.family, ruleset.backend) if ruleset else (4, "nft")
    layer = grid.layer_of(family)
    words: dict[tuple[str, str], list[Line]] = {}
    for hook in HOOKS:
        for stop in stops(hook, backend, family, balancing=ipvs):
            line = stop_line(stop, hook, ruleset)
            if stop.function != "iptables" and line:
                lane = ipvs_lane(hook) if stop.function in BALANCING else grid.lane(stop, layer)
                words.setdefault((hook, lane), []).append(line)
    words |= base_lines(nftables, family)
    most = max((len(line.text) for lines in words.values() for line in lines), default=0)
    width = max(124.0, most * SIZE * MONO + 28)
    plan = grid.make({key: len(lines) for key, lines in words.items()}, HOOKS, width, (layer,))
    used = {lane for _, lane in words}
    middle = plan.columns[FORWARD].cx
    body = [
        _lanes(plan, (layer,), used),
        _map(plan),
        _crossings(plan, (), ()),
        _names(plan, set(HOOKS)),
        _cells(plan, (), words, set(HOOKS), max(17, most)),
        _end("local process", middle, plan.floor + 26, "middle"),
        _end("in", 10, BUS + 4, "start"),
        _end("out", plan.width - 2, plan.floor + 14, "end"),
    ]
    title = "Netfilter's hooks, and the tables that hang on each, by priority"
    if ipvs:
        title = "Netfilter's hooks, with the places where IPVS stands"
    if ruleset:
        title = f"Where the rules of this {FAMILY_NAMES[ruleset.family]} ruleset hang"
    if nftables:
        title = "What a packet meets on this host, by priority: nft's chains, iptables' tables, conntrack"
    return Drawing(join(body), title, plan.width, plan.floor + 34)


def _lanes(plan: Grid, layers: Sequence[str], used: set[str]) -> Markup:
    return tag("g", [_lane(plan, name, prio, name in used) for name, prio in grid.lanes(layers, used)],
               font_size=10.5)  # fmt: skip


def _lane(plan: Grid, name: str, priority: int, used: bool) -> Markup:
    box, table = plan.lanes[name], hue_of(name)
    y = box.y + min(box.h / 2, 13) + 3.5
    label = name.partition(".")[0]
    order = "last" if priority == CONFIRM else str(priority).replace("-", "−")
    last = word(order, grid.LABELS + 4, y, "m", font_size=8.5, text_anchor="end")
    if not used:
        return tag("g", word(label, 10, y, "m"), last)
    band = tag("rect", x=4, y=box.y, width=plan.width - 8, height=box.h, rx=4, fill=LIGHT.panel,
               class_="nf-lane")  # fmt: skip
    text = tag("text", label, x=10, y=y, fill=hue(table).text, font_weight=600,
               font_size=9.5 if " " in label else None, class_=f"nf-h nf-{table}")  # fmt: skip
    return tag("g", band, text, last)


def _map(plan: Grid) -> Markup:
    """Draw, thin, every way that packets can take."""
    return tag("path", d=" ".join(_d(road) for road in _roads(plan)), fill="none",
               stroke=LIGHT.line, stroke_width=1.2, class_="nf-road")  # fmt: skip


def _names(plan: Grid, hooks: set[str]) -> Markup:
    found = []
    for hook in HOOKS:
        near = hook in hooks
        look = {"font_weight": 700, "font_size": 11} if near else {"font_size": 9.5}
        found.append(word(hook, plan.columns[hook].cx, NAMES, "i" if near else "m", **look))
    return tag("g", found, text_anchor="middle", stroke=LIGHT.paper, stroke_width=5,
               paint_order="stroke", stroke_linejoin="round", class_="nf-names")  # fmt: skip


def _roads(plan: Grid) -> list[list[Point]]:
    middle = {hook: plan.columns[hook].cx for hook in HOOKS}
    down = {hook: [(middle[hook], BUS), (middle[hook], plan.floor)] for hook in HOOKS}
    first, second, third = (plan.crossing(h, again=a) for h, a in
                            ((PREROUTING, False), (OUTPUT, False), (OUTPUT, True)))  # fmt: skip
    floor, stub = plan.floor, plan.floor + 14
    return [
        *down.values(),
        [(START, BUS), (middle[PREROUTING], BUS)],
        [(middle[PREROUTING], floor), (first[0], floor), (first[0], BUS), (middle[FORWARD], BUS)],
        [
            (middle[FORWARD], floor),
            (plan.gutter(FORWARD), floor),
            (plan.gutter(FORWARD), BUS),
            (middle[POSTROUTING], BUS),
        ],
        [(middle[INPUT], floor), (middle[INPUT], stub)],
        [
            (middle[OUTPUT] - 30, stub),
            (second[0], stub),
            (second[0], BUS + 5),
            (middle[OUTPUT], BUS + 5),
        ],
        [(middle[OUTPUT], floor), (third[0], floor), (third[0], BUS)],
        [(middle[POSTROUTING], floor), (plan.width - 6, floor)],
    ]


def _crossings(plan: Grid, story: Sequence[Step], spots: Sequence[Point]) -> Markup:
    """Draw the routing decisions; those that were taken stand out."""
    found = []
    for x, y in (plan.crossing(PREROUTING, again=False), plan.crossing(OUTPUT, again=False),
                 plan.crossing(OUTPUT, again=True)):  # fmt: skip
        taken = [n for n, s in enumerate(story) if s.lane == "route" and spots[n] == (x, y)]
        found.append(tag("path", d=f"M{number(x)} {number(y - 9)}l9 9-9 9-9-9z", stroke_width=1.4,
                         fill=LIGHT.ink if taken else LIGHT.paper,
                         stroke=LIGHT.ink if taken else LIGHT.line,
                         class_="nf-cross nf-taken" if taken else "nf-cross",
                         data_s=" ".join(map(str, taken)) or None))  # fmt: skip
    return tag("g", found)


def _trail(plan: Grid, story: Sequence[Step], spots: Sequence[Point]) -> Markup:
    """Draw the way, a piece for each step that moves the packet."""
    found = []
    for n, step in enumerate(story):
        gates = [(plan.columns[e.hook].cx, BUS) for e in step.before if isinstance(e, AtHook)]
        if n and (gates or spots[n] != spots[n - 1]):
            way = plan.way([spots[n - 1], *gates, spots[n]])
            found.append(tag("path", d=_d(way), data_s=str(n)))
    return tag("g", found, fill="none", stroke=LIGHT.ink, stroke_width=3, stroke_linejoin="round",
               stroke_linecap="round", class_="nf-way")  # fmt: skip


def _spots(plan: Grid, story: Sequence[Step], trace: Trace) -> list[Point]:
    """Return where on the map each step happens."""
    local = (plan.crossing(OUTPUT, again=False)[0], plan.floor + 14)
    found = [(START, float(BUS)) if trace.origin else local]
    for step in story[1:]:
        box = plan.cells.get((step.hook, step.lane))
        if step.kind == "fate":
            found.append(_end_spot(plan, step, found[-1]))
        elif step.kind == "answer":
            found.append(found[-1])
        elif step.lane == "route":
            found.append(_crossing_of(plan, step))
        else:
            found.append((box.cx, box.cy) if box else found[-1])
    return found


def _crossing_of(plan: Grid, step: Step) -> Point:
    # IPVS routes at OUTPUT what had been routed before it.
    again = step.hook == OUTPUT or any(getattr(event, "again", False) for event in step.events)
    return plan.crossing(PREROUTING if step.hook == PREROUTING else OUTPUT, again=again)


def _end_spot(plan: Grid, step: Step, last: Point) -> Point:
    if step.verdict == "forward":
        return plan.width - 6, plan.floor
    if step.verdict == "local":
        return plan.columns[INPUT].cx, plan.floor + 14
    return last


def _ends(plan: Grid, trace: Trace, last: Point) -> Markup:
    """Name the interfaces and processes where the way begins and ends."""
    kind, device = trace.fate.kind, trace.fate.device
    found = [_end(trace.origin, 6, BUS + 4, "start") if trace.origin else None]
    if kind == "forward":
        found.append(_end(device, plan.width - 2, plan.floor + 18, "end"))
    if kind == "local":
        found.append(_end("local process", plan.columns[INPUT].cx + 11, plan.floor + 20, "start"))
    if kind in ("lost", "error"):
        found += [
            shape("LOST", last[0] + 15, last[1]),
            _end("lost", last[0] + 23, last[1] + 4, "start"),
        ]
    if not trace.origin:
        found.append(_end("local process", plan.columns[OUTPUT].cx, plan.floor + 18, "middle"))
    return tag("g", found)


def _end(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, font_size=10.5, font_weight=600,
               fill=LIGHT.ink, class_="nf-i")  # fmt: skip


def _d(points: Sequence[Point]) -> str:
    """Write a line with rounded corners."""
    if len(points) < 3:
        return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
    parts = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        a, b = _towards(corner, before), _towards(corner, after)
        parts.append(f"L{number(a[0])} {number(a[1])}Q{number(corner[0])} {number(corner[1])} "
                     f"{number(b[0])} {number(b[1])}")  # fmt: skip
    return "".join(parts) + f"L{number(points[-1][0])} {number(points[-1][1])}"


def _towards(here: Point, there: Point, by: float = 7.0) -> Point:
    dx, dy = there[0] - here[0], there[1] - here[1]
    size = (dx * dx + dy * dy) ** 0.5
    share = min(by, size / 2) / size if size else 0
    return here[0] + dx * share, here[1] + dy * share


def _absent(box: Box, near: bool) -> Markup:
    """Draw a cell that this packet does not meet."""
    return tag("rect", x=box.x, y=box.y + 2, width=box.w, height=max(box.h - 4, 8), rx=3,
               fill=LIGHT.paper, stroke=LIGHT.line, stroke_dasharray="2 3", class_="nf-none",
               opacity=None if near else 0.6)  # fmt: skip


def _cells(plan: Grid, story: Sequence[Step], words: Mapping[tuple[str, str], Sequence[Line]],
           hooks: set[str], room: int) -> Markup:  # fmt: skip
    found = []
    for (hook, lane), box in plan.cells.items():
        table = hue_of(lane)
        visits = [
            n for n, s in enumerate(story) if (s.hook, s.lane) == (hook, lane) and s.kind != "fate"
        ]
        lines = words.get((hook, lane))
        if lines is None:
            found.append(_absent(box, hook in hooks))
            continue
        found.append(tag("g",
            tag("rect", x=box.x, y=box.y, width=box.w, height=box.h, rx=5,
                fill=hue(table).fill, stroke=hue(table).line, stroke_width=1.3),
            _lines(lines, box, room),
            class_=f"nf-cell nf-{table}", data_s=" ".join(map(str, visits)) or None))  # fmt: skip
    return tag("g", found)


def _lines(lines: Sequence[Line], box: Box, room: int) -> Markup:
    rows = []
    top = box.cy - len(lines) * LINE / 2 + LINE - 3.5
    for index, line in enumerate(lines):
        y = top + index * LINE
        sign = shape(line.sign, box.x + 11, y - 3.4) if line.sign else None
        text = tag("text", elide(line.text, room), x=box.x + 20, y=y, xml__space="preserve",
                   class_="nf-old" if line.old else None, fill=LIGHT.muted if line.old else None,
                   text_decoration="line-through" if line.old else None)  # fmt: skip
        rows.append(tag("g", sign, text, data_s=str(line.step)) if len(lines) > 1 else [sign, text])
    return tag("g", rows, font_size=SIZE, font_family=MONO_FAMILY, fill=LIGHT.ink,
               class_="nf-mono nf-i")  # fmt: skip
