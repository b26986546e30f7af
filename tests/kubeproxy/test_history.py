"""The history of kube-proxy's chains tells each fact in which two versions differ, and no other."""

from __future__ import annotations

from itertools import pairwise

from nb_lib.kubeproxy.eras import ERAS
from nb_lib.kubeproxy.history import differing, history


def test_every_difference_is_told_and_nothing_else() -> None:
    for old, new in pairwise(ERAS.values()):
        told = {fact for one in history() if one.version == new.version for fact in one.facts}
        assert told == differing(old, new), new.version


def test_nothing_is_told_twice() -> None:
    found = list(history())
    assert len({(one.version, one.facts) for one in found}) == len(found)
    assert all(one.what and one.reason for one in found)
