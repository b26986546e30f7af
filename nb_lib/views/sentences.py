"""Traces in sentences: one for each kind of event.

They feed the text view, the story strip beside every diagram and what a screen reader hears.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nb_lib.packet import Packet, endpoint
from nb_lib.trace import (
    Answered,
    AtHook,
    Balanced,
    Chance,
    Copied,
    Entered,
    Event,
    Fate,
    Fragmented,
    Gathered,
    Gone,
    Left,
    Looked,
    Lost,
    Matched,
    Missed,
    Noted,
    Place,
    PolicyApplied,
    Rewritten,
    Routed,
    Trace,
    Unsure,
)

LOOKED = {
    "new": "conntrack does not know this connection: it is NEW.",
    "known": "conntrack knows this connection: {state}, {direction}.",
    "related": "conntrack finds it RELATED to a connection that it knows.",
    "invalid": "conntrack can make no sense of it: it is INVALID.",
    "untracked": "conntrack leaves it alone: it is UNTRACKED.",
    "confirmed": "conntrack confirms the connection: its entry enters the table.",
    "clash": "conntrack finds that another packet was faster and entered the same connection.",
    "merged": "conntrack finds that another packet was faster; this one joins its entry.",
    "reply": "conntrack finds that another packet was faster; this one will be known by its answers alone.",
}
GATHERED = {
    "kept": "It is a fragment: it is kept until the others of its datagram have come.",
    "whole": "It was the last fragment to come: the datagram goes on whole.",
    "passed": "It is a fragment that fits no datagram: it goes on alone.",
}
BALANCED = {
    "new": "IPVS takes it for the virtual server {service}: a new connection, given to {server}.",
    "known": "IPVS takes it for the virtual server {service}: its connection is {server}'s.",
    "answer": "IPVS knows it as an answer of {server}, a real server of {service}.",
    "none": "IPVS takes it for the virtual server {service}, which has no real server to give it to.",
}
FATES = {
    "forward": "It leaves by {device} as {packet}.",
    "local": "It is delivered to this host as {packet}.",
    "drop": "It is dropped by {place}.",
    "reject": "It is rejected by {place}: {detail}.",
    "lost": "It is lost after {detail}, without a rule.",
    "error": "It goes no further; the sender is told {detail}.",
    "queue": "It waits in a queue for a program: {place}.",
    "stolen": "{place} takes it away.",
    "held": "It is held until the other fragments have come.",
    "undecided": "Its way cannot be told further: {detail}.",
}
FATE_WORDS = {
    "forward": "out of {device}",
    "local": "delivered here",
    "drop": "dropped by {place}",
    "reject": "rejected by {place}",
    "lost": "lost after {detail}",
    "error": "answered by {detail}",
    "held": "held, a fragment",
    "undecided": "undecided at {place}",
}
MARKS = {"ACCEPT": "●", "DROP": "■", "REJECT": "▲", "RETURN": "↩", "JUMP": "⤷", "GOTO": "⤷",
         "CONTINUE": "·", "REWRITE": "✎"}  # fmt: skip


def sentence(event: Event) -> str:  # noqa: C901, PLR0912 - one case for a kind of event
    """Say what happened, in one sentence."""
    match event:
        case AtHook():
            return f"The packet meets the hook {event.name}."
        case Gathered():
            said = GATHERED[event.what]
            return f"{said[:-1]} ({event.note})." if event.note else said
        case Fragmented():
            return (
                f"It is too large, or came in fragments: it leaves in {len(event.parts)} fragments."
            )
        case Looked():
            return _looked(event)
        case Balanced():
            return BALANCED[event.what].format(service=event.service, server=event.server)
        case Entered():
            return _entered(event)
        case Missed():
            return _missed(event)
        case Matched():
            return f"{_rule(event.place)} matches{_held(event)}: {_verdict(event)}."
        case Unsure():
            return f"{_rule(event.place)} cannot be decided: {event.missing}."
        case Left():
            return _left(event)
        case PolicyApplied():
            return f"The policy of {event.table} {event.chain} says {event.verdict}."
        case Rewritten():
            return f"{event.by} rewrites {_list(rewrites(event.before, event.packet))}."
        case Chance():
            done = "it comes true" if event.taken else "it does not come true"
            where = f"rule {event.place.number} of {event.place.chain}"
            return f"Chance at {where}: {done}, with a probability of {event.probability}."
        case Noted():
            return f"{event.text} ({event.place})."
        case Routed():
            return _routed(event)
        case Lost():
            hint = f" ({event.setting})" if event.setting else ""
            return f"The kernel drops it, no rule is to blame: {event.reason}{hint}."
        case Gone():
            return f"It leaves the bridge by {event.device}."
        case Copied():
            return f"{event.by} sends a copy: {event.copy}."
        case Answered():
            return f"The host answers by {event.by}: {event.answer}."
    raise AssertionError(f"no sentence for {type(event).__name__}")


def fate_sentence(fate: Fate, packet: Packet) -> str:
    """Say how it ended."""
    shape = FATES.get(fate.kind, "It ends: {detail}.")
    place = _by(fate.place)
    return shape.format(device=fate.device, place=place, detail=fate.detail, packet=packet)


def fate_words(fate: Fate) -> str:
    """Say how it ended in a few words, for a title: ``dropped by rule 3 of filter INPUT``."""
    shape = FATE_WORDS.get(fate.kind, fate.kind)
    return shape.format(device=fate.device, place=_by(fate.place), detail=fate.detail)


def _by(place: Place | None) -> str:
    if place is None:
        return "a rule"
    part = f"rule {place.number}" if place.number else "the policy"
    return f"{part} of {place.table} {place.chain}"


def arrival(trace: Trace) -> str:
    """Say where the packet comes from."""
    if trace.origin:
        return f"A packet arrives on {trace.origin}: {trace.sent}."
    return f"This host sends a packet: {trace.sent}."


def rewrites(before: Packet, after: Packet) -> tuple[tuple[str, str, str], ...]:
    """Return what differs as (field, old, new); an address is shown with its port."""
    old, new = (fields(packet) | _macs(packet) for packet in (before, after))
    return tuple((n, text, new.get(n, "")) for n, text in old.items() if text != new.get(n, ""))


def fields(packet: Packet) -> dict[str, str]:
    """Return what the packet's card shows, name → text."""
    found = {
        "src": endpoint(packet.src, packet.sport),
        "dst": endpoint(packet.dst, packet.dport),
        "mark": f"{packet.mark:#x}",
        "ttl": str(packet.ttl),
        "tos": f"{packet.tos:#04x}",
    }
    if packet.icmp_id is not None:
        found["icmp id"] = str(packet.icmp_id)
    return found


def _macs(packet: Packet) -> dict[str, str]:
    """Return the Ethernet addresses of a frame, and those that an ARP message tells."""
    found = {
        name: getattr(packet, name, "")
        for name in ("mac_src", "mac_dst", "sender_mac", "target_mac")
    }
    return {name.replace("_", " "): text for name, text in found.items() if text}


def misses(event: Missed, most: int = 4) -> Iterator[tuple[str, str]]:
    """Yield (numbers, why) for a run of misses; a long run is told by its two ends."""
    numbers = range(event.first, event.last + 1)
    if len(numbers) <= most:
        for number in numbers:
            yield str(number), str(event.why(number))
        return
    yield str(event.first), str(event.why(event.first))
    middle = f"{event.first + 1}–{event.last - 1}"
    yield middle, "did not match either"
    yield str(event.last), str(event.why(event.last))


def mark(verdict: str) -> str:
    """Return the sign of a verdict; it differs in shape, not only in colour."""
    return MARKS.get(verdict.split(" ", maxsplit=1)[0], "·")


def _looked(event: Looked) -> str:
    ct = event.packet.ct
    direction = (
        "in the direction of the reply"
        if ct and ct.direction == "REPLY"
        else "as the first packet went"
    )
    said = LOOKED[event.what].format(state=ct.state if ct else "", direction=direction)
    return f"{said[:-1]} ({event.note})." if event.note else said


def _entered(event: Entered) -> str:
    count = "no rules" if not event.length else f"{event.length} rule{'s' * (event.length > 1)}"
    if event.caller is None:
        return f"Into {event.chain} of {event.table}: {count}, policy {event.policy}."
    return f"Into {event.chain}: {count}."


def _missed(event: Missed) -> str:
    if event.first == event.last:
        return f"Rule {event.first} of {event.chain} does not match: {event.why(event.first)}."
    return f"Rules {event.first}–{event.last} of {event.chain} do not match."


def _rule(place: Place) -> str:
    return f"Rule {place.number} of {place.table} {place.chain}"


def _left(event: Left) -> str:
    if event.caller is None:
        return f"End of {event.chain}: its policy decides."
    return f"Out of {event.chain}: back to {event.caller.chain}, after rule {event.caller.number}."


def _routed(event: Routed) -> str:
    route, again = event.route, "Routing again" if event.again else "Routing"
    by = f", says the route “{route.rule}”" if route.rule else ""
    via = f" via {route.via}" if route.via else ""
    if route.kind == "BRIDGE":
        return f"Bridging: to {route.interface} ({route.rule})."
    if route.kind == "LOCAL":
        return f"{again}: the destination is this host itself{by}."
    if route.kind == "BROADCAST":
        return f"{again}: a broadcast, delivered here as well{by}."
    if route.kind == "FORWARD":
        return f"{again}: forward it out of {route.interface}{via}{by}."
    source = f", from {route.source}" if route.source else ""
    return f"{again}: it goes out of {route.interface}{via}{source}{by}."


def _held(event: Matched) -> str:
    return f" ({'; '.join(map(str, event.found))})" if event.found else ""


def _verdict(event: Matched) -> str:
    word, _, chain = event.verdict.partition(" ")
    if word == "JUMP":
        return f"jump to {chain}"
    if word == "GOTO":
        return f"go to {chain}, not to come back"
    target = event.rule.target.name if event.rule.target else ""
    if word == "CONTINUE":
        return f"{target}, and the walk goes on" if target else "it counts, and the walk goes on"
    return word if target in ("", word) else f"{target}, then {word}"


def _list(changes: Sequence[tuple[str, str, str]]) -> str:
    return " and ".join(f"{name} {old} → {new}" for name, old, new in changes) or "nothing"
