"""``ipset save``: sets and their members, read and written.

Grammar (ipset(8), SAVE)::

    create NAME TYPE { OPTION VALUE | FLAG }
    add NAME MEMBER { OPTION VALUE | FLAG }
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from nb_lib.errors import RulesetError
from nb_lib.headers import ICMP, ICMPV6
from nb_lib.matches.icmp import TYPE_NAMES
from nb_lib.names import protocol_numbers
from nb_lib.net import parse_net

Member = tuple[str, ...]  # a text for each part of the set's type
MOST_SECONDS = 2_147_483  # IPSET_MAX_TIMEOUT
PHYSDEV = "physdev:"  # before the name of a bridge's port
_ICMP = {ICMP: TYPE_NAMES[4], ICMPV6: TYPE_NAMES[6]}


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
    members: Mapping[Member, float | None] = field(default_factory=dict)
    excluded: frozenset[Member] = frozenset()
    timeout: int | None = None

    @property
    def bound(self) -> int:
        """The family whose rules alone may ask for it: 0 where it holds no addresses, but ports."""
        return self.family if {"ip", "net"} & set(self.parts) else 0

    @cached_property
    def filed(self) -> Mapping[tuple[int | str, ...], Mapping[tuple[object, ...], Member]]:
        """Members by their values, filed by the masks of their networks, as the kernel does.

        So a packet is looked up once a mask. Raises ValueError for members that are none.
        """
        found: dict[tuple[int | str, ...], dict[tuple[object, ...], Member]] = {}
        for member in self.members:
            pairs = [self.value(part, text) for part, text in zip(self.parts, member, strict=False)]
            masks, values = (tuple(pair[n] for pair in pairs) for n in (0, 1))
            found.setdefault(masks, {})[values] = member  # type: ignore[arg-type]
        return found

    def value(self, part: str, text: str) -> tuple[int | str, object]:
        """Return the mask (PHYSDEV for a bridge's port, else empty) and the value of a member's part."""
        if part in ("ip", "net"):
            net = parse_net(text, self.family)
            return net.mask, net.value
        if part == "port":
            return "", int(text) if self.method == "bitmap" else _port(text)
        if part == "mark":
            return "", int(text, 0)
        if part == "iface" and text.startswith(PHYSDEV):
            return PHYSDEV, text.removeprefix(PHYSDEV)
        return "", text.lower() if part == "mac" else text


def _port(text: str) -> tuple[int, int]:
    """Read ``80``, ``udp:53``, ``gre:0``, ``icmp:8/0`` or ``icmp:echo-request``."""
    name, _, port = text.rpartition(":")
    protocol = protocol_numbers().get(name.lower() or "tcp")
    protocol = int(name) if protocol is None else protocol
    known = _ICMP.get(protocol, {}).get(port)
    if known is not None:
        return protocol, known[0] << 8 | (known[1] if len(known) == 2 else 0)
    kind, slash, code = port.partition("/")
    return protocol, int(kind) << 8 | int(code) if slash else int(port)


def parse_ipsets(text: str, *, now: float = 0.0) -> dict[str, IpSet]:
    """Read the output of ``ipset save``. Timeouts count from ``now``. Raise RulesetError."""
    made: dict[str, IpSet] = {}
    members: dict[str, dict[Member, float | None]] = {}
    excluded: dict[str, set[Member]] = {}
    for lineno, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            timeout = _timeout(words[3:])
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
            member = _member(words[2], found, lineno, line)
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


def _timeout(words: list[str]) -> int | None:
    """Return the seconds behind ``timeout``, None without it; a comment may say what it likes."""
    options = words[: words.index("comment")] if "comment" in words else words
    if "timeout" not in options:
        return None
    behind = options[options.index("timeout") + 1 :]
    seconds = int(behind[0]) if behind else -1
    if not 0 <= seconds <= MOST_SECONDS:
        raise ValueError(f"a timeout is from 0 to {MOST_SECONDS} seconds")
    return seconds


def _member(text: str, found: IpSet, lineno: int, line: str) -> Member:
    parts = tuple(text.split(","))
    member = parts if len(parts) == len(found.parts) else (text,)
    try:
        for part, word in zip(found.parts, member, strict=False):
            found.value(part, word)
    except ValueError as error:
        raise RulesetError(f"{text} is no member of a set of {','.join(found.parts)}: {error}",
                           lineno=lineno, col=line.find(text) + 1, token=text,
                           line=line) from None  # fmt: skip
    return member


def save_ipsets(sets: Iterable[IpSet]) -> str:
    """Write sets as ``ipset restore`` takes them.

    What the kernel draws or chooses itself (``initval``, ``bucketsize``) is left to it.
    """
    return "".join(f"{line}\n" for one in sets for line in _saved(one))


def _saved(one: IpSet) -> Iterator[str]:
    words = ["create", one.name, f"{one.method}:{','.join(one.parts)}"]
    if one.method == "bitmap":
        words.append("range 0-65535")
    elif one.method == "hash":
        words.append(f"family {'inet' if one.family == 4 else 'inet6'} hashsize 1024 maxelem 65536")
    words += [f"timeout {one.timeout}"] if one.timeout is not None else []
    yield " ".join(words)
    for member in one.members:
        yield f"add {one.name} {','.join(member)}" + " nomatch" * (member in one.excluded)
