"""The packet as a small card that carries its header and moves below the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nb_lib.packet import Packet
from nb_lib.trace import Trace
from nb_lib.views.grid import LABELS, Box, Grid, Point
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, shape, word
from nb_lib.views.sentences import fields
from nb_lib.views.story import Step, moves
from nb_lib.views.svg import MONO, Markup, number, tag

SIZE, ROW, NAME = 10.0, 14, 42


Shown = dict[str, str]
_ENDS = {
    "forward": "went out",
    "local": "was delivered",
    "drop": "was dropped",
    "reject": "was rejected",
    "lost": "was lost",
    "error": "got no further",
    "held": "is held",
    "undecided": "is undecided",
}


class Cards(NamedTuple):
    """The cards, how far they reach, and what the moving one shows at each step."""

    svg: Markup
    right: float
    bottom: float
    steps: list[dict[str, object]]


def draw_cards(plan: Grid, trace: Trace, story: Sequence[Step], spots: Sequence[Point]) -> Cards:
    """Draw the packet as it came in, and as it is; tell the script what changes on the way."""
    shown = [face(step.packet) for step in story]
    names = _names(shown)
    came = "came in" if trace.origin else "was sent"
    heads = (len(f"{shown[0]['']}  {came}"), len(f"{shown[-1]['']}  {_ended(trace)}"))
    rows = max(len(f[n]) for f in shown for n in names)
    width = max(NAME + 22 + rows * SIZE * MONO, 16 + max(heads) * SIZE * MONO)
    top, height = plan.floor + 34, 27 + ROW * len(names)
    left = _place(spots[0][0], width, plan)
    places = [left, *(max(_place(x, width, plan), left + width + 16) for x, _ in spots[1:])]
    end = places[-1]
    first = _card(shown[0], names, Box(left, top, width, height), came, None)
    last = _card(shown[-1], names, Box(end, top, width, height), _ended(trace), shown[0])
    dots: list[Point] = []
    for step, spot in zip(story, spots, strict=True):
        dots.append(dots[-1] if step.kind == "answer" else _dot(plan, step, spot))
    where = dots[-1]
    dot = tag("circle", cx=where[0], cy=where[1], r=5.5, fill=LIGHT.paper, stroke=LIGHT.ink,
              stroke_width=3, class_="nf-dot")  # fmt: skip
    told = []
    for n, ((x, y), old) in enumerate(zip(dots, moves(story), strict=True)):
        news = _news(shown[n], shown[n - 1] if n else {})
        told.append(
            {"p": [round(x, 1), round(y, 1)], "x": round(places[n], 1), "f": news} | (old or {})
        )
    svg = tag("g", first, last, dot, font_size=SIZE, class_="nf-cards")
    return Cards(svg, end + width + 8, top + height + 8, told)


def face(packet: Packet) -> Shown:
    """Return what a card shows: the header, the mark, conntrack's word."""
    flags = " " + ",".join(packet.flag_names) if packet.flags else ""
    kind = f" {packet.icmp_type}/{packet.icmp_code}" if packet.icmp_type is not None else ""
    state = packet.ct.state if packet.ct else "–"
    return {"": packet.protocol_name + flags + kind, **fields(packet), "ct": state}


def _names(shown: Sequence[Shown]) -> list[str]:
    """Return the fields worth a row: addresses, and whatever changes or is set on the way."""
    always = ("src", "dst", "ct")
    first = shown[0]
    moving = {n for f in shown for n in f if f[n] != first.get(n)}
    marked = {"mark"} if any(f["mark"] != "0x0" for f in shown) else set()
    return [n for n in first if n in always or n in moving or n in marked]


def _news(shown: Shown, before: Shown) -> Shown:
    return {name: text for name, text in shown.items() if before.get(name) != text}


def _card(shown: Shown, names: Sequence[str], spot: Box, title: str, first: Shown | None) -> Markup:
    """Draw a card; ``first`` is what the packet was, for the card that moves and tells changes."""
    moving = first is not None
    rows = [_field(name, shown[name], 33 + n * ROW, first) for n, name in enumerate(names)]
    when = tag("tspan", f"  {title}", fill=LIGHT.muted, class_="nf-m nf-when")
    head = word([tag("tspan", shown[""], font_weight=700, data_f=""), when], 8, 16)
    box = tag("rect", width=spot.w, height=spot.h, rx=6, fill=LIGHT.paper,
              stroke=LIGHT.ink if moving else LIGHT.muted, stroke_width=1.6 if moving else 1,
              class_="nf-paper")  # fmt: skip
    text = tag("g", head, rows, font_family=MONO_FAMILY, fill=LIGHT.ink, class_="nf-mono nf-i")
    return tag("g", box, text, class_="nf-card nf-moving" if moving else "nf-card",
               transform=f"translate({number(spot.x)} {number(spot.y)})")  # fmt: skip


def _field(name: str, value: str, y: float, first: Shown | None) -> list[Markup]:
    """Draw one field; on the moving card with a pen that shows while the field differs."""
    label = word(name, 8, y, "m")
    if first is None:
        return [label, word(value, NAME + 11, y)]
    changed = first.get(name) != value
    found = [label, word(value, NAME + 11, y, data_f=name, font_weight=700 if changed else None)]
    if name != "ct":
        pen = shape("REWRITE", NAME + 3, y - 3.4)
        found.append(tag("g", pen, data_pen=name, display=None if changed else "none"))
    return found


def _place(x: float, width: float, plan: Grid) -> float:
    """Put a card below the point where the packet is, inside the picture."""
    return max(min(x - width / 2, plan.width - width - 6), float(LABELS) - 70)


def _dot(plan: Grid, step: Step, spot: Point) -> Point:
    """Put the dot on the rim of the cell, where it hides no word."""
    box = plan.cells.get((step.hook, step.lane))
    return (box.x + box.w, box.cy) if box and spot == (box.cx, box.cy) else spot


def _ended(trace: Trace) -> str:
    return _ENDS.get(trace.fate.kind, trace.fate.kind)
