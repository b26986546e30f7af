"""The real iptables-restore reads every recorded dump, and saves what we say it would."""

from __future__ import annotations

import difflib
import re

import pytest

from nb_lib.rules import Ruleset
from nb_lib.text import parse, save
from nb_lib.text.restore import restored
from tests.kernel.real import each, restore_and_save
from tests.recordings import dumps, ipsets

pytestmark = pytest.mark.kernel


def counted(text: str) -> bool:
    """Tell whether a dump was saved with -c."""
    return re.search(r"^\[\d+:\d+\] -A", text, re.MULTILINE) is not None


def ruleset(name: str) -> Ruleset:
    return parse(dumps()[name], family=6 if re.search(r"ip6tables|\.ip6\.", name) else 4)


def difference(name: str) -> str:
    """Return how the kernel's text of a dump differs from ours, or an empty string."""
    rules, counters = ruleset(name), counted(dumps()[name])
    ours = save(restored(rules, counters=counters), counters=counters)
    real = restore_and_save(dumps()[name], family=rules.family, backend=rules.backend,
                            counters=counters, ipsets=ipsets(name))  # fmt: skip
    if real.status:
        return f"{name}: iptables-restore refuses it: {real.said}"
    lines = difflib.unified_diff(
        real.text.splitlines(), ours.splitlines(), "real", "ours", n=0, lineterm=""
    )
    return "\n  ".join([name, *lines]) if real.text != ours else ""


@pytest.mark.needs("ipset")
def test_every_dump_is_saved_as_the_kernel_saves_it(figure) -> None:
    wrong = [text for text in each(difference, dumps()) if text]
    figure(
        "restore",
        len(dumps()) - len(wrong),
        len(dumps()),
        "dumps saved by the real iptables as by us",
    )
    assert not wrong, "\n".join(wrong[:5])
