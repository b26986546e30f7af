"""A figure of matplotlib as SVG in the book's own colours: light and dark, with its words as text.

Its bytes are the same each time: no date, ids from what they name, and of those only what is referred to.
"""

from __future__ import annotations

import io
import re
from math import isnan
from typing import TYPE_CHECKING, Any

from nb_lib.views.figure import Drawing, Figure, figure
from nb_lib.views.palette import LIGHT, matplotlib_style, variables
from nb_lib.views.svg import Markup

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Plot

_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_USED = re.compile(r'(?:href="#|url\(#)([\w-]+)')
_FONT = re.compile(r"""font:[^;"]*?([\d.]+)px[^;"]*|font-family:[^;"]*""")
_HATCHES, _MARKS = ("", "//", "xx", ".."), ("o", "s", "^", "D", "v")  # colour is not all
_NAMES = {colour: name for name, colour in reversed(variables(LIGHT))}


def chart(plot: Plot, title: str, says: str) -> Figure:
    """Return a plot as a figure of the book and close it; ``says`` tells in words what it shows.

    Draw it under ``plt.rc_context(matplotlib_style())``: those colours follow the page's.
    """
    import matplotlib.pyplot as plt

    style: Any = matplotlib_style()
    with plt.rc_context(style), io.StringIO() as text:
        plot.savefig(text, format="svg", metadata={"Date": None})
        svg = text.getvalue()
    plt.close(plot)
    width, height = (float(one) for one in _SIZE.findall(svg)[0])
    return figure(
        "chart", Drawing(_inside(svg), title, width, height, says=says), [], f"{title}\n{says}"
    )


def bars(frame: pd.DataFrame, title: str, unit: str) -> Figure:
    """Draw numbers as bars on a logarithmic scale, a group for each row, a bar for each column.

    Each bar bears its number; where there is none (NaN) there is no bar.
    """
    import matplotlib.pyplot as plt

    rows, thick = len(frame), 0.8 / len(frame.columns)
    style: Any = matplotlib_style()
    with plt.rc_context(style):
        plot, axes = plt.subplots(
            figsize=(7.2, 0.9 + rows * len(frame.columns) * 0.27), layout="constrained"
        )
        for at, (name, hatch) in enumerate(zip(frame.columns, _HATCHES, strict=False)):
            places = [row + (at - (len(frame.columns) - 1) / 2) * thick for row in range(rows)]
            drawn = axes.barh(
                places, frame[name].fillna(0), thick * 0.9, label=str(name), hatch=hatch
            )
            told = ["" if isnan(value) else f"{value:g}" for value in frame[name]]
            axes.bar_label(drawn, told, padding=4)
        axes.set_yticks(range(rows), list(map(str, frame.index)))
        axes.invert_yaxis()
        axes.set(xscale="log", xlabel=unit)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        if len(frame.columns) > 1:
            axes.legend(loc="best")
    return chart(plot, title, _told(frame, unit))


def lines(frame: pd.DataFrame, title: str, unit: str, form: str = "{x:g}") -> Figure:
    """Draw each column over the rows' numbers, both logarithmic; ``form`` writes a number ``x``."""
    import matplotlib.pyplot as plt

    style: Any = matplotlib_style()
    with plt.rc_context(style):
        plot, axes = plt.subplots(figsize=(7.2, 3.3), layout="constrained")
        for name, mark in zip(frame.columns, _MARKS, strict=False):
            axes.plot(frame.index, frame[name], marker=mark, label=str(name))
        axes.set(xscale="log", yscale="log", xlabel=str(frame.index.name), ylabel=unit)
        axes.set_xticks(list(frame.index))
        axes.xaxis.set_major_formatter(form)
        axes.yaxis.set_major_formatter(form)
        axes.minorticks_off()
        axes.legend(loc="upper left")
    return chart(plot, title, _told(frame, unit, form))


def _told(frame: pd.DataFrame, unit: str, form: str = "{x:g}") -> str:
    """Say every number of a table."""
    told = []
    for row, numbers in frame.iterrows():
        each = [
            f"{name} {form.format(x=value)}" for name, value in numbers.items() if not isnan(value)
        ]
        told.append(f"{row}: {', '.join(each)} ({unit})")
    return "\n".join(told)


def _inside(svg: str) -> Markup:
    """Return what is drawn, without the file around it."""
    body = svg[svg.index("</metadata>") + len("</metadata>") : svg.rindex("</svg>")]
    used = set(_USED.findall(body))
    body = re.sub(r"<style.*?</style>", "", body)  # it would hold for the whole page
    body = re.sub(r' id="([^"]+)"', lambda one: one[0] if one[1] in used else "", body)
    body = _FONT.sub(lambda one: f"font-size: {one[1]}px" if one[1] else "", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda one: _followed(one[0]), body)
    body = re.sub(r"<!--.*?-->\s*|(?<=>)\s+(?=<)|<defs></defs>|<defs/>", "", body)
    return Markup(re.sub(r"\s+", " ", body).strip().replace("xlink:href", "href"))


def _followed(colour: str) -> str:
    name = _NAMES.get(colour)
    return f"var(--nf-{name}, {colour})" if name else colour
