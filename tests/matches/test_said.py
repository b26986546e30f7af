"""What iptables says of matches and of a rule's words, and how it lists them, beside tests/extensions.

said.txt was made with iptables-nft 1.8.9: a rule, and below it the exit status of ``-A c RULE`` with what was
said behind the program's name and before the line of help; or, of a rule that is taken, the last line of
``-L c -n`` and that of ``-L c``.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from nb_lib.cli import Result, State, run

_BLOCKS = Path(__file__).with_name("said.txt").read_text().removesuffix("\n").split("\n\n")
ROWS = [block.split("\n") for block in _BLOCKS]


def appended(rule: str) -> Result:
    made = run(State(), ("iptables-nft", "-N", "c"))
    return run(made.state, ("iptables-nft", "-A", "c", *shlex.split(rule)))


@pytest.mark.parametrize(("rule", "said"), [row for row in ROWS if len(row) == 2])
def test_a_rule_is_refused_in_iptables_own_words(rule: str, said: str) -> None:
    done = appended(rule)
    text = done.stderr.partition("\nTry `iptables")[0].rstrip("\n")
    assert f"{done.status} {text.removeprefix('iptables v1.8.9 (nf_tables): ')}" == said


@pytest.mark.parametrize(("rule", "numeric", "named"), [row for row in ROWS if len(row) == 3])
def test_a_rule_is_listed_with_numbers_and_with_names(rule: str, numeric: str, named: str) -> None:
    state = appended(rule).state
    lists = (run(state, ("iptables-nft", "-L", "c", *flag)).stdout for flag in (("-n",), ()))
    assert [text.splitlines()[-1] for text in lists] == [numeric, named]
