"""What an extension is: one table of options, and one function that meets a packet.

The command line, the dump reader, the writer, ``-L``, the help, the appendix of the book and the
error messages all read the same table. A match extension answers a packet with an ``Answer``; a
target extension answers with an ``Action``. Extensions hold no state: what they remember between
packets (limit, recent, statistic) lives in the ``Context`` that the engine hands them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nb_lib.hooks import HOOKS

if TYPE_CHECKING:
    from nb_lib.connection import Address
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule


class Setting(NamedTuple):
    """The value that a rule gives to an option, and whether ``!`` stands before it."""

    value: Any
    inverted: bool = False


Settings = Mapping[str, Setting]  # option name, as the table writes it → setting


INVALID = "Invalid argument"  # strerror(EINVAL), which is what the kernel nearly always says


class RefusedError(ValueError):
    """What iptables refuses: the reason in our words, and what iptables itself says.

    ``said`` is its own sentence, without the program's name before it; ``{name}`` and ``{option}`` stand for
    the extension and the option. ``status`` is its exit status. ``kernel`` is set if it is the kernel
    that refuses: the words of strerror(3), such as ``Invalid argument``. ``warning`` is what it prints
    before the sentence; ``option`` names the option at fault, where several were read.
    """

    def __init__(
        self,
        reason: str,
        said: str = "",
        *,
        status: int = 2,
        kernel: str = "",
        warning: str = "",
        option: str = "",
    ) -> None:
        super().__init__(reason)
        self.said, self.status, self.kernel = said, status, kernel
        self.warning, self.option = warning, option


# What iptables says of any option. Linux user space: libxtables/xtoptions.c xtables_option_parse().
SAYINGS = {
    "inverted": '{name}: option "{option}" cannot be inverted.\n',
    "twice": '{name}: option "{option}" can only be used once.\n',
    "group": '{name}: option "{option}" cannot be used together with "{other}".\n',
    "also": '{name}: option "{option}" also requires "{other}".\n',
    "missing": '{name}: option "{option}" must be specified\n',
    "two": "{option} requires two args.",
    "value": "",
}


# XTF_BAD_VALUE of libxtables/xtables.c xtables_param_act()
BAD_VALUE = '{name}: Bad value for "{option}" option: "{word}"'


def of_two(key: str, option: str, other: str, reason: str = "") -> RefusedError:
    """Return the error of two options: they exclude each other (group), one needs the other (also)."""
    usual = {"group": f"{option} and {other} exclude each other", "also": f"{option} needs {other}"}
    said = SAYINGS[key].replace("{option}", option).replace("{other}", other)
    return RefusedError(reason or usual[key], said)


class Kind(Protocol):
    """A kind of value: how words become a value and how a value becomes words.

    ``arity`` is the number of words that it takes; ``metavar`` names them in help and errors.
    """

    arity: int
    metavar: str

    def parse(self, words: Sequence[str], family: int) -> Any:
        """Return the value of ``words``; raise ValueError with the reason if they have none."""

    def save(self, value: Any) -> str:
        """Return the words that iptables-save prints for ``value``."""

    def pattern(self, family: int) -> str:
        """Return a regular expression of words that ``parse`` takes whatever else the rule says.

        Empty if there is none; it need not hold all such words.
        """

    def show(self, value: Any) -> str:
        """Return ``value`` as a reason names it: ``443``, ``0x4000/0x4000``, ``10.0.0.0/8``."""

    def listed(self, value: Any, numeric: bool) -> str:
        """Return ``value`` as ``iptables -L`` shows it (numeric: with -n), mostly as it is saved."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of an extension's table.

    ``name`` is the form that iptables-save prints; ``aliases`` are read as well. ``default`` is
    what iptables assumes when the option is absent; it is filled in while parsing if it is not
    None. ``hidden`` is a value that iptables-save leaves out, or a test of settings that it does.
    ``group`` names options of which at most one may stand in a rule. ``divides`` names options of
    which a new set begins behind this one (``--next``); its value holds the sets that are complete.
    An option that ``repeats`` may come again: the last one counts. The value of one that is ``late`` is
    looked at when all other words have been; ``before`` looks at the word, the family and what the rule asked
    before it, and raises RefusedError (a port wants a ``-p``). ``label`` is the word for the packet's fact in
    reasons.
    ``listed`` is how ``iptables -L`` shows it, behind a blank: ``{value}`` is the value as its kind lists it,
    ``{name}`` its name without ``--``, ``{!}`` a ``!`` if it is inverted, ``{! }`` the same with a blank,
    ``{s}`` an ``s`` if it is a range (``nb_lib.listed``). ``says`` holds what iptables says of this option
    where that differs from what it says of any (``SAYINGS``), and ``called`` is its name there if that is
    not ``name``. ``before`` looks at what was read before the value is: it has the value's word, the family,
    the settings of the extension and of the core (None where the order of words says nothing); it raises
    RefusedError, or returns another kind by which to read the value. ``warns`` returns what it says of a
    value that it takes nevertheless (of a setting, its word and the family), or raises RefusedError.
    """

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    invertible: bool = False
    required: bool = False
    default: Any = None
    hidden: Any = None
    group: str = ""
    divides: tuple[str, ...] = ()
    repeats: bool = False
    label: str = ""
    help: str = ""
    listed: str = ""
    called: str = ""
    says: Mapping[str, str] = field(default_factory=dict)
    late: bool = False
    before: Callable[[str, int, Settings, Settings | None], Kind | None] | None = None
    warns: Callable[[Setting, str, int], str] | None = None

    def hides(self, setting: Setting) -> bool:
        """Tell whether iptables-save leaves the option out."""
        if callable(self.hidden):
            return bool(self.hidden(setting))
        return self.hidden is not None and setting.value == self.hidden


class Outcome(enum.Enum):
    """How a test went. HOTDROP is the kernel's: the packet is dropped at once."""

    HIT = "matched"
    MISS = "not matched"
    UNDECIDED = "undecided"
    HOTDROP = "hotdrop"


class Answer(NamedTuple):
    """A match's answer to a packet.

    ``option`` is the option that decided; ``have`` is the packet's own fact, in the value type of that
    option's kind or as text. For UNDECIDED ``have`` says what to give.
    """

    outcome: Outcome
    option: str = ""
    have: object = None


HIT = Answer(Outcome.HIT)
_new = tuple.__new__


def miss(option: str, have: object = None) -> Answer:
    """Return the answer *not matched*: ``option`` decided, the packet had ``have``."""
    # Most rules miss, and this makes the tuple in a third of the time that Answer(…) takes.
    return _new(Answer, (Outcome.MISS, option, have))


def undecided(option: str, missing: str) -> Answer:
    """Return the answer *undecided*; ``missing`` tells the reader what to give."""
    return Answer(Outcome.UNDECIDED, option, missing)


class Context(Protocol):
    """What an extension may know besides the packet; the engine implements it.

    Nothing here is guessed: a method returns None when the host was not told.
    """

    table: str
    chain: str
    number: int
    part: int  # which match of the rule it is: a rule may hold two of a kind
    hook: str
    family: int
    backend: str  # nft or legacy: a few rules mean different things to them

    @property
    def now(self) -> float:
        """Seconds since the epoch, on the host's clock."""

    def address_type(self, address: Address, interface: str = "") -> str | None:
        """Return LOCAL, UNICAST, BROADCAST, MULTICAST, BLACKHOLE …, as the routing table says."""

    def addresses_of(self, interface: str) -> Sequence[Address] | None:
        """Return the addresses of an interface, the primary one first."""

    def in_set(self, name: str, values: Sequence[str], packet: Packet) -> bool | None:
        """Tell whether the packet's fields named by ``values`` (src, dst …) are in an ipset."""

    def reverse_route(self, packet: Packet) -> str | None:
        """Return the interface by which the host would answer the packet's source."""

    def path_mtu(self, packet: Packet) -> int | None:
        """Return the least MTU on the packet's way and on the way back to its source."""

    def fact(self, name: str) -> Any:
        """Return a fact about the packet that no header holds (``uid``, ``cgroup`` …)."""

    def choose(self, probability: Fraction) -> bool:
        """Draw, replay or explore a chance of ``probability``; tell whether it came out true."""

    def draw(self, low: int, high: int) -> int:
        """Draw a whole number from low to high, both included (ports, addresses)."""

    def recall(self, key: tuple[Any, ...], default: Any) -> Any:
        """Return what was remembered under ``key``."""

    def remember(self, key: tuple[Any, ...], value: Any) -> None:
        """Keep an immutable ``value`` under ``key`` for later packets."""

    def connections(self) -> Sequence[Any]:
        """Return the entries of the conntrack table."""


Test = Callable[["Use", "Packet", Context], Answer]


@dataclass(frozen=True, slots=True)
class Action:
    """A target's answer to a packet.

    ``verdict`` is ACCEPT, DROP, RETURN, QUEUE, STOLEN, BYPASS (on to the next table, as if this one were
    not there: nf_queue() without a listener), or CONTINUE for a target that lets the walk go on.
    ``packet`` is the packet after the target if it changed anything. ``effects`` are
    requests that only the engine can carry out (``nb_lib.effects``).
    """

    verdict: str
    packet: Packet | None = None
    effects: tuple[object, ...] = ()
    missing: str = ""  # verdict UNDECIDED: what to give


Act = Callable[["Use", "Packet", Context], Action]


class Place(NamedTuple):
    """Where a rule may stand: in these tables, and where packets come from these hooks (empty: any)."""

    tables: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()


def before_or_after(*, before: bool, after: bool) -> Place:
    """Return where a packet has come in by a device (``before`` routing), or is to leave by one."""
    hooks = {*HOOKS}
    if before:
        hooks -= {"OUTPUT", "POSTROUTING"}
    if after:
        hooks -= {"PREROUTING", "INPUT"}
    return Place((), tuple(hook for hook in HOOKS if hook in hooks))


@dataclass(frozen=True, slots=True)
class Extension:
    """A match or a target: name, table of options, meaning.

    ``protocols`` are those that ``-p`` must name for the options to be legal (empty: any);
    ``families`` are 4 and 6; ``tables`` and ``hooks`` limit where it may stand (empty: any), and ``place``
    says more if that depends on the options. ``test`` is a match's meaning, ``act`` a target's. ``final`` is
    iptables' own check of the options together: it raises RefusedError before any that is ``required``
    is missed. ``tidy`` turns settings into the normal form that iptables-save prints (``--set-mark`` →
    ``--set-xmark``), and raises ValueError for combinations that iptables refuses. ``check`` looks at
    the whole rule, as the kernel does: it returns why the kernel calls it invalid (or an empty string),
    and raises RefusedError for what iptables says itself. ``save`` replaces the generic printing where
    the table cannot say it. ``beyond`` is what is not modelled and why: option → reason, the option
    empty for the extension as a whole; the answer is *undecided* then, and nothing helps. ``listed``
    returns what ``iptables -L`` shows (numeric: with -n), from its first blank on, where the options'
    own ``listed`` do not say it, and ``listed_in`` the same where it depends on the rule. ``says`` is as
    in ``Option``, for all options; ``warns`` returns what iptables says of the options when it has read
    all.
    """

    name: str
    options: tuple[Option, ...] = ()
    families: tuple[int, ...] = (4, 6)
    protocols: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    test: Test | None = None
    act: Act | None = None
    final: Callable[[Settings], None] | None = None
    tidy: Callable[[dict[str, Setting], int], dict[str, Setting]] | None = None
    save: Callable[[Use], str] | None = None
    check: Callable[[Use, Rule], str] | None = None
    place: Callable[[Use], Place] | None = None
    conntrack: bool | Callable[[Use], bool] = False  # it makes the kernel track connections
    defrag: bool = False  # it makes the kernel put fragments together, as tracking does
    summary: str = ""
    source: str = ""  # kernel file and man page section
    beyond: Mapping[str, str] = field(default_factory=dict)
    listed: Callable[[Use, bool], str] | None = None
    listed_in: Callable[[Use, bool, Rule], str] | None = None
    says: Mapping[str, str] = field(default_factory=dict)
    warns: Callable[[Settings], str] | None = None
    native: bool = False  # written as expressions of nftables; of two in a rule one is read back
    known: bool = True
    legacy: Extension | None = None  # its form under iptables-legacy, where that differs
    by_name: Mapping[str, Option] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )
    # Options that are required or have a default, and those of which a group lets one stand in a rule.
    awaited: tuple[Option, ...] = field(init=False, compare=False, repr=False, default=())
    grouped: tuple[Option, ...] = field(init=False, compare=False, repr=False, default=())

    def __post_init__(self) -> None:
        names = {}
        for option in self.options:
            for name in (option.name, *option.aliases):
                names[name] = option
        object.__setattr__(self, "by_name", names)
        awaited = tuple(o for o in self.options if o.required or o.default is not None)
        object.__setattr__(self, "awaited", awaited)
        object.__setattr__(self, "grouped", tuple(o for o in self.options if o.group))

    def saying(self, key: str, option: Option) -> str:
        """Return what iptables says of an option: ``key`` is one of ``SAYINGS``."""
        said = option.says.get(key) or self.says.get(key) or SAYINGS[key]
        return self.filled(said, option)

    def filled(self, said: str, option: Option) -> str:
        """Put the names of the extension and of an option into a sentence."""
        return said.replace("{name}", self.name).replace("{option}", option.called or option.name)

    def under(self, backend: str) -> Extension:
        """Return the form that the extension has under a backend, ``nft`` or ``legacy``."""
        return self.legacy if backend == "legacy" and self.legacy is not None else self


class Use(NamedTuple):
    """An extension as one rule uses it.

    ``raw`` is the text of an unknown extension's options, kept as it was.
    """

    extension: Extension
    settings: Settings
    raw: str = ""

    @property
    def name(self) -> str:
        """The extension's name: ``tcp``, ``DNAT``."""
        return self.extension.name

    def value(self, option: str, default: Any = None) -> Any:
        """Return the value of an option, or ``default`` if the rule does not give it."""
        setting = self.settings.get(option)
        return default if setting is None else setting.value

    def beyond(self, option: str = "") -> str:
        """Return what an *undecided* answer says of an option that is not modelled."""
        return f"nothing helps: {self.extension.beyond[option]}"


def unknown(name: str) -> Extension:
    """Return an extension of which nothing is known but its name.

    A rule that uses it keeps its text and saves back unchanged; its answer is always *undecided*.
    """
    missing = f"what {name} means: nb_lib does not model it"
    return Extension(
        name,
        test=lambda _use, _packet, _ctx: undecided("", missing),
        act=lambda _use, _packet, _ctx: Action("UNDECIDED", missing=missing),
        known=False,
    )
