"""A mission, and how it is judged: the player's rules meet packets, and each requirement holds or does not.

The judge knows the rules that are loaded, not the commands that loaded them. Each requirement is tried on a
host of its own that remembers nothing, several times with other packets; so a rule that fits the packets of
the text alone does not win.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from nb_lib import present
from nb_lib.cli import Result, State
from nb_lib.cli.machine import machine
from nb_lib.cli.terminal import Shown, Terminal
from nb_lib.engine import Host
from nb_lib.errors import NbError
from nb_lib.missions.stage import Sent, Stage, WrongError
from nb_lib.rules import Ruleset
from nb_lib.text import parse

TRIALS = 3  # of each requirement, with other packets


class Want(NamedTuple):
    """One requirement: a sentence, and the packets that show whether it holds."""

    text: str
    scene: Callable[[Stage], None]


class Network(NamedTuple):
    """What a host is besides its rules: the devices inside and outside, addresses, settings."""

    inside: str = "lan0"
    outside: str = "wan0"
    near: tuple[str, ...] = ("10.1.0.1/24", "fd00:1::1/64")
    far: tuple[str, ...] = ("10.2.0.1/24", "fd00:2::1/64")
    sysctls: Mapping[str, int] = {}
    facts: Mapping[str, Any] = {}
    inside_name: str = "your network"  # who stands on either side, for the picture
    outside_name: str = "the internet"
    beside: str = ""  # what else stands inside

    @property
    def address(self) -> str:
        """The host's IPv4 address outside."""
        return self.far[0].partition("/")[0]

    def host(self, rulesets: Iterable[Ruleset] = (), seed: int = 0) -> Host:
        """Return the host with rules."""
        return Host(
            rulesets,
            addresses={self.inside: self.near, self.outside: self.far},
            routes={"default": f"{self.outside} via 10.2.0.2", "::/0": f"{self.outside} via fd00:2::2"},
            sysctls=self.sysctls, facts=self.facts, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What the judge found of one requirement: ``why`` is empty where it holds."""

    want: Want
    why: str
    sent: tuple[Sent, ...]

    @property
    def good(self) -> bool:
        """Whether the requirement holds."""
        return not self.why

    @property
    def last(self) -> Sent | None:
        """The packet that was sent last: the one that failed."""
        return self.sent[-1] if self.sent else None


@dataclass(frozen=True)
class Judgement:
    """What the judge found of a mission; ``won`` if every requirement holds."""

    mission: Mission
    found: tuple[Judged, ...]

    @property
    def won(self) -> bool:
        """Whether every requirement holds."""
        return all(one.good for one in self.found)

    @property
    def packets(self) -> int:
        """How many packets were sent."""
        return sum(len(one.sent) for one in self.found)

    def __str__(self) -> str:
        lines = [
            f"{self.mission.title}: {'won' if self.won else 'not yet'}, by {self.packets} packets."
        ]
        for one in self.found:
            lines.append(f"{'✓' if one.good else '✗'} {one.want.text}")
            lines += [f"    {one.why}"] if one.why else []
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


@dataclass(frozen=True)
class Mission:
    """A situation, a goal, and the packets that judge.

    ``dump`` and ``dump6`` are what the host has loaded when it begins. ``level`` is 1 to 3. ``hints`` come
    one after the other, ``solution`` are commands of which a test knows that they win.
    """

    name: str
    title: str
    level: int
    situation: str
    goal: str
    wants: tuple[Want, ...]
    hints: tuple[str, ...]
    solution: str
    lesson: str
    dump: str = ""
    dump6: str = ""
    network: Network = field(default_factory=Network)
    variants: tuple[Network, ...] = ()  # other networks in which the same rules have to work

    @cached_property
    def state(self) -> State:
        """What the terminal finds when the mission begins."""
        dumps = [(4, self.dump)] * bool(self.dump) + [(6, self.dump6)] * bool(self.dump6)
        return State({(family, "nft"): parse(text, family=family) for family, text in dumps})

    def host(self) -> Host:
        """Return the host as the mission begins."""
        return self.network.host(rules_of(self.state))

    def type(self, lines: str) -> tuple[State, list[Shown]]:
        """Type commands on the mission's host; return what is loaded then, and what was shown."""
        terminal = Terminal(self.state)
        shown = terminal.run(lines)
        return terminal.state, shown

    def judge(
        self, by: str | State | Result | Ruleset | Host | Any, seed: int | None = None
    ) -> Judgement:
        """Judge rules: lines to be typed on the mission's host, or whatever holds rules already.

        ``seed`` fixes the packets that are drawn. Raises NbError if nft and legacy both hold rules.
        """
        state = self.type(by)[0] if isinstance(by, str) else _state(by)
        rules = rules_of(state)
        chance = random.Random(seed)
        found = [self._judged(want, rules, chance.getrandbits(32)) for want in self.wants]
        return Judgement(self, tuple(found))

    def _judged(self, want: Want, rules: list[Ruleset], seed: int) -> Judged:
        sent: list[Sent] = []
        for network in (self.network, *self.variants):
            for trial in range(TRIALS):
                stage = Stage(
                    network.host(rules, seed + trial), random.Random(seed + trial), network.address
                )
                try:
                    want.scene(stage)
                except WrongError as wrong:
                    return Judged(want, wrong.why, (*sent, *stage.sent))
                sent += stage.sent
        return Judged(want, "", tuple(sent))

    def __str__(self) -> str:
        wants = "\n".join(f"  · {want.text}" for want in self.wants)
        dumps = "\n".join(filter(None, (self.dump, self.dump6)))
        return f"{self.title}\n\n{self.situation}\n\n{self.goal}\n{wants}\n\n{dumps}".rstrip()

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


def _state(by: Any) -> State:
    if isinstance(by, Result):
        return by.state
    console = getattr(by, "terminal", None)  # nb_lib.terminal(…)
    state = getattr(console, "state", None)
    return state if isinstance(state, State) else machine(by)


def rules_of(state: State) -> list[Ruleset]:
    """Return the rulesets that packets meet. Raise NbError where nft and legacy both hold rules."""
    found: dict[int, Ruleset] = {}
    for (family, backend), ruleset in state.rulesets.items():
        if not ruleset.tables:
            continue
        if family in found and _holds(ruleset) and _holds(found[family]):
            both = f"iptables-{backend} and iptables-{found[family].backend}"
            raise NbError(
                f"{both} both hold rules: packets are followed through one of them; flush the other"
            )
        if family not in found or _holds(ruleset):
            found[family] = ruleset
    return list(found.values())


def _holds(ruleset: Ruleset) -> bool:
    """Whether a ruleset can do anything to a packet."""
    return any(chain.rules or chain.policy == "DROP" for table in ruleset for chain in table)
