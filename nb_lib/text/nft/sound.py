"""Whether values have the types that they declare: JSON may hold anything anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _words(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


_CHECKS: dict[str, Callable[[object], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": _number,
    "int | None": lambda value: value is None or _number(value),
    "tuple[str, ...]": _words,
    "tuple[int, int] | None": lambda value: value is None or all(map(_number, value)),  # type: ignore[call-overload]
}


@cache
def _fields(kind: type) -> tuple[tuple[str, Callable[[object], bool] | None], ...]:
    return tuple((each.name, _CHECKS.get(str(each.type))) for each in fields(kind))


def sound(value: Any) -> None:
    """Raise ValueError for a field, however deep, that is not of its declared type."""
    if is_dataclass(value) and not isinstance(value, type):
        for name, check in _fields(type(value)):
            held = getattr(value, name)
            if check is None:
                sound(held)
            elif not check(held):
                raise ValueError(f"{type(value).__name__.lower()}: {held!r} is no {name}")
    elif isinstance(value, tuple):
        _all(value)


def _all(values: Iterable[Any]) -> None:
    for each in values:
        if not isinstance(each, str):
            sound(each)
