"""nftables mode in the loop: the table is written anew at each sync, as one input of ``nft -f``.

Nothing watches for a flush: 1.30 writes everything again each sync period, whatever is there, and with each
change; until then a table that somebody has deleted stays away.

Source: pkg/proxy/nftables/proxier.go syncProxyRules(), NewProxier() (1.30).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from nb_lib.kubeproxy.commands import Command, Place
from nb_lib.kubeproxy.nftables import base
from nb_lib.kubeproxy.nftables.rules import Rules
from nb_lib.kubeproxy.rooms import forgotten
from nb_lib.kubeproxy.stale import stale
from nb_lib.kubeproxy.tracked import Tracked

_RUN = ("nft", "-f", "-")


class Room:
    """One family in nftables mode."""

    partial = False

    def __init__(self, tracked: Tracked, place: Place) -> None:
        self.tracked, self.place = tracked, place
        self.rules = Rules(tracked)
        self._first = True

    def start(self) -> None:
        """Nothing is made to be watched."""

    def commands(self, now: float, *, whole: bool) -> Iterator[Command]:  # noqa: ARG002 - it always is
        """Yield an input for chains that have long been empty, if there are any, and one for all else."""
        if text := self.rules.deleted(now):
            yield Command(_RUN, text, must=False)
        chains, sets = self._names("chain"), self._names("set")
        yield Command(_RUN, self.rules.written(chains, sets, now, anew=self._first))
        self._first = False
        yield from forgotten(stale(self.tracked))

    def intact(self) -> bool:
        """Nobody knows: the period is over."""
        return False

    def close(self) -> None:
        """The process holds nothing."""

    def _names(self, kind: str) -> list[str]:
        """Return the names of the table's chains or sets, none where nft cannot say."""
        family = base.family_name(self.tracked.family)
        printed = self.place.run(["nft", "--json", "list", f"{kind}s", family]).stdout
        listed = json.loads(printed or "{}").get("nftables", ())
        found = (each[kind] for each in listed if kind in each)
        return [each["name"] for each in found if each["table"] == base.NAME]
