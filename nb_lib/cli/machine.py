"""What a command may be given to work on: a host of the engine, a ruleset, a state, nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib.cli.state import State
from nb_lib.kinds import IPV4, IPV6
from nb_lib.rules import Ruleset

if TYPE_CHECKING:
    from nb_lib.engine import Host


def machine(thing: State | Ruleset | Host | None) -> State:
    """Return what the programs find on a host, a ruleset of its own, or nothing at all."""
    if isinstance(thing, State):
        return thing
    if thing is None:
        return State()
    if isinstance(thing, Ruleset):
        return State({(thing.family, thing.backend): thing})
    rulesets = [
        thing.counted(family) if thing.state.counters else ruleset
        for family, ruleset in thing.rulesets.items()
        if family in (IPV4, IPV6)
    ]
    sets = {
        one.name: (f"{one.method}:{','.join(one.parts)}", one.bound)
        for one in thing.state.sets.values()
    }
    return State({(one.family, one.backend): one for one in rulesets}, sets=sets)
