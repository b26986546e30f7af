"""An nft ruleset as frozen values: tables, sets, maps, chains, rules of statements and expressions.

They follow the scheme of ``nft -j`` (libnftables-json(5)), which names every expression and statement.
What is not understood is an ``Unknown``: it keeps its words, is written back as it was, and the engine
answers *undecided* to it. A ``handle`` is the kernel's number of a thing; equality leaves it aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Unknown:
    """What is kept as it was: ``form`` is ``json`` or ``text``, ``raw`` its words."""

    form: str
    raw: str


# --- expressions ---

Leaf: TypeAlias = (
    "int | str"  # 80, "tcp", "10.0.0.1", "@cluster-ips"; a bool for exists and missing
)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A network: ``10.0.0.0/8``."""

    address: str
    length: int


@dataclass(frozen=True, slots=True)
class Range:
    """From ``low`` to ``high``, both included: ``80-90``."""

    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class Concat:
    """Several keys as one: ``ip daddr . meta l4proto . th dport``."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Several:
    """Flags, any of them: ``established,related``."""

    values: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """A header's field: ``ip saddr``, ``th dport``."""

    protocol: str
    field: str


@dataclass(frozen=True, slots=True)
class Meta:
    """What the kernel knows of the packet: ``meta mark``, ``iifname``."""

    key: str


@dataclass(frozen=True, slots=True)
class Ct:
    """What conntrack knows: ``ct state``, ``ct original proto-dst``."""

    key: str
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Fib:
    """What routing says: ``fib daddr . iif type``."""

    result: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numgen:
    """A number from ``offset`` to ``offset + modulus - 1``: drawn (``random``) or in turn (``inc``)."""

    mode: str
    modulus: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Binary:
    """``&``, ``|``, ``^``, ``<<`` or ``>>`` of two expressions."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accept``, ``drop``, ``return``, ``continue``, or ``jump`` and ``goto`` with a ``target``."""

    kind: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Element:
    """A set's element; in a map ``data`` is what the key stands for. Times are in milliseconds."""

    key: Expression
    data: Expression | None = None
    timeout: int | None = None
    expires: int | None = None
    comment: str = ""
    counter: tuple[int, int] | None = None  # packets, bytes


@dataclass(frozen=True, slots=True)
class Members:
    """A set without a name, in the rule itself: ``{ 80, 443 }``."""

    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A map's answer to a key: ``ip saddr map @marks``."""

    key: Expression
    data: Expression  # Members or "@NAME"


Expression: TypeAlias = (
    "int | str | Prefix | Range | Concat | Several | Payload | Meta | Ct | Fib | Numgen | Binary"
    " | Verdict | Members | Lookup"
)


# --- statements ---


@dataclass(frozen=True, slots=True)
class Match:
    """A comparison; ``in`` is how flags are compared where no operator is written."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Vmap:
    """A verdict looked up by a key; a key that is not there ends the rule."""

    key: Expression
    data: Expression


@dataclass(frozen=True, slots=True)
class Mangle:
    """``meta mark set …``: a field gets a value."""

    key: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class Counter:
    """``counter packets N bytes N``."""

    packets: int = 0
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """``limit rate 5/minute burst 5 packets``: a rate that is not passed, or with ``over`` one that is.

    With ``octets`` rate and burst are bytes. ``per`` is second, minute, hour, day or week.
    """

    rate: int
    per: str
    burst: int
    octets: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """``quota 25 mbytes used 1 kbytes``: so many bytes, all counted in bytes; ``over``: what comes behind."""

    octets: int
    over: bool = False
    used: int = 0


@dataclass(frozen=True, slots=True)
class Named:
    """``counter name "hits"``: an object of the table (``counter``, ``quota``, ``limit``) is asked."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Nat:
    """``dnat``, ``snat``, ``masquerade`` or ``redirect``; what is None is not written."""

    kind: str
    address: Expression | None = None
    port: Expression | None = None
    family: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """``kind`` is ``icmp``, ``icmpv6``, ``icmpx`` (with a ``code``) or ``tcp reset``."""

    kind: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """``update``, ``add`` or ``delete`` of an element of a dynamic set; ``timeout`` in milliseconds."""

    operation: str
    element: Expression
    name: str
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """``log prefix "…" level …``."""

    prefix: str = ""
    level: str = ""
    group: int | None = None


@dataclass(frozen=True, slots=True)
class NoTrack:
    """``notrack``: conntrack is to leave the packet alone."""


Statement: TypeAlias = (
    "Match | Vmap | Verdict | Mangle | Counter | Limit | Quota | Named | Nat | Reject | Update | Log"
    " | NoTrack | Unknown"
)


# --- what holds them ---


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: statements, carried out from left to right until one does not hold."""

    statements: tuple[Statement, ...] = ()
    comment: str = ""
    handle: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; one with a ``hook`` is a base chain and has ``kind``, ``priority`` and ``policy``."""

    name: str
    rules: tuple[Rule, ...] = ()
    kind: str = ""  # filter, nat, route
    hook: str = ""
    priority: int = 0
    policy: str = ""
    comment: str = ""
    device: str = ""  # family netdev
    handle: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Set:
    """A set, or a map if it has ``data``; ``key`` and ``data`` are its types. Times in milliseconds."""

    name: str
    key: tuple[str, ...]
    data: tuple[str, ...] = ()
    elements: tuple[Element, ...] = ()
    flags: tuple[str, ...] = ()
    size: int | None = None
    timeout: int | None = None
    interval: int | None = None  # between two collections of what has expired
    counter: bool = False
    comment: str = ""
    handle: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Object:
    """A counter, a quota or a limit with a name, which rules share; ``body`` is what it was when listed."""

    name: str
    body: Counter | Quota | Limit
    comment: str = ""
    handle: int = field(default=0, compare=False)

    @property
    def kind(self) -> str:
        """``counter``, ``quota`` or ``limit``."""
        return type(self.body).__name__.lower()


@dataclass(frozen=True)
class Table:
    """A table of a family (``ip``, ``ip6``, ``inet``, ``arp``, ``bridge``, ``netdev``).

    ``sets`` holds sets and maps, objects with names, and whatever else stands before the chains.
    """

    family: str
    name: str
    sets: tuple[Set | Object | Unknown, ...] = ()
    chains: tuple[Chain, ...] = ()
    flags: tuple[str, ...] = ()
    comment: str = ""
    handle: int = field(default=0, compare=False)

    @cached_property
    def chain(self) -> Mapping[str, Chain]:
        """The chains by name."""
        return {chain.name: chain for chain in self.chains}

    @cached_property
    def set(self) -> Mapping[str, Set]:
        """The sets and maps by name."""
        return {each.name: each for each in self.sets if isinstance(each, Set)}

    @cached_property
    def objects(self) -> Mapping[tuple[str, str], Object]:
        """The objects by kind and name."""
        return {(each.kind, each.name): each for each in self.sets if isinstance(each, Object)}


@dataclass(frozen=True)
class Ruleset:
    """All tables of a host. ``about`` is the ``metainfo`` of ``nft -j``, as it was written."""

    tables: tuple[Table, ...] = ()
    about: str = field(default="", compare=False)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def table(self, family: str, name: str) -> Table | None:
        """Return a table, None if there is none of that family and name."""
        found = (t for t in self.tables if (t.family, t.name) == (family, name))
        return next(found, None)


def parts(value: Any) -> Iterator[Any]:
    """Yield a value of a ruleset, a part of one or a tuple of them, and everything in it."""
    yield value
    inside: Iterable[Any] = value if isinstance(value, tuple) else ()
    if is_dataclass(value):
        inside = (getattr(value, each.name) for each in fields(value))
    for one in inside:
        yield from parts(one)
