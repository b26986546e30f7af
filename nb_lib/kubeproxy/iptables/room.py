"""iptables mode in the loop: one input of iptables-restore at each sync, and canaries that notice a flush.

The first sync, one after a flush, and one after a failure write everything; since 1.27 all others write the
chains of changed services only.

Sources: pkg/proxy/iptables/proxier.go syncProxyRules(); pkg/util/iptables/iptables.go Monitor().
"""

from __future__ import annotations

from collections.abc import Iterator

from nb_lib.kubeproxy.commands import Command, Place
from nb_lib.kubeproxy.iptables.rules import (
    CANARY,
    CANARY_TABLES,
    PROGRAMS,
    Rules,
    canaries,
    jumps,
)
from nb_lib.kubeproxy.iptables.site import LARGE
from nb_lib.kubeproxy.rooms import ensure, forgotten
from nb_lib.kubeproxy.stale import opened, stale
from nb_lib.kubeproxy.tracked import Tracked

ROUTE_LOCALNET = "net.ipv4.conf.all.route_localnet"


class Room:
    """One family in iptables mode."""

    def __init__(self, tracked: Tracked, place: Place) -> None:
        self.tracked, self.place = tracked, place
        self.partial = tracked.era.partial
        self.rules = Rules(tracked)
        self.program = PROGRAMS[tracked.family]
        self._cleaned: float | None = None

    def start(self) -> None:
        """Make the canaries, and let 127.0.0.1 be routed if nodePorts answer there."""
        tracked = self.tracked
        if tracked.family == 4 and (
            not tracked.era.external or tracked.config.localhost_node_ports(4)
        ):
            self.place.run(["sysctl", "-w", f"{ROUTE_LOCALNET}=1"])
        ensure(self.place, canaries(tracked.family))

    def commands(self, now: float, *, whole: bool) -> Iterator[Command]:
        """Yield the restore, and what conntrack is told before and after it."""
        tracked = self.tracked
        if whole:
            ensure(self.place, jumps(tracked.era, tracked.family))
        existing = self._existing(now)
        text = self.rules.whole(existing) if whole else self.rules.partial(existing)
        yield from forgotten(opened(tracked))
        yield Command((f"{self.program}-restore", "--noflush", "--counters"), text)
        yield from forgotten(stale(tracked))

    def intact(self) -> bool:
        """Tell whether a canary lives.

        kube-proxy asks for mangle's alone; only when it is gone, it waits for the others' end, too.
        """
        return any(map(self._there, CANARY_TABLES))

    def close(self) -> None:
        """The process holds nothing."""

    def _there(self, table: str) -> bool:
        return not self.place.run([self.program, "-S", CANARY, "-t", table]).status

    def _existing(self, now: float) -> list[str]:
        """Return nat's chains; a large cluster's are not asked for at every sync (since 1.27)."""
        tracked, last = self.tracked, self._cleaned
        recently = last is not None and now - last <= tracked.config.sync_period
        if recently and self.partial and tracked.endpoints > LARGE:
            return []
        self._cleaned = now
        saved = self.place.run([f"{self.program}-save", "-t", "nat"]).stdout
        return [line[1:].partition(" ")[0] for line in saved.splitlines() if line[:1] == ":"]
