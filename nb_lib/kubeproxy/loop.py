"""kube-proxy's loop, in every mode: objects come and go, rules follow.

A sync looks at what is there, computes, and runs the commands of its mode (``rooms``). After a failure
everything is written again. Nothing here looks at a clock or sleeps: whoever runs the loop does, and ``Pace``
says when the next sync may be.

Source: pkg/util/async/bounded_frequency_runner.go; each mode's room names its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from nb_lib.errors import ObjectError
from nb_lib.kubeproxy.choice import IPTABLES, IPVS, NFTABLES, USERSPACE
from nb_lib.kubeproxy.commands import Command, Place
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.iptables import room as iptables
from nb_lib.kubeproxy.ipvs import room as ipvs
from nb_lib.kubeproxy.nftables import room as nftables
from nb_lib.kubeproxy.objects import KubeObject, Node
from nb_lib.kubeproxy.rooms import Room
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace import room as userspace

ROOMS: Mapping[str, Callable[[Tracked, Place], Room]] = {
    IPTABLES: iptables.Room,
    IPVS: ipvs.Room,
    NFTABLES: nftables.Room,
    USERSPACE: userspace.Room,
}
_CONNTRACK = "conntrack"


class Sync(NamedTuple):
    """One sync: the commands that were run, whether they wrote everything, and what went wrong."""

    family: int
    whole: bool
    commands: tuple[Command, ...]
    error: str = ""

    @property
    def input(self) -> str:
        """What the programs were given to read."""
        return "".join(command.stdin for command in self.commands)

    @property
    def conntrack(self) -> tuple[tuple[str, ...], ...]:
        """The commands by which connections were forgotten."""
        return tuple(one.words for one in self.commands if one.words[0] == _CONNTRACK)


class Proxier:
    """The loop for one node. ``tracked`` and ``rooms`` are by family, as many as the version serves.

    ``mode`` is iptables, nftables, ipvs or userspace; ``families`` are those that the version serves, if
    nobody says otherwise. Raises ObjectError for another mode.
    """

    def __init__(
        self,
        config: Config,
        era: Era,
        place: Place,
        objects: Iterable[KubeObject] = (),
        *,
        mode: str = IPTABLES,
        families: Iterable[int] = (),
    ) -> None:
        if mode not in ROOMS:
            reason = f"{mode!r} is none of {', '.join(ROOMS)}"
            raise ObjectError(reason, what="kube-proxy", path="mode")
        held = list(objects)
        named = (one for one in held if isinstance(one, Node) and one.name == config.hostname)
        self.config, self.era, self.place, self.mode = config, era, place, mode
        served = tuple(families) or config.families(era, next(named, None))
        self.tracked = {one: Tracked(config, era, one, held) for one in served}
        self.rooms = {one: ROOMS[mode](tracked, place) for one, tracked in self.tracked.items()}
        self.forced = set(served)

    def start(self, now: float = 0.0) -> list[Sync]:
        """Write everything, and make what is watched later."""
        for room in self.rooms.values():
            room.start()
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
        """Look, once in a sync period, whether the rules are still there; write them where nobody knows."""
        for family, room in self.rooms.items():
            if not room.intact():
                room.start()
                self.forced.add(family)
        return self.sync(now) if self.forced else []

    def close(self) -> None:
        """End what the process itself holds; the rules stay as they are."""
        for room in self.rooms.values():
            room.close()

    def _sync(self, family: int, now: float) -> Sync:
        room = self.rooms[family]
        whole = family in self.forced or not room.partial
        ran: list[Command] = []
        for command in room.commands(now, whole=whole):
            done = self.place.run(command.words, command.stdin)
            ran.append(command)
            if done.status and command.must:
                self.forced.add(family)
                return Sync(family, whole, tuple(ran), done.stderr or f"status {done.status}")
        self.forced.discard(family)
        self.tracked[family].synced()
        return Sync(family, whole, tuple(ran))


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
