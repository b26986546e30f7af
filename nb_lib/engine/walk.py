"""A packet goes through a base chain and the chains that it calls.

In English: try the rules in order. A rule whose tests all pass acts. A verdict ends the walk; a jump
puts the caller on a stack and goes on in the other chain; a goto does so without remembering the
caller; RETURN and the end of a chain take the last caller from the stack. With the stack empty the
policy decides. A target that gives no verdict lets the walk go on.

Linux: net/ipv4/netfilter/ip_tables.c ipt_do_table(), net/netfilter/nf_tables_core.c nft_do_chain().
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

from nb_lib.effects import Nat, Reject
from nb_lib.engine.context import Meeting
from nb_lib.engine.index import SHORT, ChainIndex
from nb_lib.errors import LimitError
from nb_lib.net import ARP
from nb_lib.options import HIT, Action, Answer, Outcome, Use
from nb_lib.packet import Packet
from nb_lib.rules import Chain, Rule, Table
from nb_lib.trace import (
    Entered,
    Event,
    Left,
    Matched,
    Missed,
    Place,
    PolicyApplied,
    Rewritten,
    Unsure,
)

MAX_JUMPS = (
    20_000  # in one walk; chains that call each other twice at each level would take for ever
)
MAX_DEPTH = 256  # chains on the stack; a real ruleset has no loop and stays far below

_MISS = Outcome.MISS
Walk = Generator[Event, None, "Ending"]
Decided = tuple[Use, Answer]  # the part of a rule that does not hold, and its answer


class Ending(NamedTuple):
    """How a walk ended: the verdict, the packet, and what REJECT wants, if it was that."""

    verdict: str
    packet: Packet
    place: Place | None = None
    reject: Reject | None = None
    by: str = ""  # the target that translated, for the rewrite to come


class _Frame(NamedTuple):
    """Where to go on after a called chain; a goto has gone deeper without a frame."""

    chain: Chain
    at: int
    depth: int


def walk(
    table: Table,
    base: Chain,
    packet: Packet,
    meeting: Meeting,
    indexes: dict[tuple[str, str], ChainIndex],
) -> Walk:
    """Yield what happens to ``packet`` from ``base`` on; return how it ended."""
    return Walker(table, base, packet, meeting, indexes).run()


def meet(rule: Rule, packet: Packet, meeting: Meeting) -> Decided | None:
    """Test a rule's parts in order, each once; return the first that does not hold and why, or None."""
    core = rule.core
    if core.settings or rule.family == ARP:  # each rule of arptables asks for Ethernet and IPv4
        answer = core.extension.test(core, packet, meeting)  # type: ignore[misc]
        if answer is not HIT and answer.outcome is not Outcome.HIT:
            return core, answer
    for part, use in enumerate(rule.matches):
        meeting.part = part
        answer = use.extension.test(use, packet, meeting)  # type: ignore[misc]
        if answer is not HIT and answer.outcome is not Outcome.HIT:
            return use, answer
    return None


class Walker:
    """The state of one walk: the chain, the next rule, the stack of callers."""

    decide: Callable[[Rule, Packet, Meeting], Decided | None] = staticmethod(meet)
    priority: int | None = None  # of the base chain, if its table does not say it
    kind = ""  # its type, where there are types

    def __init__(self, table: Table, base: Chain, packet: Packet, meeting: Meeting,
                 indexes: dict[tuple[str, str], ChainIndex]) -> None:  # fmt: skip
        self.table = table
        self.base = base
        self.chain = base
        self.index = 0
        self.frames: list[_Frame] = []
        self.packet = packet
        self.meeting = meeting
        self.indexes = indexes
        self.depth = 0
        self.jumps = 0

    def run(self) -> Walk:
        """Walk until something decides."""
        base = self.base
        yield Entered(self.packet, self.table.name, base.name, policy=base.policy,
                      length=len(base.rules), priority=self.priority, kind=self.kind)  # fmt: skip
        while True:
            self.meeting.table, self.meeting.chain, self.meeting.depth = (
                self.table.name,
                self.chain.name,
                self.depth,
            )
            found = yield from self._next_match()
            if found is None:
                if self.chain.fallback:
                    return (yield from self._fallback())
                if self.frames:
                    yield self._leave()
                    continue
                return (yield from self._policy())
            ending = yield from self._act(*found)
            if ending is not None:
                return ending

    # --- trying rules ---

    def candidates(self) -> Iterable[int]:
        """Return the rules (counted from 0) that have to be tried, from the next one on."""
        rules = self.chain.rules
        if len(rules) < SHORT:
            return range(self.index, len(rules))
        key = (self.table.name, self.chain.name)
        index = self.indexes.get(key)
        if index is None:
            index = self.indexes[key] = ChainIndex(rules)
        return index.candidates(self.packet, self.index)

    def _next_match(self) -> Generator[Event, None, tuple[int, Rule, str] | None]:
        """Try rules until one matches or cannot be decided; rules that miss become one event."""
        rules, packet, meeting = self.chain.rules, self.packet, self.meeting
        first = self.index
        known: dict[int, Decided] = {}
        decide = self.decide
        for number in self.candidates():
            rule = rules[number]
            meeting.number = number + 1
            decided = decide(rule, packet, meeting)
            if meeting.events:  # a draw was made: tell of the rules before it, then of the draw
                if number > first:
                    yield self._missed(first, number, known)
                first, known = number, {}
                yield from self._flush()
                packet = self.packet  # a statement of nft may have changed it
            missing = ""
            if decided:
                outcome = decided[1].outcome
                if outcome is _MISS:
                    known[number + 1] = decided
                    continue
                missing = "hotdrop" if outcome is Outcome.HOTDROP else _missing(*decided)
            if number > first:
                yield self._missed(first, number, known)
            self.index = number + 1
            return number, rule, missing
        if len(rules) > first:
            yield self._missed(first, len(rules), known)
        return None

    def _missed(self, first: int, behind: int, known: dict[int, Decided]) -> Missed:
        return Missed(self.packet, self.table.name, self.chain.name, first + 1, behind, self.depth,
                      self.chain.rules, known)  # fmt: skip

    def _flush(self) -> Generator[Event, None, None]:
        events, self.meeting.events = self.meeting.events, []
        yield from events

    # --- what a rule does ---

    def matched(self, place: Place, rule: Rule, verdict: str) -> Matched:
        """Return the event of a rule whose tests all passed."""
        return Matched(self.packet, place, rule, verdict, self.depth)

    def _act(self, number: int, rule: Rule, missing: str) -> Generator[Event, None, Ending | None]:
        place = Place(self.table.name, self.chain.name, number + 1)
        if missing == "hotdrop":
            yield Matched(self.packet, place, rule, "DROP", self.depth, hotdrop=True)
            return Ending("DROP", self.packet, place)
        if missing:
            yield Unsure(self.packet, place, rule, missing, self.depth)
            return Ending("UNDECIDED", self.packet, place, by=missing)
        self.meeting.state.count(place, self.packet.length)
        return (yield from self.act(place, rule))

    def act(self, place: Place, rule: Rule) -> Generator[Event, None, Ending | None]:
        """Do what a rule says whose tests all passed."""
        if rule.jump:
            yield from self.jump(place, rule, rule.jump, goto=rule.goto)
            return None
        if rule.target is None:
            yield self.matched(place, rule, "CONTINUE")
            return None
        meaning = rule.target.extension.act
        assert meaning is not None
        action = meaning(rule.target, self.packet, self.meeting)
        return (yield from self.carry_out(place, rule, rule.target, action))

    def jump(
        self, place: Place, rule: Rule, chain: str, *, goto: bool
    ) -> Generator[Event, None, None]:
        """Go on in another chain; without ``goto``, come back."""
        verdict = f"{'GOTO' if goto else 'JUMP'} {chain}"
        yield self.matched(place, rule, verdict)
        if not goto:
            self.frames.append(_Frame(self.chain, self.index, self.depth))
            if len(self.frames) > MAX_DEPTH:
                raise LimitError(
                    f"{place}: more than {MAX_DEPTH} chains call each other: a loop of rules"
                )
        self._bound(place)
        self.chain, self.index = self.table[chain], 0
        self.depth += 1
        yield Entered(
            self.packet, self.table.name, chain, self.depth, place, length=len(self.chain.rules)
        )

    def _bound(self, place: Place) -> None:
        """Stop a loop of gotos, which no stack would notice, and ways that multiply."""
        self.jumps += 1
        if self.depth > MAX_DEPTH:
            raise LimitError(f"{place}: more than {MAX_DEPTH} jumps deep: a loop of rules")
        if self.jumps > MAX_JUMPS:
            raise LimitError(
                f"{place}: more than {MAX_JUMPS:,} jumps on one way through {self.base.name}"
            )

    def carry_out(
        self, place: Place, rule: Rule, target: Use, action: Action
    ) -> Generator[Event, None, Ending | None]:
        """Do what a target asks for; return how the walk ended if it did."""
        if action.verdict == "UNDECIDED":
            yield Unsure(self.packet, place, rule, action.missing, self.depth)
            return Ending("UNDECIDED", self.packet, place, by=action.missing)
        yield self.matched(place, rule, action.verdict)
        if action.packet is not None and action.packet != self.packet:
            before, self.packet = self.packet, action.packet
            self.meeting.packet = self.packet
            yield Rewritten(self.packet, before, target.name, place)
        reject, by, verdict = None, "", action.verdict
        for effect in action.effects:
            if isinstance(effect, Reject):
                reject = effect
                continue
            self.packet = self.meeting.apply(effect, self.packet)
            if isinstance(effect, Nat):
                by = target.name
        yield from self._flush()
        if verdict == "CONTINUE":
            return None
        if verdict == "RETURN":
            if not self.frames:
                return (yield from self._policy())
            yield self._leave()
            return None
        return Ending(verdict, self.packet, place, reject, by)

    # --- the ends of chains ---

    def _leave(self) -> Left:
        left, depth = self.chain.name, self.depth
        self.chain, self.index, self.depth = self.frames.pop()
        return Left(
            self.packet,
            self.table.name,
            left,
            depth,
            Place(self.table.name, self.chain.name, self.index),
        )

    def _fallback(self) -> Generator[Event, None, Ending]:
        """A user chain of ebtables has a policy of its own."""
        verdict, name = self.chain.fallback, self.chain.name
        yield PolicyApplied(self.packet, self.table.name, name, verdict)
        return Ending(verdict, self.packet, Place(self.table.name, name, 0))

    def _policy(self) -> Generator[Event, None, Ending]:
        if self.chain is not self.base:
            yield Left(self.packet, self.table.name, self.chain.name, self.depth)
        policy = self.base.policy or "ACCEPT"
        place = Place(self.table.name, self.base.name, 0)
        self.meeting.state.count(place, self.packet.length)
        yield PolicyApplied(self.packet, self.table.name, self.base.name, policy)
        return Ending(policy, self.packet, place)


def _missing(use: Use, answer: Answer) -> str:
    return f"{use.name} {answer.option}: {answer.have}".replace(" :", ":")
