"""An extension on a card: what it asks or does, its options, and how a rule of it met some packets.

What the registries know (``nb_lib.options``) is printed; nothing is said twice. ``nb_lib.zoo`` sends the
packets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nb_lib import headers
from nb_lib.options import Extension, Option
from nb_lib.packet import Packet
from nb_lib.trace import (
    Answered,
    Copied,
    Event,
    Matched,
    Missed,
    Noted,
    Place,
    Rewritten,
    Trace,
    Unsure,
)
from nb_lib.views.sheet import Sheet
from nb_lib.views.svg import Markup, tag

MATCHED, MISSED, UNDECIDED, HOTDROP = (
    "● matched",
    "– not matched: ",
    "? undecided: ",
    "■ dropped: cut short",
)
USUAL = (headers.TCP, headers.UDP, headers.ICMP, headers.ICMPV6)
MOST = 40  # bytes that are written out
_PROTOCOLS = {"ipv6-icmp": "icmpv6"}


@dataclass(frozen=True)
class Meeting:
    """One packet, or a pause, before the rule on the card."""

    packet: Packet | None
    trace: Trace | None = None
    told: str = ""  # where it came from, or how long the pause was


@dataclass(frozen=True)
class Card:
    """What the book shows of an extension: ``meetings`` with the rule at ``place``."""

    extension: Extension
    rules: str
    place: Place
    meetings: Sequence[Meeting]

    @property
    def answers(self) -> tuple[str, ...]:
        """What the rule said to each packet, in the order in which they came."""
        return tuple(answer(one.trace, self.place) for one in self.meetings if one.trace)

    def __repr__(self) -> str:
        parts = [*self._lines(), *map(repr, self._sheets())]
        return "\n\n".join(parts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> Markup:
        """Return the card: a line of facts, the options, the packets."""
        facts = [tag("p", line, class_="nf-zoo-fact") for line in self._lines()]
        return tag("div", facts, [sheet.html() for sheet in self._sheets()], class_="nf-zoo")

    def _lines(self) -> list[str]:
        return [
            f"{self.extension.name}: {self.extension.summary}.",
            " · ".join(facts(self.extension)),
        ]

    def _sheets(self) -> Iterator[Sheet]:
        if self.extension.options:
            yield options(self.extension)
        rows = [_row(one, self.place) for one in self.meetings]
        if self.extension.act is not None:
            yield Sheet(("packet", "the rule", "then"), rows, self.rules)
        else:  # a match has said all when it has answered
            yield Sheet(("packet", "the rule"), [row[:2] for row in rows], self.rules)


def facts(extension: Extension) -> Iterator[str]:
    """Yield where an extension may stand, where Linux has it, and whether it is modelled."""
    yield "IPv4 and IPv6" if len(extension.families) > 1 else f"IPv{extension.families[0]} only"
    if extension.protocols:
        yield "needs -p " + (
            " or ".join(_PROTOCOLS.get(name, name) for name in extension.protocols)
        )
    if extension.tables:
        yield "only in the table " + " or ".join(extension.tables)
    if extension.hooks:
        yield "only at " + ", ".join(extension.hooks)
    yield extension.source
    beyond = [f"{option}: {why}" if option else why for option, why in extension.beyond.items()]
    if "" in extension.beyond:
        yield "not modelled: " + "; ".join(beyond)
    else:
        yield "modelled" + (", but for " + "; ".join(beyond) if beyond else "")


def options(extension: Extension) -> Sheet:
    """Return a row for each option: its names, its value, whether ``!`` may stand before it."""
    flag = "-j" if extension.act is not None else "-m"
    heads = ["option", "value", "!", "default", "it asks" if flag == "-m" else "it does"]
    rows = [
        [", ".join((one.name, *one.aliases)), one.kind.metavar, "!" if one.invertible else "",
         _default(one), one.help]
        for one in extension.options
    ]  # fmt: skip
    for at in (3, 2):
        if not any(row[at] for row in rows):  # a column that says nothing
            rows = [row[:at] + row[at + 1 :] for row in rows]
            del heads[at]
    return Sheet(heads, rows, f"{flag} {extension.name}" if extension.name else "Any rule")


def _default(option: Option) -> str:
    if option.default is None:
        return "required" if option.required else ""
    return option.kind.save(option.default)


def answer(trace: Trace, place: Place) -> str:
    """Say what the rule at ``place`` answered to the packet of a trace."""
    for event in trace.events:
        if isinstance(event, Matched) and event.place == place:
            return HOTDROP if event.hotdrop else MATCHED
        if isinstance(event, Unsure) and event.place == place:
            return UNDECIDED + event.missing
        if isinstance(event, Missed) and _among(event, place):
            return MISSED + str(event.why(place.number))
    return "never asked"


def _among(event: Missed, place: Place) -> bool:
    return (event.table, event.chain) == place[:2] and event.first <= place.number <= event.last


def _row(meeting: Meeting, place: Place) -> tuple[str, str, str]:
    if meeting.trace is None or meeting.packet is None:
        return (meeting.told, "", "")
    said = answer(meeting.trace, place)
    return (
        _packet(meeting),
        said,
        "\n".join(_then(meeting.trace, place)) if said == MATCHED else "",
    )


def _then(trace: Trace, place: Place) -> Iterator[str]:
    """Yield what came of a match: what was noted, rewritten or answered, and the verdict."""
    rule = next(e for e in trace.events if isinstance(e, Matched) and e.place == place)
    target = rule.rule.target.name if rule.rule.target else ""
    done = [line for event in trace.events for line in _done(event, place, target)]
    yield from done
    if rule.verdict == "CONTINUE":
        yield "the next rule is asked"
    elif rule.verdict != "ACCEPT" or not done:
        yield rule.verdict.lower()


def _done(event: Event, place: Place, target: str) -> list[str]:
    match event:
        case Rewritten() if event.place == place:
            return [f"{name} {old} → {new}" for name, old, new in event.changes] or _inside(event)
        case Noted() if event.place == place:
            return [event.text]
        case Answered() if event.by == target:
            return [f"answer: {event.answer}"]
        case Copied():
            return [f"copy: {event.copy}"]
    return []


def _inside(event: Rewritten) -> list[str]:
    """Return what changed that is no field of its own: whether it is tracked, TCP flags, options."""
    before, after = event.before, event.packet
    if after.ct != before.ct and after.ct:
        return [f"conntrack's state {after.ct.state}"]
    if before.flags != after.flags:
        return [f"flags {','.join(before.flag_names)} → {','.join(after.flag_names)}"]
    old, new = (one.data[one.header_end + 20 :].hex(" ", 4) for one in (before, after))
    return [f"TCP options {old} → {new}"] if old != new else []


def _packet(meeting: Meeting) -> str:
    """Write a packet in one line, with what is not as usual about it."""
    packet = meeting.packet
    assert packet is not None
    return ", ".join(filter(None, (str(packet), meeting.told, *_special(packet))))


def _special(packet: Packet) -> Iterator[str]:
    hops = "TTL" if packet.family == 4 else "hop limit"
    for name, value, usual in (
        (hops, packet.ttl, 64), ("TOS", f"0x{packet.tos:02x}", "0x00"), ("mark", f"0x{packet.mark:x}", "0x0"),
        ("from", packet.mac_src, ""), ("to the link's", packet.link.lower(), ""),
        ("by bridge port", packet.in_port, ""),
    ):  # fmt: skip
        if value != usual:
            yield f"{name} {value}"
    yield from (f"{name} {_fact(value)}" for name, value in packet.facts)
    yield from (
        f"behind {headers.PROTOCOL_NAMES.get(number, number)}" for number, _ in packet.extensions
    )
    yield _bytes(packet)


def _fact(value: object) -> str:
    """Write a fact's value as a sentence has it: ``no``, ``proto esp reqid 1``."""
    if isinstance(value, dict):
        return " ".join(f"{name} {_fact(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return " ".join(map(_fact, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _bytes(packet: Packet) -> str:
    """Write the bytes behind the IP header, or those that a TCP or UDP packet carries."""
    body = packet.payload if packet.protocol in USUAL else packet.data[packet.header_end :]
    text = body.decode("ascii", "replace")
    if not body or len(body) > MOST:
        return f"{packet.length} bytes" if body else ""
    return f"“{text}”" if text.isprintable() and text.isascii() else body.hex(" ", 4)
