"""``conntrack -L`` of the real kernel beside ours, line by line."""

from __future__ import annotations

import re

import pytest

from nb_lib.views.connections import conntrack_text
from tests.kernel.connections import DATA, host, listed, play
from tests.kernel.lab import Lab

_COUNTED = re.compile(r"packets=(\d+) bytes=(\d+) ")


def _lines(text: str) -> list[str]:
    """Leave out what our lines have not: seconds, counters, references."""
    text = re.sub(r"^(\S+ +\d+) \d+ ", r"\1 ", text, flags=re.MULTILINE)
    return sorted(re.sub(r"packets=\d+ bytes=\d+ | use=\d+", "", text).splitlines())


def _compare(kernel: str) -> None:
    ours = host()
    play(ours)
    assert _lines(kernel) == sorted(conntrack_text(ours.conntrack).splitlines())
    counters = [list(zip(one.packets, one.bytes, strict=True)) for one in ours.conntrack]
    theirs = [[(int(a), int(b)) for a, b in _COUNTED.findall(line)] for line in kernel.splitlines()]
    assert sorted(theirs) == sorted(counters)


def test_the_recorded_listing_is_ours() -> None:
    _compare((DATA / "conntrack-L.txt").read_text())


@pytest.mark.kernel
@pytest.mark.needs("conntrack", "iptables-nft-restore")
def test_the_live_listing_is_ours() -> None:
    with Lab() as lab:
        _compare(listed(lab))
