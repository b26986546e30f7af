"""What is diagnosed: a host's rulesets, what is known beside them, and where everything stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from nb_lib.diagnose.finding import Evidence
from nb_lib.engine import Host
from nb_lib.engine.load import host_of
from nb_lib.errors import NbError, RulesetError
from nb_lib.hooks import builtin
from nb_lib.packet import Packet
from nb_lib.rules import Chain, Rule, Ruleset, Table
from nb_lib.text import rule_text, uses
from nb_lib.text.decode import called_by
from nb_lib.text.parse import LazyRules, declared_in
from nb_lib.text.places import reached, visit
from nb_lib.trace import Trace


class Found(NamedTuple):
    """A rule, and where it stands; ``number`` counts from 1."""

    table: Table
    chain: Chain
    number: int
    rule: Rule


class Subject:
    """One host; ``texts``, its rules and what is known beside them, are named as in ``engine.load.FILES``."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    @cached_property
    def host(self) -> Host:
        """The host, to send packets through."""
        return host_of(self.texts)

    @cached_property
    def rulesets(self) -> list[RulesetView]:
        """The rulesets of IPv4 and IPv6."""
        held = self.host.rulesets
        return [RulesetView(held[family]) for family in (4, 6) if family in held]

    def ways(self, packet: Packet, interface: str = "") -> tuple[Trace, ...]:
        """Return every way that a packet may take; none if it comes to a rule that cannot be read."""
        try:
            return self.host.explore(packet, interface).traces
        except NbError:
            return ()

    def knows(self, *names: str) -> bool:
        """Tell whether the host's addresses, settings … were given: names of files."""
        return all(name in self.texts for name in names)


class RulesetView:
    """A ruleset, with what the diagnoses ask of it again and again."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self.family = ruleset.family
        self._readable: dict[tuple[str, str], list[tuple[int, Rule]]] = {}
        self._calls: dict[str, dict[str, frozenset[str]]] = {}
        self._reached: dict[str, dict[str, frozenset[str]]] = {}

    def __iter__(self) -> Iterator[Table]:
        return iter(self.ruleset)

    def table(self, name: str) -> Table | None:
        """Return a table, None if there is none."""
        return self.ruleset.tables.get(name)

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain, None if there is none."""
        found = self.table(table)
        return found.chains.get(name) if found else None

    def rules(self, table: Table, chain: Chain) -> list[tuple[int, Rule]]:
        """Return the rules of a chain that can be read, each with its number from 1."""
        key = table.name, chain.name
        if key not in self._readable:
            self._readable[key] = [*_readable(chain)]
        return self._readable[key]

    def whole(self, table: Table) -> bool:
        """Whether all rules of a table can be read, so that something can be said to be missing in it."""
        return all(len(self.rules(table, chain)) == len(chain.rules) for chain in table)

    def every(self, table: Table) -> Iterator[Found]:
        """Yield every readable rule of a table."""
        for chain in table:
            for number, rule in self.rules(table, chain):
                yield Found(table, chain, number, rule)

    @cached_property
    def tracked(self) -> bool:
        """Whether the kernel tracks connections, and so puts fragments together before any rule sees them."""
        return uses(self.ruleset, "conntrack")

    def calls(self, table: Table) -> dict[str, frozenset[str]]:
        """Return for each chain the chains and targets that its rules call."""
        if table.name not in self._calls:
            self._calls[table.name] = {
                chain.name: frozenset(called_by(rule) for _, rule in self.rules(table, chain))
                for chain in table
            }
        return self._calls[table.name]

    def reached(self, table: Table) -> dict[str, frozenset[str]]:
        """Return for each chain that packets reach the built-in chains from which they come."""
        if table.name not in self._reached:
            bases = builtin(self.family, self.ruleset.backend)[table.name]
            chains = frozenset(table.chains)
            ways = {name: called & chains for name, called in self.calls(table).items()}
            below, circle = visit(bases, ways)
            self._reached[table.name] = {} if circle else reached(bases, ways, [*below])
        return self._reached[table.name]

    def evidence(self, table: Table, chain: Chain, number: int = 0) -> Evidence:
        """Return a rule as evidence, or (number 0) a chain."""
        rules, lineno = chain.rules, 0
        if not number:
            lineno, text = declared_in(table, chain.name), f":{chain.name} {chain.policy or '-'}"
        elif isinstance(rules, LazyRules):
            lineno, text = rules.lineno(number - 1), rules.raw(number - 1)
        else:
            text = f"-A {chain.name} {rule_text(rules[number - 1])}"
        return Evidence(self.family, table.name, chain.name, number, lineno, text)

    def where(self, table: Table, chain: Chain | None = None) -> str:
        """Return how a sentence names a table, or a chain in it."""
        family = "IPv6's " if self.family == 6 else ""
        return f"{family}{table.name} {chain.name}" if chain else f"{family}{table.name}"

    def command(self, table: Table) -> str:
        """Return how a command for a table begins: ``iptables -t nat``."""
        program = "ip6tables" if self.family == 6 else "iptables"
        return program if table.name == "filter" else f"{program} -t {table.name}"

    def shown(self, found: Found) -> Evidence:
        """Return a rule as evidence."""
        return self.evidence(found.table, found.chain, found.number)


def _readable(chain: Chain) -> Iterator[tuple[int, Rule]]:
    for at in range(len(chain.rules)):
        try:
            yield at + 1, chain.rules[at]
        except RulesetError:
            continue
