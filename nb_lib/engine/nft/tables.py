"""An nft ruleset as the engine walks it: base chains by hook and priority, rules in the form of all rules.

Each rule becomes a ``Rule`` whose parts are its statements, so that a trace of nft holds what any other
trace does and every view can show it. A chain is made when a packet first comes to it.
Linux: net/netfilter/nf_tables_api.c nf_tables_register_hook(); nf_nat_core.c nf_nat_register_fn().
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from nb_lib.engine.nft.sets import Sets, grown
from nb_lib.engine.nft.statements import Runner
from nb_lib.errors import HostError
from nb_lib.hooks import DST, FILTER, HOOKS, MANGLE, OUTPUT, PREROUTING, RAW, SRC
from nb_lib.matches.core import CORE
from nb_lib.options import Extension, Setting, Use
from nb_lib.rules import Chain, Rule, Ruleset, Table
from nb_lib.text import nft
from nb_lib.text.nft.as_text import statement_text
from nb_lib.text.nft.values import (
    Binary,
    Concat,
    Ct,
    Mangle,
    Match,
    Nat,
    NoTrack,
    Reject,
    Statement,
    Update,
    Verdict,
    Vmap,
)

STATEMENT = ""  # under which a Use holds its statement
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
NAMES = {4: "ip", 6: "ip6"}
_PRIORITIES = {"raw": RAW, "mangle": MANGLE, "filter": FILTER, "security": 150}
NO_CORE = Use(CORE, {})


class Base(NamedTuple):
    """A base chain: where it hangs, and all that its walk needs.

    Without a ``runner`` its rules are those of iptables-nft, which are walked as iptables' are.
    """

    priority: int
    kind: str  # filter, nat, route
    table: Table
    chain: str
    runner: Runner | None


class _Chains(Mapping[str, Chain]):
    """The chains of a table, made of nft's when somebody looks."""

    def __init__(self, table: nft.Table, family: int) -> None:
        self._source = table
        self._family = family
        self._made: dict[str, Chain] = {}

    def __getitem__(self, name: str) -> Chain:
        made = self._made.get(name)
        if made is None:
            source = self._source.chain[name]
            rules = tuple(_rule(each, self._source.family, self._family) for each in source.rules)
            policy = source.policy.upper() if source.hook else None
            made = self._made[name] = Chain(name, rules, policy)
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._source.chain

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.chain)

    def __len__(self) -> int:
        return len(self._source.chain)


def walked(table: nft.Table, family: int = 0) -> Table:
    """Return a table of nft as the engine walks it: ``ip kube-proxy``, its rules in the form of all rules."""
    known = family or (6 if table.family == "ip6" else 4)
    return Table(f"{table.family} {table.name}", _Chains(table, known))


class Nftables:
    """An nft ruleset on a host. ``since`` is the host's clock when it was listed.

    ``written`` are iptables-nft's rules on a host that has iptables-legacy's as well: nft lists them as
    ``ip filter`` and so on. They are met before legacy's at the same priority if they are ``newer``.
    Raises HostError for base chains at places that are not modelled.
    """

    def __init__(
        self,
        ruleset: nft.Ruleset,
        since: float,
        written: Iterable[Ruleset] = (),
        *,
        newer: bool = False,
    ) -> None:
        self.ruleset = ruleset
        self.written = {each.family: each for each in written}
        self.newer = newer
        self.since = since
        self.bases = {family: self._bases(family, since) for family in _FAMILIES}
        self._tracks: dict[int, bool] = {}

    def _bases(self, family: int, since: float) -> Mapping[str, tuple[Base, ...]]:
        found: dict[str, list[Base]] = {}
        if family in self.written:
            for hook, base in _written(self.written[family]):
                found.setdefault(hook, []).append(base)
        for source in self.ruleset:
            if source.family == "netdev" and any(chain.hook for chain in source.chains):
                raise HostError(f"table netdev {source.name}: hooks of a device are not modelled")
            if source.family not in _FAMILIES[family]:
                continue
            table = walked(source, family)
            name = table.name
            runner = Runner(Sets(name, dict(source.set), since), source.objects)
            for chain in source.chains if "dormant" not in source.flags else ():
                if chain.hook and chain.hook.upper() not in HOOKS:
                    raise HostError(f"table {name}: the hook {chain.hook} is not modelled")
                if chain.hook:
                    base = Base(chain.priority, chain.kind, table, chain.name, runner)
                    found.setdefault(chain.hook.upper(), []).append(base)
        for bases in found.values():
            bases.reverse()  # of two of one priority the later comes first: nf_hook_entries_grow()
            bases.sort(key=lambda base: base.priority)
        return {hook: tuple(bases) for hook, bases in found.items()}

    def __getitem__(self, name: str) -> nft.Table:
        """Return a table by its family and name: ``ip kube-proxy``. Raises KeyError."""
        found = self.ruleset.table(*name.split(" ", 1)) if " " in name else None
        if found is None:
            raise KeyError(name)
        return found

    def listed(self, memory: Mapping[tuple[Any, ...], Any], now: float) -> nft.Ruleset:
        """Return the ruleset as nft would list it now, on a host with this memory."""
        tables = tuple(grown(table, memory, self.since, now) for table in self.ruleset)
        return nft.Ruleset(tables, self.ruleset.about)

    def at(self, family: int, hook: str, *, nat: bool) -> tuple[Base, ...]:
        """Return the base chains at a hook in order: those of type nat, or the others."""
        bases = self.bases.get(family, {}).get(hook, ())
        return tuple(base for base in bases if (base.kind == "nat") is nat)

    def tracks(self, family: int) -> bool:
        """Tell whether some rule makes the kernel track connections of this family."""
        known = self._tracks.get(family)
        if known is None:
            tables = (t for t in self.ruleset if t.family in _FAMILIES.get(family, ()))
            known = self._tracks[family] = any(map(_tracks, tables))
        return known


def _written(ruleset: Ruleset) -> Iterator[tuple[str, Base]]:
    """Yield iptables-nft's base chains with their hooks: iptables/nft.c xtables_ipv4[]."""
    for table in ruleset:
        named = Table(f"{NAMES[ruleset.family]} {table.name}", table.chains)
        for hook in HOOKS:
            if hook not in table:
                continue
            priority = _PRIORITIES.get(table.name, DST if hook in (PREROUTING, OUTPUT) else SRC)
            kind = {("mangle", OUTPUT): "route"}.get((table.name, hook), "filter")
            kind = "nat" if table.name == "nat" else kind
            yield hook, Base(priority, kind, named, hook, None)


def _tracks(table: nft.Table) -> bool:
    """nft_ct_init(), nft_nat_init() and the hooks of nat chains ask for conntrack."""
    return any(chain.kind == "nat" for chain in table.chains) or any(
        _asks_ct(s) for chain in table.chains for rule in chain.rules for s in rule.statements
    )


def _asks_ct(value: object) -> bool:
    match value:
        case Ct() | Nat() | NoTrack():
            return True
        case Match():
            return _asks_ct(value.left) or _asks_ct(value.right)
        case Vmap():
            return _asks_ct(value.key)
        case Mangle():
            return _asks_ct(value.key) or _asks_ct(value.value)
        case Binary():
            return _asks_ct(value.left) or _asks_ct(value.right)
        case Concat():
            return any(map(_asks_ct, value.parts))
    return False


# --- rules ---


def _rule(source: nft.Rule, table_family: str, family: int) -> Rule:
    """Make a rule: all statements but the last are its tests; the last is its target if it acts."""
    *tests, last = source.statements or (Verdict("continue"),)
    jump, goto, target = "", False, None
    if isinstance(last, Verdict) and last.target:
        jump, goto = last.target, last.kind == "goto"
    elif isinstance(last, Match):
        tests.append(last)
    else:
        target = use_of(last)
    return Rule(family, NO_CORE, tuple(map(use_of, tests)), target, jump, goto,
                words=nft.rule_text(source, table_family))  # fmt: skip


def use_of(statement: Statement) -> Use:
    """Wrap a statement as a part of a rule."""
    return Use(_extension(_name(statement)), {STATEMENT: Setting(statement)})


def _name(statement: Statement) -> str:
    """Name a statement as traces do: ``dnat``, ``meta mark set``; a verdict is its own name."""
    match statement:
        case Verdict(kind):
            return kind.upper()
        case Nat(kind):
            return kind
        case Reject():
            return "REJECT"
        case Vmap():
            return "vmap"
        case Mangle():
            return statement_text(statement).partition(" set ")[0] + " set"
        case Update(operation):
            return operation
        case Match():
            return "match"
    return statement_text(statement).partition(" ")[0]


@cache
def _extension(name: str) -> Extension:
    return Extension(name, summary="a statement of nft", source="nft(8)")
