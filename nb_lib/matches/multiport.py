"""multiport: up to fifteen ports in one rule.

Linux: net/netfilter/xt_multiport.c multiport_mt(), ports_match_v1().
"""

from __future__ import annotations

from typing import Any

from nb_lib import kinds, names, ports
from nb_lib.headers import WITH_PORTS
from nb_lib.kinds import Range
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Outcome,
    RefusedError,
    Setting,
    Settings,
    Use,
    miss,
)
from nb_lib.packet import Packet
from nb_lib.rules import Rule

_MOST = 15
_PROTOCOLS = ("tcp", "udp", "udplite", "dccp", "sctp")
_ANY = Setting(0)


class _PortList(kinds.Word):
    """Ports and ranges, joined by commas; a range counts as two of fifteen."""

    metavar = "port[:port][,…]"

    def __init__(self, *protocols: str) -> None:
        super().__init__()
        self.protocols = protocols

    def read(self, word: str, _family: int) -> tuple[Range, ...]:
        found = tuple(map(self.range, word.split(",")))
        if sum(1 if ports.low == ports.high else 2 for ports in found) > _MOST:
            reason = f"more than {_MOST} ports; a range counts as two"
            raise RefusedError(reason, "too many ports specified")
        return found

    def range(self, word: str) -> Range:
        """Read a port or two."""
        low, colon, high = word.partition(":")
        first = ports.parse_port(low, *self.protocols)
        last = ports.parse_port(high, *self.protocols) if colon else first
        if colon and last <= first:
            reason = f"{word!r} is not a range from a smaller to a greater port"
            raise RefusedError(reason, "invalid portrange specified")
        return Range(first, last)

    def save(self, value: Any) -> str:
        return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in value)

    def show(self, value: Any) -> str:
        text = self.save(value)
        return text if len(value) == 1 or text.count(",") == 0 else f"one of {text}"


def _before(
    _word: str, _family: int, _settings: Settings, core: Settings | None
) -> kinds.Word | None:
    """Return the kind that knows the services of the rule's protocol. libxt_multiport.c multiport_check()."""
    if core is None:
        return None
    protocol = core.get("-p", _ANY)
    name = names.protocol_names().get(protocol.value, "")
    if name in _PROTOCOLS and not protocol.inverted:
        return _PortList(name)
    said = "multiport only works with TCP, UDP, UDPLITE, SCTP and DCCP"
    if protocol == _ANY:
        said = "multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'"
    raise RefusedError(f"multiport needs -p {' or -p '.join(_PROTOCOLS)} before it", said)


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    sport, dport = packet.sport, packet.dport
    if sport is None or dport is None:
        if packet.fragment_offset or packet.protocol not in WITH_PORTS:
            return miss("a later fragment has no ports" if packet.fragment_offset else "no ports")
        return Answer(Outcome.HOTDROP)
    (option, setting), *_ = use.settings.items()
    ports = (
        (sport,) if option == "--sports" else (dport,) if option == "--dports" else (sport, dport)
    )
    for low, high in setting.value:
        if any(low <= port <= high for port in ports):
            return miss(option, tuple((p, p) for p in ports)) if setting.inverted else HIT
    return HIT if setting.inverted else miss(option, tuple((p, p) for p in ports))


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, "--sports", "--dports", "--ports", said="multiport expection an option")
    return settings


def _listed(use: Use, numeric: bool, rule: Rule) -> str:
    """Name the services of the rule's protocol. libxt_multiport.c __multiport_print_v1()."""
    (option, setting), *_ = use.settings.items()
    protocol = names.protocol_names()[rule.core.settings["-p"].value]
    shown = ",".join(ports.ports_listed(part, protocol, numeric) for part in setting.value)
    return f" multiport {option[2:]} {' !' * setting.inverted}{shown}"


_LIST = _PortList("tcp", "udp")
MULTIPORT = Extension(
    "multiport",
    (
        Option("--sports", _LIST, ("--source-ports",), invertible=True, group="ports", before=_before,
               label="sport", called="--source-ports",
               help="the source port is one of these"),
        Option("--dports", _LIST, ("--destination-ports",), invertible=True, group="ports", before=_before,
               label="dport", called="--destination-ports",
               help="the destination port is one of these"),
        Option("--ports", _LIST, invertible=True, group="ports", before=_before, label="ports",
               help="the source or the destination port is one of these"),
    ),
    protocols=_PROTOCOLS, test=_test, tidy=_tidy,
    check=ports.needs_protocol("multiport", *_PROTOCOLS), listed_in=_listed,
    summary="several ports or ranges of ports at once",
    source="net/netfilter/xt_multiport.c multiport_mt(); iptables-extensions(8) multiport",
)  # fmt: skip
