"""Each match meets packets, and says what a network engineer would."""

from __future__ import annotations

import pytest

from nb_lib.matches import MATCHES, find_match
from nb_lib.text import rule_text
from tests.extensions.world import meet, rule
from tests.matches.facts import FACTS

# Their answers depend on earlier packets: test_over_time.py.
OVER_TIME = ("limit", "hashlimit", "recent", "connlimit", "statistic", "quota")
ROWS = [
    pytest.param(name, fact, id=f"{name}: {fact.rule}") for name in FACTS for fact in FACTS[name]
]


@pytest.mark.parametrize("fact", [pytest.param(row.values[1], id=row.id) for row in ROWS])
def test_a_packet_meets_a_rule(fact) -> None:
    assert meet(fact.rule, fact.packet, fact.world) == fact.answer


@pytest.mark.parametrize(("name", "fact"), ROWS)
def test_a_rule_reads_back_what_it_prints(name, fact) -> None:
    table = fact.world.table if fact.world else "filter"
    family = fact.packet.family
    printed = rule_text(rule(fact.rule, family, table))
    assert rule_text(rule(printed, family, table)) == printed
    assert f"-m {name.partition('/')[0]}" in printed


@pytest.mark.parametrize("name", [name for name in MATCHES if name not in OVER_TIME])
def test_each_match_has_a_hit_a_miss_and_a_negation(name) -> None:
    answers = [fact.answer for fact in FACTS[name]]
    assert "hit" in answers
    if name != "comment":  # which every packet matches
        assert any(answer not in ("hit", "hotdrop") for answer in answers)
    if any(option.invertible for option in MATCHES[name].options):
        assert any("! --" in fact.rule for fact in FACTS[name])


@pytest.mark.parametrize("key", MATCHES)
def test_each_match_says_what_it_is(key) -> None:
    match = MATCHES[key]
    assert match.name == key.partition("/")[0]
    assert match.test is not None
    assert match.summary
    assert "iptables-extensions(8)" in match.source
    assert all(option.help and option.label for option in match.options)
    assert find_match(match.name, match.families[0]) is match


def test_unknown_and_misplaced_names_are_not_found() -> None:
    assert find_match("nosuch", 4) is None
    assert find_match("hl", 4) is None
    assert find_match("ah/6", 6) is None
    assert find_match("icmpv6", 6) is MATCHES["icmp6"]
