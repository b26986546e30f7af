"""The directive ``book-map``: the book's parts where their subjects stand in a machine, each page a link.

The pages and their order come from ``_toc.yml``, the titles from the pages. What is drawn here is only where
a part stands, and the packet's way through the kernel.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sphinx.application import Sphinx

TOC = Path(__file__).resolve().parents[1] / "_toc.yml"

# where → (what stands there, the parts in it by the beginning of their caption)
PLACES = {
    "user": ("User space", ("Part III", "Part IV")),
    "kernel": ("The kernel", ("Part I ·", "Part II ·")),
    "machine": ("Your machine", ("Part V", "Try it")),
    "back": ("At the back", ("Appendices",)),
}
JOINTS = {
    "user": "↓ rules go in as a whole  ·  listings, counters, events come out ↑",
    "kernel": "↓ read together, on real machines",
}


class Station(NamedTuple):
    """A stop on the packet's way: its words, the page about it, its place, its table's hue."""

    words: str
    page: str
    x: int
    y: int
    wide: int
    hue: str = ""


STATIONS = (
    Station("PREROUTING", "01_netfilter_hooks", 70, 96, 96),
    Station("conntrack", "01_2_connection_tracking", 70, 126, 96, "conntrack"),
    Station("nat: DNAT", "01_3_address_translation", 70, 150, 96, "nat"),
    Station("routing", "01_4_marks_and_routing", 206, 126, 76),
    Station("INPUT", "01_netfilter_hooks", 196, 46, 96),
    Station("FORWARD", "02_tables_chains_targets", 322, 96, 96),
    Station("filter", "02_tables_chains_targets", 322, 126, 96, "filter"),
    Station("bridges", "01_5_bridges", 322, 150, 96),
    Station("OUTPUT", "01_netfilter_hooks", 448, 46, 96),
    Station("POSTROUTING", "01_netfilter_hooks", 448, 96, 110),
    Station("mangle", "02_1_every_table", 448, 126, 110, "mangle"),
    Station("nat: SNAT", "01_3_address_translation", 448, 150, 110, "nat"),
)
HIGH = 20
# The packet's way between the stations, and the words beside it.
WAY = (
    "M8 136 H62 M170 136 H200 M288 136 H316 M424 136 H442 M564 136 H626"
    " M244 120 V72 M244 42 V20 M496 20 V42 M496 70 V92"
)
BESIDE = (
    ("in", 8, 128, "start"),
    ("out", 632, 128, "end"),
    ("a process", 370, 20, "middle"),
)


class Part(NamedTuple):
    """A part of the book: its caption; its pages, each with its title in the list and how deep it stands."""

    caption: str
    pages: tuple[tuple[str, str, int], ...]


def parts() -> list[Part]:
    """Read the table of contents."""
    toc = yaml.safe_load(TOC.read_text(encoding="utf-8"))
    return [Part(part["caption"], tuple(below(part["chapters"], 0))) for part in toc["parts"]]


def below(entries: list[dict[str, Any]], depth: int) -> Iterator[tuple[str, str, int]]:
    """Yield the pages of these entries, sections behind their chapter; no title: the page's own."""
    for entry in entries:
        yield entry["file"], entry.get("title", ""), depth
        yield from below(entry.get("sections", []), depth + 1)


class BookMap(SphinxDirective):
    """``book-map``, without arguments or content."""

    def run(self) -> list[nodes.Node]:
        """Leave a place, which is filled when every page's title is known."""
        self.env.note_reread()
        return [Map()]


class Map(nodes.General, nodes.Element):
    """The place of the map in a page."""


def fill(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the map's HTML where the directive stood."""

    def link(other: str, words: str = "") -> str:
        title = app.env.titles[other].astext()
        address = escape(app.builder.get_relative_uri(page, other))
        told = f' title="{escape(title)}"' if words else ""
        return f'<a href="{address}"{told}>{escape(words or title)}</a>'

    for place in list(doctree.findall(Map)):
        known = set(app.env.titles)
        place.replace_self(nodes.raw("", html(parts(), link, known), format="html"))


def html(found: list[Part], link: Callable[..., str], known: set[str]) -> str:
    """Return the map: places from top to bottom, the packet's way in the kernel's."""
    written = ['<nav class="map" aria-label="Map of the book">']
    for name, (words, captions) in PLACES.items():
        cards = [
            card(part, link)
            for start in captions
            for part in found
            if part.caption.startswith(start)
        ]
        if not cards:
            continue
        way = strip(link, known) if name == "kernel" else ""
        written.append(
            f'<div class="map-place map-{name}"><p class="map-where">{words}</p>{way}'
            f'<div class="map-cards">{"".join(cards)}</div></div>'
        )
        if name in JOINTS:
            written.append(f'<p class="map-joint">{JOINTS[name]}</p>')
    return "".join([*written, "</nav>"])


def card(part: Part, link: Callable[..., str]) -> str:
    """Return a part with its pages."""
    pages = "".join(
        f'<li class="map-deep-{depth}">{link(page, title)}</li>'
        for page, title, depth in part.pages
    )
    return f'<div class="map-card"><p class="map-part">{escape(part.caption)}</p><ul>{pages}</ul></div>'


def strip(link: Callable[..., str], known: set[str]) -> str:
    """Return the packet's way, its stations linked to the pages about them."""
    drawn = [f'<path class="map-way" d="{WAY}"/>']
    drawn += [
        f'<text class="map-beside" x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'
        for words, x, y, anchor in BESIDE
    ]
    for one in STATIONS:
        box = (
            f'<rect x="{one.x}" y="{one.y}" width="{one.wide}" height="{HIGH}" rx="4"/>'
            f'<text x="{one.x + one.wide // 2}" y="{one.y + 14}" text-anchor="middle">{one.words}</text>'
        )
        inner = link(one.page, "\0").replace("\0", box) if one.page in known else box
        hue = f" nf-{one.hue}" if one.hue else ""
        drawn.append(f'<g class="map-station{hue}">{inner}</g>')
    return (
        '<div class="map-strip" tabindex="0" role="group" aria-label="The packet’s way">'
        f'<svg viewBox="0 0 640 178" width="640" height="178">{"".join(drawn)}</svg></div>'
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_node(Map)
    app.add_directive("book-map", BookMap)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
