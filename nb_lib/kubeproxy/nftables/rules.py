"""The whole table of nftables mode, and what a sync makes of the table that is there.

1.30 writes everything anew at each sync. A chain that is no longer wanted is emptied, and deleted by a later
sync: as long as a map's element points to it the kernel refuses, and it lets go of elements a moment late.
Source: pkg/proxy/nftables/proxier.go syncProxyRules() (1.30).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.nftables import base
from nb_lib.kubeproxy.nftables.services import Block, Site, block
from nb_lib.kubeproxy.objects import Key, KubeObject, Node
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.text import nft
from nb_lib.text.nft.values import Chain, Element, Set, Unknown

_AFFINITY = "affinity-"
_REST = 1.0  # seconds that a chain must have been empty before it is deleted


def desired(
    objects: Iterable[KubeObject], config: Config, era: Era, families: Iterable[int] = (4, 6)
) -> nft.Ruleset:
    """Return the tables that a first sync makes on an empty host, one for each family."""
    kept = tuple(objects)
    return nft.Ruleset(tuple(Rules(Tracked(config, era, f, kept)).table() for f in families))


class Rules:
    """The table of what a proxier tracks; a Service is computed again only when it has changed.

    ``tracked.changed`` is read and cleared by each sync. ``stale`` holds chains that were emptied, and when.
    """

    def __init__(self, tracked: Tracked) -> None:
        self.tracked = tracked
        self.stale: dict[str, float] = {}
        self._blocks: dict[PortName, Block] = {}
        self._known: Node | None = None
        self._site: Site | None = None

    def table(self) -> nft.Table:
        """Return the table as it is wanted now."""
        tracked, site = self.tracked, self._computed()
        found = base.table(tracked.family, site.node_ports())
        blocks = [self._blocks[name] for name in tracked.portals]
        filled: dict[str, dict[object, Element]] = {}
        for name, element in (pair for each in blocks for pair in each.elements):
            filled.setdefault(name, {})[element.key] = element
        if addresses := site.node_ports():
            keys = map(str, addresses)
            filled[base.NODE_PORT_IPS] = {key: Element(key) for key in keys}
        sets = [_filled(each, filled) for each in found.sets]
        sets += [each for one in blocks for each in one.sets]
        chains = (*found.chains, *(chain for each in blocks for chain in each.chains))
        return replace(found, sets=tuple(sets), chains=chains)

    def sync(self, present: nft.Table | None, now: float) -> nft.Table:
        """Return the table that a sync leaves where ``present`` was; ``now`` is in seconds.

        What others put into the table's other chains and sets stays.
        """
        wanted = self.table()
        if present is None:
            return wanted
        gone = {name for name, since in self.stale.items() if since < now - _REST}
        gone -= wanted.chain.keys()
        chains: list[Chain] = []
        for chain in present.chains:
            if chain.name in wanted.chain:
                self.stale.pop(chain.name, None)
                chains.append(wanted.chain[chain.name])
            elif chain.name in gone:
                del self.stale[chain.name]
            elif "/" in chain.name:  # a service's: emptied now, deleted later
                self.stale.setdefault(chain.name, now)
                chains.append(replace(chain, rules=()))
            else:
                chains.append(chain)
        chains += [chain for chain in wanted.chains if chain.name not in present.chain]
        return replace(wanted, chains=tuple(chains), sets=tuple(_kept(present, wanted)))

    def _computed(self) -> Site:
        """Compute what changed; all of it if the node did."""
        tracked = self.tracked
        if self._site is None or tracked.node != self._known:
            self._site = Site(tracked.config, tracked.era, tracked.family, tracked.node)
            self._known = tracked.node
            self._blocks.clear()
        changed: set[Key] = tracked.changed
        self._blocks = {
            name: held if (held := self._blocks.get(name)) and name.service not in changed
            else block(self._site, portal, tracked.reachable(portal))
            for name, portal in tracked.portals.items()
        }  # fmt: skip
        tracked.changed = set()
        return self._site


def _filled(each: Set | Unknown, elements: dict[str, dict[object, Element]]) -> Set | Unknown:
    if isinstance(each, Unknown) or each.name not in elements:
        return each
    return replace(each, elements=tuple(elements[each.name].values()))


def _kept(present: nft.Table, wanted: nft.Table) -> Iterable[Set | Unknown]:
    """Yield the sets after a sync: an affinity set keeps its clients, one that nobody wants goes."""
    for each in present.sets:
        if isinstance(each, Unknown):
            yield each
        elif each.name in wanted.set:
            yield each if each.name.startswith(_AFFINITY) else wanted.set[each.name]
        elif not each.name.startswith(_AFFINITY):
            yield each
    yield from (each for name, each in wanted.set.items() if name not in present.set)
