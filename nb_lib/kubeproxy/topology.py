"""Which endpoints a service's port has, and which of them traffic on this node may reach.

Sources: pkg/proxy/endpointslicecache.go endpointInfoByServicePort(); pkg/proxy/topology.go FilterEndpoints()
(1.21, 1.22), CategorizeEndpoints() (since 1.24).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import HINTS, TERMINATING, Era
from nb_lib.kubeproxy.names import PortName, Target
from nb_lib.kubeproxy.objects import Address, EndpointSlice
from nb_lib.kubeproxy.services import Portal


class Backend(NamedTuple):
    """An endpoint of one port; ``text`` is its address and port as they are written and hashed."""

    target: Target
    text: str
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False
    zones: tuple[str, ...] = ()

    @property
    def address(self) -> Address:
        """The endpoint's address."""
        return self.target.address

    @property
    def ending(self) -> bool:
        """Whether it is on its way out and still answers."""
        return self.serving and self.terminating


Backends = tuple[Backend, ...]


class Reachable(NamedTuple):
    """The endpoints of a port as this node may use them.

    ``cluster``: for traffic that may go anywhere; ``local``: for traffic that must stay here; ``all``:
    both together; ``any``: whether there are any, be they out of this node's reach.
    """

    cluster: Backends
    local: Backends
    all: Backends
    any: bool


def backends(slices: Iterable[EndpointSlice], family: int, host: str) -> dict[PortName, Backends]:
    """Return the endpoints of each port that some slices of one Service name, sorted as text.

    An endpoint that two slices hold is one; if it is on this node by either, it is.
    """
    found: dict[PortName, dict[str, Backend]] = {}
    for piece in slices:
        if piece.family != family:
            continue
        for port in piece.ports:
            if not port.port:
                continue
            mine = found.setdefault(PortName(piece.service, port.name, port.protocol), {})
            for one in piece.endpoints:
                target = Target(one.address, port.port)
                text = str(target)
                local = bool(host) and one.node == host
                if text not in mine or local:
                    mine[text] = Backend(
                        target, text, one.ready, one.serving, one.terminating, local, one.for_zones
                    )
    return {name: tuple(mine[text] for text in sorted(mine)) for name, mine in found.items()}


def reachable(portal: Portal, found: Backends, zone: str, era: Era, config: Config) -> Reachable:
    """Sort a port's endpoints by who may use them, as a version does."""
    if era.external:
        return _categorized(portal, found, zone, hints=config.gate(era, HINTS))
    return _filtered(portal, found, zone, era, config)


# ── Since 1.24: by policy, each falling back to endpoints that terminate ────────────


def _categorized(portal: Portal, found: Backends, zone: str, *, hints: bool) -> Reachable:
    ready = tuple(one for one in found if one.ready)
    ending = tuple(one for one in found if one.ending)
    hinted = hints and portal.uses_cluster and _hints_hold(portal, ready, zone)
    cluster: Backends = ()
    if portal.uses_cluster:
        cluster = tuple(one for one in ready if zone in one.zones) if hinted else ready
        cluster = cluster or ending
    if not portal.uses_local:
        return Reachable(cluster, (), cluster, bool(cluster))
    here = tuple(one for one in ready if one.local)
    local = here or tuple(one for one in ending if one.local)
    both = local
    if portal.uses_cluster:
        kept = {*cluster, *local}
        both = tuple(one for one in found if one in kept)
    return Reachable(cluster, local, both, bool(ready or ending))


def _hints_hold(portal: Portal, ready: Backends, zone: str) -> bool:
    """Return whether hints may be followed: wanted, complete, and at least one is for this zone."""
    if portal.hints in ("", "disabled", "Disabled") or not zone:
        return False
    return all(one.zones for one in ready) and any(zone in one.zones for one in ready)


# ── 1.20 to 1.22: one list, filtered before it is used ──────────────────────────────


def _filtered(portal: Portal, found: Backends, zone: str, era: Era, config: Config) -> Reachable:
    kept = found
    if not portal.external_local:
        if portal.internal_local:
            kept = tuple(one for one in found if one.local)
        elif config.gate(era, HINTS) and portal.hints in era.hints and zone:
            kept = _hinted(found, zone)
    cluster = tuple(one for one in kept if one.ready)
    local: Backends = ()
    if portal.external_local:
        local = tuple(one for one in cluster if one.local)
        if config.gate(era, TERMINATING):
            local = local or tuple(one for one in kept if one.local and one.ending)
    reach = kept if era.counts_unready else cluster
    return Reachable(cluster, local, reach, bool(reach))


def _hinted(found: Backends, zone: str) -> Backends:
    """Return the endpoints meant for a zone; all of them if one has no hint or none is meant for it."""
    if not all(one.zones for one in found):
        return found
    return tuple(one for one in found if zone in one.zones) or found
