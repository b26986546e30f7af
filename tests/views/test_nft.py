"""Every view takes a trace through nft's chains."""

from __future__ import annotations

import nb_lib.views  # noqa: F401 - registers how values show themselves
from tests.engine.test_nft import host, packet


def test_every_view_takes_its_traces() -> None:
    found = host("numgen random mod 2 vmap { 0 : accept, 1 : goto web }").explore(packet(), "eth0")
    assert "ip t pre (1 rule, policy ACCEPT)" in str(found[1])
    for each in (found, found[1]):
        shown = each._repr_mimebundle_()
        assert "<svg" in shown["text/html"]
        assert "numgen random mod 2" in shown["text/html"] or each is found
    assert len(found[1].table()) > 3
