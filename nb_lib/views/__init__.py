"""Traces and rulesets → words, tables, pictures. Views read; they never call the engine."""

from __future__ import annotations

from typing import Any

from nb_lib import present
from nb_lib.cli import Result
from nb_lib.engine.conntrack import Conntrack
from nb_lib.kubeproxy.compared import Comparison, Sizes
from nb_lib.missions import Judgement, Mission
from nb_lib.monitor import Monitored, Told
from nb_lib.rules import Chain, Ruleset, Table
from nb_lib.trace import Exploration, Trace
from nb_lib.views import compared, connections, frames, mission, monitored, session, text
from nb_lib.views.chart import bars, chart, lines
from nb_lib.views.draw import draw
from nb_lib.views.figure import Figure
from nb_lib.views.ladder import Arrow, ladder
from nb_lib.views.palette import matplotlib_style
from nb_lib.views.passage import passage, passed
from nb_lib.views.sheet import Sheet
from nb_lib.views.timeline import (
    Diary,
    connections_of,
    members_of,
    recents_of,
    servers_of,
    timeline,
)
from nb_lib.views.wires import wires

__all__ = [
    "Arrow",
    "Diary",
    "Figure",
    "Sheet",
    "bars",
    "chart",
    "connections_of",
    "draw",
    "ladder",
    "lines",
    "matplotlib_style",
    "members_of",
    "passage",
    "passed",
    "recents_of",
    "servers_of",
    "timeline",
    "wires",
]


def _bundle(value: Any) -> dict[str, Any]:
    return {**draw(value)._repr_mimebundle_(), "text/plain": present.text(value)}


for _kind, _text, _frame in (
    (Trace, text.trace_text, frames.trace_frame),
    (Exploration, text.exploration_text, frames.exploration_frame),
    (Ruleset, text.ruleset_text, frames.ruleset_frame),
    (Table, text.table_text, frames.table_frame),
    (Chain, text.chain_text, frames.chain_frame),
):
    present.text.register(_kind, _text)
    present.frame.register(_kind, _frame)
    present.bundle.register(_kind, _bundle)

present.text.register(Result, session.result_text)
present.bundle.register(Result, session.result_bundle)
present.text.register(Conntrack, connections.conntrack_text)
present.frame.register(Conntrack, connections.conntrack_frame)
present.bundle.register(Conntrack, connections.conntrack_bundle)
present.text.register(Comparison, compared.comparison_text)
present.frame.register(Comparison, compared.comparison_frame)
present.bundle.register(Comparison, compared.comparison_bundle)
present.text.register(Sizes, lambda sizes: repr(compared.sizes_sheet(sizes)))
present.frame.register(Sizes, compared.sizes_frame)
present.bundle.register(Sizes, compared.sizes_bundle)
present.text.register(Told, monitored.told_text)
present.frame.register(Told, monitored.told_frame)
present.bundle.register(Told, monitored.told_bundle)
present.text.register(Monitored, monitored.monitored_text)
present.frame.register(Monitored, monitored.monitored_frame)
present.bundle.register(Monitored, monitored.monitored_bundle)
present.bundle.register(Mission, mission.mission_bundle)
present.bundle.register(Judgement, mission.judgement_bundle)
