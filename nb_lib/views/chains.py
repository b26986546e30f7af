"""What a chain diagram shows, before it is laid out: cards, rows, edges, states.

A table becomes cards in layers by call depth. Chains that only differ in an address (KUBE-SEP-…)
fold into one card; rules of one Service in a long chain fold into one row; a chain that everybody
calls (KUBE-MARK-MASQ) is drawn without edges. What a trace visited is never folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from nb_lib.rules import Chain, Rule, Table
from nb_lib.text import rule_text
from nb_lib.views.columns import chances, layers, reach
from nb_lib.views.deck import BROAD, WIDTH, Card, Model, Row, branch_rows, note, rule_row
from nb_lib.views.leads import goals
from nb_lib.views.maps import Listed
from nb_lib.views.states import States
from nb_lib.views.words import Clause, brief, clauses, held, lines, service, services, shape, short

LONG = 16  # rules in a chain from which on Services fold into rows
MANY = 24  # chains that one chain may call before the rest is only counted
CARDS = 300  # in one picture
ROWS = 300  # of one card; the rules at which a trace's packet did something come on top
OPEN = 14  # cards in a layer from which on they start collapsed


def model(table: Table, states: States, only: str = "") -> Model:
    """Turn a table into cards."""
    return _Builder(table, states, only).build()


def single(chain: Chain, states: States, width: int = 88) -> Model:
    """Turn one chain into one card with whole rules."""
    odds = chances(chain)
    rows = []
    numbers = [
        n for n in range(1, len(chain.rules) + 1) if n <= ROWS or (chain.name, n) in states.known
    ]
    for n in numbers:
        row = rule_row(rule := chain.rules[n - 1], n, clauses(rule), width)
        rows.append(replace(row, chance=odds.get(n), state=(state := states.of(chain.name, n))))
        rows += branch_rows(rule, state)
    rows += _more(len(chain.rules) - len(numbers), held(chain.name))
    card = Card(chain.name, chain.name, note(chain, 1), tuple(rows), 0, services(chain))
    return Model("", (card,), where={chain.name: (chain.name, -1)})


class _Builder:
    def __init__(self, table: Table, states: States, only: str) -> None:
        self.table, self.states, self.only = table, states, only.lower()
        self.notes = table.notes if isinstance(table, Listed) else {}
        self.hues = table.hues if isinstance(table, Listed) else {}
        self.chains = {chain.name: chain for chain in table}
        self.calls = {
            name: dict.fromkeys(g for r in chain.rules for g in goals(r) if g in self.chains)
            for name, chain in self.chains.items()
        }
        self.callers: dict[str, list[str]] = {name: [] for name in self.chains}
        for name, called in self.calls.items():
            for one in called:
                self.callers[one].append(name)
        self.layers = layers(self.chains, self.calls)
        self.left_out: set[str] = set()
        self.hits: set[str] = set()

    def build(self) -> Model:
        self.shown = self._narrowed() if self.only else self._first(MANY)
        groups = self._most_telling(self._groups())
        cards = [self._group(names) if len(names) > 1 else self._card(names[0]) for names in groups]
        busy = {
            c.layer for c in cards if sum(o.layer == c.layer and not o.aside for o in cards) > OPEN
        }
        traced = bool(self.states.visited)
        cards = [_shut(card) if self._closed(card, busy, traced) else card for card in cards]
        where = {}
        for card in cards:
            where[card.key] = (card.key, -1)
            for index, row in enumerate(card.rows):
                if row.member:
                    where[row.member] = (card.key, index)
        return Model(self.table.name, tuple(cards), len(self.left_out), where)

    def _closed(self, card: Card, busy: set[int], traced: bool) -> bool:
        if not card.rows or self.states.marked & {card.key, *card.members}:
            return False
        return card.layer in busy or (traced and card.layer > 0)

    def _most_telling(self, groups: list[list[str]]) -> list[list[str]]:
        """Keep as many cards as a picture can hold: those of the trace, then those nearest to a hook."""
        ranked = sorted(groups, key=lambda names: (
            not self.states.marked.intersection(names), self.layers.get(names[0], len(self.layers)),
        ))  # fmt: skip
        too_many = {name for names in ranked[CARDS:] for name in names}
        self.shown -= too_many
        self.left_out |= too_many
        return [names for names in groups if names[0] not in self.left_out]

    def _first(self, most: int) -> set[str]:
        """Keep every chain; of a chain that calls too many, the first ones and those visited."""
        kept: set[str] = set()
        waiting = [name for name in self.chains if not self.callers[name]]
        while waiting:
            name = waiting.pop()
            if name in kept:
                continue
            kept.add(name)
            called = self.calls[name]
            few = [c for c in called if c in self.states.marked]
            few += [c for c in called if c not in few][: max(0, most - len(few))]
            waiting += few
        self.left_out = set(self.chains) - kept
        return kept

    def _narrowed(self) -> set[str]:
        """Keep what ``only`` names, what leads there and what it leads to."""
        self.hits = {name for name, chain in self.chains.items() if self._named(chain)}
        kept = set(self.hits)
        for name in self.hits:
            kept |= reach(name, self.callers) | reach(name, self.calls)
        for name, chain in self.chains.items():
            fitting = [rule for rule in chain.rules if self._fits(rule)]
            if fitting:
                kept |= {name} | reach(name, self.callers)
            for goal in {g for rule in fitting for g in goals(rule)} & self.chains.keys():
                kept |= {goal} | reach(goal, self.calls)
        self.left_out = set(self.chains) - kept
        return kept

    def _named(self, chain: Chain) -> bool:
        return self.only in chain.name.lower() or self.only in services(chain).lower()

    def _fits(self, rule: Rule) -> bool:
        return self.only in rule_text(rule).lower()

    def _groups(self) -> list[list[str]]:
        """Put chains of one shape, called by the same chains, together."""
        found: dict[object, list[str]] = {}
        for name in self.chains:
            if name in self.shown:
                found.setdefault(self._kind(name), []).append(name)
        order = {name: n for calls in self.calls.values() for n, name in enumerate(calls)}
        return [sorted(names, key=lambda name: order.get(name, 0)) for names in found.values()]

    def _kind(self, name: str) -> object:
        base = shape(name)
        if not base or self.calls[name].keys() - self._aside or name in self.states.marked:
            return name
        words = tuple(len(rule_text(r).split()) for r in self.chains[name].rules)
        return (base, tuple(self.callers[name]), words)

    @cached_property
    def _drawn(self) -> set[str]:
        """Return the chains to which edges lead."""
        return self.shown - self._aside

    @cached_property
    def _aside(self) -> set[str]:
        """Return the leaves that three chains or more call, and what nobody calls."""
        return {name for name, chain in self.chains.items() if not chain.builtin
                and not self.calls[name] and len(set(self.callers[name])) != 1
                and (len(set(self.callers[name])) >= 3 or not self.callers[name])}  # fmt: skip

    def _card(self, name: str) -> Card:
        chain = self.chains[name]
        rows = self._rows(chain)
        callers = len(set(self.callers[name]))
        aside = name in self._aside
        strong = self._strong(name)
        said = self.notes.get(name) or note(chain, callers)
        return Card(name, short(name), said, rows, self.layers.get(name, 0), strong,
                    aside=aside, faint=not chain.builtin and not callers,
                    changed=name in self.states.changed, hue=self.hues.get(name, ""))  # fmt: skip

    def _strong(self, name: str) -> str:
        """Return the Service of a chain: by its comments, its callers' rules, or its caller."""
        callers = self.callers[name]
        calling = (
            r for caller in callers[:1] for r in self.chains[caller].rules if name in goals(r)
        )
        if found := services(self.chains[name], calling):
            return found
        return self._strong(callers[0]) if len(callers) == 1 and shape(name) else ""

    def _group(self, names: Sequence[str]) -> Card:
        """Make one card of chains of one shape: the common rules, then what is each one's own."""
        chains = [self.chains[name] for name in names]
        texts = [[rule_text(rule).split(" ") for rule in chain.rules] for chain in chains]
        common = [[w if len({t[i][j] for t in texts}) == 1 else "‹…›" for j, w in enumerate(row)]
                  for i, row in enumerate(texts[0])]  # fmt: skip
        rows = [
            replace(rule_row(rule, i + 1, _patched(rule, common[i])), goes=())
            for i, rule in enumerate(chains[0].rules)
        ]
        for chain, text in zip(chains, texts, strict=True):
            own = [
                w for i, row in enumerate(text) for j, w in enumerate(row) if common[i][j] == "‹…›"
            ]
            full = "\n".join(rule_text(rule) for rule in chain.rules)
            name = short(chain.name).removeprefix(shape(chain.name))
            rows.append(
                Row("", (f"{name} {own[-1] if own else ''}".rstrip(),), full, member=chain.name)
            )
        strong = self._strong(names[0])
        return Card(names[0] + "+", f"{len(names)} × {shape(names[0])}…", "", tuple(rows),
                    self.layers.get(names[0], 0), strong, members=tuple(names),
                    hue=self.hues.get(names[0], ""))  # fmt: skip

    def _rows(self, chain: Chain) -> tuple[Row, ...]:
        odds = chances(chain)
        found = self._belonging(chain)
        runs = _runs(found, self.states, chain) if len(found) > LONG else [[pair] for pair in found]
        known = self.states.known
        runs = [run for at, run in enumerate(runs)
                if at < ROWS or any((chain.name, n) in known for n, _ in run)]  # fmt: skip
        rows = []
        for run in runs:
            number, rule = run[0]
            state = self.states.of(chain.name, number)
            plain = state is None or state.kind in ("missed", "unreached")
            if len(found) > LONG and service(rule) and plain:
                rows.append(self._folded(run, chain))
                continue
            wide = BROAD if chain.name.startswith("@") else WIDTH
            row = rule_row(rule, number, brief(rule), wide)
            goes = self._goals([rule]) if row.goes else ()
            rows.append(replace(row, goes=goes, chance=odds.get(number), state=state))
            rows += branch_rows(rule, state)
        return (*rows, *_more(len(chain.rules) - sum(map(len, runs)), held(chain.name)))

    def _belonging(self, chain: Chain) -> list[tuple[int, Rule]]:
        """Return the rules to show: all, unless some of the chains that they call are left out."""
        rules = list(enumerate(chain.rules, 1))
        called = self.calls[chain.name].keys()
        alone = called.isdisjoint(self._drawn) and called.isdisjoint(self.left_out)
        if chain.name in self.hits or alone:
            return rules
        if self.only:
            return [(n, r) for n, r in rules if self._goals([r]) or self._fits(r)]
        if called.isdisjoint(self.left_out):
            return rules
        kept = {service(r) for _, r in rules if self._goals([r])}
        return [
            (n, r)
            for n, r in rules
            if self.left_out.isdisjoint(goals(r)) and (service(r) in kept or not service(r))
        ]

    def _folded(self, run: Sequence[tuple[int, Rule]], chain: Chain) -> Row:
        """Make one row of several rules of one Service: their addresses and ports."""
        rules = [rule for _, rule in run]
        text = lines([Clause(t, "") for t in dict.fromkeys(map(_aim, rules)) if t], WIDTH)
        state = self.states.of(chain.name, run[0][0])
        full = "\n".join(f"{n} {rule_text(rule)}" for n, rule in run)
        label = str(run[0][0]) if len(run) == 1 else f"{run[0][0]}–{run[-1][0]}"
        sign = "JUMP" if rules[-1].jump else ""
        return Row(label, tuple(text), full, sign, goes=self._goals(rules),
                   strong=service(rules[0]), state=state)  # fmt: skip

    def _goals(self, rules: Iterable[Rule]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(g for r in rules for g in goals(r) if g in self._drawn))


def _more(hidden: int, what: str = "rule") -> list[Row]:
    """Return the row that tells of rules that are not drawn, if there are some."""
    text = f"{hidden} more {what}{'s' * (hidden > 1)}"
    return [Row("", (f"… {text}",), text)] if hidden else []


def _shut(card: Card) -> Card:
    """Close a card; what it holds is said beside its name."""
    size = sum(bool(row.label) for row in card.rows)
    inside = f"{size} {held(card.key)}{'s' * (size > 1)}"
    inside = f"{len(card.members)} chains" if card.members else inside
    return replace(card, closed=True, note=" · ".join(filter(None, (inside, card.note))))


def _patched(rule: Rule, words: Sequence[str]) -> list[Clause]:
    """Return the brief clauses of ``rule`` with its own words left open."""
    own = [
        word
        for word, common in zip(rule_text(rule).split(" "), words, strict=True)
        if common == "‹…›"
    ]
    found = []
    for clause in brief(rule):
        text = " ".join("‹…›" if word in own else word for word in clause.text.split(" "))
        found.append(Clause(text, clause.option))
    return found


def _runs(
    found: Sequence[tuple[int, Rule]], states: States, chain: Chain
) -> list[list[tuple[int, Rule]]]:
    """Cut rules into runs that belong to one Service and share a state."""
    runs: list[list[tuple[int, Rule]]] = []
    before: object = None
    for number, rule in found:
        state = states.of(chain.name, number)
        key = (service(rule), state.kind if state else "") if service(rule) else number
        alone = state is not None and state.kind in ("matched", "unsure", "changed")
        if runs and key == before and not alone:
            runs[-1].append((number, rule))
        else:
            runs.append([(number, rule)])
        before = number if alone else key
    return runs


def _aim(rule: Rule) -> str:
    """Return where a rule's packets go: ``10.96.0.1:443``, ``:30080``, or its protocol."""
    if rule.words:
        return rule.words.partition(" : ")[0]
    found = {clause.option: clause.text.split(" ", 1)[-1] for clause in clauses(rule)}
    address, port = found.get("-d", "").partition("/")[0], found.get("--dport", "")
    return f"{address}:{port}" if port else address
