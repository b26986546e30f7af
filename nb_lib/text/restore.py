"""What a host holds after iptables-restore has read a dump into an empty one.

Counters are zero unless asked for; user chains never keep theirs. A table has all its built-in chains,
named or not; iptables-nft leaves out a table of which no chain was named, and ip6tables-nft forgets
the counters of rules. The legacy backend lists tables in the reverse order of their first use.
Sources: iptables/iptables-restore.c; observed with iptables 1.8.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nb_lib.hooks import builtin
from nb_lib.kinds import IPV6
from nb_lib.rules import ZERO, Chain, Rule, Ruleset, Table


def restored(ruleset: Ruleset, *, counters: bool = False) -> Ruleset:
    """Return the ruleset as an empty host would hold it after restoring the dump."""
    legacy = ruleset.backend == "legacy"
    forgets = not counters or (ruleset.family == IPV6 and not legacy)
    bases = builtin(ruleset.family, ruleset.backend)
    tables = [
        _table(table, bases[table.name], policies=counters, counted=not forgets)
        for table in ruleset
        if table.chains or legacy
    ]
    if legacy:
        tables.reverse()
    return replace(ruleset, tables={table.name: table for table in tables})


def _table(table: Table, bases: tuple[str, ...], *, policies: bool, counted: bool) -> Table:
    chains = {chain.name: _chain(chain, policies, counted) for chain in table}
    for name in bases:
        chains.setdefault(name, Chain(name, (), "ACCEPT"))
    return Table(table.name, chains)


def _chain(chain: Chain, policies: bool, counted: bool) -> Chain:
    rules: Sequence[Rule] = chain.rules
    if not counted:
        rules = tuple(
            rule._replace(counters=ZERO) if rule.counters != ZERO else rule for rule in rules
        )
    keep = policies and chain.builtin
    return replace(chain, rules=rules, counters=chain.counters if keep else ZERO)
