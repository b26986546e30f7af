"""The rules of a chain that is being edited: each edit is a new value and shares what did not change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload

from nb_lib.rules import Rule
from nb_lib.text.decode import called_by


class _Later(NamedTuple):
    """A rule of a dump that nobody has looked at yet."""

    source: Sequence[Rule]
    at: int


class Rules(Sequence[Rule]):
    """Rules, some of them still text; ``edit()`` returns new ones."""

    __slots__ = ("_called", "_items")

    def __init__(
        self, items: tuple[Rule | _Later, ...], called: Counter[str] | None = None
    ) -> None:
        self._items = items
        self._called = called

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Rule: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Rule]: ...
    def __getitem__(self, index: int | slice) -> Rule | Sequence[Rule]:
        if isinstance(index, slice):
            return Rules(self._items[index])
        item = self._items[index]
        return item if isinstance(item, Rule) else item.source[item.at]

    @property
    def called(self) -> Counter[str]:
        """The chains and targets that the rules call, and how often."""
        if self._called is None:
            self._called = Counter(filter(None, map(called_by, self)))
        return self._called

    def edit(self, start: int, stop: int, new: Iterable[Rule] = ()) -> Rules:
        """Return the rules with those from ``start`` to before ``stop`` exchanged for ``new``."""
        new = tuple(new)
        items = self._items[:start] + new + self._items[stop:]
        if self._called is None:
            return Rules(items)
        called = Counter(self._called)
        called.update(filter(None, map(called_by, new)))
        called.subtract(filter(None, map(called_by, self[start:stop])))
        return Rules(items, +called)


def editable(rules: Sequence[Rule]) -> Rules:
    """Return rules that can be edited; those of a dump stay text until somebody looks."""
    if isinstance(rules, Rules):
        return rules
    if isinstance(rules, tuple):
        return Rules(rules)
    return Rules(tuple(_Later(rules, index) for index in range(len(rules))))


def difference(old: Sequence[Rule], new: Sequence[Rule]) -> tuple[int, int, int]:
    """Return where two lists of rules differ: ``old[start:stop]`` has become ``new[start:end]``.

    Rules that both share are not read.
    """
    was, now = editable(old)._items, editable(new)._items  # noqa: SLF001 - it is a method of two
    start, stop, end = 0, len(was), len(now)
    while start < min(stop, end) and was[start] == now[start]:
        start += 1
    while start < min(stop, end) and was[stop - 1] == now[end - 1]:
        stop, end = stop - 1, end - 1
    return start, stop, end
