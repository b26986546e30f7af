"""The one function that draws: whatever has a picture gets it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from nb_lib import hooks
from nb_lib.rules import Chain, Ruleset, Table
from nb_lib.trace import Exploration, Trace
from nb_lib.views.figure import Figure, assumed_list, figure, story_items
from nb_lib.views.path import draw_map, draw_path
from nb_lib.views.story import steps
from nb_lib.views.text import trace_text


def draw(thing: Any, trace: Trace | None = None, **options: Any) -> Figure:
    """Draw a trace, an exploration, a ruleset, a table, a chain, or ``nb_lib.hooks`` itself.

    ``trace`` colours the rules of a table or chain by what a packet met there. Options of chain
    diagrams: ``only`` (a Service, a chain or an address: draw what belongs to it).
    """
    match thing:
        case Trace():
            return trace_figure(thing)
        case ModuleType() if thing is hooks:
            return map_figure()
    raise TypeError(f"nothing is known of how to draw {type(thing).__name__}")


def trace_figure(trace: Trace) -> Figure:
    """Draw the way of a packet through hooks and tables, with its story."""
    story = story_items(steps(trace))
    text = trace_text(trace)
    return figure("path", draw_path(trace), story, text, after=assumed_list(trace.assumed))


def map_figure() -> Figure:
    """Draw the hooks and the tables on each."""
    lines = [f"{hook}: " + ", ".join(f"{s.table or s.function} ({s.priority})" for s in hooks.stops(hook))
             for hook in hooks.HOOKS]  # fmt: skip
    return figure("map", draw_map(), [], "\n".join(lines))
