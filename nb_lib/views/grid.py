"""The map of netfilter: hooks as columns, tables as lanes, worked out from ``hooks.py``.

A packet goes down a column, along the floor into the gutter, up past a routing decision to the
bus above, and down the next column. OUTPUT is entered from below, INPUT is left below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from nb_lib.hooks import FORWARD, HOOKS, OUTPUT, POSTROUTING, PREROUTING, SRC, Stop, stops
from nb_lib.net import ARP, BRIDGE

LABELS, WIDE, SLIM, GUTTER, EDGE = 98, 164, 80, 38, 12
BUS, NAMES, TOP = 12, 34, 44
LINE, PAD, THIN = 13, 12, 15


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    w: float
    h: float

    @property
    def cx(self) -> float:
        """The middle, across."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """The middle, down."""
        return self.y + self.h / 2


Point = tuple[float, float]


class Grid(NamedTuple):
    """Where everything stands."""

    columns: Mapping[str, Box]
    lanes: Mapping[str, Box]
    cells: Mapping[tuple[str, str], Box]
    floor: float
    width: float

    def gutter(self, hook: str) -> float:
        """Return the line by which packets go up, to the right of a column."""
        box = self.columns[hook]
        return box.x + box.w + (GUTTER / 2 if hook != FORWARD else 9)

    def crossing(self, hook: str, *, again: bool) -> Point:
        """Return where the routing decision stands that a packet meets at ``hook``."""
        middle = (TOP + self.floor) / 2
        if hook == PREROUTING:
            return self.gutter(PREROUTING), middle
        if again:
            return self.gutter(OUTPUT), middle
        return self.columns[OUTPUT].x - 11, middle

    def way(self, points: Sequence[Point]) -> list[Point]:
        """Return the corners of the way through ``points``, along columns, gutters and the bus."""
        found = [points[0]]
        for start, end in pairwise(points):
            found += [*self._between(start, end), end]
        return [p for n, p in enumerate(found) if not n or p != found[n - 1]]

    def _between(self, start: Point, end: Point) -> list[Point]:
        (x, y), (u, v) = start, end
        if x == u and (y <= v or self._in_gutter(x)):
            return []  # down a column, or up a gutter
        if y <= BUS or self._in_gutter(x):
            start_column = y <= BUS and any(x == box.cx for box in self.columns.values())
            if not start_column:
                return [(x, BUS), (u, BUS)]
        if u > self._right_edge:
            return [(x, v)]
        if u < x:  # by lo, back to the beginning
            under = self.floor + 8
            return [(x, under), (LABELS + 8, under), (LABELS + 8, BUS), (u, BUS)]
        right = self._gutter_after(x)
        if u == right:
            return [(x, self.floor), (u, self.floor)]
        return [(x, self.floor), (right, self.floor), (right, BUS), (u, BUS)]

    @property
    def _right_edge(self) -> float:
        box = self.columns[POSTROUTING]
        return box.x + box.w

    def _in_gutter(self, x: float) -> bool:
        gutters = [self.gutter(hook) for hook in HOOKS[:-1]]
        return any(abs(x - at) < 1 for at in (*gutters, self.columns[OUTPUT].x - 11))

    def _gutter_after(self, x: float) -> float:
        return min((self.gutter(h) for h in HOOKS if self.gutter(h) > x), default=x)


# The layers that a map may show, IP's own without a name, and the family whose hooks each has.
_LAYERS = {"": 4, "arp": ARP, "bridge": BRIDGE}


def lane(stop: Stop, layer: str = "") -> str:
    """Return the lane of a stop; nat has two, one for destinations and one for sources."""
    name = (
        "nat.src" if stop.table == "nat" and stop.priority >= SRC else stop.table or stop.function
    )
    return f"{layer} {name}".lstrip()


def layer_of(family: int) -> str:
    """Return the layer whose lanes a ruleset's tables have."""
    return next((name for name, known in _LAYERS.items() if known == family), "")


def layers_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return IP's layer, and those of the lanes of these names."""
    return tuple(dict.fromkeys(["", *(name.rpartition(" ")[0] for name in names)]))


def _stops(hook: str, layer: str, backend: str = "nft") -> list[Stop]:
    return [s for s in stops(hook, backend, _LAYERS[layer]) if s.function != "iptables"]


def lanes(layers: Iterable[str] = ("",), named: Iterable[str] = ()) -> tuple[tuple[str, int], ...]:
    """Return every lane of some layers with its priority, in the order of priorities.

    ``named`` are lanes that are drawn; those of nft, ``TABLE.TYPE.PRIORITY``, are drawn only then.
    """
    found: dict[str, int] = {}
    for layer in sorted(layers, reverse=True):
        for hook in HOOKS:
            for stop in _stops(hook, layer, "nft" if layer else "legacy"):
                found[lane(stop, layer)] = stop.priority
    for name in sorted(set(named) - found.keys()):
        found[name] = int(name.rpartition(".")[2])
    # at one priority nft's chains of type nat come before iptables': engine/crossing.py
    return tuple(sorted(found.items(), key=lambda pair: (pair[1], ".nat." not in pair[0])))


def make(lines: Mapping[tuple[str, str], int], wide: Iterable[str], width: float = WIDE,
         layers: Iterable[str] = ("",)) -> Grid:  # fmt: skip
    """Lay the map out: ``lines`` of text in each cell, ``wide`` the hooks that matter."""
    layers = tuple(layers)
    columns, at = {}, float(LABELS + EDGE)
    for hook in HOOKS:
        size = width if hook in wide else SLIM
        columns[hook] = Box(at, TOP, size, 0)
        at += size + GUTTER
    total = at - GUTTER + EDGE + 26
    rows, down = {}, float(TOP)
    for name, _ in lanes(layers, (where for _, where in lines)):
        most = max((n for (_, where), n in lines.items() if where == name), default=0)
        height = PAD + LINE * most if most else THIN
        rows[name] = Box(0, down, total, height)
        down += height + 5
    cells = {}
    for hook in HOOKS:
        for layer in layers:
            for stop in _stops(hook, layer):
                row, column = rows[lane(stop, layer)], columns[hook]
                cells[hook, lane(stop, layer)] = Box(column.x, row.y, column.w, row.h)
    for hook, name in (key for key in lines if key not in cells):
        row, column = rows[name], columns[hook]
        cells[hook, name] = Box(column.x, row.y, column.w, row.h)
    return Grid(columns, rows, cells, down + 6, total)
