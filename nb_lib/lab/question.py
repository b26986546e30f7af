"""What a reader asks of a host: a packet, by which way it comes, and what shall have been before.

A question is one line, as in a link or a list of packets: ``in eth0 tcp 10.0.0.5:40000 10.0.0.1:80``, and
behind it ``flags ACK``, ``mark 0x1`` and ``as answer`` or ``as established``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from nb_lib.errors import NbError
from nb_lib.headers import ICMP, ICMPV6, PROTOCOL_NAMES
from nb_lib.packet import Packet, endpoint
from nb_lib.program.packets import make

FORM = (
    "in IFACE|local PROTO SRC[:PORT] DST[:PORT] [flags FLAGS] [mark MARK] [as answer|established]"
)
AS = ("new", "established", "answer")
LONGEST = 1000


class Question(NamedTuple):
    """A packet and its circumstances; ``interface`` is empty if the host sends it."""

    packet: Packet
    interface: str
    flags: str = "SYN"
    state: str = "new"

    @property
    def line(self) -> str:
        """The question in one line."""
        packet = self.packet
        way = f"in {shlex.quote(self.interface)}" if self.interface else "local"
        ends = (endpoint(packet.src, packet.sport), endpoint(packet.dst, packet.dport))
        words = [way, packet.protocol_name, *ends]
        if packet.flags is not None and self.flags != "SYN":
            words += ["flags", self.flags]
        if packet.mark:
            words += ["mark", f"{packet.mark:#x}"]
        if self.state != "new":
            words += ["as", self.state]
        return " ".join(words)

    @property
    def fields(self) -> dict[str, str]:
        """The question as a form has it."""
        packet = self.packet
        ports = {name: "" if port is None else str(port)
                 for name, port in (("sport", packet.sport), ("dport", packet.dport))}  # fmt: skip
        proto = packet.protocol_name
        return {"interface": self.interface, "proto": "icmp" if packet.protocol in (ICMP, ICMPV6) else proto,
                "src": str(packet.src), "dst": str(packet.dst), **ports, "flags": self.flags,
                "mark": f"{packet.mark:#x}" if packet.mark else "", "state": self.state}  # fmt: skip


def read(line: str) -> Question:
    """Read a question. Raises NbError."""
    if len(line) > LONGEST:
        raise NbError(f"a question of more than {LONGEST} letters")
    try:
        words = shlex.split(line)
    except ValueError as wrong:
        raise NbError(f"{line}: {wrong}") from None
    interface = words[1] if len(words) > 1 and words[0] == "in" else ""
    rest = words[2 if interface else 1 :]
    more = dict(zip(rest[3::2], rest[4::2], strict=False))
    if (words[:1] != ["local"] and not interface) or len(rest) < 3 or len(rest) % 2 == 0:
        raise NbError(f"{line or 'nothing'}: a packet is written {FORM}")
    if unknown := more.keys() - {"flags", "mark", "as"}:
        raise NbError(f"{min(unknown)!r} is not known: a packet is written {FORM}")
    proto, src, dst = rest[:3]
    return _question(interface, proto, src, dst, more)


def of_fields(fields: Mapping[str, Any]) -> Question:
    """Return the question of a form; what is left empty is as usual. Raises NbError."""
    given = {name: str(value).strip() for name, value in fields.items()}
    proto = given.get("proto") or "tcp"
    src, dst = (_end(given, end, proto) for end in ("src", "dst"))
    more = {name: given[field] for name, field in (("flags", "flags"), ("mark", "mark"), ("as", "state"))
            if given.get(field)}  # fmt: skip
    return _question(given.get("interface", ""), proto, src, dst, more)


def _end(given: Mapping[str, str], end: str, proto: str) -> str:
    address, port = given.get(end, ""), given.get("sport" if end == "src" else "dport", "")
    if not address:
        raise NbError("from which address?" if end == "src" else "to which address?")
    if proto not in ("tcp", "udp", "sctp", "dccp", "udplite"):
        return address
    if not port:
        port = "40000" if end == "src" else ""
    return (f"[{address}]:{port}" if ":" in address else f"{address}:{port}") if port else address


def _question(interface: str, proto: str, src: str, dst: str, more: Mapping[str, str]) -> Question:
    state, flags = more.get("as", "new"), more.get("flags", "SYN").upper()
    if state not in AS:
        raise NbError(f"as {state}: {', '.join(AS)} are known")
    packet = make(proto, src, dst, flags=flags, mark=more.get("mark", "0"))
    return Question(packet, interface, flags if packet.flags is not None else "SYN", state)


PROTOCOLS = (
    "tcp",
    "udp",
    "icmp",
    *(n for n in PROTOCOL_NAMES.values() if n in ("sctp", "gre", "esp")),
)
