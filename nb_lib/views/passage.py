"""Which places a packet passes, and where its destination is exchanged: one row for each way of doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nb_lib.hooks import HOOKS
from nb_lib.trace import AtHook, Rewritten, Trace
from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import hue, shape, word
from nb_lib.views.svg import Markup, join, tag

LABEL, WIDE, HIGH, GAP, TOP = 150, 92, 34, 10, 56
EXCHANGED = "exchanged"


def passed(trace: Trace) -> dict[str, str]:
    """Return the hooks that a packet passes, with ``exchanged`` where its destination becomes another."""
    found: dict[str, str] = {}
    hook = ""
    for event in trace.events:
        if isinstance(event, AtHook):
            hook = event.hook
            found.setdefault(hook, "")
        elif isinstance(event, Rewritten) and event.before.dst != event.packet.dst:
            found[hook] = EXCHANGED
    return found


def passage(title: str, places: Sequence[str], ways: Mapping[str, Mapping[str, str]]) -> Figure:
    """Draw ways as rows over ``places``, in the packet's order; what a way does not hold it does not see.

    A place of a way may say what happens there; ``exchanged`` is the destination's translation.
    """
    width, height = LABEL + len(places) * (WIDE + GAP), TOP + len(ways) * (HIGH + GAP)
    heads = [_head(place, _left(at)) for at, place in enumerate(places)]
    rows = [_row(label, TOP + at * (HIGH + GAP), places, way)
            for at, (label, way) in enumerate(ways.items())]  # fmt: skip
    text = "\n".join(_told(label, places, way) for label, way in ways.items())
    drawing = Drawing(join([*heads, *rows]), title, width, height, says=text)
    return figure("passage", drawing, [], f"{title}\n{text}")


def _told(label: str, places: Sequence[str], way: Mapping[str, str]) -> str:
    seen = [f"{place} ({way[place]})" if way[place] else place for place in places if place in way]
    skipped = [place for place in places if place not in way]
    return f"{label}: {' → '.join(seen)}; not seen by: {', '.join(skipped) or 'none'}"


def _left(at: int) -> int:
    return LABEL + at * (WIDE + GAP)


def _head(place: str, x: float) -> Markup:
    hook = place in HOOKS
    lines = place.split(": ")
    size = {"font_size": 11 if hook else 10.5, "font_weight": 700 if hook else 500}
    found = [
        word(line, x + WIDE / 2, TOP - 14 - 13 * (len(lines) - 1 - at), "i" if hook else "m",
             text_anchor="middle", **size)
        for at, line in enumerate(lines)
    ]  # fmt: skip
    return join(found)


def _row(label: str, y: float, places: Sequence[str], way: Mapping[str, str]) -> Markup:
    middle = y + HIGH / 2
    seen = [_left(at) + WIDE / 2 for at, place in enumerate(places) if place in way]
    line = tag("path", d=f"M{seen[0]:g} {middle:g}H{seen[-1]:g}", stroke=LIGHT.ink, stroke_width=2.4,
               class_="nf-way")  # fmt: skip
    name = word(label, 8, middle + 4, "i", font_size=11.5, font_weight=600)
    cells = [_cell(_left(at), y, way.get(place)) for at, place in enumerate(places)]
    return tag("g", name, line, cells)


def _cell(x: float, y: float, told: str | None) -> Markup:
    if told is None:
        return tag("rect", x=x, y=y + 8, width=WIDE, height=HIGH - 16, rx=3, fill=LIGHT.paper,
                   stroke=LIGHT.line, stroke_dasharray="2 3", class_="nf-none")  # fmt: skip
    table = "nat" if told == EXCHANGED else "conntrack"
    paint = hue(table)
    rect = tag("rect", x=x, y=y, width=WIDE, height=HIGH, rx=5, fill=paint.fill, stroke=paint.line,
               stroke_width=1.3)  # fmt: skip
    sign = shape("REWRITE", x + 13, y + HIGH / 2) if told == EXCHANGED else None
    words = word(told or "seen", x + (22 if sign else WIDE / 2), y + HIGH / 2 + 4, "i", font_size=10.5,
                 text_anchor=None if sign else "middle")  # fmt: skip
    return tag("g", rect, sign, words, class_=f"nf-cell nf-{table}")
