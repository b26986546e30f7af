"""The one function that draws: whatever has a picture gets it."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from nb_lib import hooks
from nb_lib.engine import Host
from nb_lib.kubeproxy.compared import Comparison
from nb_lib.rules import Chain, Ruleset, Table
from nb_lib.text import nft
from nb_lib.trace import Entered, Exploration, Trace
from nb_lib.views.cards import draw_chains
from nb_lib.views.cells import BALANCING, base_lines
from nb_lib.views.chains import model, single
from nb_lib.views.chance import draw_exploration, way_items
from nb_lib.views.deck import Model
from nb_lib.views.figure import Figure, assumed_list, figure, story_items
from nb_lib.views.machines import draw_machines
from nb_lib.views.maps import Listed, listed
from nb_lib.views.path import draw_map, draw_path
from nb_lib.views.stack import calls, draw_stack, stack_text
from nb_lib.views.states import changes, states
from nb_lib.views.story import Step, moves, steps
from nb_lib.views.text import chain_text, exploration_text, ruleset_text, table_text, trace_text


def draw(thing: Any, trace: Trace | None = None, **options: Any) -> Figure:
    """Draw a trace, exploration, host, ruleset, table, chain, comparison, or ``nb_lib.hooks`` itself.

    ``trace`` colours the rules of a table or chain by what a packet met there. Options of tables: ``only``
    (a Service, a chain or an address: draw what belongs to it) and ``changed`` (pairs of a chain and a
    rule's number, 0 for the chain alone: light them). Options of traces: ``autoplay`` (play once when
    the page opens; one figure of the landing page does) and ``stack`` (a table's name: draw the stack of its
    chains' calls over time). Options of comparisons: ``question`` (whose packet is drawn, the first
    unless given) and ``among`` (the machines). Option of the hooks: ``ipvs`` (with the places where IPVS
    stands).
    """
    match thing:
        case Trace():
            return (stack_figure if "stack" in options else trace_figure)(thing, **options)
        case Exploration():
            return exploration_figure(thing)
        case Host():
            return host_figure(thing)
        case Ruleset():
            return figure("map", draw_map(thing), [], ruleset_text(thing))
        case nft.Table():
            return table_figure(listed(thing), trace, **options)
        case Table():
            return table_figure(thing, trace, **options)
        case Chain():
            return chain_figure(thing, trace)
        case Comparison():
            return draw_machines(thing, **options)
        case ModuleType() if thing is hooks:
            return map_figure(**options)
    raise TypeError(f"nothing is known of how to draw {type(thing).__name__}")


def trace_figure(trace: Trace, *, autoplay: bool = False) -> Figure:
    """Draw the way of a packet through hooks and tables, with its story."""
    story = story_items(steps(trace))
    text = trace_text(trace)
    return figure("path", draw_path(trace), story, text, after=assumed_list(trace.assumed),
                  autoplay=autoplay)  # fmt: skip


def stack_figure(trace: Trace, stack: str) -> Figure:
    """Draw the calls of one table as a stack over time. Raise NbError if the packet met no chain of it."""
    story = _story_in(stack, trace)
    found = calls(story, stack)
    title = f"The stack of calls in table {stack}, for {trace.sent}"
    return figure("stack", draw_stack(found, story, title), story_items(story), stack_text(found))


def exploration_figure(exploration: Exploration) -> Figure:
    """Draw every way that chance can take."""
    text = exploration_text(exploration)
    return figure("chance", draw_exploration(exploration), way_items(exploration), text)


def table_figure(table: Table, trace: Trace | None = None, *, only: str = "",
                 changed: Iterable[tuple[str, int]] = ()) -> Figure:  # fmt: skip
    """Draw the chains of a table, and what a packet met there, or what a command has changed."""
    story = _story_in(table.name, trace)
    numbers = table.numbers if isinstance(table, Listed) else {}
    found = model(table, states(story, table.name, numbers) if trace else changes(changed), only)
    if only and story:
        story = tuple(step for n, step in enumerate(story) if _drawn(n, step, found))
        found = model(table, states(story, table.name, numbers), only)
    part = f" that belong to {only}" if only else ""
    title = f"The chains of table {table.name}{part}" + (f", for {trace.sent}" if trace else "")
    drawing = draw_chains(found, title, moves(story))
    text = table_text(table, found.chains if only else None)
    return figure("chains", drawing, story_items(story), text)


def _drawn(number: int, step: Step, found: Model) -> bool:
    """Tell whether a step happens where a narrowed table is drawn, or to the packet as a whole."""
    if step.kind in ("match", "unsure"):
        return number in found.steps
    return step.table != found.table or step.chain in found.chains


def chain_figure(chain: Chain, trace: Trace | None = None) -> Figure:
    """Draw one chain with its whole rules."""
    tables = (
        {e.table for e in trace.events if isinstance(e, Entered) and e.chain == chain.name}
        if trace
        else set()
    )
    name = min(tables, default="")
    story = _story_in(name, trace) if name else ()
    drawing = draw_chains(single(chain, states(story, name)), f"Chain {chain.name}", moves(story))
    return figure("chains", drawing, story_items(story), chain_text(chain))


def _story_in(table: str, trace: Trace | None) -> tuple[Step, ...]:
    """Return the steps of a trace that concern one table, with its beginning and its end."""
    if trace is None:
        return ()
    return tuple(
        s for s in steps(trace) if s.table == table or s.kind in ("arrive", "route", "lost", "fate")
    )


def host_figure(host: Host) -> Figure:
    """Draw where the rules of a host hang: iptables' tables, nft's base chains, the kernel's functions."""
    told = base_lines(host.nftables, 4)
    lines = [ruleset_text(host.ruleset)] if host.ruleset.tables else []
    for hook in hooks.HOOKS:
        names = [f"{line.text} ({lane.rpartition('.')[2]})"
                 for (where, lane), found in told.items() if where == hook for line in found]  # fmt: skip
        lines += [f"nft, {hook}: {', '.join(names)}"] if names else []
    drawing = draw_map(host.ruleset, host.nftables, ipvs=host.ipvs is not None)
    return figure("map", drawing, [], "\n".join(lines))


def map_figure(*, ipvs: bool = False) -> Figure:
    """Draw the hooks and the tables on each."""
    lines = []
    for hook in hooks.HOOKS:
        found = hooks.stops(hook, balancing=ipvs)
        names = (f"{_stop_name(stop)} ({stop.priority})" for stop in found)
        lines.append(f"{hook}: {', '.join(names)}")
    return figure("map", draw_map(ipvs=ipvs), [], "\n".join(lines))


def _stop_name(stop: hooks.Stop) -> str:
    if stop.function in BALANCING:
        return f"IPVS, {BALANCING[stop.function]}"
    return stop.table or stop.function
