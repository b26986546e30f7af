"""The iptables command: arguments in; a new state, printed text and an exit status out.

``run()`` is all six programs in both personalities: it takes the words of a command line and what the
host holds, and returns what the host holds afterwards. Nothing is kept anywhere: undo is keeping the
old value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nb_lib.rules import Ruleset


@dataclass(frozen=True)
class State:
    """What the programs find on a host.

    ``rulesets`` maps (family, backend) to what was loaded; a pair that is absent was never touched.
    ``sets`` maps the names of ipsets to their types (``hash:ip``) and families.
    """

    rulesets: Mapping[tuple[int, str], Ruleset] = field(default_factory=dict)
    sets: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Result(NamedTuple):
    """What a command did: the state afterwards, what it printed, its exit status.

    ``hint`` is ours: what to try instead. ``written`` are files that ``-save -f`` wrote.
    """

    state: State
    stdout: str = ""
    stderr: str = ""
    status: int = 0
    hint: str = ""
    written: Mapping[str, str] = {}


def run(
    state: State,
    words: Sequence[str],
    *,
    stdin: str = "",
    now: float = 0.0,
    read: Callable[[str], str] | None = None,
) -> Result:
    """Run one command: ``words`` begin with the program's name, ``iptables`` or ``ip6tables-legacy-save``.

    ``stdin`` is what a restore reads, ``now`` the clock that a save prints (seconds since the epoch, UTC),
    ``read`` returns the text of a file that a restore names.
    """
    raise NotImplementedError
