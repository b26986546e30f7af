"""What a run found, as the one file that the book reads: ``python -m tests.kernel --write data/truth.json``.

The book's last chapter shows it (nb_lib/views/truth.py); nothing in it is written by hand.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.engine.router import ADDRESSES, PEERS, ROUTES
from tests.extensions.figures import count, extensions
from tests.extensions.judge import Case
from tests.extensions.recorded import recorded
from tests.kernel.compare import FACTS, SYSCTLS
from tests.kernel.recording import read
from tests.kernel.tally import CORE
from tests.kernel.trial import Mismatch, Trial

ALL = "all"  # the row of all rules: one rule may name several extensions
SHOWN = 5  # differences of a backend that are told
WIDEST = 160  # letters of a line that tells one: packets are long
_RARE = "chosen packets: tests/kernel/test_rare_extensions.py"
_TEXTS = "its texts alone; the facts in tests/matches are from the kernel's source"
_ABSENT = "its texts alone; the kernel here lacks it"
# What random rules leave out, and what is compared with reality instead.
ELSEWHERE = {
    "connlimit": "packets at known times: tests/kernel/test_over_time.py",
    **dict.fromkeys(("cluster", "osf", "srh", "DNPT", "SNPT"), _RARE),
    **dict.fromkeys(("ipcomp", "nfacct", "rateest"), _TEXTS),
    **dict.fromkeys(("ipvs", "CLUSTERIP", "LED", "QUEUE", "SECMARK", "ULOG"), _ABSENT),
}


def backend(trial: Trial, mismatches: Sequence[Mismatch]) -> dict[str, Any]:
    """Return what one backend was asked, what it refused, and the first differences."""
    return trial.tally.as_data() | {
        "refused": sorted({text for texts in trial.refused.values() for text in texts}),
        "differences": [told(mismatch) for mismatch in mismatches],
    }


def told(mismatch: Mismatch) -> dict[str, str]:
    """Return a difference in short: how to see it again, and what differs, ours | the kernel's."""
    played, seed = mismatch.played, mismatch.seed
    return {
        "case": f"--backend {played.backend} --seed {seed} --rulesets 2 (IPv{played.family})",
        "differs": "\n".join(
            line.strip(" ≠")[:WIDEST]
            for line in mismatch.difference.text.splitlines()
            if "≠" in line
        ),
    }


def write(path: Path, backends: Mapping[str, dict[str, Any]]) -> None:
    """Write the file; what other runs put there stays: the other backend, the suite's own comparisons."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    said = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=True)
    found = {
        "kernel": _version(os.uname().release),
        "iptables": _version(said.stdout),
        "backends": {**kept.get("backends", {}), **backends},
        "elsewhere": ELSEWHERE,
        "rules": rules(),
        "sample": sample(),
        "compared": kept.get("compared", []),
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rules() -> dict[str, dict[str, int]]:
    """Return how many rules of each extension are accepted and saved as the real iptables did.

    The two forms of an extension, IPv4's and IPv6's, are counted as one.
    """

    def names(case: Case) -> set[str]:
        found = {key.partition("/")[0] for key in extensions(case)}
        return {CORE if name == "core" else name for name in found} | {ALL}

    return dict(sorted(count(recorded(), names).items()))


def sample() -> dict[str, Any]:
    """Return the recorded ruleset whose first packet met most on its way through, to be looked at."""
    games = (
        played
        for played in read()
        if (played.backend, played.family) == ("nft", 4)
        and played.packets[0][0] in PEERS
        and played.packets[0][2].end.startswith("forward")
    )
    played = max(games, key=lambda played: len(played.packets[0][2].steps))
    wire, packet, seen = played.packets[0]
    return {
        "rules": played.dump,
        "ipsets": played.ipsets,
        "host": {"addresses": ADDRESSES, "routes": ROUTES, "sysctls": SYSCTLS,
                 "facts": {**FACTS, "cpu": played.cpu}, "now": played.now},
        "device": PEERS[wire],
        "packet": packet.hex(),
        "steps": seen.steps,
        "left": [data.hex() for _, data in seen.out],
    }  # fmt: skip


def _version(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    assert found is not None, f"no version in {text!r}"
    return found[0]
