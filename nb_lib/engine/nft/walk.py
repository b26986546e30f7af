"""A packet goes through a base chain of nft: the walk of ``engine/walk.py``, with statements for rules.

The statements of a rule are carried out from left to right. The first that does not hold ends the rule; what
those before it have done stays done. What the last one says is the rule's verdict.
Linux: net/netfilter/nf_tables_core.c nft_do_chain().
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from nb_lib.engine.context import Meeting
from nb_lib.engine.nft.statements import Runner
from nb_lib.engine.nft.tables import STATEMENT, Base
from nb_lib.engine.walk import Decided, Ending, Walk, Walker
from nb_lib.errors import RulesetError
from nb_lib.options import Action, Answer, Use
from nb_lib.packet import Packet
from nb_lib.rules import Rule
from nb_lib.trace import Event, Found, Matched, Place, Rewritten

_CONTINUE = Action("CONTINUE")


def walk(base: Base, packet: Packet, meeting: Meeting) -> Walk:
    """Yield what happens to ``packet`` from a base chain on; return how it ended."""
    return _StatementWalker(base, packet, meeting).run()


class _StatementWalker(Walker):
    """The state of one walk; ``verdict`` is what the rule that was just tried says."""

    def __init__(self, base: Base, packet: Packet, meeting: Meeting) -> None:
        super().__init__(base.table, base.table[base.chain], packet, meeting, {})
        assert base.runner is not None
        self.runner: Runner = base.runner
        self.priority = base.priority
        self.kind = base.kind
        self.verdict = _CONTINUE
        self.found: list[Found] = []

    def candidates(self) -> Iterable[int]:
        return range(self.index, len(self.chain.rules))

    def decide(self, rule: Rule, _packet: Packet, meeting: Meeting) -> Decided | None:
        """Carry a rule out; return the part that does not hold, or None with ``verdict`` set."""
        self.verdict = _CONTINUE
        self.found = []
        parts = rule.matches if rule.target is None else (*rule.matches, rule.target)
        for meeting.part, use in enumerate(parts):
            done = self.runner.run(use.settings[STATEMENT].value, self.packet, meeting, self.found)
            if isinstance(done, Answer):
                return use, done
            if use is rule.target:
                self.verdict = done
            elif done is not _CONTINUE:
                self._act_at_once(use, done)
        return None

    def matched(self, place: Place, rule: Rule, verdict: str) -> Matched:
        """Return the event of a rule that was carried out, with what it found in sets."""
        found = tuple(self.found)
        return Matched(self.packet, place, rule, verdict, self.depth, found=found)

    def _act_at_once(self, use: Use, action: Action) -> None:
        """A statement with others behind it."""
        if action.packet is not None and action.packet != self.packet:
            before, self.packet = self.packet, action.packet
            self.meeting.events.append(Rewritten(self.packet, before, use.name, self.meeting.place))
        for effect in action.effects:
            self.packet = self.meeting.apply(effect, self.packet)
        self.meeting.packet = self.packet

    def act(self, place: Place, rule: Rule) -> Generator[Event, None, Ending | None]:
        """Do what the rule says."""
        how, _, chain = self.verdict.verdict.partition(" ")
        if rule.jump:
            how, chain = "GOTO" if rule.goto else "JUMP", rule.jump
        if chain:
            if chain not in self.table:
                raise RulesetError(f"{place}: {self.table.name} has no chain {chain}")
            yield from self.jump(place, rule, chain, goto=how == "GOTO")
            return None
        if rule.target is None:
            yield self.matched(place, rule, "CONTINUE")
            return None
        return (yield from self.carry_out(place, rule, rule.target, self.verdict))
