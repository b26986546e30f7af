"""All mistakes of a dump at once."""

from __future__ import annotations

import time

import pytest

from nb_lib.text.mistakes import MOST_READINGS, mistakes
from tests.recordings import dumps

BROKEN = """\
*filter
:INPUT SOMETIMES [0:0]
:web - [0:0]
-A INPUT -p tcp --dprt 80 -j ACCEPT
-I INPUT -j DROP
-A wed -j DROP
-A web -p tcp --dport 80:x -j ACCEPT
hello
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j DROP
COMMIT
"""


def test_lines_that_are_none_do_not_hide_the_others() -> None:
    assert [(error.lineno, error.token) for error in mistakes(BROKEN)] == [
        (2, "SOMETIMES"), (4, "--dprt"), (5, "-I"), (6, "wed"), (7, "80:x"), (8, "hello"), (12, "DROP"),
    ]  # fmt: skip
    assert [error.hint for error in mistakes(BROKEN)][3] == "did you mean web?"


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_no_more_are_returned_than_are_wanted(limit: int) -> None:
    assert len(mistakes(BROKEN, limit=limit)) == limit


def test_a_dump_that_is_cut_off_is_read_to_its_end() -> None:
    found = mistakes("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT --nonsense\n")
    assert [error.reason for error in found] == [
        'unknown option "--nonsense"', "the table filter has no COMMIT: the dump is cut off",
    ]  # fmt: skip


def test_garbage_ends() -> None:
    began = time.monotonic()
    found = mistakes("hello\n" * 100_000)
    assert [error.lineno for error in found] == list(range(1, MOST_READINGS + 1))
    assert time.monotonic() - began < 20


def test_recorded_dumps_have_none() -> None:
    for text in [*dumps().values()][::25]:
        assert mistakes(text) == []
