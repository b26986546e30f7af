"""What the programs find on a host, and one command's hand on one of its tables.

iptables-nft makes a table, and a built-in chain, when a command needs them; ``State.absent`` holds the
built-in chains that it shows but has not made. iptables-legacy makes a table with all its chains as
soon as somebody names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nb_lib.cli.calls import Calls
from nb_lib.cli.edited import editable
from nb_lib.cli.personality import NO_NAME, Exit, Personality
from nb_lib.hooks import builtin
from nb_lib.rules import ZERO, Chain, Ruleset, Table
from nb_lib.text.save import ordered

Place = tuple[int, str]  # family and backend


@dataclass(frozen=True)
class State:
    """What the programs find on a host.

    ``rulesets`` maps (family, backend) to what is loaded; a pair that is absent was never touched.
    ``absent`` maps (family, table) to the built-in chains that iptables-nft has not made; a table that
    it has not made is no part of the ruleset. ``hidden`` maps the same to built-in chains that it has
    renamed and knows no longer. ``sets`` maps the names of ipsets to their types (``hash:ip``)
    and families.
    """

    rulesets: Mapping[Place, Ruleset] = field(default_factory=dict)
    absent: Mapping[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    hidden: Mapping[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def ruleset(self, family: int = 4, backend: str = "nft") -> Ruleset:
        """Return what is loaded for a family, perhaps nothing."""
        return self.rulesets.get((family, backend)) or Ruleset(family, {}, backend)

    def with_table(
        self,
        who: Personality,
        table: Table,
        absent: tuple[str, ...] = (),
        hidden: tuple[str, ...] = (),
    ) -> State:
        """Return the state with a table added or exchanged; legacy lists a new one first."""
        old = self.ruleset(who.family, who.backend)
        tables = {**old.tables, table.name: table}
        if not who.nft and table.name not in old:
            tables = {table.name: table, **old.tables}
        missing = self.absent
        if who.nft and missing.get((who.family, table.name), ()) != absent:
            missing = {**missing, (who.family, table.name): absent}
        unseen = self.hidden
        if unseen.get((who.family, table.name), ()) != hidden and who.nft:
            unseen = {**unseen, (who.family, table.name): hidden}
        return replace(self._holding(replace(old, tables=tables)), absent=missing, hidden=unseen)

    def without_table(self, who: Personality, name: str) -> State:
        """Return the state without a table."""
        old = self.ruleset(who.family, who.backend)
        tables = {other: table for other, table in old.tables.items() if other != name}
        missing = {
            place: names for place, names in self.absent.items() if place != (who.family, name)
        }
        return replace(self._holding(replace(old, tables=tables)), absent=missing)

    def _holding(self, ruleset: Ruleset) -> State:
        rulesets = {**self.rulesets, (ruleset.family, ruleset.backend): ruleset}
        return replace(self, rulesets=rulesets)


class Work:
    """One command at work on one table; ``state()`` is the outcome."""

    def __init__(self, state: State, who: Personality, name: str) -> None:
        self.before, self.who = state, who
        self.names = builtin(who.family, who.backend)[name]
        ruleset = state.ruleset(who.family, who.backend)
        self.made = name in ruleset
        self.absent: tuple[str, ...] = ()
        if self.made:
            self.table = ruleset[name]
            self.absent = state.absent.get((who.family, name), ()) if who.nft else ()
            for chain in self.names:  # a dump need not name them all
                if chain not in self.table:
                    self.table = self.table.replace(Chain(chain, (), "ACCEPT"))
                    self.absent += (chain,) if who.nft else ()
        else:
            self.table = fresh(name, self.names)
            self.absent = self.names if who.nft else ()
        self.hidden = state.hidden.get((who.family, name), ()) if who.nft else ()
        self.changed = not self.made and not who.nft
        self.emptied = False  # by a restore, before it begins
        self.declared: set[str] = set()  # chains that a restore has made
        self.deferred: list[tuple[int, str]] | None = None  # what the kernel will refuse at COMMIT
        self.renames: list[tuple[str, str]] = []  # nft: what COMMIT will rename
        self.line = 0
        self.shown: list[Chain] = []  # chains whose rules were listed
        self.counted: set[str] = set()  # chains whose policy's counters were set
        self._calls: Calls | None = None

    def calls(self) -> Calls:
        """Return which chains call which; a call that is gone may be among them."""
        if self._calls is None:
            self._calls = Calls(self.table, self.who)
        return self._calls

    def forget_calls(self) -> None:
        """Look at the table anew when somebody asks for its calls."""
        self._calls = None

    def state(self) -> State:
        """Return the state after the command."""
        if not self.changed:
            return self.before
        if not self.made and self.who.nft:
            return self.before.without_table(self.who, self.table.name)
        if not self.who.nft:  # it forgets what policies have counted whenever it changes a table
            for name in set(self.names) - self.counted:
                if self.table[name].counters != ZERO:
                    self.table = self.table.replace(replace(self.table[name], counters=ZERO))
        return self.before.with_table(self.who, self.table, self.absent, self.hidden)

    def refuse(
        self, operation: str, reason: str, what: str, printed: str = "", *, hint: str = ""
    ) -> None:
        """Note what the kernel refuses; a command that is no part of a restore ends with it."""
        if self.deferred is None:
            end = self.who.refused(operation, reason, what)
            raise Exit(printed, end.stderr, end.status, hint)
        self.deferred.append((self.line, f"{operation} failed ({reason}): {what}"))

    def empty(self, *, verbose: bool) -> list[str]:
        """Flush the table as a restore does; return what that prints."""
        printed = [f"Flushing chain `{chain.name}'\n" for chain in ordered(self.table)]
        printed += [f"Deleting chain `{c.name}'\n" for c in ordered(self.table) if not c.builtin]
        chains = {}
        for name in self.names:
            kept = replace(self.table[name], rules=())
            chains[name] = Chain(name, (), "ACCEPT") if self.who.nft else kept
        self.table, self.changed = replace(self.table, chains=chains), True
        self.emptied = True
        self.forget_calls()
        if self.who.nft:
            self.made, self.absent, self.hidden = False, self.names, ()
        return printed if verbose else []

    def user_chains(self) -> frozenset[str] | Mapping[str, Chain]:
        """Return the chains that a rule may call."""
        return self.table.chains

    def listed(self, *, every: bool = False) -> list[Chain]:
        """Return the chains that are there, in iptables' order; ``every``: those too that are only shown."""
        chains = ordered(self.table)
        if self.who.nft and self.deferred is not None:  # in a batch new ones stand where they came
            builtin_chains = [chain for chain in chains if chain.builtin]
            chains = builtin_chains + [chain for chain in self.table if not chain.builtin]
        return [chain for chain in chains if every or chain.name not in self.absent]

    def made_order(self) -> list[Chain]:
        """Return the chains that are there, in the order in which they were made."""
        return [chain for chain in self.table if chain.name not in self.absent]

    def was_there(self, name: str) -> bool:
        """Whether a chain was there before the restore that the command is part of, and still is."""
        old = self.before.ruleset(self.who.family, self.who.backend).tables.get(self.table.name)
        return old is not None and name in old and not self.emptied

    def knows_table(self) -> bool:
        """Whether -F means something: a restore of iptables-nft flushes only what was there before it."""
        if self.deferred is None or not self.who.nft:
            return True
        old = self.before.ruleset(self.who.family, self.who.backend)
        return self.table.name in old and not self.emptied

    def found(self, name: str) -> Chain:
        """Return a chain. Raise Exit if it is not there."""
        if name not in self.table or name in self.absent:
            raise self.who.failed(NO_NAME)
        return self.table[name]

    def opened(self, name: str) -> Chain:
        """Return a chain; a built-in one is made if it is not there."""
        if name not in self.table:
            raise self.who.failed(NO_NAME)
        self._make(name)
        return self.table[name]

    def put(self, chain: Chain) -> None:
        """Add or exchange a chain."""
        self.table = self.table.replace(chain)
        self._make(chain.name)

    def _make(self, name: str) -> None:
        if name in self.absent:
            self.absent = tuple(other for other in self.absent if other != name)
        self.changed = self.made = True

    def as_before(self, chain: Chain) -> Chain:
        """Return a chain with the policy that it had before a restore of iptables-nft began.

        Its -Z sends the chain as it was read from the kernel, so that a -P above is undone.
        """
        if not (self.who.nft and self.deferred is not None and chain.builtin):
            return chain
        old = self.before.ruleset(self.who.family, self.who.backend).tables.get(self.table.name)
        there = old is not None and chain.name in old and not self.emptied
        return replace(chain, policy=old[chain.name].policy if old and there else "ACCEPT")

    def newly_counted(self, chain: Chain) -> set[int]:
        """Return the ids of rules whose counters a restore of legacy has set: its -Z leaves them alone."""
        if self.who.nft or self.deferred is None:
            return set()
        old = self.before.ruleset(self.who.family, self.who.backend).tables.get(self.table.name)
        known = {id(rule) for rule in old[chain.name].rules} if old and chain.name in old else set()
        return {id(rule) for rule in chain.rules} - known

    def forget(self, name: str) -> None:
        """Remove a built-in chain, which is shown nevertheless."""
        self.table = self.table.replace(Chain(name, (), "ACCEPT"))
        self.absent = tuple(n for n in self.names if n == name or n in self.absent)
        self.changed = True

    def remove(self, name: str) -> None:
        """Remove a chain."""
        if self.table[name].builtin:
            self.forget(name)
            return
        chains = {other: chain for other, chain in self.table.chains.items() if other != name}
        self.table, self.changed = replace(self.table, chains=chains), True

    def rename(self, chain: Chain, name: str) -> None:
        """Give a chain a new name, in the rules that call it too."""
        self.forget_calls()
        old = chain.name
        chains = {}
        for other in self.table:
            changed = _calling(other, old, name) if other.rules else other
            changed = replace(changed, name=name) if other.name == old else changed
            chains[changed.name] = changed
        if chain.builtin:  # iptables-nft makes its hook disappear from its own sight
            del chains[name]
            self.hidden += (name,)
            chains[old] = Chain(old, (), "ACCEPT")
            self.absent = tuple(n for n in self.names if n == old or n in self.absent)
        self.table, self.changed = replace(self.table, chains=chains), True

    def references(self) -> Counter[str]:
        """Return how many rules call each chain."""
        total: Counter[str] = Counter()
        for chain in self.table:
            if chain.rules:
                total.update(editable(chain.rules).called)
        return Counter({name: count for name, count in total.items() if name in self.table})


def fresh(name: str, names: tuple[str, ...]) -> Table:
    """Return an empty table."""
    return Table(name, {chain: Chain(chain, (), "ACCEPT") for chain in names})


def _calling(chain: Chain, old: str, new: str) -> Chain:
    rules = editable(chain.rules)
    if old not in rules.called:
        return chain
    changed = tuple(rule._replace(jump=new) if rule.jump == old else rule for rule in rules)
    return replace(chain, rules=changed)
