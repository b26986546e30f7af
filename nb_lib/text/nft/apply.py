"""What ``nft -f`` makes of a ruleset: all commands of an input, or none of them.

The kernel's rules: what a command names has to be there; a chain that a rule or an element leads to, and a
set that a rule looks into, cannot be deleted; an element that is there is left alone, unless it would stand
for something else. Not checked are chains that lead back to themselves, and whether a statement fits its
chain's type. Linux: net/netfilter/nf_tables_api.c nf_tables_newrule(), nf_tables_delchain(),
nf_tables_delset(), nft_add_set_elem().
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nb_lib.errors import RulesetError
from nb_lib.text.nft.read_commands import Command, MistakeError, read_command
from nb_lib.text.nft.values import (
    Chain,
    Expression,
    Lookup,
    Mangle,
    Match,
    Members,
    Rule,
    Ruleset,
    Set,
    Statement,
    Table,
    Update,
    Verdict,
    Vmap,
)

MISSING, EXISTS, BUSY = "No such file or directory", "File exists", "Device or resource busy"


def apply(ruleset: Ruleset, text: str) -> Ruleset:
    """Return the ruleset after all commands of an input, a line each.

    Raises RulesetError at the first that nft refuses: then nothing of the input is done.
    """
    draft = Draft(ruleset)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            draft.run(read_command(line))
        except MistakeError as error:
            col = line.find(error.word) + 1 if error.word else len(line)
            raise RulesetError(
                str(error), lineno=number, col=col, token=error.word, line=line, status=1
            ) from None
    return draft.ruleset()


class _Table:
    """A table while it is worked on: chains and sets by name, what they hold beside them."""

    def __init__(self, table: Table) -> None:
        self.head = replace(table, sets=(), chains=())
        self.unknown = [each for each in table.sets if not isinstance(each, Set)]
        self.chains = {chain.name: replace(chain, rules=()) for chain in table.chains}
        self.rules = {chain.name: list(chain.rules) for chain in table.chains}
        self.sets = {name: replace(each, elements=()) for name, each in table.set.items()}
        self.elements = {
            name: {one.key: one for one in each.elements} for name, each in table.set.items()
        }

    def table(self) -> Table:
        sets = (
            replace(each, elements=tuple(self.elements[name].values()))
            for name, each in self.sets.items()
        )
        chains = (
            replace(chain, rules=tuple(self.rules[name])) for name, chain in self.chains.items()
        )
        return replace(self.head, sets=(*self.unknown, *sets), chains=tuple(chains))

    def used(self) -> Iterator[str]:
        """Yield the chains that rules and elements lead to, and ``@`` with the sets that rules look into."""
        for rules in self.rules.values():
            for rule in rules:
                yield from names(rule)
        for elements in self.elements.values():
            yield from (name for one in elements.values() for name in _in_value(one.data))


class Draft:
    """A ruleset that commands change."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.about = ruleset.about
        self.tables = {(table.family, table.name): _Table(table) for table in ruleset}

    def ruleset(self) -> Ruleset:
        """Return what has become of it."""
        return Ruleset(tuple(table.table() for table in self.tables.values()), self.about)

    def run(self, command: Command) -> None:
        """Carry out one command. Raises MistakeError if nft would refuse it."""
        key = command.family, command.table
        if command.kind == "table":
            self._table(command, key)
            return
        if key not in self.tables:
            if command.verb == "destroy":
                return
            raise MistakeError(MISSING, command.table)
        _KINDS[command.kind](self.tables[key], command)

    def _table(self, command: Command, key: tuple[str, str]) -> None:
        if command.verb == "add" and isinstance(command.value, Table):
            self.tables.setdefault(key, _Table(command.value))
        elif key not in self.tables:
            if command.verb != "destroy":
                raise MistakeError(MISSING, command.table)
        elif command.verb == "flush":
            self.tables[key].rules = {name: [] for name in self.tables[key].rules}
        else:
            del self.tables[key]


def _chain(table: _Table, command: Command) -> None:
    name, value = command.name, command.value
    if isinstance(value, Chain):
        held = table.chains.setdefault(name, value)
        table.rules.setdefault(name, [])
        if value.hook and (held.hook, held.priority) != (value.hook, value.priority):
            raise MistakeError(EXISTS, name)
    elif _there(table.chains, command):
        if command.verb == "flush":
            table.rules[name] = []
            return
        rules = table.rules.pop(name)
        if name in table.used():
            table.rules[name] = rules
            raise MistakeError(BUSY, name)
        del table.chains[name]


def _set(table: _Table, command: Command) -> None:
    name, value = command.name, command.value
    if isinstance(value, Set):
        if bool(value.data) != (command.kind == "map"):
            raise MistakeError("syntax error: a map has data, a set has none", name)
        held = table.sets.setdefault(name, value)
        table.elements.setdefault(name, {})
        if (held.key, held.data) != (value.key, value.data):
            raise MistakeError(EXISTS, name)
    elif _there(table.sets, command):
        if command.verb == "flush":
            table.elements[name] = {}
        elif f"@{name}" in table.used():
            raise MistakeError(BUSY, name)
        else:
            del table.sets[name], table.elements[name]


def _rule(table: _Table, command: Command) -> None:
    if not isinstance(command.value, Rule):
        raise MistakeError("syntax error: rules are deleted by flushing their chain", command.verb)
    if command.name not in table.chains:
        raise MistakeError(MISSING, command.name)
    _known(table, names(command.value))
    rules = table.rules[command.name]
    rules.insert(0 if command.verb == "insert" else len(rules), command.value)


def _element(table: _Table, command: Command) -> None:
    if command.name not in table.sets:
        raise MistakeError(MISSING, command.name)
    if not isinstance(command.value, Members):
        raise MistakeError("syntax error: elements are flushed with their set", command.verb)
    held = table.elements[command.name]
    for one in command.value.elements:
        if command.verb == "add":
            _known(table, _in_value(one.data))
            if held.setdefault(one.key, one).data != one.data:
                raise MistakeError(EXISTS, str(one.key))
        elif held.pop(one.key, None) is None and command.verb == "delete":
            raise MistakeError(MISSING, command.name)


_KINDS = {"chain": _chain, "set": _set, "map": _set, "rule": _rule, "element": _element}


def _there(held: Iterable[str], command: Command) -> bool:
    """Tell whether something is there; only destroy does not mind if it is not."""
    if command.name in held:
        return True
    if command.verb == "destroy":
        return False
    raise MistakeError(MISSING, command.name)


def _known(table: _Table, wanted: Iterable[str]) -> None:
    for name in wanted:
        if name[1:] not in table.sets if name.startswith("@") else name not in table.chains:
            raise MistakeError(MISSING, name)


# --- what a rule names ---


def names(rule: Rule) -> Iterator[str]:
    """Yield the chains that a rule leads to, and ``@`` with the sets that it looks into."""
    for statement in rule.statements:
        yield from _in_statement(statement)


def _in_statement(statement: Statement) -> Iterator[str]:
    match statement:
        case Verdict():
            yield from _in_value(statement)
        case Vmap(_, data) | Mangle(_, Lookup(_, data)):
            yield from _in_value(data)
        case Match(_, _, right):
            yield from _in_value(right)
        case Update():
            yield f"@{statement.name}"


def _in_value(value: Expression | None) -> Iterator[str]:
    match value:
        case str() if value.startswith("@"):
            yield value
        case Verdict(_, target) if target:
            yield target
        case Members(elements):
            for one in elements:
                yield from _in_value(one.data)
