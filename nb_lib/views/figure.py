"""A figure: one drawing with its story and its data, for a page, a notebook or a terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nb_lib.text import rule_text
from nb_lib.trace import Missed
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import SANS_FAMILY, hatch, hue_of
from nb_lib.views.sentences import misses, sentence
from nb_lib.views.story import Step
from nb_lib.views.svg import Markup, data, number, tag

NO_ID = "nf-0000000000"  # as long as a real one; it is exchanged when the content is known
HATCHED = f"url(#{NO_ID}-h)"


class Drawing(NamedTuple):
    """A picture and what its script needs to step through it."""

    svg: Markup
    title: str
    width: float
    height: float
    steps: Sequence[object] = ()
    says: str = ""  # what the picture shows, in a sentence or two
    least: float = 0.72  # how far it may shrink before its frame scrolls


@dataclass(frozen=True)
class Figure:
    """A drawing to show: ``html`` for a page, ``text`` for a terminal or a screen reader."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}


def figure(kind: str, drawing: Drawing, story: Iterable[Markup], text: str, *,
           after: Markup | None = None, autoplay: bool = False) -> Figure:  # fmt: skip
    """Put a drawing, its story and its data into one ``<figure>``.

    With ``autoplay`` it plays once by itself when its page opens, unless the reader has asked
    for less motion.
    """
    told = list(story)
    inside = [
        tag("figcaption", drawing.title, class_="nf-title"),
        tag("div", _svg(drawing, text), class_="nf-frame", tabindex="0", role="group",
            aria_label=f"Diagram: {drawing.title}"),
        tag("ol", told, class_="nf-story") if told else None,
        after,
        data({"title": drawing.title, "steps": drawing.steps}),
    ]  # fmt: skip
    html = tag("figure", inside, class_=f"nf-figure nf-{kind}", id=NO_ID,
               data_autoplay_once=autoplay)  # fmt: skip
    ident = "nf-" + hashlib.sha256(html.encode()).hexdigest()[: len(NO_ID) - 3]
    return Figure(html.replace(NO_ID, ident), text)


def story_items(story: Sequence[Step]) -> list[Markup]:
    """Write the steps as list items; a hook's first one names the hook."""
    found, hook = [], ""
    for n, step in enumerate(story):
        new = step.hook if step.hook != hook and step.kind != "fate" else ""
        hook = step.hook or hook
        found.append(tag("li",
            [tag("b", new, class_="nf-hook"), " "] if new else None,
            [(_note(event), " ") for event in step.before if _worth(event)],
            tag("span", step.sentence, class_="nf-say"),
            [" ", tag("code", rule_text(step.rule))] if step.rule else None,
            data_s=str(n), data_d=str(step.depth) if step.depth else None,
            class_=_table_class(step)))  # fmt: skip
    return found


def assumed_list(assumed: Sequence[str]) -> Markup | None:
    """Say what had to be assumed."""
    if not assumed:
        return None
    return tag("ul", [tag("li", f"Assumed: {line}.") for line in assumed], class_="nf-assumed")


def _svg(drawing: Drawing, text: str) -> Markup:
    width, height = drawing.width, drawing.height
    style = f"width:100%;min-width:{number(width * drawing.least)}px;"
    return tag(
        "svg",
        tag("title", drawing.title),
        tag("desc", drawing.says or text),
        hatch(f"{NO_ID}-h") if HATCHED in drawing.svg else None,
        tag("rect", width=width, height=height, rx=8, fill=LIGHT.paper, class_="nf-sheet"),
        drawing.svg,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        font_family=SANS_FAMILY,
        style=f"{style}max-width:{number(width * 1.2)}px;height:auto",
    )


def _note(event: object) -> Markup:
    said = sentence(event)  # type: ignore[arg-type]
    if isinstance(event, Missed) and event.first != event.last:
        reasons = [tag("li", f"{numbers}: {why}") for numbers, why in misses(event, 12)]
        return tag("details", tag("summary", said), tag("ul", reasons), class_="nf-miss")
    return tag("small", said)


def _worth(event: object) -> bool:
    return type(event).__name__ not in ("AtHook", "Chance", "Entered", "Left")


def _table_class(step: Step) -> str | None:
    name = hue_of(step.lane)
    return f"nf-{name}" if name and name != "route" else None
