"""``python -m nb_lib format`` beside the real iptables-restore and iptables-save.

Every dump of ``written`` goes through both, for nft and legacy: the same text comes out, or both refuse
it. Where we differ, we do so on purpose: ``ON_PURPOSE`` says why.
"""

from __future__ import annotations

import difflib
import io
import sys

import pytest

from nb_lib.__main__ import main
from tests.kernel.real import Saved, each, restore_and_save
from tests.kernel.written import Written, written

pytestmark = pytest.mark.kernel

COMMANDS = "a dump holds -A lines; the other commands are not of iptables-save"
ODD_COUNTERS = "no program writes counters like that"
ON_PURPOSE = {
    "COMMIT without a newline": "a copied dump often lacks its last newline; legacy alone insists on it",
    "-AINPUT": COMMANDS, "-I": COMMANDS, "-I with a number": COMMANDS, "-D": COMMANDS, "-N": COMMANDS,
    "-P": COMMANDS, "-F": COMMANDS, "-X": COMMANDS,
    "counters before and inside a rule, with -c": ODD_COUNTERS,
    "counters with blanks inside": ODD_COUNTERS,
    "negative counters": ODD_COUNTERS,
    "filter:INPUT -j DROPP --now": "an unknown target with options is kept, as the text it is",
    "filter:INPUT -m nonsense -j ACCEPT": "an unknown match is kept, as the text it is",
    "filter:INPUT -j ACCEPT -v": "with -v the restore itself talks; no dump says it",
    "filter:INPUT -4 -j ACCEPT": "rules for both families in one file are no dump",
    "filter:INPUT -6 -j ACCEPT": "the same",
    'filter:INPUT -m comment --comment "a b -j ACCEPT': "iptables reads on in the next line",
}  # fmt: skip


class Standard:
    """Standard input, output and error for one call of ``main``."""

    def __init__(self, text: str) -> None:
        self.buffer = io.BytesIO(text.encode())

    @staticmethod
    def output() -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def ours(monkeypatch: pytest.MonkeyPatch, case: Written, backend: str) -> Saved:
    """Run ``python -m nb_lib format`` on a dump."""
    flags = [*(["-6"] if case.family == 6 else []), *(["-c"] if case.counters else [])]
    out, said = Standard.output(), Standard.output()
    monkeypatch.setattr(sys, "stdin", Standard(case.text))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", said)
    status = main(["format", *flags, *(["--legacy"] if backend == "legacy" else [])])
    monkeypatch.undo()
    texts = []
    for stream in (said, out):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return Saved(status, *texts)


def differ(real: Saved, mine: Saved) -> str:
    """Say how two outcomes differ, or nothing."""
    if real.status and mine.status == 2:
        return ""
    if real.status:
        return f"iptables refuses it: {real.said.strip().splitlines()[0]}"
    if mine.status:
        return f"we refuse it: {mine.said}"
    lines = difflib.unified_diff(
        real.text.splitlines(), mine.text.splitlines(), "real", "ours", n=0, lineterm=""
    )
    return "\n  ".join(lines)


def test_what_people_write_is_restored_as_iptables_restores_it(monkeypatch, figure) -> None:
    cases = [(case, backend) for case in written() for backend in ("nft", "legacy")]
    real = each(
        lambda c: restore_and_save(
            c[0].text, family=c[0].family, backend=c[1], counters=c[0].counters
        ),
        cases,
    )
    wrong, purposely = [], []
    for (case, backend), theirs in zip(cases, real, strict=True):
        difference = differ(theirs, ours(monkeypatch, case, backend))
        if difference and case.name in ON_PURPOSE:
            purposely.append(case.name)
        elif difference:
            wrong.append(f"{case.name} (IPv{case.family}, {backend})\n  {difference}")
    equal = len(cases) - len(wrong) - len(purposely)
    figure("format", equal, len(cases), f"({len(purposely)} differ on purpose)")
    assert not wrong, "\n".join(wrong[:10])
    assert {*purposely} == ON_PURPOSE.keys(), "what no longer differs has no place in ON_PURPOSE"
