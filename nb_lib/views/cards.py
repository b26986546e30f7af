"""The chain diagram: chains as cards with their rules, jumps as edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from nb_lib.views.deck import Card, Model, Row
from nb_lib.views.figure import HATCHED, Drawing
from nb_lib.views.grid import Point
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
from nb_lib.views.parts import MONO_FAMILY, SANS_FAMILY, hue, shape, word
from nb_lib.views.states import State
from nb_lib.views.svg import Markup, join, mono, number, tag

BOW = 34.0  # how far an edge within a column swings out
BROAD = 18.0  # the width of an edge that is taken for sure, where chance divides edges
NAMED = 40  # chains that the description names
_VERDICTS = frozenset({"ACCEPT", "DROP", "REJECT", "RETURN", "JUMP", "GOTO"})
_SILENT = frozenset({"LOG", "NFLOG", "ULOG", "TRACE", "CT", "NOTRACK", "AUDIT", ""})


def draw_chains(model: Model, title: str, steps: Sequence[object] = ()) -> Drawing:
    """Draw the cards of a model and the edges between them."""
    plan = place(model)
    parts = [_edges(model, plan), *(_card(c, n, plan, model) for n, c in enumerate(model.cards))]
    height = plan.height
    if model.left_out:
        height += 16
        said = f"{model.left_out:,} more chains are not drawn: draw(…, only=…) names what to draw."
        parts.append(word(said, 12, height - 8, "m", font_size=SIZE))
    names = (" ".join(filter(None, (c.title, c.strong))) for c in model.cards[:NAMED])
    says = f"Chains: {', '.join(names)}."
    return Drawing(join(parts), title, plan.width, height, steps, says)


# --- edges ---


def _edges(model: Model, plan: Layout) -> Markup:
    index = {card.key: n for n, card in enumerate(model.cards)}
    found = []
    for card, n, goal, member in _calls(model):
        name = f"{index[card.key]}.{n} {index[goal.key]}.{member}"
        here, there = plan.spots[card.key], plan.spots[goal.key]
        points = ends(here, there, row_middle(card, n, here), row_middle(goal, member, there))
        found.append(_edge(card, card.rows[n], points, name))
    return tag("g", found, fill="none", stroke=LIGHT.muted, stroke_width=1.3, class_="nf-edges")


def _calls(model: Model) -> Iterator[tuple[Card, int, Card, int]]:
    """Yield who calls whom: a card, its row, the card called, its row or -1."""
    cards = {card.key: card for card in model.cards}
    for card in model.cards:
        for n, row in enumerate(card.rows):
            for goal in row.goes:
                if goal in model.where:
                    key, member = model.where[goal]
                    yield card, n, cards[key], member


def _edge(card: Card, row: Row, points: tuple[Point, Point], name: str) -> Markup:
    taken = row.state is not None and row.state.kind == "matched"
    width = None if row.chance is None else max(2.0, float(row.chance) * BROAD)
    shown = None if card.closed else width  # chance is told row by row
    names = ("nf-edge", "nf-chance" * bool(width), "nf-taken" * taken)
    path = tag(
        "path",
        d=curve(*points),
        stroke_width=shown or (2.4 if taken else None),
        stroke=LIGHT.ink if taken else None,
        stroke_opacity=0.35 if shown and not taken else None,
        class_=" ".join(filter(None, names)),
        data_e=name,
        data_w=number(width) if width else None,
        data_s=_steps(row.state) if taken else None,
    )
    if row.chance is None:
        return path
    hidden = "none" if card.closed else None
    return tag("g", path, _odds(row.chance, *points[0], hidden))


def _odds(chance: Fraction, x: float, y: float, display: str | None) -> Markup:
    text = str(chance) if chance.denominator < 1000 else f"≈{float(chance):.3g}"
    return word(text, x + 5, y + 3.4, "i", stroke=LIGHT.paper, stroke_width=3, paint_order="stroke",
                font_size=SIZE, font_weight=700, class_="nf-odds", display=display)  # fmt: skip


def ends(here: Spot, there: Spot, y: float, v: float) -> tuple[Point, Point]:
    """Return where an edge leaves and arrives: rightwards, within a column, or leftwards."""
    start = here.x if there.x < here.x else here.x + here.w
    end = there.x if there.x > here.x else there.x + there.w
    return (start, y), (end, v)


def curve(start: Point, end: Point) -> str:
    """Write an edge that leaves and arrives level."""
    (x, y), (u, v) = start, end
    bend = (x + u) / 2 if abs(u - x) > 1 else x + BOW
    a, b, c, d, e = map(number, (x, y, bend, u, v))
    return f"M{a} {b}C{c} {b} {c} {e} {d} {e}"


# --- cards ---


def _card(card: Card, index: int, plan: Layout, model: Model) -> Markup:
    spot, table = plan.spots[card.key], card.hue or model.table
    colours = hue(table)
    aside = card.aside or card.faint
    paper = tag("rect", width=spot.w, height=spot.h, rx=6, fill=LIGHT.paper, stroke=colours.line,
                stroke_width=1.2, class_="nf-body")  # fmt: skip
    rows = [_row(row, top, card, spot.w, table)
            for row, top in zip(card.rows, row_tops(card), strict=True)]  # fmt: skip
    hidden = "none" if card.closed else None
    colour = "" if " " in table else f"nf-{table}"  # both kinds of nft's chains lead there
    names = ("nf-chain", colour, "nf-faint" * card.faint, "nf-closed" * card.closed,
             "nf-changed" * card.changed)  # fmt: skip
    return tag(
        "g",
        paper,
        _head(card, spot.w, table),
        tag("g", rows, class_="nf-rows", display=hidden) if rows else None,
        class_=" ".join(filter(None, names)),
        font_size=SIZE,
        opacity=0.6 if card.faint else None,
        data_c=str(index),
        data_l=str(-1 if aside else card.layer),
        transform=f"translate({number(spot.x)} {number(spot.y)})",
    )


def _head(card: Card, width: float, table: str) -> Markup:
    told = " · ".join(filter(None, (", ".join(card.members) or card.key, card.strong, card.note)))
    title = word(
        card.title, 10, 15, "i", font_weight=700, font_family=MONO_FAMILY, class_="nf-mono"
    )
    at = 18 + mono(card.title, SIZE)
    strong = tag("text", card.strong, x=at, y=15, fill=hue(table).text, font_weight=600,
                 class_="nf-h") if card.strong else None  # fmt: skip
    note = word(card.note, width - 10, 15, "m", text_anchor="end", font_size=SMALL)
    band = _band(width, closed=card.closed or not card.rows)
    band = tag("path", d=band, fill=hue(table).fill, class_="nf-band")
    return tag("g", tag("title", told), band, title, strong, note if card.note else None,
               class_="nf-head")  # fmt: skip


def _band(width: float, *, closed: bool) -> str:
    """Write the outline of a card's head: round above, and below too if nothing follows."""
    right = number(width - 6)
    if closed:
        side = f"V{HEAD - 6}a6 6 0 0 1-6 6H6a6 6 0 0 1-6-6V6"
        return f"M6 0H{right}a6 6 0 0 1 6 6{side}a6 6 0 0 1 6-6z"
    return f"M0 {HEAD}V6a6 6 0 0 1 6-6H{right}a6 6 0 0 1 6 6V{HEAD}z"


# --- rows ---


def _row(row: Row, top: float, card: Card, width: float, table: str) -> Markup:
    state = row.state or State("")
    height, left = row_height(row), indent(card)
    faded = state.kind in ("missed", "unreached")
    lit = hue(table).fill
    fill = {"matched": lit, "changed": lit, "unsure": HATCHED}.get(state.kind, "none")
    back = tag("rect", x=1, width=width - 2, height=height, fill=fill, pointer_events="all",
               class_="nf-back")  # fmt: skip
    ink, tone = (LIGHT.muted, "nf-m") if faded else (LIGHT.ink, "nf-i")
    texts = tag("g", list(_lines(row, state, left)), fill=ink, class_=f"nf-mono {tone}",
                font_family=MONO_FAMILY)  # fmt: skip
    return tag(
        "g",
        tag("title", f"{row.full}\n{state.why}" if state.why else row.full),
        back,
        _bar(height, table) if state.kind == "changed" else None,
        texts,
        shape(_sign(row), width - 11, height / 2) if row.sign else None,
        transform=f"translate(0 {number(top)})",
        data_h=number(height),
        class_=f"nf-row nf-{state.kind}" if state.kind else "nf-row",
        opacity=0.55 if state.kind == "unreached" else None,
        data_s=_steps(state),
    )


def _bar(height: float, table: str) -> Markup:
    """Draw the mark of a rule that a command has changed: a bar at its left."""
    return tag("rect", x=1, width=4, height=height, fill=hue(table).text, class_="nf-bar")


def _lines(row: Row, state: State, left: float) -> Iterator[Markup]:
    y = LINE - 1.5
    if row.label:
        yield word(row.label, left - 8, y, "m", text_anchor="end", font_size=SMALL)
    if row.strong:
        yield word(row.strong, left, y, font_weight=600, font_family=SANS_FAMILY, class_="nf-sans")
        y += LINE
    for line in row.text:
        yield word(_underlined(line, state), left, y)
        y += LINE
    if state.why:
        yield word(state.why, left, y, font_size=SMALL, font_family=SANS_FAMILY,
                   class_="nf-why nf-sans")  # fmt: skip


def _steps(state: State | None) -> str | None:
    return " ".join(map(str, state.steps)) or None if state else None


def _sign(row: Row) -> str:
    """Return the sign of a rule: what rewrites shows the pen, whatever its verdict."""
    if row.sign in _VERDICTS:
        return row.sign
    return "CONTINUE" if row.sign in _SILENT else "REWRITE"


def _underlined(line: str, state: State) -> list[Markup | str]:
    """Underline the option that decided."""
    words = line.split(" ")
    if state.kind != "missed" or not state.option or state.option not in words:
        return [line]
    at = words.index(state.option)
    start = at - 1 if at and words[at - 1] == "!" else at
    end = at + 1
    while end < len(words) and not words[end].startswith(("-", "!")):
        end += 1
    key = tag("tspan", " ".join(words[start:end]), text_decoration="underline", class_="nf-key")
    before, after = " ".join(words[:start]), " ".join(words[end:])
    return [f"{before} " if before else "", key, f" {after}" if after else ""]
