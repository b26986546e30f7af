"""Thousands of rules: accepted, refused and printed as the real iptables did when it was recorded."""

from __future__ import annotations

import pytest

from nb_lib.matches import MATCHES, find_match
from nb_lib.targets import TARGETS, find_target
from tests.extensions.compare import differs
from tests.extensions.figures import by_extension
from tests.extensions.judge import Case
from tests.extensions.recorded import recorded, recorded_helps

# The recording kernel lacks nft_queue (QUEUE) and an SELinux policy (SECMARK).
NEEDS_MORE = ("QUEUE", "SECMARK")


@pytest.fixture(scope="module")
def verdicts() -> dict[Case, tuple[str, ...]]:
    return recorded()


def test_rules_are_accepted_refused_and_saved_as_recorded(verdicts, figure) -> None:
    wrong = [text for case, saved in verdicts.items() if (text := differs(case, saved))]
    figure("rules of every extension", len(verdicts) - len(wrong), len(verdicts), "as recorded")
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize(
    ("flag", "name"),
    [("-m", n) for n in MATCHES] + [("-j", n) for n in TARGETS if n not in NEEDS_MORE],
)
def test_each_extension_is_among_the_accepted_rules(flag, name, verdicts) -> None:
    name, _, family = name.partition("/")
    rules = [c for c, saved in verdicts.items() if saved and f" {flag} {name} " in f" {saved[0]} "]
    assert any(not family or case.family == int(family) for case in rules)


def test_each_option_that_a_help_text_names_is_known() -> None:
    unknown = []
    for key, options in recorded_helps().items():
        flag, name, family = key.split()
        found = (find_target if flag == "-j" else find_match)(name, int(family))
        unknown += [(key, option) for option in options if not found or option not in found.by_name]
    assert not unknown


def test_the_figures_tell_accepting_from_saving() -> None:
    kept = Case(4, "filter", "-m mark --mark 5")  # nb_lib, like iptables, saves --mark 0x5
    refused = Case(4, "filter", "-m mark --mark five")
    said = {kept: ("-m mark --mark 5",), refused: (), Case(4, "filter", "-p tcp"): ()}
    assert by_extension(said) == {
        "mark": {"asked": 2, "accepted_equal": 2, "saved_equal": 1},
        "core": {"asked": 1, "accepted_equal": 0, "saved_equal": 0},
    }
