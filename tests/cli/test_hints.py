"""Our own hints: apart from what the real program says, and saying what it leaves unsaid."""

from __future__ import annotations

import pytest

from nb_lib import iptables, parse

RULES = """\
*filter
:red - [0:0]
:blue - [0:0]
-A INPUT -j red
-A red -j blue
COMMIT
"""
HINTS = {
    "-A INPUT -p tcp --dprt 80": "did you mean --dport?",
    "-A INPUT --dport 80": "--dport comes with -p tcp: put it before",
    "-A INPUT -j ACEPT": "did you mean ACCEPT?",
    "-A INPUT -j DNAT --to-destination 10.0.0.1": "DNAT stands in table nat, not in filter",
    "-A blue -j red": "these chains call each other without end: red → blue → red",
    "-A blue -j INPUT": "packets come to a built-in chain from its hook: no rule jumps to one",
    "-X blue": "rules jump to it: delete those first",
    "-A blue -j DROP": "",
}


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("line", HINTS)
def test_a_hint_stands_apart_from_what_is_printed(backend, line) -> None:
    result = iptables(parse(RULES, backend=backend), line)
    assert result.hint == HINTS[line]
    assert bool(result.status) == bool(result.hint)
    assert not result.hint or result.hint not in result.stdout + result.stderr


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_chain_with_rules_is_to_be_emptied(backend) -> None:
    rules = parse("*filter\n:red - [0:0]\n-A red -j DROP\nCOMMIT\n", backend=backend)
    assert iptables(rules, "-X red").hint == "it has rules: -F empties it"
