"""Thousands of rules: accepted, refused and printed as the real iptables did when it was recorded."""

from __future__ import annotations

import pytest

from nb_lib.matches import MATCHES
from nb_lib.targets import TARGETS
from tests.extensions.compare import differs, is_known
from tests.extensions.judge import Case
from tests.extensions.recorded import recorded

# The recording kernel lacks nft_queue (QUEUE) and an SELinux policy (SECMARK).
NEEDS_MORE = ("QUEUE", "SECMARK")


@pytest.fixture(scope="module")
def verdicts() -> dict[Case, tuple[str, ...]]:
    return recorded()


def test_rules_are_accepted_refused_and_saved_as_recorded(verdicts, figure) -> None:
    wrong = {case: text for case, saved in verdicts.items() if (text := differs(case, saved))}
    figure("rules of every extension", len(verdicts) - len(wrong), len(verdicts), "as recorded")
    unexplained = [text for case, text in wrong.items() if not is_known(case)]
    assert not unexplained, "\n".join(unexplained[:20])


@pytest.mark.parametrize(
    ("flag", "name"),
    [("-m", n) for n in MATCHES] + [("-j", n) for n in TARGETS if n not in NEEDS_MORE],
)
def test_each_extension_is_among_the_accepted_rules(flag, name, verdicts) -> None:
    name, _, family = name.partition("/")
    rules = [c for c, saved in verdicts.items() if saved and f" {flag} {name} " in f" {saved[0]} "]
    assert any(not family or case.family == int(family) for case in rules)
