"""What stands in the cells of the path diagram, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nb_lib.engine.nft.tables import Nftables
from nb_lib.hooks import HOOKS, Stop
from nb_lib.rules import Ruleset
from nb_lib.trace import Balanced, Looked
from nb_lib.views.story import Step, nft_lane
from nb_lib.views.words import short

BALANCED = {"new": "NEW", "known": "known", "answer": "an answer"}
_CONFIRMED = {"confirmed": "entry confirmed", "merged": "joins an entry", "reply": "for answers only",
              "clash": "entry is taken"}  # fmt: skip
BALANCING = {"answer": "answers", "balance": "requests"}  # IPVS's functions


class Line(NamedTuple):
    """A line of text in a cell, and the step at which it becomes true."""

    text: str
    step: int
    sign: str = ""  # the verdict whose shape stands before it
    old: bool = False


def texts(story: Sequence[Step]) -> dict[tuple[str, str], list[Line]]:
    """Say in each cell what happened there, in short lines."""
    found: dict[tuple[str, str], list[Line]] = {}
    for number_, step in enumerate(story):
        if not step.lane or step.lane == "route" or step.kind == "fate":
            continue
        lines = found.setdefault((step.hook, step.lane), [])
        if step.kind == "look":
            lines.append(Line(_looked(step), number_))
        elif step.kind == "balance":
            lines.append(_balanced(step, number_))
        for name, old, new in step.changes:
            if name in ("src", "dst", "icmp id"):
                lines.append(Line(f"{name} {old}", number_, old=True))
                lines.append(Line(f"{' ' * len(name)} {new}", number_, sign="REWRITE"))
            else:
                lines.append(Line(f"{name} {old} → {new}", number_, sign="REWRITE"))
        if step.kind in ("match", "policy", "unsure") and _decides(step):
            lines.append(Line(_decision(step), number_, sign=_sign(step)))
        elif step.kind == "lost":
            lines.append(Line("lost here", number_, sign="DROP"))
    return {key: lines or [Line("…", 0)] for key, lines in found.items()}


def _looked(step: Step) -> str:
    if step.lane == "confirm":
        return next(_CONFIRMED[e.what] for e in step.events if isinstance(e, Looked))
    if step.lane == "defrag":
        return "fragments"
    ct = step.packet.ct
    return f"{ct.state}{', reply' * (ct.direction == 'REPLY')}" if ct else "untracked"


def _balanced(step: Step, number: int) -> Line:
    event = next(event for event in step.events if isinstance(event, Balanced))
    if event.what == "none":
        return Line("no real server", number, sign="DROP")
    by = f", {event.service.rpartition(' ')[2]} picks" if event.what == "new" else ""
    return Line(f"{BALANCED[event.what]}{by}", number)


def _decides(step: Step) -> bool:
    return step.verdict.split(" ")[0] not in ("JUMP", "GOTO", "CONTINUE", "RETURN")


def _sign(step: Step) -> str:
    target = step.rule.target.name if step.rule and step.rule.target else ""
    return "REJECT" if target == "REJECT" else step.verdict


def _decision(step: Step) -> str:
    if step.kind == "policy":
        return f"{step.verdict} policy"
    word = _sign(step) if step.verdict in ("ACCEPT", "DROP", "UNDECIDED") else step.verdict
    chain = "" if step.chain in HOOKS else short(step.chain) + " "
    return f"{word} {chain}rule {step.place.number if step.place else ''}".rstrip()


def stop_line(stop: Stop, hook: str, ruleset: Ruleset | None) -> Line | None:
    """Say what hangs at a stop: a name, or of a ruleset the number of rules and the policy."""
    if stop.function in BALANCING:
        return Line(f"{BALANCING[stop.function]} ({str(stop.priority).replace('-', '−')})", 0)
    if not stop.table or ruleset is None:
        return Line(stop.table or stop.function, 0)
    if stop.table not in ruleset or hook not in ruleset[stop.table]:
        return None
    chain = ruleset[stop.table][hook]
    rules = f"{len(chain.rules)} rule{'s' * (len(chain.rules) != 1)}" if chain.rules else "no rules"
    return Line(f"{rules}, {chain.policy}", 0, sign=chain.policy or "")


def base_lines(nftables: Nftables | None, family: int) -> dict[tuple[str, str], list[Line]]:
    """Name nft's base chains at each hook, with their policies' signs."""
    found: dict[tuple[str, str], list[Line]] = {}
    for hook, bases in nftables.bases[family].items() if nftables else ():
        for base in bases:
            lane = nft_lane(base.table.name, base.kind, base.priority)
            sign = base.table[base.chain].policy or ""
            found.setdefault((hook, lane), []).append(Line(base.chain, 0, sign))
    return found
