"""The lines that chapter 1 shows are those that this machine's kernel writes, too."""

from __future__ import annotations

import pytest

from tests.kernel.monitor import FOLDER, MONITORS, monitored, steps

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("nft", "xtables-monitor", "iptables-nft-restore"),
]


def test_the_monitors_tell_the_recorded_steps() -> None:
    printed = monitored()
    assert printed.keys() == MONITORS.keys()
    for program, text in printed.items():
        assert steps(program, text) == steps(program, (FOLDER / f"{program}.txt").read_text())
