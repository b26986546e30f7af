"""What a client sees when it calls: the first packet there, and the answer's way back to it."""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.engine.host import Host
from nb_lib.headers import TCP
from nb_lib.packet import Packet
from nb_lib.trace import Answered, Lost, Matched, PolicyApplied, Trace

CONNECTED, REFUSED, TIMEOUT, STRANGER = "connected", "refused", "timeout", "wrong address"


class Call(NamedTuple):
    """A call and its outcome: ``back`` is the answer's trace, None if the answer does not come by this host.

    ``seen`` is *connected*, *refused* (an ICMP error or RST came), *timeout* (nothing came), or *wrong
    address*: the answer comes from another address than was called, and the client resets it.
    """

    seen: str
    there: Trace
    back: Trace | None = None

    def __str__(self) -> str:
        return self.seen


def call(host: Host, packet: Packet, interface: str = "") -> Call:
    """Send a first packet by ``interface`` (``""``: from the host itself), and let whom it reaches answer.

    Machines behind the host answer each call. The host itself does if the fact ``listening`` says so, and if
    nobody gave that fact. The host remembers the connection, as from ``receive``.
    """
    there = host.receive(packet, interface) if interface else host.send(packet)
    if there.replies:
        heard = [one.answer for one in there.events if isinstance(one, Answered) and _sent(one)]
        return Call(_heard(packet, heard[-1]) if heard else TIMEOUT, there)
    if there.fate.kind == "local" and "listening" not in host.state.facts:
        back = host.send(there.reply())
    elif there.fate.kind == "forward":
        if interface == there.fate.device and there.packet.src == packet.src:
            # Both stand in one network: the answer goes from one to the other.
            return Call(CONNECTED if there.packet.dst == packet.dst else STRANGER, there)
        back = host.receive(there.reply(), there.fate.device)
    else:
        return Call(TIMEOUT, there)
    home = back.fate.kind == "forward" and back.fate.device == interface
    if not home and back.fate.kind != "local":
        return Call(TIMEOUT, there, back)
    return Call(_heard(packet, back.packet), there, back)


def _sent(answered: Answered) -> bool:
    """Whether an answer of the host's own got out: its last event is no end of it."""
    last = answered.events[-1] if answered.events else None
    ended = isinstance(last, Matched | PolicyApplied) and last.verdict == "DROP"
    return not ended and not isinstance(last, Lost)


def _heard(packet: Packet, answer: Packet) -> str:
    """Return what a client makes of an answer that reaches it."""
    if answer.protocol != packet.protocol or (answer.protocol == TCP and (answer.flags or 0) & 4):
        return REFUSED
    same = answer.src == packet.dst and answer.sport == packet.dport
    return CONNECTED if same and answer.dst == packet.src else STRANGER
