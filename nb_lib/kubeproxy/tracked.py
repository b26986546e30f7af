"""What a proxier of one family holds between two syncs: every mode computes its rules from this.

Sources: pkg/proxy/service.go ServiceChangeTracker; pkg/proxy/endpoints.go EndpointsChangeTracker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import EndpointSlice, Key, KubeObject, Node, Service
from nb_lib.kubeproxy.services import Portal, portals
from nb_lib.kubeproxy.topology import Backends, Reachable, backends, reachable


class Before(NamedTuple):
    """What a port was at the last sync; None if there was none."""

    portal: Portal | None = None
    backends: Backends = ()


_NOTHING = Before()


class Tracked:
    """Services and endpoints by port, kept as objects come and go.

    ``portals`` and ``backends`` are in the order in which their Services were first seen. ``changed``
    holds the Services of which either differs since ``synced()``, ``before`` what their ports were then.
    """

    def __init__(
        self, config: Config, era: Era, family: int, objects: Iterable[KubeObject] = ()
    ) -> None:
        self.config, self.era, self.family = config, era, family
        self.node: Node | None = None
        self.services: dict[Key, Service] = {}
        self.portals: dict[PortName, Portal] = {}
        self.backends: dict[PortName, Backends] = {}
        self.changed: set[Key] = set()
        self.before: dict[PortName, Before] = {}
        self._slices: dict[Key, dict[Key, EndpointSlice]] = {}
        self._names: dict[Key, list[PortName]] = {}
        self._endpoints: dict[Key, list[PortName]] = {}
        self.apply(objects)

    def apply(self, objects: Iterable[KubeObject], removed: Iterable[KubeObject] = ()) -> None:
        """Take objects that were added or modified, and some that were removed."""
        sliced = {}  # each Service's slices are looked at once
        for gone, group in ((True, removed), (False, objects)):
            for one in group:
                if isinstance(one, Service):
                    self._service(one, gone=gone)
                elif isinstance(one, EndpointSlice):
                    held = self._slices.setdefault(one.service, {})
                    held.pop(one.key, None) if gone else held.update({one.key: one})
                    sliced[one.service] = True
                elif not self.config.hostname or one.name == self.config.hostname:
                    self.node = None if gone else one
        for key in sliced:
            self._sliced(key)

    def synced(self) -> None:
        """Forget what has changed: the rules are written."""
        self.changed, self.before = set(), {}

    def _changes(self, key: Key, names: Iterable[PortName]) -> None:
        """Note what a Service's ports are, before they change."""
        self.changed.add(key)
        for name in names:
            if name not in self.before:
                portal, found = self.portals.get(name), self.backends.get(name)
                self.before[name] = Before(portal, found or ()) if portal or found else _NOTHING

    def _service(self, service: Service, *, gone: bool) -> None:
        key = service.key
        if gone:
            self.services.pop(key, None)
        else:
            self.services[key] = service
        old = {name: self.portals[name] for name in self._names.pop(key, ())}
        found = () if gone else portals(service, self.family, self.era, self.config)
        new = {portal.name: portal for portal in found}
        if new == old:
            self._names[key] = list(old)
            return
        self._changes(key, old.keys() | new.keys())
        for name in old.keys() - new.keys():
            del self.portals[name]
        self.portals.update(new)
        self._names[key] = list(new)

    def _sliced(self, key: Key) -> None:
        old = {name: self.backends[name] for name in self._endpoints.pop(key, ())}
        new = backends(self._slices[key].values(), self.family, self.config.hostname)
        if not self._slices[key]:
            del self._slices[key]
        self._endpoints[key] = list(new)
        if new != old:
            self._changes(key, old.keys() | new.keys())
            for name in old:
                del self.backends[name]
            self.backends.update(new)

    @property
    def zone(self) -> str:
        """The node's zone, empty if it has none."""
        return self.node.zone if self.node else ""

    @property
    def endpoints(self) -> int:
        """How many endpoints all known ports have together, ready or not."""
        return sum(len(self.backends.get(name, ())) for name in self.portals)

    def reachable(self, portal: Portal) -> Reachable:
        """Return the endpoints that a port has on this node."""
        found = self.backends.get(portal.name, ())
        return reachable(portal, found, self.zone, self.era, self.config)
