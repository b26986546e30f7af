"""Every colour of the book, defined once: diagrams, chapters' figures and CSS read it from here.

The hues are Okabe and Ito's (jfly.uni-koeln.de/color), which survive colour blindness; each table
keeps one. Shades are worked out so that text reaches 4.5 : 1 and outlines 3 : 1 against the paper,
light and dark (WCAG 2.2, 1.4.3 and 1.4.11). No meaning hangs on colour alone: tables are named,
verdicts differ in shape, matplotlib's lines differ in dashes and its bars in hatches.

``python -m nb_lib.views.palette`` prints the CSS variables; ``static/diagram.css`` carries them.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Paper(NamedTuple):
    """A background and what is neutral on it."""

    paper: str
    panel: str  # lanes, heads of cards
    ink: str
    muted: str
    line: str


LIGHT = Paper("#ffffff", "#f4f6f8", "#1c2127", "#58616b", "#c4ccd4")
DARK = Paper("#14181e", "#1e242c", "#e6eaee", "#a3adb8", "#4a5561")

# One hue a table; ``conntrack`` and ``stop`` (drop, reject, loss) are no tables but need one too.
HUES = {
    "raw": "#f0e442",
    "conntrack": "#56b4e9",
    "mangle": "#cc79a7",
    "nat": "#e69f00",
    "filter": "#0072b2",
    "security": "#009e73",
    "stop": "#d55e00",
}
_DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
HATCHES = {"raw": "..", "conntrack": "||", "mangle": "\\\\", "nat": "", "filter": "//",
           "security": "xx", "stop": "++"}  # fmt: skip


class Shade(NamedTuple):
    """A hue on one paper: to fill a cell, to outline it, to write in."""

    fill: str
    line: str
    text: str


def shade(hue: str, paper: Paper) -> Shade:
    """Return the shades of ``hue`` that read on ``paper``."""
    dark = paper is DARK
    fill = mix(hue, paper.paper, 0.2 if dark else 0.16)
    return Shade(fill, _until(hue, paper, 3.2, paper.paper), _until(hue, paper, 4.6, fill))


def mix(one: str, other: str, share: float) -> str:
    """Mix two colours: ``share`` of the first, the rest of the other."""
    pairs = zip(_rgb(one), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def css() -> str:
    """Return the CSS variables for both papers; the page decides, or the reader's system."""
    light, dark = _declared(LIGHT), _declared(DARK)
    return (
        f":root, [data-theme=light], [data-jp-theme-light=true] {{ {light} }}\n"
        "@media (prefers-color-scheme: dark) {\n"
        f"  :root:not([data-theme=light], :has([data-jp-theme-light=true])) {{ {dark} }}\n}}\n"
        f"[data-theme=dark], [data-jp-theme-light=false] {{ {dark} }}\n"
        f"@media print {{ :root:root, [data-theme][data-theme] {{ {light} }} }}\n"
    )


def matplotlib_style(*, dark: bool = False) -> dict[str, Any]:
    """Return rcParams that give a chapter's figure the book's colours and fonts.

    Use it as ``plt.rc_context(matplotlib_style())`` or ``plt.rcParams.update(…)``.
    """
    from cycler import cycler  # comes with matplotlib

    paper = DARK if dark else LIGHT
    lines = [shade(hue, paper).line for name, hue in HUES.items() if name != "raw"]
    return {
        "axes.prop_cycle": cycler(color=lines) + cycler(linestyle=_DASHES[: len(lines)]),
        "figure.facecolor": paper.paper,
        "savefig.facecolor": paper.paper,
        "axes.facecolor": paper.paper,
        "axes.edgecolor": paper.muted,
        "axes.labelcolor": paper.ink,
        "axes.titlecolor": paper.ink,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": paper.line,
        "grid.linewidth": 0.6,
        "hatch.color": paper.ink,
        "hatch.linewidth": 0.6,
        "text.color": paper.ink,
        "xtick.color": paper.muted,
        "ytick.color": paper.muted,
        "font.family": "sans-serif",
        "font.size": 10.0,
        "legend.frameon": False,
        "lines.linewidth": 2.0,
        "svg.fonttype": "none",
        "svg.hashsalt": "nb_lib",  # the same figure, the same bytes
    }


def variables(paper: Paper) -> list[tuple[str, str]]:
    """Return every colour on a paper with its name in CSS, without ``--nf-``."""
    shades = [(name, shade(hue, paper)._asdict()) for name, hue in HUES.items()]
    pairs = list(paper._asdict().items())
    return pairs + [
        (f"{name}-{part}", value) for name, found in shades for part, value in found.items()
    ]


def _declared(paper: Paper) -> str:
    return " ".join(f"--nf-{name}: {value};" for name, value in variables(paper))


def _until(hue: str, paper: Paper, ratio: float, ground: str) -> str:
    """Move ``hue`` towards ink, in steps of 4 %, until it stands out from ``ground``."""
    for step in range(26):
        colour = mix(paper.ink, hue, step * 0.04)
        if contrast(colour, ground) >= ratio:
            return colour
    return paper.ink


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    parts = [c / 255 for c in _rgb(colour)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


if __name__ == "__main__":
    print(css(), end="")  # noqa: T201 - a command prints
