"""Sets and maps of nft: looked up by the values of a key, with intervals, and with what packets add.

An element is filed by its values if they are single ones, and kept in a list if one of them is a network or
a range. What packets add (``update @recent { ip saddr }``) is part of the host's memory and expires there.
Linux: net/netfilter/nft_set_hash.c, nft_set_pipapo.c, nft_dynset.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib.engine.nft.kinds import Plain, UnknownWordError, plain, written
from nb_lib.engine.nft.meters import counted
from nb_lib.text.nft.values import (
    Concat,
    Element,
    Expression,
    Object,
    Prefix,
    Range,
    Set,
    Table,
    Unknown,
    Update,
)

if TYPE_CHECKING:
    from nb_lib.engine.context import Meeting

Key = tuple[Plain, ...]
_MEMORY = "nft set"  # under which a host remembers what packets have put into sets


class _Interval(NamedTuple):
    """The values from ``low`` to ``high``, both included."""

    low: Plain
    high: Plain

    def __contains__(self, value: object) -> bool:
        return self.low <= value <= self.high  # type: ignore[operator]


class Filed:
    """The elements of a set or a map. Raises UnknownWordError for one that cannot be read."""

    def __init__(self, elements: Iterable[Element], types: tuple[str, ...]) -> None:
        self.single: dict[Key, Element] = {}
        self.wide: list[tuple[tuple[_Interval, ...], Element]] = []
        for element in elements:
            spans = _spans(element.key, types)
            if all(span.low == span.high for span in spans):
                self.single[tuple(span.low for span in spans)] = element
            else:
                self.wide.append((spans, element))

    def find(self, key: Key) -> Element | None:
        """Return the element that holds a key."""
        found = self.single.get(key)
        if found is not None or not self.wide:
            return found
        for spans, element in self.wide:
            if all(value in span for value, span in zip(key, spans, strict=True)):
                return element
        return None


def _spans(key: Expression, types: tuple[str, ...]) -> tuple[_Interval, ...]:
    parts = key.parts if isinstance(key, Concat) else (key,)
    if len(parts) != len(types):
        raise UnknownWordError(f"{key} as a key of {' . '.join(types)}")
    return tuple(span(part, kind) for part, kind in zip(parts, types, strict=True))


def span(value: Expression, kind: str) -> _Interval:
    """Return the values that a word, a network, a range or the beginning of a name stands for."""
    match value:
        case Prefix(address, length):
            net = ip_network(f"{address}/{length}", strict=False)
            return _Interval(int(net[0]), int(net[-1]))
        case Range(low, high):
            return _Interval(span(low, kind).low, span(high, kind).high)
        case str() if kind == "ifname" and value.endswith("*"):
            return _Interval(value[:-1], value[:-1] + "\uffff")
        case int() | str():
            found = plain(value, kind)
            return _Interval(found, found)
    raise UnknownWordError(f"{value} in a set")


class Sets:
    """The named sets and maps of one table, filed when they are first asked."""

    def __init__(self, table: str, sets: dict[str, Set], since: float) -> None:
        self.table = table
        self.sets = sets
        self.since = (
            since  # when the ruleset was listed: the elements' remaining times count from then
        )
        self._filed: dict[str, Filed] = {}

    def __getitem__(self, name: str) -> Set:
        if name not in self.sets:
            raise UnknownWordError(f"the set @{name}")
        return self.sets[name]

    def find(self, name: str, key: Key, meeting: Meeting) -> Element | None:
        """Return the element that holds a key now, listed or added by a packet."""
        found = self[name]
        if name not in self._filed:
            self._filed[name] = Filed(found.elements, found.key)
        memory = self._memory(name, key)
        if (until := meeting.recall(memory, None)) is not None:
            return Element("") if until > meeting.now else None
        element = self._filed[name].find(key)
        if element is not None and element.expires is not None:
            return element if self.since + element.expires / 1000 > meeting.now else None
        return element

    def update(self, wish: Update, key: Key, meeting: Meeting) -> str:
        """Add, renew or delete an element; return what was done. nft_dynset_eval()."""
        held = self.find(wish.name, key, meeting) is not None
        if wish.operation == "delete":
            meeting.remember(self._memory(wish.name, key), 0.0)
            return f"@{wish.name} loses it" if held else f"@{wish.name} does not have it"
        if held and wish.operation == "add":
            return f"@{wish.name} has it already"
        life = self[wish.name].timeout if wish.timeout is None else wish.timeout
        until = float("inf") if life is None else meeting.now + life / 1000
        meeting.remember(self._memory(wish.name, key), until)
        seconds = "" if life is None else f" for {life // 1000} s"
        return f"@{wish.name} {'keeps' if held else 'gets'} it{seconds}"

    def _memory(self, name: str, key: Key) -> tuple[object, ...]:
        return (_MEMORY, self.table, name, key)


def grown(table: Table, memory: Mapping[tuple[Any, ...], Any], since: float, now: float) -> Table:
    """Return a table as nft would list it now: with what packets have added to its sets and counters.

    What expires has the time that is left to it. ``memory`` is the host's, ``since`` when it was listed.
    """
    name = f"{table.family} {table.name}"
    added: dict[str, dict[Key, float]] = {}
    for kind, where, which, key in (k for k in memory if len(k) == 4 and k[0] == _MEMORY):
        if where == name:
            added.setdefault(which, {})[key] = memory[kind, where, which, key]
    found: list[Set | Object | Unknown] = []
    for each in table.sets:
        if isinstance(each, Set):
            found.append(_grown(each, added.get(each.name, {}), since, now))
        else:
            found.append(counted(each, name, memory) if isinstance(each, Object) else each)
    return replace(table, sets=tuple(found))


def _grown(held: Set, added: Mapping[Key, float], since: float, now: float) -> Set:
    kept = []
    for element in held.elements:
        spans = _spans(element.key, held.key)
        if tuple(span.low for span in spans) in added:
            continue
        left = None if element.expires is None else element.expires - round((now - since) * 1000)
        if left is None or left > 0:
            kept.append(replace(element, expires=left))
    for key, until in added.items():
        parts = tuple(written(value, kind) for value, kind in zip(key, held.key, strict=True))
        left = None if until == float("inf") else round((until - now) * 1000)
        if left is None or left > 0:
            kept.append(Element(parts[0] if len(parts) == 1 else Concat(parts), expires=left))
    return replace(held, elements=tuple(kept))
