"""Which chains of a table call which, and from where packets come to them, while rules are added to it.

A rule may stand in a chain if it fits all built-in chains above, and what it calls fits them, too. Whoever
looks at the whole table for each line of a large dump takes hours. A new call is followed downwards here, as
far as it changes anything. Calls that are gone are still held: so *yes* is certain, and *no* is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.cli.edited import editable
from nb_lib.cli.personality import Personality
from nb_lib.hooks import builtin
from nb_lib.rules import Rule, Table
from nb_lib.text.places import MAX_CALLS, reached, unfit, visit


class Calls:
    """The calls in a table, beginning with those that it has."""

    def __init__(self, table: Table, who: Personality) -> None:
        self._backend = who.backend
        self._ways: dict[str, set[str]] = {
            chain.name: set(editable(chain.rules).called) & table.chains.keys() for chain in table
        }
        bases = builtin(who.family, who.backend)[table.name]
        below, circle = visit(bases, self._ways)
        order = [] if circle else [*below]
        self._hooks = reached(bases, self._ways, order)
        self._depth = dict.fromkeys(bases, 0)
        for name in reversed(order):
            for other in self._ways.get(name, ()):
                self._depth[other] = max(self._depth.get(other, 0), self._depth[name] + 1)
        self._most = MAX_CALLS if who.nft else len(self._ways)
        self._sound = not circle and max(self._depth.values()) <= self._most

    def admit(self, table: Table, chain: str, rules: Iterable[Rule]) -> bool:
        """Note what new rules of a chain call; tell whether they are surely in a right place.

        After a *no* nothing more can be asked: what was noted need not have come in.
        """
        hooks = self._hooks.get(chain, frozenset())
        for rule in rules:
            if not self._sound or unfit(table.name, chain, rule, hooks, self._backend):
                return False
            self._sound = not rule.jump or self._called(table, chain, rule.jump)
        return self._sound

    def _called(self, table: Table, caller: str, callee: str) -> bool:
        """Note a call; return False if it may go in a circle, too deep, or to rules that do not fit."""
        ways = self._ways.setdefault(caller, set())
        if callee in ways:
            return True
        ways.add(callee)
        if self._leads(callee, caller):
            return False
        return caller not in self._hooks or self._follow(table, caller, callee)

    def _leads(self, start: str, end: str) -> bool:
        """Whether calls lead from one chain to another."""
        seen, ahead = {start}, [start]
        while ahead:
            new = self._ways.get(ahead.pop(), set()) - seen
            seen |= new
            ahead += new
        return end in seen

    def _follow(self, table: Table, caller: str, callee: str) -> bool:
        """Let packets come to a chain and to all below; return False if that may be wrong."""
        ahead = [(caller, callee)]
        while ahead:
            above, name = ahead.pop()
            before = self._hooks.get(name, frozenset()), self._depth.get(name, 0)
            hooks, depth = before[0] | self._hooks[above], max(before[1], self._depth[above] + 1)
            if (hooks, depth) == before:
                continue
            self._hooks[name], self._depth[name] = hooks, depth
            rules = table[name].rules if hooks != before[0] else ()
            if depth > self._most or any(
                unfit(table.name, name, rule, hooks, self._backend) for rule in rules
            ):
                return False
            ahead += [(name, other) for other in self._ways.get(name, ())]
        return True
