"""What a host remembers between packets; everything that can change, in one place."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from nb_lib.engine.conntrack import Conntrack
from nb_lib.engine.defrag import Fragments
from nb_lib.engine.ipvs.connections import Balancer
from nb_lib.engine.sockets import Socket
from nb_lib.text.ipset import IpSet
from nb_lib.trace import Place


@dataclass
class State:
    """Conntrack, waiting fragments, the memory of matches, sets, counters, clock and luck.

    ``memory`` and ``sets`` hold immutable values, so a fork copies only the dictionaries.
    """

    conntrack: Conntrack = field(default_factory=Conntrack)
    fragments: Fragments = field(default_factory=Fragments)
    memory: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    sets: dict[str, IpSet] = field(default_factory=dict)
    ipvs: Balancer | None = None
    sockets: frozenset[Socket] = frozenset()  # those that the host has sent from
    counters: dict[Place, tuple[int, int]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    now: float = 0.0
    random: random.Random = field(default_factory=lambda: random.Random(0))

    def fork(self) -> State:
        """Return a copy for a look at what might happen."""
        generator = random.Random()
        generator.setstate(self.random.getstate())
        ipvs = self.ipvs.fork() if self.ipvs is not None else None
        return State(self.conntrack.fork(), self.fragments.fork(), dict(self.memory), dict(self.sets), ipvs,
                     self.sockets, dict(self.counters), dict(self.facts), self.now, generator)  # fmt: skip

    def count(self, place: Place, size: int) -> None:
        """Count a packet of ``size`` bytes at a rule or a policy."""
        packets, octets = self.counters.get(place, (0, 0))
        self.counters[place] = (packets + 1, octets + size)
