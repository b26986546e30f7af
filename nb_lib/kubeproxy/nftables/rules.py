"""The whole table of nftables mode, and what a sync makes of the table that is there.

1.30 writes everything anew at each sync, as one input of ``nft -f``. A chain that is no longer wanted is
emptied, and deleted by a later sync: as long as a map's element points to it the kernel refuses, and it lets
go of elements a moment late.
Source: pkg/proxy/nftables/proxier.go syncProxyRules() (1.30).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.nftables import base
from nb_lib.kubeproxy.nftables.commands import Piece, written
from nb_lib.kubeproxy.nftables.services import Site, block
from nb_lib.kubeproxy.objects import Key, KubeObject, Node
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.text import nft
from nb_lib.text.nft.values import Element, Object, Set, Unknown

_AFFINITY = "affinity-"
_REST = 1.0  # seconds that a chain must have been empty before it is deleted


def desired(
    objects: Iterable[KubeObject], config: Config, era: Era, families: Iterable[int] = (4, 6)
) -> nft.Ruleset:
    """Return the tables that a first sync makes on an empty host, one for each family."""
    kept = tuple(objects)
    return nft.Ruleset(tuple(table(Tracked(config, era, f, kept)) for f in families))


def table(tracked: Tracked) -> nft.Table:
    """Return the table that is wanted for what a proxier tracks."""
    site = Site(tracked.config, tracked.era, tracked.family, tracked.node)
    blocks = [block(site, one, tracked.reachable(one)) for one in tracked.portals.values()]
    found = base.table(tracked.family, site.node_ports())
    filled: dict[str, dict[object, Element]] = {}
    for name, element in (pair for each in blocks for pair in each.elements):
        filled.setdefault(name, {})[element.key] = element
    sets = [_filled(each, filled) for each in found.sets]
    sets += [each for one in blocks for each in one.sets]
    chains = (*found.chains, *(chain for each in blocks for chain in each.chains))
    return replace(found, sets=tuple(sets), chains=chains)


class Rules:
    """The input of each sync of what a proxier tracks; a Service is written again only when it has changed.

    Of a port, its commands as text are kept and no values: ten thousand texts are nothing to Python's
    collector of garbage, half a million values keep it busy. ``tracked.changed`` is read and cleared with
    each input. ``stale`` holds chains that were emptied, and when.
    """

    def __init__(self, tracked: Tracked) -> None:
        self.tracked = tracked
        self.stale: dict[str, float] = {}
        self.to = f"{base.family_name(tracked.family)} {base.NAME}"
        self._pieces: dict[PortName, Piece] = {}
        self._known: Node | None = None
        self._site: Site | None = None

    def deleted(self, now: float) -> str:
        """Return the commands for chains that have been empty for a while, nothing if there are none.

        They are forgotten, too: one that the kernel keeps is found stale again.
        """
        old = [name for name, since in self.stale.items() if since < now - _REST]
        for name in old:
            del self.stale[name]
        return "".join(f"delete chain {self.to} {name}\n" for name in old)

    def written(self, chains: Iterable[str], sets: Iterable[str], now: float, *, anew: bool) -> str:
        """Return the input of a sync where these chains and sets are there; ``now`` is in seconds.

        What others put into the table's other chains and sets stays. ``anew`` as in ``base.setup``.
        """
        site = self._computed()
        pieces = self._pieces.values()
        text = [base.setup(self.tracked.family, site.node_ports(), anew=anew)]
        text += [each.text for each in pieces]
        kept = {chain for each in pieces for chain in each.chains}
        for name in chains:
            if name in kept:
                self.stale.pop(name, None)
            elif "/" in name:  # a service's: emptied now, deleted later
                self.stale[name] = now
                text.append(f"flush chain {self.to} {name}\n")
        known = {name for each in pieces for name in each.sets}
        text += [
            f"delete set {self.to} {name}\n"
            for name in sets
            if name.startswith(_AFFINITY) and name not in known
        ]
        return "".join(text)

    def _computed(self) -> Site:
        """Compute what changed; all of it if the node did."""
        tracked = self.tracked
        if self._site is None or tracked.node != self._known:
            self._site = Site(tracked.config, tracked.era, tracked.family, tracked.node)
            self._known = tracked.node
            self._pieces.clear()
        changed: set[Key] = tracked.changed
        old, self._pieces = self._pieces, {}
        for name, portal in tracked.portals.items():
            held = None if name.service in changed else old.get(name)
            self._pieces[name] = held or self._written(self._site, portal)
        tracked.changed = set()
        return self._site

    def _written(self, site: Site, portal: Portal) -> Piece:
        return written(block(site, portal, self.tracked.reachable(portal)), self.to)


def _filled(
    each: Set | Object | Unknown, elements: dict[str, dict[object, Element]]
) -> Set | Object | Unknown:
    if not isinstance(each, Set) or each.name not in elements:
        return each
    return replace(each, elements=tuple(elements[each.name].values()))
