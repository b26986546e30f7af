"""Frozen values that change often: a copy with other fields, without their makers' work.

``dataclasses.replace`` goes through ``__init__`` and ``__post_init__``: for a Packet it reads the
header again. A packet on its way through a host changes a dozen times, and the header once or twice.
"""

from __future__ import annotations

from typing import Any, TypeVar

Value = TypeVar("Value")


def changed(value: Value, /, **fields: Any) -> Value:
    """Return a copy of a dataclass (without slots), with some fields changed and nothing computed anew."""
    assert fields.keys() <= value.__dict__.keys(), fields
    copy: Value = object.__new__(type(value))
    copy.__dict__.update(value.__dict__)
    copy.__dict__.update(fields)
    return copy
