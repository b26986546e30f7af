"""A packet from the fields of a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nb_lib.errors import NbError, PacketError
from nb_lib.headers import TCP_FLAGS, WITH_PORTS
from nb_lib.net import parse_address
from nb_lib.packet import Packet, icmp, raw, tcp, udp

LONGEST = 1400  # bytes of payload
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "sctp": 132, "gre": 47, "esp": 50}
WIDE = {"port": 0xFFFF, "octet": 0xFF, "mark": 0xFFFFFFFF}


class FieldError(NbError):
    """A field of the form that makes no packet; ``field`` is its name."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(reason)


def build(fields: Mapping[str, Any]) -> Packet:
    """Return the packet that a form describes. Raises FieldError.

    ``proto`` (tcp, udp, icmp, sctp, gre, esp), ``src``, ``dst``, ``sport``, ``dport``, ``flags`` (names,
    joined by commas), ``type`` and ``code`` of ICMP, ``ttl``, ``tos``, ``mark``, ``payload`` (text).
    """
    given = {name: str(value).strip() for name, value in fields.items()}
    proto = given.get("proto") or "tcp"
    if proto not in PROTOCOLS:
        raise FieldError("proto", f"{proto!r}: {', '.join(PROTOCOLS)} are known")
    src, dst = (_address(given, name) for name in ("src", "dst"))
    if src.version != dst.version:
        raise FieldError("dst", f"{src} and {dst} are not of one family")
    rest: dict[str, Any] = {
        "ttl": _number(given, "ttl", "octet", 64),
        "tos": _number(given, "tos", "octet", 0),
        "mark": _number(given, "mark", "mark", 0),
        "payload": str(fields.get("payload", "")).encode()[:LONGEST],
    }
    try:
        if PROTOCOLS[proto] in WITH_PORTS:
            return _with_ports(proto, str(src), str(dst), given, rest)
        if proto == "icmp":
            echo = 8 if src.version == 4 else 128
            rest |= {"type": _number(given, "type", "octet", echo)}
            return icmp(str(src), str(dst), code=_number(given, "code", "octet", 0), **rest)
        rest["payload"] = rest["payload"] or bytes(8)
        return raw(str(src), str(dst), PROTOCOLS[proto], **rest)
    except PacketError as error:
        raise FieldError("", str(error)) from None


def fields_of(packet: Packet) -> dict[str, str]:
    """Return the form of a packet."""
    proto = "icmp" if packet.protocol_name == "icmpv6" else packet.protocol_name
    found = {"proto": proto, "src": str(packet.src), "dst": str(packet.dst), "ttl": str(packet.ttl),
             "mark": f"{packet.mark:#x}" if packet.mark else ""}  # fmt: skip
    if packet.dport is not None:
        found |= {"sport": str(packet.sport), "dport": str(packet.dport)}
    if packet.flags is not None:
        found["flags"] = ",".join(packet.flag_names)
    if packet.icmp_type is not None:
        found |= {"type": str(packet.icmp_type), "code": str(packet.icmp_code)}
    return found


def _with_ports(
    proto: str, src: str, dst: str, given: Mapping[str, str], rest: dict[str, Any]
) -> Packet:
    sport, dport = _number(given, "sport", "port", 40000), _number(given, "dport", "port", 80)
    if proto == "tcp":
        names = [name for name in given.get("flags", "SYN").upper().split(",") if name in TCP_FLAGS]
        return tcp(src, dst, sport=sport, dport=dport, flags=",".join(names), **rest)
    if proto == "udp":
        return udp(src, dst, sport=sport, dport=dport, **rest)
    header = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + bytes(8)
    return raw(src, dst, PROTOCOLS[proto], **{**rest, "payload": header + rest["payload"]})


def _address(given: Mapping[str, str], name: str) -> Any:
    text = given.get(name, "")
    try:
        return parse_address(text.strip("[]"))
    except ValueError:
        what = "from which address" if name == "src" else "to which address"
        raise FieldError(name, f"{text!r} is no address" if text else f"{what}?") from None


def _number(given: Mapping[str, str], name: str, kind: str, usual: int) -> int:
    text = given.get(name, "")
    if not text:
        return usual
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= WIDE[kind]:
        raise FieldError(name, f"{name} {text}: a number from 0 to {WIDE[kind]:,} is expected")
    return number
