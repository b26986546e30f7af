"""The kernel's own trace of packets, read from lines that a program printed, beside a dump's rules.

``read_trace`` makes of each packet what nb_lib's engine would: a ``Trace`` that views draw. Lines tell less
than the engine does: no rule that was tried without a match, no routing, no drop without a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nb_lib import present
from nb_lib.engine.nft.tables import walked
from nb_lib.errors import RulesetError
from nb_lib.hooks import BUILTIN, FORWARD, HOOKS, INPUT, OUTPUT, POSTROUTING
from nb_lib.matches.core import CORE
from nb_lib.options import Use
from nb_lib.packet import Packet
from nb_lib.rules import Chain, Rule, Ruleset
from nb_lib.text import monitor, nft
from nb_lib.text.monitor import Header, Step, Unread
from nb_lib.trace import (
    AtHook,
    Entered,
    Event,
    Fate,
    Left,
    Matched,
    Place,
    PolicyApplied,
    Rewritten,
    Trace,
)

_ENDS = {INPUT: "local", FORWARD: "forward", OUTPUT: "forward", POSTROUTING: "forward"}
_QUEUED = ("QUEUE", "BYPASS", "DROP")  # what becomes of QUEUE depends on who listens
Rules = Ruleset | nft.Ruleset
_Step = tuple[str, str, int | str, str]


@dataclass(frozen=True)
class Monitored:
    """All packets that lines tell of, and the lines that are none of a trace's (``unread``)."""

    packets: tuple[Told, ...]
    unread: tuple[Unread, ...]

    def __iter__(self) -> Iterator[Told]:
        return iter(self.packets)

    def __len__(self) -> int:
        return len(self.packets)

    def __getitem__(self, at: int) -> Told:
        return self.packets[at]

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


@dataclass(frozen=True)
class Told:
    """What a program told of one packet.

    ``lines`` are its steps with rules' numbers where a dump or the line tells them, ``headers`` the header
    known at each. ``packet`` is the packet as it came, as far as the header tells it; None if that is too
    little (``xtables-monitor`` does not tell ICMP's type).
    """

    program: str
    lines: tuple[Step, ...]
    headers: tuple[Header, ...]
    rules: tuple[Rules, ...] = ()

    @property
    def header(self) -> Header:
        """The header before the first rule; see ``nb_lib.text.monitor.headers`` for its names."""
        return self.headers[0]

    @property
    def interface(self) -> str:
        """The device by which it came, empty if the host sent it."""
        return self.header.get("in", "")

    @cached_property
    def packet(self) -> Packet | None:
        """The packet as it came."""
        return monitor.made(self.header)

    @property
    def steps(self) -> tuple[_Step, ...]:
        """The rules that matched and the policies, in the form of ``Trace.steps``.

        A rule that no dump knows has the number 0; where the verdict is not told it is empty.
        """
        return tuple(
            (one.table, one.chain, one.number if one.kind == "rule" else "policy", one.verdict)
            for one in self.lines
            if one.kind != "return"
        )

    @property
    def last(self) -> Step:
        """What the last line says."""
        return self.lines[-1]

    @property
    def dropped(self) -> Step | None:
        """The rule or the policy that dropped it, None if no line says so."""
        return next((one for one in self.lines if one.verdict == "DROP"), None)

    def agrees(self, trace: Trace) -> bool:
        """Whether an engine's trace has the same rules and policies, in the same order.

        Verdicts and numbers that the lines do not tell are passed over.
        """
        theirs, ours = list(self.steps), list(trace.steps)
        if self.program == monitor.LOG:  # begins behind the rule that switched it on
            ours = ours[next((n for n in range(len(ours)) if ours[n][:3] == theirs[0][:3]), 0) :]
        return len(theirs) == len(ours) and all(map(_alike, theirs, ours))

    @cached_property
    def trace(self) -> Trace:
        """The lines as a trace, for the diagrams. Raises RulesetError if they tell too little for it."""
        return _Retold(self).trace()

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


def read_trace(text: str, *rulesets: Rules | Sequence[Rules]) -> Monitored:
    """Read lines of ``xtables-monitor -t``, of ``nft monitor trace`` or of the kernel's log.

    ``rulesets`` are the dumps in which the rules stand (iptables' of either family, nft's listing): with
    them each step has its rule's number and text. Lines that are none of a trace's are kept as ``unread``.
    Raises RulesetError if there is no line of a trace at all, LimitError for more than 100,000 lines.
    """
    given = [r for each in rulesets for r in ((each,) if isinstance(each, Rules) else each)]
    ways, unread = monitor.sort(text)
    if not ways:
        first = next(
            (u for u in unread if u.reason != "no line of a trace"), unread[0] if unread else None
        )
        raise RulesetError(
            first.reason if first else "there are no lines",
            lineno=first.lineno if first else 0, col=first.col if first else 0,
            line=first.text if first else "",
            hint="paste what `xtables-monitor --trace`, `nft monitor trace` or the kernel's log printed",
        )  # fmt: skip
    places = monitor.Places(given)
    told = tuple(
        Told(way.program, tuple(places.placed(way)), tuple(way.headers), tuple(given))
        for way in ways
    )
    return Monitored(told, unread)


def _alike(told: _Step, ours: _Step) -> bool:
    """Whether a step that was told is one of ours; what was not told is passed over."""
    verdict = told[3] in (ours[3], "") or (told[3] == "QUEUE" and ours[3] in _QUEUED)
    return told[:2] == ours[:2] and told[2] in (ours[2], 0) and verdict


class _Retold:
    """Makes a trace of a packet's lines."""

    def __init__(self, told: Told) -> None:
        self.told = told
        if told.packet is None:
            raise RulesetError("the lines tell too little of the packet to draw its way")
        self.packet: Packet = told.packet
        self.events: list[Event] = []
        self.hook = ""
        self.base: Place | None = None
        self.stack: list[
            tuple[Place | None, str]
        ] = []  # callers (None: a goto), and whom they called

    def trace(self) -> Trace:
        for step, header in zip(self.told.lines, self.told.headers, strict=True):
            self._header(header)
            self._enter(step)
            self._step(step)
        sent = self.told.packet
        assert sent is not None
        return Trace(sent, tuple(self.events), self._fate(), origin=self.told.interface)

    def _header(self, header: Header) -> None:
        """Note what a rule or the kernel has changed since the last line."""
        now = monitor.made(header)
        if now is None:
            return
        by = self.events[-1] if self.events else None
        rule = by.rule if isinstance(by, Matched) else None
        changed = {name: getattr(now, name) for name in ("src", "dst", "sport", "dport")}
        if "mark" in header:
            changed["mark"] = now.mark
        self._rewrite(changed, rule.target.name if rule and rule.target else "the kernel")
        self._rewrite({"ttl": now.ttl}, "forwarding")

    def _rewrite(self, fields: dict[str, Any], by: str) -> None:
        before = self.packet
        new = {name: value for name, value in fields.items() if getattr(before, name) != value}
        if new:
            self.packet = before.change(**new)
            self.events.append(Rewritten(self.packet, before, by))

    def _enter(self, step: Step) -> None:
        """Note the hook and the base chain, if the step begins one."""
        chain = self._chain(step)
        begins = step.chain in HOOKS if chain is None else chain.builtin
        here = self.base is not None and (self.base.table, self.base.chain) == (
            step.table,
            step.chain,
        )
        if not begins:
            if self.base is None or self.base.table != step.table:
                raise RulesetError(
                    f"the lines begin in the middle: {step.place} is in no base chain"
                )
            while self.stack and self.stack[-1][1] != step.chain:
                self._leave(step)
            return
        while self.stack and here:
            self._leave(step)
        if here:
            return
        hook = self._hook(step)
        if hook != self.hook:
            self.hook = hook
            self.events.append(AtHook(self.packet, hook))
        self.base, self.stack = Place(step.table, step.chain, 0), []
        policy, length = (chain.policy, len(chain.rules)) if chain else (None, 0)
        base = self._base(step)
        priority, kind = (base.priority, base.kind) if base else (None, "")
        self.events.append(
            Entered(self.packet, step.table, step.chain, policy=policy, length=length,
                    priority=priority, kind=kind)
        )  # fmt: skip

    def _leave(self, step: Step) -> None:
        caller, left = self.stack.pop()
        if caller is not None:
            self.events.append(Left(self.packet, step.table, left, len(self.stack) + 1, caller))

    def _step(self, step: Step) -> None:
        if step.kind == "policy":
            self.events.append(PolicyApplied(self.packet, step.table, step.chain, step.verdict))
        if step.kind != "rule":
            return
        place = Place(step.table, step.chain, step.number)
        rule = self._rule(step)
        self.events.append(
            Matched(self.packet, place, rule, step.verdict or "CONTINUE", len(self.stack))
        )
        word, _, to = step.verdict.partition(" ")
        if word in ("JUMP", "GOTO"):
            self.stack.append((place if word == "JUMP" else None, to))
            called = self._chain(step._replace(chain=to))
            length = len(called.rules) if called else 0
            self.events.append(
                Entered(self.packet, step.table, to, len(self.stack), place, length=length)
            )

    def _fate(self) -> Fate:
        last, hook = self.told.last, self.hook
        number = last.number if last.kind == "rule" else 0
        known = last.kind != "rule" or number
        place = Place(last.table, last.chain, number) if known else None
        if last.verdict == "DROP":
            rule = self._rule(last)
            reject = (
                rule.target is not None and rule.target.name == "REJECT" and last.kind == "rule"
            )
            return Fate("reject" if reject else "drop", place=place)
        if hook not in _ENDS:
            return Fate("undecided", place=place, detail="the lines end here")
        kind = _ENDS[hook]
        return Fate(
            kind, self.told.headers[-1].get("out", "") if kind == "forward" else self.told.interface
        )

    # --- what the dumps say ---

    def _chain(self, step: Step) -> Chain | None:
        for rules in self.told.rules:
            if isinstance(rules, Ruleset):
                if monitor.FAMILIES.get(step.family) == rules.family and step.table in rules:
                    return rules[step.table].chains.get(step.chain)
            else:
                for table in rules:
                    if f"{table.family} {table.name}" == step.table and step.chain in table.chain:
                        return walked(table).chains[step.chain]
        return None

    def _base(self, step: Step) -> nft.Chain | None:
        """Return nft's base chain of a step, if it is one of nft's."""
        for rules in self.told.rules:
            for table in rules if isinstance(rules, nft.Ruleset) else ():
                if f"{table.family} {table.name}" == step.table and step.chain in table.chain:
                    return table.chain[step.chain]
        return None

    def _hook(self, step: Step) -> str:
        base = self._base(step)
        if base is not None:
            return base.hook.upper()
        if step.chain not in BUILTIN.get(step.table, ()):
            raise RulesetError(
                f"where {step.place} hangs is not known",
                hint="give what nft lists: read_trace(text, listing)",
            )
        return step.chain

    def _rule(self, step: Step) -> Rule:
        chain = self._chain(step)
        if chain is not None and 0 < step.number <= len(chain.rules):
            return chain.rules[step.number - 1]
        return Rule(6 if step.family == "ip6" else 4, Use(CORE, {}), words=step.rule)
