"""Traces, explorations and rulesets as pandas tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib.packet import endpoint
from nb_lib.rules import Chain, Ruleset, Table
from nb_lib.text import rule_text
from nb_lib.trace import Exploration, Missed, Trace
from nb_lib.views.sentences import misses
from nb_lib.views.story import Step, steps
from nb_lib.views.words import service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pandas import DataFrame

STEP_COLUMNS = ["hook", "table", "chain", "rule", "verdict", "what", "src", "dst", "mark"]


def trace_frame(trace: Trace) -> DataFrame:
    """Return the steps, one a row; a run of rules that did not match is one row with its reason."""
    rows = [row for step in steps(trace) for row in _rows(step)]
    return _frame(rows, STEP_COLUMNS, "step")


def exploration_frame(exploration: Exploration) -> DataFrame:
    """Return the ways, one a row, with their exact probabilities."""
    rows = [
        {
            "probability": trace.probability,
            "fate": str(trace.fate),
            "src": endpoint(trace.packet.src, trace.packet.sport),
            "dst": endpoint(trace.packet.dst, trace.packet.dport),
            "rewrites": ", ".join(dict.fromkeys(r.by for r in trace.rewrites)),
        }
        for trace in exploration.traces
    ]
    return _frame(rows, ["probability", "fate", "src", "dst", "rewrites"], "way")


def ruleset_frame(ruleset: Ruleset) -> DataFrame:
    """Return every rule of a ruleset, one a row."""
    return _rules(list(ruleset))


def table_frame(table: Table) -> DataFrame:
    """Return every rule of a table, one a row."""
    return _rules([table])


def chain_frame(chain: Chain) -> DataFrame:
    """Return the rules of a chain, one a row."""
    return _rule_frame(_chain_rows("", chain)).drop(columns=["table", "chain"])


def _rules(tables: list[Table]) -> DataFrame:
    return _rule_frame(row for table in tables for chain in table
                       for row in _chain_rows(table.name, chain))  # fmt: skip


def _rule_frame(rows: Iterator[dict[str, Any]]) -> DataFrame:
    columns = ["table", "chain", "number", "rule", "target", "service", "packets", "bytes"]
    return _frame(list(rows), columns, None)


def _chain_rows(table: str, chain: Chain) -> Iterator[dict[str, Any]]:
    for number, rule in enumerate(chain.rules, 1):
        yield {
            "table": table,
            "chain": chain.name,
            "number": number,
            "rule": rule_text(rule),
            "target": rule.jump or (rule.target.name if rule.target else ""),
            "service": service(rule),
            "packets": rule.counters.packets,
            "bytes": rule.counters.bytes,
        }


def _rows(step: Step) -> Iterator[dict[str, Any]]:
    for event in step.before:
        if isinstance(event, Missed):
            run = event.first != event.last
            yield {
                "hook": step.hook,
                "table": event.table,
                "chain": event.chain,
                "rule": f"{event.first}–{event.last}" if run else str(event.first),
                "verdict": "no match",
                "what": "; ".join(f"{n}: {why}" if run else why for n, why in misses(event)),
                **_packet(event.packet),
            }
    number = (str(step.place.number) if step.place.number else "policy") if step.place else ""
    yield {
        "hook": step.hook if step.kind != "fate" else "",
        "table": step.place.table if step.place else "",
        "chain": step.place.chain if step.place else "",
        "rule": number,
        "verdict": step.verdict,
        "what": rule_text(step.rule) if step.rule else step.sentence,
        **_packet(step.packet),
    }


def _packet(packet: Any) -> dict[str, str]:
    return {
        "src": endpoint(packet.src, packet.sport),
        "dst": endpoint(packet.dst, packet.dport),
        "mark": f"{packet.mark:#x}",
    }


def _frame(rows: list[dict[str, Any]], columns: list[str], index: str | None) -> DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=columns)
    frame.index.name = index
    return frame
