"""The real iptables-restore takes every redacted dump, and the kernel means the same by its rules as text."""

from __future__ import annotations

import pytest

from nb_lib.redact import redact
from nb_lib.text import parse, save
from nb_lib.text.restore import restored
from tests.kernel.real import each, restore_and_save
from tests.redact.hosts import files, folders

pytestmark = pytest.mark.kernel


def wrong(folder: str) -> list[str]:
    """Return what the real program says of a folder's redacted dumps, if it is not what nb_lib says."""
    done = redact(files(folder), f"key of {folder}").files
    found = []
    for name, family in (("iptables-save.txt", 4), ("ip6tables-save.txt", 6)):
        if name not in done:
            continue
        ruleset = parse(done[name], family=family)
        real = restore_and_save(done[name], family=family, backend=ruleset.backend,
                                ipsets=done.get("ipset-save.txt", ""))  # fmt: skip
        if real.status or real.text != save(restored(ruleset)):
            found.append(f"{folder}/{name}: {real.said or 'saved otherwise'}")
    return found


@pytest.mark.needs("ipset")
def test_the_real_program_takes_every_redacted_dump(figure) -> None:
    found = [text for texts in each(wrong, folders()) for text in texts]
    dumps = sum(name.endswith("tables-save.txt") for folder in folders() for name in files(folder))
    figure(
        "redacted",
        dumps - len(found),
        dumps,
        "redacted dumps restored and saved by the real iptables",
    )
    assert found == []
