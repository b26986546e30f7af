"""The engine beside the live kernel: random rulesets, random conversations, step by step.

NB_ORACLE_RULESETS sets how many rulesets each backend is asked about, NB_ORACLE_SEED where they begin.
``python -m tests.kernel`` asks for as long as it is let.
"""

from __future__ import annotations

import os

import pytest

from tests.conftest import REQUIRE_ALL
from tests.kernel.compare import Played
from tests.kernel.figures import missing
from tests.kernel.trial import FAMILIES, Trial

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("nft", "ipset", "iptables-nft-restore", "iptables-legacy-restore"),
]
RULESETS = int(os.environ.get("NB_ORACLE_RULESETS", "1200" if REQUIRE_ALL else "100"))
SEED = int(os.environ.get("NB_ORACLE_SEED", "1"))


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_the_engine_does_as_the_kernel(backend: str, figure) -> None:
    with Trial(backend) as trial:
        seeds = range(SEED, SEED + RULESETS // len(FAMILIES))
        wrong = [str(mismatch) for mismatch in trial.run(seeds)]
    tally = trial.tally
    about = f"packets of {tally.sequences:,} sequences over {tally.rulesets:,} rulesets, from seed {SEED}"
    figure(f"random packets, {backend}", tally.packets - tally.mismatches, tally.packets, about)
    assert not wrong, "\n\n".join(wrong[:3])
    assert tally.unrepeated <= max(1, RULESETS // 200), (
        f"{tally}: the lab sees too much that is not so"
    )
    assert len(tally.given_up) <= 1 + RULESETS // 1000, f"{tally}: the lab saw too little"
    if RULESETS >= 1000:
        assert tally.packets >= 100_000
        assert not missing(tally, trial.lacks)


@pytest.mark.parametrize(("lost", "compared"), [(1, 1), (2, 0)])
def test_a_ruleset_that_is_lost_from_sight_is_tried_once_more_and_given_up(
    monkeypatch, lost: int, compared: int
) -> None:
    trial, tries = Trial("nft"), [TimeoutError] * lost

    def play(_seed: int, family: int) -> Played:
        if tries:
            raise tries.pop()
        return Played(family, "nft", "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")

    monkeypatch.setattr(trial, "play", play)
    assert trial.compare(7, 4) is None
    assert trial.tally.rulesets == compared
    assert ("given up: seed 7 IPv4" in str(trial.tally)) == (not compared)
