"""Small pieces that both diagrams are made of: signs of verdicts, hues of tables."""

from __future__ import annotations

from typing import Any

from nb_lib.views.palette import HUES, LIGHT, Shade, shade
from nb_lib.views.svg import Child, Markup, number, tag

_SHADES = {name: shade(colour, LIGHT) for name, colour in HUES.items()}
_TONES = {"i": LIGHT.ink, "m": LIGHT.muted}
MONO_FAMILY, SANS_FAMILY = "ui-monospace,monospace", "system-ui,sans-serif"
KINDS = {"nat": "nat", "filter": "filter", "route": "mangle"}  # a type of nft's chains → its hue
_STOPS = ("DROP", "REJECT", "LOST")

# Each sign is drawn around (0, 0), 8 wide; shapes differ, colours only help.
_SIGNS = {
    "ACCEPT": ("M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z", True),
    "DROP": ("M-3.4-3.4h6.8v6.8h-6.8z", True),
    "LOST": ("M-3.4-3.4l6.8 6.8M-3.4 3.4l6.8-6.8", False),
    "REJECT": ("M0-4L4.2 3.4H-4.2z", True),
    "RETURN": ("M4 3.5V.5a2 2 0 0 0-2-2H-3M-.5-4.2L-3.4-1.5-.5 1.2", False),
    "JUMP": ("M-3.5-4V-.5a2 2 0 0 0 2 2H3M.5-1.2L3.4 1.5.5 4.2", False),
    "GOTO": ("M-3.5-4V-.5a2 2 0 0 0 2 2H3M-.5-1.2L2.4 1.5-.5 4.2M3.6-1.5V4.5", False),
    "REWRITE": ("M-3.8 3.8l.8-2.8L2-4l2 2-5 5zM.6-2.6l2 2", False),
    "CONTINUE": ("M-1.2 0a1.2 1.2 0 1 0 2.4 0a1.2 1.2 0 1 0-2.4 0z", True),
    "UNDECIDED": ("M-2.6-1.8a2.6 2.2 0 1 1 3.6 2Q0 .8 0 1.8M0 3.4v.9", False),
}


def hue(table: str) -> Shade:
    """Return the light shades of a table's hue; a neutral one for what has no hue."""
    return _SHADES.get(table, Shade(LIGHT.panel, LIGHT.muted, LIGHT.ink))


def hue_of(lane: str) -> str:
    """Return the table whose hue a lane has: nat's for ``nat.src``, conntrack's for what serves it.

    Those of nft have the hue of their chains' type, as their tables may have any name; what is left, as IPVS
    is, has a neutral one.
    """
    lane, _, which = lane.partition(".")
    if which not in ("", "src"):
        return KINDS.get(which.partition(".")[0], "nft")
    name = lane.rpartition(" ")[2]
    return "conntrack" if name in ("confirm", "defrag") else name


def shape(verdict: str, x: float, y: float) -> Markup:
    """Draw the sign of a verdict: ● accept, ■ drop, ▲ reject, ↩ return, ⤷ jump, ✎ rewrite."""
    word = verdict.split(" ", maxsplit=1)[0]
    path, solid = _SIGNS.get(word, _SIGNS["CONTINUE"])
    stop = word in _STOPS
    colour = _SHADES["stop"].line if stop else LIGHT.ink
    name = ("nf-sf" if solid else "nf-ss") + (" nf-stop" if stop else "")
    paint = {"fill": colour} if solid else {"fill": "none", "stroke": colour, "stroke_width": 1.4}
    return tag(
        "path", d=path, transform=f"translate({number(x)} {number(y)})", class_=name, **paint
    )


def hatch(ident: str) -> Markup:
    """Define the hatching of what is undecided."""
    line = tag(
        "path",
        d="M0 6L6 0",
        stroke=LIGHT.muted,
        stroke_width=0.9,
        stroke_opacity=0.35,
        class_="nf-hatch",
    )
    return tag("defs", tag("pattern", line, id=ident, width=6, height=6,
                           patternUnits="userSpaceOnUse"))  # fmt: skip


def word(content: Child, x: float, y: float, tone: str = "", **more: Any) -> Markup:
    """Write a text in ink (``i``), muted (``m``), or in the tone of what surrounds it."""
    names = " ".join(filter(None, (f"nf-{tone}" if tone else "", more.pop("class_", ""))))
    return tag("text", content, x=x, y=y, fill=_TONES.get(tone), class_=names or None, **more)
