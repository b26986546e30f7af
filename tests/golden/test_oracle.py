"""What the live kernel did with random rulesets and conversations, replayed: no root is needed.

``python -m tests.kernel --record`` wrote ``oracle.jsonl.xz``: whole conversations with both backends, IPv4
and IPv6, so conntrack and translation are compared over time. ``mended.jsonl`` holds what long runs found
and what was mended then, each as small as it could be made.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.kernel.compare import Played, follow
from tests.kernel.recording import FILE, from_data, read

MENDED = (FILE.parent / "mended.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def games() -> list[Played]:
    return list(read())


def test_nb_lib_does_what_the_kernel_did(games: list[Played], figure) -> None:
    total, wrong = 0, []
    for number, played in enumerate(games):
        for _, difference in follow(played):
            total += 1
            if difference:
                place = f"game {number}, packet {difference.at}"
                wrong.append(f"{place}\n{difference.text}\n{played.dump}")
    about = f"packets, {len(games)} rulesets, both backends"
    figure("recorded conversations", total - len(wrong), total, about)
    assert not wrong, "\n\n".join(wrong[:3])
    assert total == sum(len(played.packets) for played in games)


@pytest.mark.parametrize("line", MENDED, ids=range(len(MENDED)))
def test_what_was_found_stays_mended(line: str) -> None:
    played = from_data(json.loads(line))
    differences = [difference.text for _, difference in follow(played) if difference]
    assert not differences, "\n".join([*differences, played.dump])


def test_the_recording_holds_what_it_should(games: list[Played]) -> None:
    kinds = Counter((played.backend, played.family) for played in games)
    assert set(kinds) == {(backend, family) for backend in ("nft", "legacy") for family in (4, 6)}
    ends = Counter(seen.end.partition(" ")[0] for played in games for _, _, seen in played.packets)
    assert min(ends["local"], ends["forward"], ends[""]) > 500
    assert sum(len(seen.answers) for played in games for _, _, seen in played.packets) > 100
