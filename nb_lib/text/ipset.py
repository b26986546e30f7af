"""``ipset save``: sets and their members.

Grammar (ipset(8), SAVE)::

    create NAME TYPE { OPTION VALUE | FLAG }
    add NAME MEMBER { OPTION VALUE | FLAG }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nb_lib.errors import RulesetError


@dataclass(frozen=True)
class IpSet:
    """A set: the parts of its type, and its members.

    ``parts`` are ``ip``, ``net``, ``port``, ``mac``, ``iface``, ``mark`` or ``set``, in the type's order.
    A member is a tuple of texts, one a part; ``members`` maps it to the time at which it expires
    (None: never). ``excluded`` are members marked ``nomatch``. ``timeout`` is the life of a new member
    in seconds, 0: for ever; None: the set knows no timeouts.
    """

    name: str
    parts: tuple[str, ...]
    family: int = 4
    method: str = "hash"  # or bitmap, list: how the kernel stores it, which decides what a port is
    members: Mapping[tuple[str, ...], float | None] = field(default_factory=dict)
    excluded: frozenset[tuple[str, ...]] = frozenset()
    timeout: int | None = None


def parse_ipsets(text: str, *, now: float = 0.0) -> dict[str, IpSet]:
    """Read the output of ``ipset save``. Timeouts count from ``now``. Raise RulesetError."""
    made: dict[str, IpSet] = {}
    members: dict[str, dict[tuple[str, ...], float | None]] = {}
    excluded: dict[str, set[tuple[str, ...]]] = {}
    for lineno, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            timeout = (
                int(words[words.index("timeout", 3) + 1]) if "timeout" in words[3:-1] else None
            )
        except ValueError:
            words = [words[0]]  # as little a line of ipset's as any other
        if words[0] == "create" and len(words) >= 3:
            method, _, parts = words[2].partition(":")
            family = 6 if "inet6" in words else 4
            made[words[1]] = IpSet(
                words[1], tuple(parts.split(",")), family, method, timeout=timeout
            )
            members[words[1]], excluded[words[1]] = {}, set()
        elif words[0] == "add" and len(words) >= 3 and words[1] in made:
            found = made[words[1]]
            member = _member(words[2], len(found.parts))
            seconds = found.timeout if timeout is None else timeout
            members[found.name][member] = now + seconds if seconds else None
            if "nomatch" in words[3:]:
                excluded[found.name].add(member)
        else:
            raise RulesetError("this is no line of `ipset save`", lineno=lineno, col=1,
                               token=words[0], line=line,
                               hint="create NAME TYPE …, then add NAME MEMBER …")  # fmt: skip
    return {
        name: replace(found, members=members[name], excluded=frozenset(excluded[name]))
        for name, found in made.items()
    }


def _member(text: str, size: int) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    return parts if len(parts) == size else (text,)
