"""Random commands in random sequences: the real iptables, nft and legacy, and nb_lib say the same.

NB_CLI_COMMANDS sets how many commands, NB_CLI_SEED where they begin. ``python -m tests.cli`` files
differences by kind.
"""

from __future__ import annotations

import os

import pytest

from tests.cli.live import compare, report
from tests.conftest import REQUIRE_ALL

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("xtables-nft-multi", "xtables-legacy-multi", "ipset"),
]
COMMANDS = int(os.environ.get("NB_CLI_COMMANDS", "20000" if REQUIRE_ALL else "3000"))
SEED = int(os.environ.get("NB_CLI_SEED", "1"))


def test_commands_do_and_say_what_the_real_ones_do_and_say(figure) -> None:
    tally = compare(COMMANDS, SEED)
    about = f"in {tally.sequences:,} sequences, {tally.listings:,} of them listings with counters"
    figure("commands as typed", tally.equal, tally.commands - tally.crashed, about)
    assert not tally.found, report(tally, shown=3)
    assert tally.commands >= COMMANDS
    assert tally.crashed <= tally.commands // 200, "the real programs crash too often to be a judge"
    assert tally.commands // 4 <= tally.refused <= tally.commands * 3 // 4
    assert tally.listings * 10 >= tally.commands
