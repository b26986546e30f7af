"""``ipset save``: sets and their members.

Grammar (ipset(8), SAVE)::

    create NAME TYPE { OPTION VALUE | FLAG }
    add NAME MEMBER { OPTION VALUE | FLAG }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nb_lib.errors import RulesetError


@dataclass(frozen=True)
class IpSet:
    """A set: the parts of its type, and its members.

    ``parts`` are ``ip``, ``net``, ``port``, ``mac``, ``iface``, ``mark`` or ``set``, in the type's order.
    A member is a tuple of texts, one a part; ``members`` maps it to the time at which it expires
    (None: never). ``excluded`` are members marked ``nomatch``.
    """

    name: str
    parts: tuple[str, ...]
    family: int = 4
    members: Mapping[tuple[str, ...], float | None] = field(default_factory=dict)
    excluded: frozenset[tuple[str, ...]] = frozenset()


def parse_ipsets(text: str, *, now: float = 0.0) -> dict[str, IpSet]:
    """Read the output of ``ipset save``. Timeouts count from ``now``. Raise RulesetError."""
    made: dict[str, tuple[tuple[str, ...], int]] = {}
    members: dict[str, dict[tuple[str, ...], float | None]] = {}
    excluded: dict[str, set[tuple[str, ...]]] = {}
    for lineno, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "create" and len(words) >= 3:
            family = 6 if "inet6" in words else 4
            parts = tuple(words[2].partition(":")[2].split(","))
            made[words[1]] = (parts, family)
            members[words[1]], excluded[words[1]] = {}, set()
        elif words[0] == "add" and len(words) >= 3 and words[1] in made:
            member = _member(words[2], len(made[words[1]][0]))
            timeout = int(words[words.index("timeout") + 1]) if "timeout" in words[3:-1] else 0
            members[words[1]][member] = now + timeout if timeout else None
            if "nomatch" in words[3:]:
                excluded[words[1]].add(member)
        else:
            raise RulesetError("this is no line of `ipset save`", lineno=lineno, col=1,
                               token=words[0], line=line,
                               hint="create NAME TYPE …, then add NAME MEMBER …")  # fmt: skip
    return {
        name: IpSet(name, parts, family, members[name], frozenset(excluded[name]))
        for name, (parts, family) in made.items()
    }


def _member(text: str, size: int) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    return parts if len(parts) == size else (text,)
