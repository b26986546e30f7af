"""Traces, explorations and rulesets in words, for a terminal and for those who listen."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator
from itertools import islice

from nb_lib.errors import visible
from nb_lib.net import FAMILY_NAMES
from nb_lib.rules import Chain, Ruleset, Table
from nb_lib.text import rule_text
from nb_lib.trace import (
    Answered,
    AtHook,
    Chance,
    Copied,
    Entered,
    Event,
    Exploration,
    Left,
    Matched,
    Missed,
    Noted,
    PolicyApplied,
    Rewritten,
    Trace,
    Unsure,
)
from nb_lib.views.leads import goals
from nb_lib.views.sentences import arrival, fate_sentence, mark, misses, rewrites, sentence
from nb_lib.views.words import held, services, short

WIDTH = 96
MOST = 120  # chains or rules that are listed one by one


def trace_text(trace: Trace) -> str:
    """Tell the whole way of a packet: every rule tried, why it missed, what changed."""
    lines = [arrival(trace)]
    lines += _events(trace.events)
    lines += ["", fate_sentence(trace.fate, trace.packet)]
    if trace.probability != 1:
        lines.append(f"The chance of this way is {trace.probability}.")
    lines += [f"Assumed: {assumed}." for assumed in trace.assumed]
    return visible("\n".join(lines))


def exploration_text(exploration: Exploration) -> str:
    """Tell every way that chance can take, with its exact fraction."""
    if not exploration.traces:
        return "No way to show."
    ends = exploration.endpoints
    count = f"{len(exploration)} way{'s' * (len(exploration) > 1)}"
    lines = [f"{arrival(exploration[0])} Chance has {count}:", ""]
    wide = max(len(str(chance)) for chance in ends.values())
    name = max(len(end) for end in ends)
    for end, chance in ends.items():
        bar = "█" * max(1, round(chance * 24))
        lines.append(f"  {chance!s:>{wide}}  {end:<{name}}  {bar}")
    lines.append("")
    for number, trace in enumerate(exploration, 1):
        way = " → ".join(_chains(trace))
        lines += _wrapped(f"{number}. {trace.probability}: {way}: {trace.fate}", "  ", "     ")
    return visible("\n".join(lines))


def ruleset_text(ruleset: Ruleset) -> str:
    """List the tables of a ruleset with the size of each."""
    lines = [f"A ruleset of {FAMILY_NAMES[ruleset.family]}, backend {ruleset.backend}:"]
    for table in ruleset:
        chains = list(table)
        rules = sum(len(chain.rules) for chain in chains)
        bases = ", ".join(f"{c.name} {c.policy}" for c in chains if c.builtin)
        lines.append(f"  {table.name}: {_count(chains, 'chain')}, {rules} rules; {bases}")
    return visible("\n".join(lines))


def table_text(table: Table, only: Collection[str] | None = None) -> str:
    """List the chains of a table, each with its rules' number and the chains it calls.

    ``only`` names the part of the table that is told.
    """
    told = [chain for chain in table if only is None or chain.name in only]
    part = f"{len(told)} of " if only is not None else ""
    lines = [f"Table {table.name}: {part}{_count(table.chains, 'chain')}"]
    for chain in told[:MOST]:
        policy = f", policy {chain.policy}" if chain.builtin else ""
        who = services(chain)
        name = f"{chain.name} ({who})" if who else chain.name
        called = dict.fromkeys(goal for rule in chain.rules for goal in goals(rule))
        if only is not None:
            called = {one: None for one in called if one in only}
        names = ", ".join(short(one) for one in list(called)[:6])
        more = f" and {len(called) - 6} more" if len(called) > 6 else ""
        calls = f" → {names}{more}" if called else ""
        lines += _wrapped(
            f"{name}: {_count(chain.rules, held(chain.name))}{policy}{calls}", "  ", "      "
        )
    return visible("\n".join([*lines, *_rest(len(told), "chains")]))


def chain_text(chain: Chain) -> str:
    """List the rules of a chain with their numbers, in the words of iptables-save."""
    policy = f", policy {chain.policy}" if chain.builtin else ""
    lines = [f"Chain {chain.name}: {_count(chain.rules, 'rule')}{policy}"]
    for number, rule in enumerate(islice(chain.rules, MOST), 1):
        lines.append(f"{number:>5}  {rule_text(rule)}")
    return visible("\n".join([*lines, *_rest(len(chain.rules), "rules")]))


def _rest(size: int, what: str) -> list[str]:
    return [f"  … and {size - MOST:,} more {what}"] if size > MOST else []


def _events(  # noqa: C901, PLR0912 - one case for a kind of event
    events: tuple[Event, ...], indent: str = ""
) -> Iterator[str]:
    depth = 0
    for event in events:
        depth = getattr(event, "depth", depth)
        inner = indent + "  " * (depth + 2)
        match event:
            case AtHook():
                yield ""
                yield indent + event.name
                depth = 0
            case Entered(caller=None):
                policy = f", policy {event.policy}" if event.policy else ""
                size = f"{event.length} rule{'s' * (event.length != 1)}"
                yield f"{indent}  {event.table} {event.chain} ({size}{policy})"
            case Entered():
                yield f"{inner[2:]}{event.chain}"
            case Left() | Chance(taken=False):
                pass
            case Missed():
                yield from _missed(event, inner)
            case Matched():
                yield from _matched(event, inner)
            case Unsure():
                yield from _rule(f"? {event.place.number} ", event, inner)
                yield from _wrapped(sentence(event), inner + "    ")
            case PolicyApplied():
                yield f"{indent}    {mark(event.verdict)} policy {event.verdict}"
                depth = 0
            case Rewritten():
                under = inner + "    " if event.place else indent + "  "
                for name, old, new in rewrites(event.before, event.packet):
                    yield f"{under}✎ {name} {old} → {new} ({event.by})"
            case Chance():
                yield f"{inner}with a chance of {event.probability}:"
            case Noted():
                yield f"{inner}    {event.text}"
            case Answered() | Copied():
                yield from _wrapped(sentence(event), indent + "    ")
                yield from _events(event.events, indent + "    ")
            case _:
                yield from _wrapped(sentence(event), indent + "  ", indent + "    ")


def _missed(event: Missed, indent: str) -> Iterator[str]:
    if event.last - event.first >= 4:
        yield f"{indent}– {event.first}–{event.last} do not match:"
        indent += "    "
    for numbers, why in misses(event):
        yield f"{indent}– {numbers} {why}"


def _matched(event: Matched, indent: str) -> Iterator[str]:
    target = event.rule.target.name if event.rule.target else event.verdict
    sign = mark("REJECT" if target == "REJECT" else event.verdict)
    yield from _rule(f"{sign} {event.place.number} ", event, indent)
    for found in event.found:
        yield from _wrapped(str(found), indent + "    ")


def _rule(lead: str, event: Matched | Unsure, indent: str) -> list[str]:
    return _wrapped(lead + rule_text(event.rule), indent, indent + " " * (len(lead) + 2))


def _chains(trace: Trace) -> list[str]:
    """Return the chains in which chance or a rewrite decided something, and the last one."""
    found = []
    for event in trace.events:
        place = getattr(event, "place", None)
        if place and isinstance(event, Chance | Rewritten) and place.chain not in found:
            found.append(place.chain)
    return found or ["no chance"]


def _wrapped(text: str, first: str, rest: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest or first,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _count(things: object, word: str) -> str:
    size = len(things)  # type: ignore[arg-type]
    return f"{size} {word}{'s' * (size != 1)}"
