"""nft rulesets beside the live kernel: random rulesets, random conversations, step by step.

NB_NFT_RULESETS sets how many rulesets are tried.
"""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from nb_lib.packet import Packet
from nb_lib.views.text import trace_text
from tests.kernel.compare import Difference, Played, follow
from tests.kernel.flows import flows
from tests.kernel.lab import Lab
from tests.kernel.nft_rules import ruleset
from tests.kernel.oracle import Oracle
from tests.kernel.play import play

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]
RULESETS = int(os.environ.get("NB_NFT_RULESETS", "60"))
CONVERSATIONS = 16
FAMILIES = {4: "ip", 6: "ip6"}


def told(seed: int, played: Played, found: Difference) -> str:
    """Tell of a packet that goes another way here than there."""
    device, data, _ = played.packets[found.at]
    lines = [
        f"seed {seed}",
        played.dump,
        f"{device}: {Packet(data=data)}",
        "nb_lib | kernel",
        found.text,
    ]
    return "\n".join([*lines, trace_text(found.trace) if found.trace else ""])


def test_the_engine_does_as_the_kernel(figure) -> None:
    wrong, packets, rules = [], 0, 0
    with Lab("nftables") as lab, closing(Oracle(lab)) as oracle:
        for seed in range(RULESETS):
            family = (4, 6)[seed % 2]
            talks = flows(seed, family, CONVERSATIONS)
            played = play(oracle, ruleset(seed, FAMILIES[family]), family, talks)
            for trace, found in follow(played):
                packets += 1
                rules += len(trace.steps) if trace else 0
                if found:
                    wrong.append(told(seed, played, found))
    about = f"packets over {RULESETS} random nft rulesets, {rules:,} steps"
    figure("random packets, nftables", packets - len(wrong), packets, about)
    assert not wrong, f"{len(wrong)}\n" + "\n\n".join(wrong[:2])
    assert packets > 20 * RULESETS
