"""What the live kernel did with random rulesets and conversations, replayed: no root is needed.

``python -m tests.kernel --record`` wrote the file. It holds whole conversations with both backends, IPv4
and IPv6, so conntrack and translation are compared over time.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.kernel.compare import Played, follow
from tests.kernel.recording import read


@pytest.fixture(scope="module")
def games() -> list[Played]:
    return list(read())


def test_nb_lib_does_what_the_kernel_did(games: list[Played], figure) -> None:
    total, wrong = 0, []
    for number, played in enumerate(games):
        for _, difference in follow(played):
            total += 1
            if difference:
                wrong.append(
                    f"game {number}, packet {difference.at}\n{difference.text}\n{played.dump}"
                )
    figure(
        "recorded conversations",
        total - len(wrong),
        total,
        f"packets, {len(games)} rulesets, both backends",
    )
    assert not wrong, "\n\n".join(wrong[:3])
    assert total == sum(len(played.packets) for played in games)


def test_the_recording_holds_what_it_should(games: list[Played]) -> None:
    kinds = Counter((played.backend, played.family) for played in games)
    assert set(kinds) == {(backend, family) for backend in ("nft", "legacy") for family in (4, 6)}
    ends = Counter(seen.end.partition(" ")[0] for played in games for _, _, seen in played.packets)
    assert min(ends["local"], ends["forward"], ends[""]) > 500
    assert sum(len(seen.answers) for played in games for _, _, seen in played.packets) > 100
