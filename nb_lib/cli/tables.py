"""A table as ``iptables -L`` shows it: chains, counters, numbers; the rules are ``listing``'s.

Sources: iptables/xshared.c print_header(), libxtables/xtables.c xtables_print_num(); observed with
iptables 1.8.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nb_lib.cli.listing import rule_line
from nb_lib.kinds import U64
from nb_lib.matches.connection import NO_NAMES
from nb_lib.rules import Chain, Counters, Rule, Table
from nb_lib.text.save import ordered


def listing_warning(chains: Iterable[Chain]) -> str:
    """Return what is said when rules with connlabel are listed, on a host that names no labels."""
    uses = (use for chain in chains for rule in chain.rules for use in rule.matches)
    return NO_NAMES if any(use.name == "connlabel" for use in uses) else ""


class Style(NamedTuple):
    """What was asked of ``-L``: -n, -v, -x, --line-numbers."""

    numeric: bool
    verbose: bool
    exact: bool
    numbers: bool


def table_listed(
    table: Table, references: Mapping[str, int], style: Style, *, chain: str | None, number: int
) -> str:
    """Return what ``-L`` prints of a table, of one chain, or of one rule."""
    if number and chain is not None:
        rules = table[chain].rules
        return _rows(rules[number - 1 : number], style, number) if number <= len(rules) else ""
    chains = [table[chain]] if chain is not None else ordered(table)
    return "\n".join(_head(one, references, style) + _rows(one.rules, style, 1) for one in chains)


def _head(chain: Chain, references: Mapping[str, int], style: Style) -> str:
    """Return the two lines above a chain's rules."""
    if chain.builtin:
        counted = f" {_counts(chain.counters, style)}" if style.verbose else ""
        about = f"policy {chain.policy}{counted}"
    else:
        about = f"{references.get(chain.name, 0)} references"
    columns = "num  " if style.numbers else ""
    if style.verbose:
        columns += f"{'pkts':>8} {'bytes':>10} " if style.exact else f"{'pkts':>5} {'bytes':>5} "
    columns += "target     prot opt"
    columns += " in     out    " if style.verbose else ""
    return f"Chain {chain.name} ({about})\n{columns} {'source':<20} {'destination':<20}\n"


def _counts(counters: Counters, style: Style) -> str:
    packets, octets = (short(count, exact=style.exact) for count in counters)
    return f"{packets} packets, {octets} bytes"


def _rows(rules: Iterable[Rule], style: Style, first: int) -> str:
    rows = []
    width = (8, 8) if style.exact else (5, 5)
    for number, rule in enumerate(rules, first):
        row = f"{number:<4} " if style.numbers else ""
        if style.verbose:
            for count, room in zip(rule.counters, width, strict=True):
                row += f"{short(count, exact=style.exact):>{room}} "
        rows.append(f"{row}{rule_line(rule, numeric=style.numeric, interfaces=style.verbose)}\n")
    return "".join(rows)


def short(count: int, *, exact: bool = False) -> str:
    """Return a counter as ``-L -v`` shows it: five places, then K, M, G, T of a thousand each."""
    if exact or count <= 99999:
        return str(count)
    for unit in "KMGT":
        count = (count + 500 & U64) // 1000
        if count <= 9999 or unit == "T":
            return f"{count}{unit}"
    raise AssertionError
