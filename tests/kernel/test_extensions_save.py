"""Every option of every extension, put before the real iptables on this machine, nft and legacy.

By default one generated rule in twelve is asked about; ``NB_ALL_RULES=1`` asks about all of them
(some 180,000, about five minutes).
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.extensions.compare import differs
from tests.extensions.figures import live

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("iptables-nft-restore", "ip6tables-legacy-restore", "ipset", "cc"),
]
_JUDGED = "v1.8.9"


def test_rules_are_accepted_refused_and_saved_as_by_the_real_iptables(figure) -> None:
    version = subprocess.run(
        ["iptables-nft", "--version"], capture_output=True, text=True, check=True
    ).stdout
    verdicts = live(1 if os.environ.get("NB_ALL_RULES") else 12)
    wrong = [text for case, saved in verdicts.items() if (text := differs(case, saved))]
    equal = len(verdicts) - len(wrong)
    figure("rules of every extension", equal, len(verdicts), f"as {version.strip()}")
    # Another version of iptables may print a rule in other words.
    tolerated = 0 if _JUDGED in version else len(verdicts) // 100
    assert len(wrong) <= tolerated, "\n".join(wrong[:20])
