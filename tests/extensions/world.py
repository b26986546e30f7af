"""A host that knows only what a test tells it, and asks of one rule what a packet would meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nb_lib.options import HIT, Answer, Outcome, Use
from nb_lib.text import parse
from nb_lib.trace import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from nb_lib.options import Action
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule


@dataclass
class World:
    """Implements ``nb_lib.options.Context``; a fact that was not given is None."""

    table: str = "filter"
    chain: str = "INPUT"
    number: int = 1
    part: int = 0
    hook: str = "INPUT"
    family: int = 4
    now: float = 1_700_000_000.0
    backend: str = "nft"
    types: dict[str, str] = field(default_factory=dict)  # address → type
    sets: dict[str, bool] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)  # source → interface of the answer
    facts: dict[str, Any] = field(default_factory=dict)
    chances: list[Fraction] = field(default_factory=list)  # what choose() was asked for
    luck: bool = True
    entries: Sequence[Any] = ()
    memory: dict[Any, Any] = field(default_factory=dict)

    def address_type(self, address, _interface=""):
        return self.types.get(str(address))

    def addresses_of(self, _interface):
        return None

    def in_set(self, name, _values, _packet):
        return self.sets.get(name)

    def reverse_route(self, packet):
        return self.routes.get(str(packet.src))

    def path_mtu(self, _packet):
        return self.facts.get("mtu")

    def fact(self, name):
        return self.facts.get(name)

    def choose(self, probability):
        self.chances.append(probability)
        return self.luck

    def draw(self, low, _high):
        return low

    def recall(self, key, default):
        return self.memory.get(key, default)

    def remember(self, key, value):
        hash(value)  # what is remembered must not change
        self.memory[key] = value

    def connections(self):
        return self.entries


def rule(text: str, family: int = 4, table: str = "filter") -> Rule:
    """Read one rule, as iptables-save writes it, without ``-A CHAIN``."""
    ruleset = parse(f"*{table}\n:c - [0:0]\n-A c {text}\nCOMMIT\n", family=family)
    return ruleset[table]["c"].rules[0]


def meet(text: str, packet: Packet, world: World | None = None) -> str:
    """Let a packet meet a rule's conditions: ``hit``, ``hotdrop``, ``undecided: …`` or why it missed."""
    world = world or World(family=packet.family)
    found = rule(text, packet.family, world.table)
    for use in (found.core, *found.matches):
        answer: Answer = use.extension.test(use, packet, world)
        if answer is not HIT and answer.outcome is not Outcome.HIT:
            return _words(use, answer)
    return "hit"


def _words(use: Use, answer: Answer) -> str:
    if answer.outcome is Outcome.HOTDROP:
        return "hotdrop"
    if answer.outcome is Outcome.UNDECIDED:
        return f"undecided: {answer.have}"
    return str(Reason(use, answer))


def act(text: str, packet: Packet, world: World | None = None) -> Action:
    """Let a rule's target act on a packet."""
    world = world or World(family=packet.family)
    target = rule(text, packet.family, world.table).target
    return target.extension.act(target, packet, world)
