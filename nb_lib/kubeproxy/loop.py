"""kube-proxy's loop in iptables mode: objects come and go, rules follow.

A sync reads what nat holds, computes, and hands iptables-restore one input; then conntrack forgets what is
stale. The first sync, one after a flush, and one after a failure write everything; since 1.27 all others
write the chains of changed services only. Nothing here looks at a clock or sleeps: whoever runs the loop
does, and ``Pace`` says when the next sync may be.

Sources: pkg/proxy/iptables/proxier.go syncProxyRules(); pkg/util/iptables/iptables.go Monitor();
pkg/util/async/bounded_frequency_runner.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.hosts import Place
from nb_lib.kubeproxy.iptables.rules import (
    CANARY,
    CANARY_TABLES,
    PROGRAMS,
    Rules,
    canaries,
    jumps,
)
from nb_lib.kubeproxy.iptables.site import LARGE
from nb_lib.kubeproxy.objects import KubeObject, Node
from nb_lib.kubeproxy.stale import opened, stale
from nb_lib.kubeproxy.tracked import Tracked


class Sync(NamedTuple):
    """One sync: what was written, whole or not, the conntrack commands, and what went wrong."""

    family: int
    whole: bool
    input: str
    conntrack: tuple[tuple[str, ...], ...] = ()
    error: str = ""


class Proxier:
    """The loop for one node. ``tracked`` and ``rules`` are by family, as many as the version serves."""

    def __init__(
        self, config: Config, era: Era, place: Place, objects: Iterable[KubeObject] = ()
    ) -> None:
        held = list(objects)
        named = (one for one in held if isinstance(one, Node) and one.name == config.hostname)
        self.config, self.era, self.place = config, era, place
        families = config.families(era, next(named, None))
        self.tracked = {one: Tracked(config, era, one, held) for one in families}
        self.rules = {one: Rules(tracked) for one, tracked in self.tracked.items()}
        self.forced = set(families)
        self._cleaned: dict[int, float] = {}

    def start(self, now: float = 0.0) -> list[Sync]:
        """Make the canaries and write everything."""
        for family in self.tracked:
            self._ensure(canaries(family))
        return self.sync(now)

    def apply(self, objects: Iterable[KubeObject], removed: Iterable[KubeObject] = ()) -> None:
        """Take objects that were added or modified, and some that were removed."""
        held, gone = list(objects), list(removed)
        for family, tracked in self.tracked.items():
            node = tracked.node
            tracked.apply(held, gone)
            if tracked.node != node:
                self.forced.add(family)

    @property
    def due(self) -> bool:
        """Whether there is something to write."""
        return bool(self.forced) or any(one.changed for one in self.tracked.values())

    def sync(self, now: float = 0.0) -> list[Sync]:
        """Write what has changed, a family after the other; ``now`` is in seconds of any clock."""
        families = [one for one in self.tracked if one in self.forced or self.tracked[one].changed]
        return [self._sync(family, now) for family in families]

    def watch(self, now: float = 0.0) -> list[Sync]:
        """Look at the canaries: where somebody has flushed every table, write everything again.

        kube-proxy asks for mangle's alone; only when it is gone, it waits for the others' end, too.
        """
        for family in self.tracked:
            if not self._there(family, CANARY_TABLES[0]) and not any(
                self._there(family, table) for table in CANARY_TABLES[1:]
            ):
                self._ensure(canaries(family))
                self.forced.add(family)
        return self.sync(now) if self.forced else []

    # ── One sync ────────────────────────────────────────────────────────────────────

    def _sync(self, family: int, now: float) -> Sync:
        tracked, rules = self.tracked[family], self.rules[family]
        whole = family in self.forced or not self.era.partial
        if whole:
            self._ensure(jumps(self.era, family))
        existing = self._existing(family, now)
        text = rules.whole(existing) if whole else rules.partial(existing)
        before = opened(tracked)
        self._forget(before)
        done = self.place.run([f"{PROGRAMS[family]}-restore", "--noflush", "--counters"], text)
        if done.status:
            self.forced.add(family)
            return Sync(family, whole, text, error=done.stderr or f"status {done.status}")
        after = stale(tracked)
        self._forget(after)
        self.forced.discard(family)
        tracked.synced()
        return Sync(family, whole, text, tuple(map(tuple, [*before, *after])))

    def _existing(self, family: int, now: float) -> list[str]:
        """Return nat's chains; a large cluster's are not asked for at every sync (since 1.27)."""
        last = self._cleaned.get(family)
        recently = last is not None and now - last <= self.config.sync_period
        if recently and self.era.partial and self.tracked[family].endpoints > LARGE:
            return []
        self._cleaned[family] = now
        saved = self.place.run([f"{PROGRAMS[family]}-save", "-t", "nat"]).stdout
        return [line[1:].partition(" ")[0] for line in saved.splitlines() if line[:1] == ":"]

    def _ensure(self, commands: Iterable[list[str]]) -> None:
        """Run commands that make something; a rule is made only where ``-C`` does not find it."""
        for words in commands:
            asked = ["-C" if word == "-I" else word for word in words]
            if "-I" not in words or self.place.run(asked).status:
                self.place.run(words)

    def _forget(self, commands: Iterable[list[str]]) -> None:
        for words in commands:
            self.place.run(words)

    def _there(self, family: int, table: str) -> bool:
        return not self.place.run([PROGRAMS[family], "-S", CANARY, "-t", table]).status


class Pace:
    """When a sync may be: two at once, then one each ``period`` seconds; after an hour one in any case."""

    LONGEST, BURST = 3600.0, 2

    def __init__(self, period: float) -> None:
        self.period = period
        self.tokens, self.filled, self.last = float(self.BURST), 0.0, 0.0

    def wait(self, now: float, *, asked: bool) -> float:
        """Return the seconds to wait for the next sync: 0 for at once."""
        if not asked:
            return max(0.0, self.last + self.LONGEST - now)
        self._fill(now)
        return 0.0 if self.tokens >= 1 else max(0.0, self.period - (now - self.last))

    def done(self, now: float) -> None:
        """Note a sync."""
        self._fill(now)
        self.tokens, self.last = max(0.0, self.tokens - 1), now

    def _fill(self, now: float) -> None:
        more = (now - self.filled) / self.period if self.period else self.BURST
        self.tokens, self.filled = min(float(self.BURST), self.tokens + more), now
