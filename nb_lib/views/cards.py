"""The chain diagram: chains as cards with their rules, jumps as edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from nb_lib.views.chains import Card, Model, Row
from nb_lib.views.grid import Point
from nb_lib.views.figure import HATCHED, Drawing
from nb_lib.views.layout import (
    HEAD,
    LINE,
    SIZE,
    SMALL,
    Layout,
    Spot,
    indent,
    place,
    row_height,
    row_middle,
    row_tops,
)
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import hue, shape
from nb_lib.views.states import State
from nb_lib.views.svg import Markup, join, mono, number, tag

BOW = 34.0  # how far an edge within a column swings out
BROAD = 18.0  # the width of an edge that is taken for sure, where chance divides edges


def draw_chains(model: Model, title: str, steps: Sequence[object] = ()) -> Drawing:
    """Draw the cards of a model and the edges between them."""
    plan = place(model)
    index = {card.key: n for n, card in enumerate(model.cards)}
    edges = tag("g", list(_edges(model, plan, index)), fill="none", stroke=LIGHT.muted,
                stroke_width=1.3, class_="nf-edges")  # fmt: skip
    cards = [_card(card, plan.spots[card.key], index[card.key], model.table) for card in model.cards]
    left = tag("text", f"{model.left_out} more chains are not drawn.", x=12, y=plan.height + 8,
               font_size=SIZE, fill=LIGHT.muted, class_="nf-m") if model.left_out else None  # fmt: skip
    body = join([edges, *cards, left])
    says = ", ".join(" ".join(filter(None, [card.title, card.strong])) for card in model.cards[:40])
    return Drawing(body, title, plan.width, plan.height + (16 if left else 0), steps, f"Chains: {says}.")


def _edges(model: Model, plan: Layout, index: dict[str, int]) -> Iterator[Markup]:
    cards = {card.key: card for card in model.cards}
    for card in model.cards:
        for n, row in enumerate(card.rows):
            for goal in row.goes:
                if goal in model.where:
                    key, member = model.where[goal]
                    yield _edge(card, n, cards[key], member, plan, index)


def _edge(card: Card, n: int, goal: Card, member: int, plan: Layout, index: dict[str, int]) -> Markup:
    row, here, there = card.rows[n], plan.spots[card.key], plan.spots[goal.key]
    start, end = ends(here, there, row_middle(card, n, here), row_middle(goal, member, there))
    taken = row.state is not None and row.state.kind == "matched"
    width = max(2.0, float(row.chance) * BROAD) if row.chance is not None else None
    steps = " ".join(map(str, row.state.steps)) if taken and row.state else None
    shown = None if card.closed else width  # chance is told row by row
    path = tag("path", d=curve(start, end), stroke_width=shown or (2.4 if taken else None),
               stroke=LIGHT.ink if taken else None,
               stroke_opacity=0.35 if shown and not taken else None, data_w=number(width) if width else None,
               class_=" ".join(filter(None, ["nf-edge", "nf-chance" if width else "",
                                             "nf-taken" if taken else ""])),
               data_e=f"{index[card.key]}.{n} {index[goal.key]}.{member}", data_s=steps)  # fmt: skip
    if row.chance is None:
        return path
    label = tag("text", _fraction(row.chance), x=start[0] + 5, y=start[1] + 3.4, stroke=LIGHT.paper,
                stroke_width=3, paint_order="stroke", fill=LIGHT.ink, font_size=SIZE,
                font_weight=700, class_="nf-i nf-odds", display="none" if card.closed else None)  # fmt: skip
    return tag("g", path, label)


def ends(here: Spot, there: Spot, y: float, v: float) -> tuple[Point, Point]:
    """Return where an edge leaves and arrives: rightwards, within a column, or leftwards."""
    start = here.x if there.x < here.x else here.x + here.w
    end = there.x if there.x > here.x else there.x + there.w
    return (start, y), (end, v)


def curve(start: Point, end: Point) -> str:
    """Write an edge that leaves and arrives level."""
    (x, y), (u, v) = start, end
    a, b = ((x + u) / 2, (x + u) / 2) if abs(u - x) > 1 else (x + BOW, x + BOW)
    return f"M{number(x)} {number(y)}C{number(a)} {number(y)} {number(b)} {number(v)} {number(u)} {number(v)}"


def _fraction(value: Fraction) -> str:
    return str(value) if value.denominator < 1000 else f"≈{float(value):.3g}"


def _card(card: Card, spot: Spot, index: int, table: str) -> Markup:
    colours = hue(table)
    faint = card.faint
    paper = tag("rect", width=spot.w, height=spot.h, rx=6, fill=LIGHT.paper, stroke=colours.line,
                stroke_width=1.2, class_="nf-body")  # fmt: skip
    band = f"M0 {HEAD}V6a6 6 0 0 1 6-6H{number(spot.w - 6)}a6 6 0 0 1 6 6V{HEAD}z"
    if card.closed or not card.rows:
        band = f"M6 0H{number(spot.w - 6)}a6 6 0 0 1 6 6V{HEAD - 6}a6 6 0 0 1-6 6H6a6 6 0 0 1-6-6V6a6 6 0 0 1 6-6z"
    at = 10 + mono(card.title, SIZE) + 8
    head = tag("g",
        tag("title", _told(card)),
        tag("path", d=band, fill=colours.fill, class_="nf-band"),
        tag("text", card.title, x=10, y=15, font_weight=700, class_="nf-mono nf-i",
            font_family="ui-monospace,monospace"),
        tag("text", card.strong, x=at, y=15, fill=colours.text, font_weight=600, class_="nf-h") if card.strong else None,
        tag("text", card.note, x=spot.w - 10, y=15, text_anchor="end", font_size=SMALL,
            fill=LIGHT.muted, class_="nf-m") if card.note else None,
        class_="nf-head")  # fmt: skip
    rows = [_row(row, top, spot.w, indent(card), table) for row, top in zip(card.rows, row_tops(card), strict=True)]
    inside = tag("g", rows, class_="nf-rows", display="none" if card.closed else None) if rows else None
    name = " ".join(filter(None, ["nf-chain", f"nf-{table}", "nf-faint" if faint else "",
                                  "nf-closed" if card.closed else ""]))  # fmt: skip
    return tag("g", paper, head, inside, class_=name, font_size=SIZE, opacity=0.6 if faint else None,
               data_c=str(index), data_l=str(-1 if card.aside or card.faint else card.layer),
               transform=f"translate({number(spot.x)} {number(spot.y)})")  # fmt: skip


def _told(card: Card) -> str:
    names = ", ".join(card.members) or card.key
    return " · ".join(filter(None, [names, card.strong, card.note]))


def _row(row: Row, top: float, width: float, left: float, table: str) -> Markup:
    state = row.state
    kind = state.kind if state else ""
    height = row_height(row)
    y = LINE - 1.5
    parts = [tag("title", row.full if not (state and state.why) else f"{row.full}\n{state.why}")]
    fill = {"matched": hue(table).fill, "unsure": HATCHED}.get(kind)
    parts.append(tag("rect", x=1, width=width - 2, height=height, fill=fill or "none",
                     pointer_events="all", class_="nf-back"))  # fmt: skip
    colour = LIGHT.muted if kind in ("missed", "unreached") else LIGHT.ink
    texts = [tag("text", row.label, x=left - 8, y=y, text_anchor="end", font_size=SMALL,
                 fill=LIGHT.muted, class_="nf-m")] if row.label else []  # fmt: skip
    if row.strong:
        texts.append(tag("text", row.strong, x=left, y=y, font_weight=600, font_family="system-ui,sans-serif",
                         class_="nf-sans"))  # fmt: skip
        y += LINE
    for line in row.text:
        texts.append(tag("text", _underlined(line, state), x=left, y=y))
        y += LINE
    if state and state.why:
        texts.append(tag("text", state.why, x=left, y=y, font_size=SMALL, font_family="system-ui,sans-serif",
                         class_="nf-why nf-sans"))  # fmt: skip
    parts.append(tag("g", texts, fill=colour, class_="nf-mono " + ("nf-m" if colour == LIGHT.muted else "nf-i"),
                     font_family="ui-monospace,monospace"))  # fmt: skip
    if row.sign:
        parts.append(shape(_sign(row), width - 11, height / 2))
    return tag("g", parts, transform=f"translate(0 {number(top)})", data_h=number(height),
               class_=f"nf-row nf-{kind}" if kind else "nf-row",
               opacity=0.55 if kind == "unreached" else None,
               data_s=" ".join(map(str, state.steps)) if state and state.steps else None)  # fmt: skip


def _sign(row: Row) -> str:
    """Return the sign of a rule: what rewrites shows the pen, whatever its verdict."""
    if row.sign in ("ACCEPT", "DROP", "REJECT", "RETURN", "JUMP", "GOTO"):
        return row.sign
    if row.sign in ("LOG", "NFLOG", "TRACE", "CT", "NOTRACK", ""):
        return "CONTINUE"
    return "REWRITE"


def _underlined(line: str, state: State | None) -> list[Markup | str]:
    """Underline the option that decided."""
    option = state.option if state and state.kind == "missed" else ""
    words = line.split(" ")
    if not option or option not in words:
        return [line]
    start = words.index(option)
    first = start - 1 if start and words[start - 1] == "!" else start
    end = start + 1
    while end < len(words) and not words[end].startswith("-") and words[end] != "!":
        end += 1
    pieces = [" ".join(words[:first]), " ".join(words[first:end]), " ".join(words[end:])]
    lead, tail = (pieces[0] + " ") * bool(pieces[0]), (" " + pieces[2]) * bool(pieces[2])
    return [lead, tag("tspan", pieces[1], text_decoration="underline", class_="nf-key"), tail]

