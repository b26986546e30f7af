"""What the page asks and what it is told.

A message is an object with ``do``; the answer is one, too. ``{"error": …}`` says what is wrong with what the
player gave (``text``, and the ``field`` of the form if it is one); ``{"problem": …}`` is a mistake of ours.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nb_lib.capture import Moment, moments, pcap
from nb_lib.cli import State
from nb_lib.cli.terminal import Terminal
from nb_lib.engine import Host
from nb_lib.errors import NbError, PacketError
from nb_lib.missions import MISSIONS, Judgement, Mission, Network, outcome
from nb_lib.missions.mission import rules_of
from nb_lib.packet import Packet
from nb_lib.play.builder import FieldError, build, fields_of
from nb_lib.rules import Ruleset
from nb_lib.trace import Trace
from nb_lib.views.console import Console
from nb_lib.views.draw import draw
from nb_lib.views.octets import draw_octets

Message = Mapping[str, Any]
Answer = dict[str, Any]
FREE = Network()
PLACES = {"ipv6": (6, "nft", "filter"), "mss": (4, "nft", "mangle")}


def _place(mission: Mission | None) -> tuple[int, str, str]:
    """Return the table that is shown first: the one that the mission begins with."""
    if mission is None:
        return 4, "nft", "filter"
    if mission.name in PLACES:
        return PLACES[mission.name]
    nat = "*nat" in mission.dump or "-t nat" in mission.solution
    return 4, "nft", "nat" if nat and "*filter" not in mission.dump else "filter"


class Desk:
    """One player's work: a mission or none, a terminal, a host that remembers, the last trace."""

    def __init__(self, mission: Mission | None = None) -> None:
        self.mission = mission
        self.network = mission.network if mission else FREE
        state = mission.state if mission else State()
        self.console = Console(Terminal(state, clock=time.time), _place(mission))
        self.host: Host = self.network.host()
        self.trace: Trace | None = None
        self.judgement: Judgement | None = None

    def loaded(self) -> Host:
        """Return the host with the rules that are loaded now; connections are remembered."""
        host = self.host
        known = {ruleset.family: ruleset for ruleset in rules_of(self.console.terminal.state)}
        for family in {*host.rulesets, *known}:
            if known.get(family) is not host.rulesets.get(family):
                host = host.with_ruleset(known.get(family) or Ruleset(family))
        self.host = host
        return host

    def counted(self) -> None:
        """Write what the packets have counted into the terminal's rules, so that -L -v shows it."""
        terminal, host = self.console.terminal, self.host
        rulesets = dict(terminal.state.rulesets)
        for family, ruleset in host.rulesets.items():
            if (family, ruleset.backend) in rulesets:
                rulesets[family, ruleset.backend] = host.counted(family)
        host.state.counters.clear()
        terminal.state = replace(terminal.state, rulesets=rulesets)


desk = Desk()


def answer(message: str, _tell: Callable[[str], object] = lambda _: None) -> str:
    """Do what a message asks and say what came of it; both are JSON."""
    try:
        asked = json.loads(message)
        return json.dumps(_DO[asked["do"]](asked))
    except FieldError as error:
        return json.dumps({"error": {"text": str(error), "field": error.field}})
    except NbError as error:
        return json.dumps({"error": {"text": str(error)}})
    except KeyboardInterrupt:
        return json.dumps({"stopped": True})
    except Exception as problem:  # noqa: BLE001 - the page lives on, and says that it was our mistake
        return json.dumps({"problem": f"{type(problem).__name__}: {problem}"[:500]})


def _start(message: Message) -> Answer:
    """Begin a mission, or free play without one; what was typed before is gone."""
    name = str(message.get("mission", ""))
    if name and name not in MISSIONS:
        raise NbError(f"there is no mission {name!r}")
    desk.__init__(MISSIONS.get(name))  # type: ignore[misc] # another game at the same desk
    network = desk.network
    first = _first_packet()
    return {
        "devices": [network.outside, network.inside],
        "fields": {**fields_of(first[0]), "way": first[1]},
        "presets": _presets(network),
    }


def _presets(network: Network) -> list[Answer]:
    """Return a packet for each way that there is: to, through and from the host."""
    near, far, server = "10.1.0.5", "203.0.113.9", "10.1.0.3"
    ways = (
        ("to the host", network.outside, far, network.address),
        ("from inside to outside", network.inside, near, far),
        ("from outside to inside", network.outside, far, server),
        ("from the host", "", network.address, far),
    )
    usual = {"proto": "tcp", "sport": "40000", "dport": "80", "flags": "SYN", "ttl": "64"}
    return [
        {"name": name, "fields": {**usual, "way": way, "src": src, "dst": dst}}
        for name, way, src, dst in ways
    ]


def _first_packet() -> tuple[Packet, str]:
    """Return a packet to begin with: the first that the mission's judge sends."""
    if desk.mission is None:
        return build({"src": "203.0.113.9", "dst": FREE.address, "dport": "80"}), FREE.outside
    sent = desk.mission.judge(desk.mission.state, 1).found[0].sent[0]
    return sent.trace.sent, sent.by


def _terminal(message: Message) -> Answer:
    return desk.console.answer(message["message"])


def _packet(message: Message) -> Answer:
    """Show the bytes of a packet that is not sent yet."""
    packet = build(message["fields"])
    return {"figure": draw_octets(packet).html, "line": str(packet)}


def _send(message: Message) -> Answer:
    fields = message["fields"]
    packet, way = build(fields), str(fields.get("way", ""))
    host = desk.loaded()
    if way and way not in (desk.network.inside, desk.network.outside):
        raise FieldError("way", f"there is no device {way!r}")
    return _seen(host.receive(packet, way) if way else host.send(packet))


def _reply(_message: Message) -> Answer:
    """Let the receiver of the last packet answer."""
    if desk.trace is None:
        raise NbError("no packet was sent yet")
    trace, host = desk.trace, desk.loaded()
    try:
        packet = trace.reply()
    except PacketError as error:
        raise NbError(str(error)) from None
    if trace.fate.kind == "forward":
        return _seen(host.receive(packet, trace.fate.device))
    return _seen(host.send(packet))


def _forget(_message: Message) -> Answer:
    """Forget connections, limits, lists: what the host remembers."""
    desk.host, desk.trace = desk.network.host(), None
    return {"said": "The host has forgotten all connections."}


def _seen(trace: Trace) -> Answer:
    desk.counted()
    return _shown(trace)


def _shown(trace: Trace) -> Answer:
    desk.trace = trace
    found = moments(trace)
    return {
        "figure": draw(trace).html, "outcome": f"The packet {outcome(trace)}.",
        "kind": trace.fate.kind, "moments": [_moment(found, n) for n in range(len(found))],
        "reply": trace.fate.kind in ("forward", "local"), "fields": fields_of(trace.sent),
        "connections": len(desk.host.conntrack),
    }  # fmt: skip


def _moment(found: list[Moment], number: int) -> Answer:
    one = found[number]
    before = found[number - 1].packet if number else None
    if before is not None and (before.family, before.protocol) != (
        one.packet.family,
        one.packet.protocol,
    ):
        before = None  # the host's own answer is another packet
    same = before is not None and before.data == one.packet.data
    return {
        "note": one.note,
        "same": same,
        "figure": draw_octets(one.packet, before, one.note).html,
    }


def _pcap(_message: Message) -> Answer:
    if desk.trace is None:
        raise NbError("no packet was sent yet")
    return {"data": base64.b64encode(pcap(desk.trace)).decode(), "name": "trace.pcapng"}


def _check(_message: Message) -> Answer:
    if desk.mission is None:
        raise NbError("choose a mission first")
    desk.judgement = desk.mission.judge(desk.console.terminal.state)
    wants = [{"text": one.want.text, "good": one.good, "why": one.why, "packets": len(one.sent)}
             for one in desk.judgement.found]  # fmt: skip
    lesson = desk.mission.lesson if desk.judgement.won else ""
    return {
        "won": desk.judgement.won,
        "packets": desk.judgement.packets,
        "wants": wants,
        "lesson": lesson,
    }


def _proof(message: Message) -> Answer:
    """Show the way of the packet at which a requirement failed."""
    number = int(message["number"])
    if desk.judgement is None or not 0 <= number < len(desk.judgement.found):
        raise NbError("nothing was judged yet")
    last = desk.judgement.found[number].last
    if last is None:
        raise NbError("no packet was sent for it")
    return {**_shown(last.trace), "way": last.by, "says": last.says, "reply": False}


_DO: dict[str, Callable[[Message], Answer]] = {
    "start": _start, "terminal": _terminal, "packet": _packet, "send": _send, "reply": _reply,
    "forget": _forget, "pcap": _pcap, "check": _check, "proof": _proof,
}  # fmt: skip
