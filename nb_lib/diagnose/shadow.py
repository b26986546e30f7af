"""Rules that no packet can reach: an earlier rule of the chain takes all of theirs, for good."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from nb_lib.diagnose.conditions import Part, known_parts, parts, within
from nb_lib.diagnose.finding import NOTE, WARNING, Diagnosis
from nb_lib.diagnose.subject import RulesetView, Subject
from nb_lib.net import Net
from nb_lib.rules import Chain, Rule, Table

# Targets after which a packet that meets them sees no later rule of the chain.
LAST = frozenset(
    {"ACCEPT", "DROP", "REJECT", "RETURN", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"}
)
# Targets of which some packets go on: what changes addresses under way.
_REWRITE = frozenset({"SNPT", "DNPT"})
_TRIED = 200  # earlier rules that one is compared with, of those that name the same networks
_Key = tuple[Net | None, Net | None, int | None]


class _Earlier(NamedTuple):
    number: int
    asked: tuple[Part, ...]


def shadowed(subject: Subject) -> Iterator[Diagnosis]:
    """Find rules behind one that takes every packet, and rules behind one that takes all of theirs."""
    for view in subject.rulesets:
        for table in view:
            if _steady(view, table):
                endless = _never_return(view, table) if view.whole(table) else frozenset()
                for chain in table:
                    yield from _Search(view, table, chain, endless).run()


def _steady(view: RulesetView, table: Table) -> bool:
    """Whether no rule of the table changes what others ask for: addresses, or unknown things."""
    return all(
        found.rule.target is None
        or (found.rule.target.extension.known and found.rule.target.name not in _REWRITE)
        for found in view.every(table)
    )


def _never_return(view: RulesetView, table: Table) -> frozenset[str]:
    """Return the user chains that no packet comes back from: a rule for all ends it, none returns before."""
    ends: dict[str, bool] = {}

    def decide(name: str, above: frozenset[str]) -> bool:
        if name not in ends:
            ends[name] = name not in above and _ends(name, above | {name})
        return ends[name]

    def _ends(name: str, above: frozenset[str]) -> bool:
        if len(above) > _DEEPEST:
            return False
        for _, rule in view.rules(table, table[name]):
            target = rule.target.name if rule.target else ""
            last = target in LAST - {"RETURN"} or (rule.jump and decide(rule.jump, above))
            if parts(rule) == () and last:
                return True
            if target == "RETURN" or (rule.goto and not last):
                return False
        return False

    return frozenset(c.name for c in table if not c.builtin and decide(c.name, frozenset()))


_DEEPEST = 60


class _Search:
    """The rules of one chain, compared with those before them."""

    def __init__(
        self, view: RulesetView, table: Table, chain: Chain, endless: frozenset[str]
    ) -> None:
        self.view, self.table, self.chain, self.endless = view, table, chain, endless
        self._where = view.where(table, chain)
        self.whole = view.tracked or view.ruleset.backend == "legacy"
        self.earlier: dict[_Key, list[_Earlier]] = {}
        self.masks: tuple[set[int | None], set[int | None]] = ({None}, {None})

    def run(self) -> Iterator[Diagnosis]:
        rules = self.view.rules(self.table, self.chain)
        for at, (number, rule) in enumerate(rules):
            asked = parts(rule) if self._last(rule) else None
            if asked == ():
                if rules[at + 1 :]:
                    yield self._behind_all(number, [later for later, _ in rules[at + 1 :]])
                return
            mine = known_parts(rule)
            if (earlier := self._covering(mine)) is not None:
                yield self._behind_one(earlier, number)
            elif asked is not None and self._fixed(asked):
                self._remember(number, asked)

    def _last(self, rule: Rule) -> bool:
        """Whether a packet that matches sees no later rule of this chain."""
        if rule.target is not None:
            return rule.target.name in LAST
        return bool(rule.jump) and (rule.goto or rule.jump in self.endless)

    def _fixed(self, asked: tuple[Part, ...]) -> bool:
        """Whether the answers stay while the packet goes through the chain: in raw, -j CT changes a state."""
        return self.table.name != "raw" or all(part.question != "--ctstate" for part in asked)

    # --- finding earlier rules by the networks and the port that they name ---

    def _remember(self, number: int, asked: tuple[Part, ...]) -> None:
        source, destination = _net(asked, "-s"), _net(asked, "-d")
        for masks, net in zip(self.masks, (source, destination), strict=True):
            masks.add(net.mask if net else None)
        key = source, destination, _port(asked)
        self.earlier.setdefault(key, []).append(_Earlier(number, asked))

    def _covering(self, mine: tuple[Part, ...]) -> int | None:
        """Return the first rule found that takes every packet of a rule."""
        sources, destinations = (
            [*_wider(_net(mine, option), masks)]
            for option, masks in zip(("-s", "-d"), self.masks, strict=True)
        )
        ports = dict.fromkeys((None, _port(mine)))
        for key in product(sources, destinations, ports):
            for one in self.earlier.get(key, [])[:_TRIED]:
                if within(mine, one.asked, whole=self.whole):
                    return one.number
        return None

    # --- words ---

    def _behind_all(self, number: int, later: list[int]) -> Diagnosis:
        evidence = [self.view.evidence(self.table, self.chain, n) for n in (number, *later)]
        are = (
            "the rule behind it is" if len(later) == 1 else f"the {len(later)} rules behind it are"
        )
        by_hand = self.chain.rules[number - 1].jump == ""
        return Diagnosis(
            "behind-a-catch-all", WARNING if by_hand else NOTE,
            f"in {self._where}, rule {number} takes every packet: {are} never reached",
            tuple(evidence),
            "put what shall count before it: "
            f"{self.view.command(self.table)} -I {self.chain.name} {number} …",
        )  # fmt: skip

    def _behind_one(self, earlier: int, number: int) -> Diagnosis:
        evidence = [self.view.evidence(self.table, self.chain, n) for n in (earlier, number)]
        one, other = (_does(self.chain.rules[n - 1]) for n in (earlier, number))
        return Diagnosis(
            "shadowed", WARNING if one != other else NOTE,
            f"in {self._where}, rule {number} never meets a packet that it asks for: "
            f"rule {earlier} takes them all{', and does the same' if one == other else ''}",
            tuple(evidence),
            f"delete rule {number}, or put it before rule {earlier}",
        )  # fmt: skip


def _does(rule: Rule) -> tuple[object, ...]:
    """Return what a rule does with the packets that it takes."""
    return rule.jump, rule.goto, rule.target and (rule.target.name, rule.target.settings)


def _net(asked: tuple[Part, ...], option: str) -> Net | None:
    """Return the network that an address must lie in, None if there is none."""
    found = (part.value for part in asked if part.option == option and not part.inverted)
    return next((net for net in found if isinstance(net, Net)), None)


def _port(asked: tuple[Part, ...]) -> int | None:
    """Return the one destination port that is asked for, None if there are several or none."""
    for part in asked:
        if part.option == "--dport" and not part.inverted and part.value.low == part.value.high:
            return int(part.value.low)
    return None


def _wider(net: Net | None, masks: set[int | None]) -> Iterator[Net | None]:
    """Yield the networks with one of these masks in which ``net`` lies; None stands for no network."""
    yield None
    for mask in masks if net else ():
        if net and mask is not None and net.mask & mask == mask:
            yield net._replace(value=net.value & mask, mask=mask)
