"""Packets between machines: a line for each machine, an arrow for each packet, time runs downwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nb_lib.errors import NbError
from nb_lib.packet import Packet
from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, hue, shape, word
from nb_lib.views.svg import Markup, join, mono, number, tag

SIZE, EDGE, HEAD, ROW, BOX = 10.5, 14.0, 44.0, 40.0, 110.0


class Arrow(NamedTuple):
    """A packet from one machine to another.

    ``says`` tells what comes of it, in a sentence without its full stop; ``sign`` is a verdict's, drawn where
    the arrow ends: LOST if nobody takes the packet, DROP, REJECT.
    """

    sender: str
    receiver: str
    packet: Packet
    says: str = ""
    sign: str = ""


def ladder(title: str, machines: Sequence[str], arrows: Iterable[Arrow]) -> Figure:
    """Draw packets one below the other between ``machines``, from left to right.

    Raises NbError for a machine that is not in the list, and where there is no packet at all.
    """
    drawn = tuple(arrows)
    unknown = {end for one in drawn for end in one[:2]} - set(machines)
    if unknown or not drawn:
        raise NbError(f"no machine {', '.join(sorted(unknown))}" if unknown else "no packets")
    told = [_told(one) for one in drawn]
    text = "\n".join([title, *(f"  {at}. {one}" for at, one in enumerate(told, 1))])
    width = _column(machines, drawn)
    at = {name: EDGE + BOX / 2 + width * n for n, name in enumerate(machines)}
    bottom = HEAD + ROW * len(drawn) + EDGE
    body = [*_machines(at, bottom), *(_arrow(one, n, at) for n, one in enumerate(drawn))]
    full = 2 * EDGE + BOX + width * (len(machines) - 1)
    drawing = Drawing(join(body), title, full, bottom + EDGE, [None] * len(drawn), text, least=0.8)
    story = [
        tag("li", tag("span", one, class_="nf-say"), data_s=str(n)) for n, one in enumerate(told)
    ]
    return figure("ladder", drawing, story, text)


def _told(arrow: Arrow) -> str:
    says = f": {arrow.says}" if arrow.says else ""
    return f"{arrow.sender} to {arrow.receiver}, {arrow.packet}{says}."


def _column(machines: Sequence[str], arrows: Sequence[Arrow]) -> float:
    """Return how far the lines stand apart, so that each packet's text fits between its ends."""
    place = {name: n for n, name in enumerate(machines)}
    needs = [
        (mono(str(one.packet), SIZE) + 64) / max(1, abs(place[one.sender] - place[one.receiver]))
        for one in arrows
    ]
    return max(150.0, *needs)


def _machines(at: dict[str, float], bottom: float) -> Iterator[Markup]:
    for name, x in at.items():
        yield tag("path", d=f"M{number(x)} {number(HEAD - 10)}V{number(bottom)}", stroke=LIGHT.line,
                  stroke_dasharray="2 4", class_="nf-road")  # fmt: skip
        yield tag("rect", x=x - BOX / 2, y=EDGE - 4, width=BOX, height=24, rx=5, fill=LIGHT.panel,
                  class_="nf-lane")  # fmt: skip
        yield word(name, x, EDGE + 12, "i", font_weight=700, font_size=11.5, text_anchor="middle")


def _arrow(arrow: Arrow, n: int, at: dict[str, float]) -> Markup:
    """Draw a packet as a card on its arrow, the sign at its end."""
    start, end = at[arrow.sender], at[arrow.receiver]
    way = 1 if end > start else -1
    y, middle = HEAD + ROW * n + 20, (start + end) / 2
    stop = end - way * (16 if arrow.sign else 2)
    wide, shades = mono(str(arrow.packet), SIZE) + 14, hue("conntrack")
    line = tag("path", d=f"M{number(start)} {number(y)}H{number(stop - way * 6)}", stroke=LIGHT.ink,
               stroke_width=1.6, class_="nf-ss")  # fmt: skip
    head = f"M{number(stop)} {number(y)}l{number(-8 * way)}-4.5v9z"
    point = tag("path", d=head, fill=LIGHT.ink, class_="nf-sf")
    card = tag("rect", x=middle - wide / 2, y=y - 11, width=wide, height=22, rx=5, fill=shades.fill,
               stroke=shades.line)  # fmt: skip
    text = word(str(arrow.packet), middle, y + 4, "i", font_family=MONO_FAMILY, font_size=SIZE,
                text_anchor="middle", class_="nf-mono")  # fmt: skip
    sign = shape(arrow.sign, end - way * 7, y) if arrow.sign else None
    return tag("g", tag("title", _told(arrow)), line, point, card, text, sign,
               class_="nf-cell nf-conntrack", data_s=str(n))  # fmt: skip
