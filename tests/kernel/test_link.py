"""Dumps of ebtables and arptables beside the real ebtables-nft-restore, arptables-nft-restore and -save.

``python -m tests.kernel.test_link`` records what they make of every rule of ``tests/link``.
"""

from __future__ import annotations

import json
import lzma
import subprocess

import pytest

from tests.kernel.real import body, each
from tests.link.rules import FAMILIES, HERE, dumps, recorded

pytestmark = [pytest.mark.kernel, pytest.mark.needs("ebtables-nft", "arptables-nft")]


def real(case: tuple[str, str]) -> tuple[str, str, str | None]:
    """Restore a dump in a namespace of its own and return what is saved there."""
    program, dump = case
    shell = f"{program}-nft-restore && exec {program}-nft-save"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", shell], input=dump, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return program, dump, None if done.returncode else body(done.stdout)


def everything() -> list[tuple[str, str, str | None]]:
    return list(each(real, [(program, dump) for program in FAMILIES for dump in dumps(program)]))


def test_the_recording_is_what_the_real_tools_do(figure) -> None:
    found, known = everything(), recorded()
    same = sum(one == other for one, other in zip(found, known, strict=True))
    figure("ebtables, arptables: recorded", same, len(found), "dumps as the real tools save them")
    assert found == known


if __name__ == "__main__":
    lines = "".join(json.dumps(one) + "\n" for one in everything())
    (HERE / "recorded.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
