"""Every recorded dump parses, is free of errors, and saves back byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from nb_lib.text import check, parse, save
from tests.recordings import dumps


def body(text: str) -> str:
    """The dump without its ``#`` lines, which carry a date."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def family(name: str) -> int:
    return 6 if re.search(r"ip6tables|\.ip6\.", name) else 4


@pytest.mark.parametrize("name", dumps())
def test_a_dump_saves_back_unchanged(name: str) -> None:
    text = dumps()[name]
    ruleset = parse(text, family=family(name))
    assert check(ruleset) == []
    counters = bool(re.search(r"^\[\d+:\d+\] -A", text, re.MULTILINE))
    # The order of tables is the file's own: recordings may hold a part of a host's tables.
    assert save(ruleset, counters=counters, order=ruleset.tables) == body(text)


def test_the_backend_orders_the_tables(figure: Callable[..., None]) -> None:
    """What names its backend in the header is ordered as that backend does."""
    equal = [save(parse(text, family=family(name))) == body(text) for name, text in dumps().items()
             if not re.search(r"^\[\d+:\d+\] -A", text, re.MULTILINE)]  # fmt: skip
    figure(
        "dumps", sum(equal), len(equal), "saved back byte for byte, tables in the backend's order"
    )
    assert all(equal)
    assert len(equal) > 450
