"""Where cards stand: in columns by call depth, each beside the row that calls it.

``static/diagram.js`` repeats ``place`` when a reader closes a card or searches; the two must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nb_lib.views.deck import Card, Model, Row
from nb_lib.views.svg import mono, sans

SIZE, LINE, PAD, HEAD, GAP, COLUMN, MARGIN = 10.0, 12, 5, 22, 12, 50, 12
SMALL = 8.5
NUMBER = 30.0  # the least room for a rule's number, left of its text


class Spot(NamedTuple):
    """A card's place and size."""

    x: float
    y: float
    w: float
    h: float


class Layout(NamedTuple):
    """The places of all cards, and the size of the whole."""

    spots: Mapping[str, Spot]
    width: float
    height: float


def row_height(row: Row) -> float:
    """Return the height of a row: its lines, its Service's name, the reason of its state."""
    extra = bool(row.strong) + bool(row.state and row.state.why)
    return LINE * (len(row.text) + extra) + PAD


def card_height(card: Card) -> float:
    """Return the height of a card, closed or open."""
    if card.closed or not card.rows:
        return HEAD
    return HEAD + sum(map(row_height, card.rows)) + 3


def card_width(card: Card) -> float:
    """Return the width that a card's texts need."""
    head = 34 + mono(card.title, SIZE) + sans(card.strong, SIZE) + sans(card.note, SMALL)
    left = indent(card)
    rows = [left + mono(text, SIZE) + 24 for row in card.rows for text in row.text]
    rows += [left + sans(row.strong, SIZE) + 24 for row in card.rows if row.strong]
    why = [
        left + sans(row.state.why, SMALL) + 24 for row in card.rows if row.state and row.state.why
    ]
    return max(head, *rows, *why, 96.0) if rows else max(head, 96.0)


def indent(card: Card) -> float:
    """Return where the text of a card's rows begins, right of their numbers."""
    return max([NUMBER, *(sans(row.label, SMALL) + 14 for row in card.rows)])


def row_tops(card: Card) -> list[float]:
    """Return where each row begins below the top of its card."""
    tops, at = [], float(HEAD)
    for row in card.rows:
        tops.append(at)
        at += row_height(row)
    return tops


def place(model: Model) -> Layout:
    """Put the cards in columns; those drawn without edges stand below the first one."""
    standing = {card.layer for card in model.cards if not card.aside and not card.faint}
    columns = sorted(standing or {0 for _ in model.cards})
    spots: dict[str, Spot] = {}
    x = float(MARGIN)
    for layer in columns:
        cards = [c for c in model.cards if c.layer == layer and not c.aside and not c.faint]
        aside = [c for c in model.cards if c.aside or c.faint] if layer == columns[0] else []
        width = max(card_width(c) for c in (*cards, *aside))
        wanted = {card.key: _wanted(card, model, spots) for card in cards}
        down = float(MARGIN)
        for card in sorted(cards, key=lambda c: wanted[c.key]):
            y = max(down, wanted[card.key])
            spots[card.key] = Spot(x, y, width, card_height(card))
            down = y + card_height(card) + GAP
        for card in aside:
            spots[card.key] = Spot(x, down, width, card_height(card))
            down += card_height(card) + GAP
        x += width + COLUMN
    height = max((s.y + s.h for s in spots.values()), default=0.0)
    return Layout(spots, x - COLUMN + MARGIN, height + MARGIN)


def anchors(model: Model, key: str) -> list[tuple[str, int]]:
    """Return the rows that call a card, as (card, row)."""
    return [(card.key, n) for card in model.cards for n, row in enumerate(card.rows)
            for goal in row.goes if model.where.get(goal, ("", 0))[0] == key]  # fmt: skip


def row_middle(card: Card, n: int, spot: Spot) -> float:
    """Return the height at which the edge of a row begins or ends; -1 stands for the whole card."""
    if card.closed or n < 0:
        return spot.y + HEAD / 2
    return spot.y + row_tops(card)[n] + row_height(card.rows[n]) / 2


def _wanted(card: Card, model: Model, spots: Mapping[str, Spot]) -> float:
    """Return the height at which a card would stand level with the first row that calls it."""
    cards: Mapping[str, Card] = {c.key: c for c in model.cards}
    rows: Sequence[float] = [row_middle(cards[key], n, spots[key])
                             for key, n in anchors(model, card.key) if key in spots]  # fmt: skip
    return min(rows, default=0.0) - HEAD / 2
