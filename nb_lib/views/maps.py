"""Tables of nft for the chain diagram: what their rules look up becomes cards beside the chains.

A set or a map is shown as a chain named ``@service-ips`` whose rows are its elements; so an edge leads from
the rule that looks something up to the map, and from the element to the chain that it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nb_lib.engine.nft import tables
from nb_lib.options import Use
from nb_lib.rules import Chain, Rule, Table
from nb_lib.text import nft
from nb_lib.text.nft.as_text import element_text, expression_text
from nb_lib.text.nft.values import Verdict
from nb_lib.text.nft.words import kinds_of, span_text
from nb_lib.views.columns import reach
from nb_lib.views.leads import goals
from nb_lib.views.parts import KINDS

_NO_TESTS = Use(tables.NO_CORE.extension, {})


@dataclass(frozen=True, slots=True, eq=False)
class Listed(Table):
    """A table of nft as it is drawn.

    ``notes`` stand beside the names of base chains and sets, ``hues`` names the table of iptables whose
    colour a chain has, ``numbers`` tells which row of a set's card holds a key, as nft lists it.
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    hues: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[tuple[str, str], int] = field(default_factory=dict)


def listed(source: nft.Table) -> Listed:
    """Turn a table of nft into one that can be drawn."""
    walked = tables.walked(source)
    chains = {chain.name: chain for chain in walked}
    notes = {chain.name: _hook(chain) for chain in source.chains if chain.hook}
    numbers: dict[tuple[str, str], int] = {}
    for each in source.set.values():
        name = f"@{each.name}"
        family = 6 if source.family == "ip6" else 4
        chains[name] = Chain(name, tuple(_element(e, each, family) for e in each.elements))
        notes[name] = _size(each)
        for number, element in enumerate(each.elements, 1):
            numbers[name, expression_text(element.key)] = number
    return Listed(walked.name, chains, notes, _hues(source, chains), numbers)


def _hook(chain: nft.Chain) -> str:
    return f"{chain.kind}, {chain.hook} {chain.priority} · {chain.policy}".replace("-", "−")


def _size(each: nft.Set) -> str:
    what = "map" if each.data else "set"
    life = f" · timeout {span_text(each.timeout)}" if each.timeout else ""
    return f"empty {what}{life}" if not each.elements else f"{what}{life}"


def _element(element: nft.Element, of: nft.Set, family: int) -> Rule:
    """Make the row of an element: where it leads, or what it says."""
    words = element_text(element, kinds_of(of.key), kinds_of(of.data) or ("",))
    data = element.data
    if not isinstance(data, Verdict):
        return Rule(family, _NO_TESTS, words=words)
    if data.target:
        return Rule(family, _NO_TESTS, (), None, data.target, data.kind == "goto", words=words)
    return Rule(family, _NO_TESTS, (), tables.use_of(data), words=words)


def _hues(source: nft.Table, chains: Mapping[str, Chain]) -> dict[str, str]:
    """Give each chain the colour of the hooks that lead to it; none to what both kinds use."""
    calls = {name: [g for rule in chain.rules for g in goals(rule) if g in chains]
             for name, chain in chains.items()}  # fmt: skip
    found: dict[str, set[str]] = {}
    for base in source.chains:
        for name in reach(base.name, calls) | {base.name} if base.hook else ():
            found.setdefault(name, set()).add(KINDS.get(base.kind, ""))
    return {name: min(kinds) for name, kinds in found.items() if len(kinds) == 1}
