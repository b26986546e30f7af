"""Where values meet the views that show them.

Traces and rulesets live below the views and must not import them. They ask here to be shown; the
views register how (``bundle.register``). Without views a value shows itself as its plain ``repr``.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def text(value: object) -> str:
    """Return ``value`` in words for a terminal or a screen reader."""
    return object.__repr__(value)


@singledispatch
def bundle(value: object) -> dict[str, Any]:
    """Return ``value`` as a Jupyter MIME bundle."""
    return {"text/plain": text(value)}


@singledispatch
def frame(value: object) -> Any:
    """Return ``value`` as a pandas DataFrame."""
    raise TypeError(f"no table is known for {type(value).__name__}")
