"""What happened to one packet on one host: events, in the kernel's order and words.

The engine yields events; a ``Trace`` holds them; every picture, table and sentence is drawn from
it. Each event carries ``packet``, the packet as it is *after* the event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, dataclass_transform

from nb_lib import present
from nb_lib.connection import Address, Connection
from nb_lib.options import Answer, Outcome, Use
from nb_lib.packet import Packet, endpoint
from nb_lib.rules import Rule

_Event = TypeVar("_Event")


class Place(NamedTuple):
    """A rule's address: table, chain and number, counted from 1; 0 stands for the policy."""

    table: str
    chain: str
    number: int

    def __str__(self) -> str:
        return f"{self.table}:{self.chain}:{self.number or 'policy'}"


class Reason(NamedTuple):
    """Why a rule did not match: the part of the rule that decided, and its answer."""

    use: Use
    answer: Answer

    def __str__(self) -> str:
        """``dport 80 ≠ 443``: the packet's fact first, then what the rule asks for."""
        option = self.use.extension.by_name.get(self.answer.option)
        have = self.answer.have
        if option is None or option.name not in self.use.settings:
            return (
                f"{self.answer.option} {have}".strip() if have is not None else self.answer.option
            )
        label = option.label or option.name.lstrip("-").replace("-", " ")
        setting = self.use.settings[option.name]
        want = option.kind.show(setting.value)
        if have is None:
            asked = f"{label} {want}".rstrip()  # a flag has no value to show
            return f"{asked}, and the rule says !" if setting.inverted else f"not {asked}"
        shown = have if isinstance(have, str) else option.kind.show(have)
        if setting.inverted:
            return f"{label} {shown} = {want}, and the rule says !"
        return f"{label} {shown} ≠ {want}"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _event(kind: type[_Event]) -> type[_Event]:
    """Make an event of a class: a frozen dataclass with slots, and mypy holds who would change one.

    A trace makes dozens of events, and what ``frozen=True`` does at run time takes four times as
    long as making them.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)


@_event
class Event:
    """Something that happened; ``packet`` is the packet after it."""

    packet: Packet


@_event
class AtHook(Event):
    """The packet arrives at a hook; ``layer`` is ``bridge`` or ``arp`` if it is not one of IP's."""

    hook: str
    layer: str = ""

    @property
    def name(self) -> str:
        """``PREROUTING``, or ``bridge PREROUTING``."""
        return f"{self.layer} {self.hook}".lstrip()


@_event
class Gathered(Event):
    """A fragment met the others of its datagram.

    ``what`` is ``kept`` (the others have not all come), ``whole`` (``packet`` is the datagram) or
    ``passed`` (it goes on as it is).
    """

    what: str
    note: str = ""


@_event
class Fragmented(Event):
    """The packet leaves in pieces: ``parts``."""

    parts: tuple[Packet, ...]


@_event
class Looked(Event):
    """Conntrack looked the packet up; ``packet.ct`` holds what it found.

    ``what`` is ``new``, ``known``, ``related``, ``invalid``, ``untracked`` or ``confirmed``; of a connection
    that another packet was faster to enter, ``merged``, ``reply`` or ``clash`` (engine/conntrack.py).
    """

    what: str
    connection: Connection | None = None
    note: str = ""


@_event
class Balanced(Event):
    """IPVS found the packet to be one of a virtual server's.

    ``what`` is ``new`` (``server`` was picked for the connection), ``known``, ``answer`` (of ``server``)
    or ``none`` (no real server is available). ``service`` and ``server`` are written as ipvsadm does.
    """

    what: str
    service: str
    server: str = ""


@_event
class Entered(Event):
    """The packet enters a chain: a base chain (``caller`` None) or one that a rule calls.

    ``priority`` and ``kind`` (filter, nat, route) are those of a base chain of nft; iptables' are those of
    their tables (``nb_lib.hooks``).
    """

    table: str
    chain: str
    depth: int = 0
    caller: Place | None = None
    policy: str | None = None
    length: int = 0
    priority: int | None = None
    kind: str = ""


@_event
class Missed(Event):
    """A run of rules that were tried, one after the other, and did not match.

    ``known`` holds the reasons that were found while walking. The other rules of the run were
    passed over by an index of addresses; ``why`` works their reason out when asked.
    """

    table: str
    chain: str
    first: int
    last: int
    depth: int = 0
    rules: Sequence[Rule] = field(default=(), repr=False)
    known: Mapping[int, tuple[Use, Answer]] = field(default_factory=dict, repr=False)

    def why(self, number: int) -> Reason:
        """Return why rule ``number`` (``first`` … ``last``) did not match."""
        if number in self.known:
            return Reason(*self.known[number])
        rule = self.rules[number - 1]
        for use in (rule.core, *rule.matches):
            assert use.extension.test is not None
            # What the index knows (address, port) is read from the packet alone: no context.
            answer = use.extension.test(use, self.packet, None)  # type: ignore[arg-type]
            if answer.outcome is Outcome.MISS:
                return Reason(use, answer)
        raise AssertionError("the index passed over a rule that matches")


class Found(NamedTuple):
    """What a rule of nft found in a set or a map: ``4.3.2.1 . tcp . 80 is in @service-ips``.

    ``of`` is the expression that was asked, ``key`` what it is for this packet, ``where`` the set's name
    with its ``@``, empty for one that stands in the rule. ``element`` is the element's key as it is listed,
    empty for one that a packet has added.
    """

    of: str
    key: str
    where: str
    element: str

    def __str__(self) -> str:
        if not self.where:
            return f"{self.of} is {self.key}"
        by = f", by {self.element}" if self.element not in ("", self.key) else ""
        return f"{self.key} is in {self.where}{by}"


@_event
class Matched(Event):
    """A rule matched. ``verdict`` is netfilter's: ACCEPT, DROP, CONTINUE, RETURN, ``JUMP X``, ``GOTO X``.

    With ``hotdrop`` it did not: one of its matches could not read the packet and dropped it at once.
    ``found`` is what it found in sets and maps of nft.
    """

    place: Place
    rule: Rule
    verdict: str
    depth: int = 0
    hotdrop: bool = False
    found: tuple[Found, ...] = ()


@_event
class Unsure(Event):
    """A rule that cannot be decided; ``missing`` says what to give."""

    place: Place
    rule: Rule
    missing: str
    depth: int = 0


@_event
class Left(Event):
    """The end of a user chain, or a RETURN: back to the rule after ``caller`` (None: to the policy)."""

    table: str
    chain: str
    depth: int = 0
    caller: Place | None = None


@_event
class PolicyApplied(Event):
    """No rule of a base chain decided: its policy does."""

    table: str
    chain: str
    verdict: str


@_event
class Rewritten(Event):
    """Something of the packet changed. ``by`` names the target or the kernel's part that did it."""

    before: Packet
    by: str
    place: Place | None = None

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """The fields that differ, as (field, old, new) texts."""
        return changes(self.before, self.packet)


@_event
class Chance(Event):
    """A draw: ``probability`` is that of the way that was ``taken``, exact."""

    place: Place
    probability: Fraction
    taken: bool
    depth: int = 0


@_event
class Noted(Event):
    """A side effect that leaves the packet as it is: LOG, NFLOG, a set's new member."""

    place: Place
    text: str
    depth: int = 0


class Route(NamedTuple):
    """A routing decision: ``kind`` is LOCAL, FORWARD, OUTPUT or BROADCAST (delivered here as well).

    BRIDGE is a bridge's own: out by the port ``interface``, or up to the bridge's host.
    """

    kind: str
    interface: str
    via: Address | None = None
    source: Address | None = None
    rule: str = ""  # the route that decided, as ``ip route`` prints it


@_event
class Routed(Event):
    """Where the packet goes. ``again`` tells that it had been routed before it was changed."""

    route: Route
    again: bool = False


@_event
class Gone(Event):
    """A frame leaves a bridge by the port ``device``; others of its copies may still be on their way."""

    device: str


@_event
class Lost(Event):
    """The kernel drops the packet and no rule is to blame: rp_filter, no route, TTL and others."""

    reason: str
    hook: str
    setting: str = ""  # the sysctl or fact that would change it


@_event
class Answered(Event):
    """The host sends an answer of its own (REJECT, an ICMP error): ``answer``."""

    answer: Packet
    by: str
    events: tuple[Event, ...] = ()  # the answer's own way out


@_event
class Copied(Event):
    """A target sent a copy of the packet elsewhere (TEE): ``copy``, and its own way out."""

    copy: Packet
    by: str
    events: tuple[Event, ...] = ()


class Fate(NamedTuple):
    """How it ended: forward, local, drop, reject, lost, error, queue, stolen, held, undecided."""

    kind: str
    device: str = ""
    place: Place | None = None
    detail: str = ""  # REJECT's answer, the hook after which it was lost, what is missing

    def __str__(self) -> str:
        """``forward eth0`` · ``drop filter:INPUT:3`` · ``reject filter:X:1 icmp 3/3`` · ``lost after …``."""
        if self.kind == "lost":
            return f"lost after {self.detail}"
        device = self.device if self.kind == "forward" else ""
        parts = (self.kind, device, str(self.place) if self.place else "", self.detail)
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Trace:
    """The way of one packet through one host.

    ``sent`` is the packet as it entered, ``events`` what happened, ``fate`` how it ended.
    ``probability`` is the exact chance of this way (1 unless it was explored); ``assumed`` lists
    what the host was not told and had to be proposed.
    """

    sent: Packet
    events: tuple[Event, ...]
    fate: Fate
    probability: Fraction = Fraction(1)
    assumed: tuple[str, ...] = ()
    origin: str = ""  # the interface by which it came, or "" if it was sent here

    @property
    def packet(self) -> Packet:
        """The packet as it ended: as it left, was delivered, or was dropped."""
        return self.events[-1].packet if self.events else self.sent

    @property
    def outgoing(self) -> tuple[Packet, ...]:
        """What left by ``fate.device``: the packet, or the fragments of it; nothing if it did not."""
        if self.fate.kind != "forward":
            return ()
        last = self.events[-1]
        return last.parts if isinstance(last, Fragmented) else (self.packet,)

    @property
    def replies(self) -> tuple[Packet, ...]:
        """What the host itself answered."""
        return tuple(e.answer for e in self.events if isinstance(e, Answered))

    @property
    def frames(self) -> tuple[tuple[str, Packet], ...]:
        """What left the bridges, as (port, frame), without the host's own answers."""
        return tuple((e.device, e.packet) for e in self.events if isinstance(e, Gone))

    @cached_property
    def steps(self) -> tuple[tuple[str, str, int | str, str], ...]:
        """The rules that matched and the policies, as (table, chain, number or "policy", verdict).

        This is what the kernel's own trace (``xtables-monitor --trace``) reports.
        """
        found: list[tuple[str, str, int | str, str]] = []
        for event in self.events:
            if isinstance(event, Matched):
                found.append((*event.place, event.verdict))
            elif isinstance(event, PolicyApplied):
                found.append((event.table, event.chain, "policy", event.verdict))
        return tuple(found)

    @property
    def rewrites(self) -> tuple[Rewritten, ...]:
        """The events that changed the packet."""
        return tuple(e for e in self.events if isinstance(e, Rewritten))

    @property
    def connection(self) -> Connection | None:
        """The connection that the packet belongs to, as it was at the end."""
        return self.packet.ct.connection if self.packet.ct else None

    def reply(self, **fields: Any) -> Packet:
        """Return the receiver's answer to the packet as it left; see ``Packet.reply``."""
        return self.packet.reply(**fields)

    def table(self) -> Any:
        """Return the steps as a pandas DataFrame."""
        return present.frame(self)

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


@dataclass(frozen=True)
class Exploration:
    """Every way that chance can take, each with its exact probability; they add up to 1."""

    traces: tuple[Trace, ...]

    def __iter__(self) -> Any:
        return iter(self.traces)

    def __len__(self) -> int:
        return len(self.traces)

    def __getitem__(self, index: int) -> Trace:
        return self.traces[index]

    @property
    def endpoints(self) -> dict[str, Fraction]:
        """Where the packet ends up (``address:port``, or the fate) → the chance of it."""
        found: dict[str, Fraction] = {}
        for trace in self.traces:
            arrives = trace.fate.kind in ("forward", "local")
            name = endpoint(trace.packet.dst, trace.packet.dport) if arrives else str(trace.fate)
            found[name] = found.get(name, Fraction(0)) + trace.probability
        return found

    def table(self) -> Any:
        """Return the ways as a pandas DataFrame."""
        return present.frame(self)

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)


_FIELDS = ("src", "sport", "dst", "dport", "icmp_id", "ttl", "tos")
_LINK_FIELDS = ("mac_src", "mac_dst", "sender_mac", "target_mac")


def changes(before: Packet, after: Packet) -> tuple[tuple[str, str, str], ...]:
    """Return what differs between two packets, as (field, old, new) texts."""
    found = []
    for name in (*_FIELDS, *_LINK_FIELDS):
        old, new = getattr(before, name, None), getattr(after, name, None)
        if old != new:
            found.append((name, str(old), str(new)))
    if before.mark != after.mark:
        found.append(("mark", f"{before.mark:#x}", f"{after.mark:#x}"))
    return tuple(found)
