"""Every option of every extension, put before the real iptables on this machine.

By default one generated rule in twelve is asked about; ``NB_ALL_RULES=1`` asks about all of them
(some 60,000, about a minute).
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.extensions.compare import differs, is_known
from tests.extensions.judge import judge
from tests.extensions.recorded import cases
from tests.extensions.rules import SETUP

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("iptables-nft-restore", "ip6tables-nft-restore", "ipset"),
]
_JUDGED = "v1.8.9"


def test_rules_are_accepted_refused_and_saved_as_by_the_real_iptables(figure) -> None:
    version = subprocess.run(
        ["iptables-nft", "--version"], capture_output=True, text=True, check=True
    ).stdout
    asked = cases(1 if os.environ.get("NB_ALL_RULES") else 12)
    verdicts = judge(asked, setup=SETUP)
    wrong = {
        case: text
        for case, verdict in zip(asked, verdicts, strict=True)
        if (text := differs(case, verdict.saved))
    }
    figure("rules of every extension", len(asked) - len(wrong), len(asked), f"as {version.strip()}")
    unexplained = [text for case, text in wrong.items() if not is_known(case)]
    if _JUDGED not in version:
        assert len(unexplained) <= len(asked) // 100, "\n".join(unexplained[:20])
        return
    assert not unexplained, "\n".join(unexplained[:20])
