"""Frames on a bridge beside the live kernel: random rules of all four families, random frames.

NB_BRIDGE_RULESETS sets how many rulesets are tried, NB_BRIDGE_SEED where they begin.
``python -m tests.kernel.test_bridge`` records some for ``tests/engine/test_recorded_frames.py``.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator

import pytest

from nb_lib.frame import write_frame
from nb_lib.text import check
from tests.kernel.bridge_compare import difference, host, put
from tests.kernel.bridge_lab import BridgeLab, Seen
from tests.kernel.bridge_rules import Rules, frames
from tests.recordings import HERE as RECORDINGS

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("nft", "ebtables-nft-restore", "arptables-nft-restore"),
]
RULESETS = int(os.environ.get("NB_BRIDGE_RULESETS", "60"))
SEED = int(os.environ.get("NB_BRIDGE_SEED", "1"))
FRAMES = 60
RECORDED = 15  # rulesets
Dumps = dict[str, str]


@pytest.fixture(scope="module")
def lab() -> Iterator[BridgeLab]:
    with BridgeLab() as live:
        yield live


def tried(lab: BridgeLab, seed: int) -> Iterator[tuple[Dumps, int, str, bytes, Seen]]:
    """Load one ruleset; yield its dumps, br_netfilter's switch, and each frame with what became of it."""
    dumps, calls = Rules(seed).dumps(), int(seed % 3 != 0)
    lab.load(dumps, calls=calls)
    for port, frame in frames(seed, FRAMES):
        data = write_frame(frame) if port else frame.data
        yield dumps, calls, port, data, lab.inject(port, data) if port else lab.send(data)


def test_frames_go_as_in_the_kernel(lab: BridgeLab, figure) -> None:
    total, wrong, machine, known = 0, [], None, None
    for seed in range(SEED, SEED + RULESETS):
        for dumps, calls, port, data, seen in tried(lab, seed):
            if dumps is not known:
                machine, known = host(dumps, calls, machine), dumps
                assert not [error for each in machine.rulesets.values() for error in check(each)]
            total += 1
            trace = put(machine, port, data)
            if differs := difference(trace, seen, machine):
                rules = "\n".join(dumps.values())
                wrong.append(
                    f"seed {seed} calls {calls} {port or 'local'} {data.hex()}\n{differs}\n{rules}"
                )
    figure(
        "random frames on a bridge",
        total - len(wrong),
        total,
        f"over {RULESETS} rulesets, seed {SEED}",
    )
    assert not wrong, "\n\n".join(wrong[:3])


def record() -> None:
    """Write what the kernel does with the frames of some rulesets, for those who have none."""
    lines = []
    with BridgeLab() as live:
        for seed in range(RECORDED):
            found = list(tried(live, seed))
            dumps, calls = found[0][:2]
            seen = [[port, data.hex(), one.steps, [(p, f.hex()) for p, f in one.out]]
                    for *_, port, data, one in found]  # fmt: skip
            lines.append(json.dumps({"dumps": dumps, "calls": calls, "frames": seen}))
    (RECORDINGS / "bridge.jsonl.xz").write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))


if __name__ == "__main__":
    record()
