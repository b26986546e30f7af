"""The packet as a small card that carries its header and moves below the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nb_lib.packet import Packet
from nb_lib.trace import Trace
from nb_lib.views.grid import LABELS, Grid, Point
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import shape
from nb_lib.views.story import Step, fields
from nb_lib.views.svg import MONO, Markup, number, tag

SIZE, ROW, NAME = 10.0, 14, 42


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
    width = NAME + 22 + max(len(f[n]) for f in shown for n in names) * SIZE * MONO
    top, height = plan.floor + 34, 24 + ROW * len(names)
    left = _place(spots[0][0], width, plan)
    places = [left, *(max(_place(x, width, plan), left + width + 16) for x, _ in spots[1:])]
    end = places[-1]
    first = _card(shown[0], names, {}, left, top, width, "came in" if trace.origin else "was sent")
    last = _card(shown[-1], names, shown[0], end, top, width, _ended(trace), moving=True)
    dots = [_dot(plan, step, spot) for step, spot in zip(story, spots, strict=True)]
    where = dots[-1]
    dot = tag("circle", cx=where[0], cy=where[1], r=5.5, fill=LIGHT.paper, stroke=LIGHT.ink,
              stroke_width=3, class_="nf-dot")  # fmt: skip
    told = [_told(n, story, shown, dots, places[n]) for n in range(len(story))]
    svg = tag("g", first, last, dot, font_size=SIZE, class_="nf-cards")
    return Cards(svg, end + width + 8, top + height + 8, told)


def face(packet: Packet) -> dict[str, str]:
    """Return what a card shows: the header, the mark, conntrack's word."""
    flags = " " + ",".join(packet.flag_names) if packet.flags else ""
    kind = f" {packet.icmp_type}/{packet.icmp_code}" if packet.icmp_type is not None else ""
    state = packet.ct.state if packet.ct else "–"
    return {"": packet.protocol_name + flags + kind, **fields(packet), "ct": state}


def _names(shown: Sequence[dict[str, str]]) -> list[str]:
    """Return the fields worth a row: addresses, and whatever changes or is set on the way."""
    always = ("src", "dst", "ct")
    first = shown[0]
    moving = {n for f in shown for n in f if f[n] != first.get(n)}
    marked = {"mark"} if any(f["mark"] != "0x0" for f in shown) else set()
    return [n for n in first if n in always or n in moving or n in marked]


def _told(n: int, story: Sequence[Step], shown: Sequence[dict[str, str]], spots: Sequence[Point],
          x: float) -> dict[str, object]:  # fmt: skip
    before = shown[n - 1] if n else {}
    new = {name: text for name, text in shown[n].items() if before.get(name) != text}
    told: dict[str, object] = {"p": [round(spots[n][0], 1), round(spots[n][1], 1)], "x": round(x, 1)}
    if new:
        told["f"] = new
    if story[n].changes:
        told["o"] = {name: old for name, old, _ in story[n].changes}
    return told


def _card(shown: dict[str, str], names: Sequence[str], first: dict[str, str], x: float, y: float,
          width: float, title: str, *, moving: bool = False) -> Markup:  # fmt: skip
    rows = []
    for index, name in enumerate(names):
        at = 33 + index * ROW
        changed = bool(first) and first.get(name) != shown[name]
        if moving and name != "ct":
            pen = shape("REWRITE", NAME + 3, at - 3.4)
            rows.append(tag("g", pen, data_pen=name, display=None if changed else "none"))
        rows.append(tag("text", name, x=8, y=at, fill=LIGHT.muted, class_="nf-m"))
        rows.append(tag("text", shown[name], x=NAME + 11, y=at, data_f=name,
                        font_weight=700 if changed else None))  # fmt: skip
    height = 24 + ROW * len(names)
    head = tag("text", tag("tspan", shown[""], font_weight=700, data_f=""),
               tag("tspan", f"  {title}", fill=LIGHT.muted, class_="nf-m nf-when"), x=8, y=16)
    box = tag("rect", width=width, height=height, rx=6, fill=LIGHT.paper,
              stroke=LIGHT.ink if moving else LIGHT.muted, stroke_width=1.6 if moving else 1,
              class_="nf-paper")  # fmt: skip
    return tag("g", box, tag("g", head, rows, font_family="ui-monospace,monospace", fill=LIGHT.ink,
                             class_="nf-mono nf-i"),
               class_="nf-card nf-moving" if moving else "nf-card", data_y=number(y),
               transform=f"translate({number(x)} {number(y)})")  # fmt: skip


def _place(x: float, width: float, plan: Grid) -> float:
    """Put a card below the point where the packet is, inside the picture."""
    return max(min(x - width / 2, plan.width - width - 6), float(LABELS) - 70)


def _dot(plan: Grid, step: Step, spot: Point) -> Point:
    """Put the dot on the rim of the cell, where it hides no word."""
    box = plan.cells.get((step.hook, step.lane))
    return (box.x + box.w, box.cy) if box and spot == (box.cx, box.cy) else spot


def _ended(trace: Trace) -> str:
    words = {"forward": "went out", "local": "was delivered", "drop": "was dropped",
             "reject": "was rejected", "lost": "was lost", "undecided": "?"}  # fmt: skip
    return words.get(trace.fate.kind, trace.fate.kind)
