"""Packets in words: of a command line, or of a file with one a line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

from nb_lib.errors import NbError
from nb_lib.headers import PROTOCOL_NAMES, WITH_PORTS
from nb_lib.kinds import U32
from nb_lib.packet import Packet, icmp, parse_endpoint, raw, tcp, udp

FORM = "in IFACE|local PROTO SRC[:PORT] DST[:PORT] [flags FLAGS] [mark MARK]"


def add_packet(parser: argparse.ArgumentParser) -> None:
    """Add the words for one packet."""
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--in", dest="interface", metavar="IFACE", help="it arrives by this interface")
    way.add_argument("--local", action="store_true", help="the host sends it")
    parser.add_argument("proto", metavar="PROTO", help="tcp, udp, icmp, icmpv6, or a number")
    parser.add_argument("src", metavar="SRC[:PORT]")
    parser.add_argument("dst", metavar="DST[:PORT]")
    parser.add_argument("--mark", default="0", help="the packet's mark")
    parser.add_argument("--flags", default="SYN", help="TCP flags, joined by commas (default: SYN)")


def packet_of(arguments: argparse.Namespace) -> Packet:
    """Return the packet that ``add_packet``'s words describe. Raises NbError."""
    if not arguments.local and not arguments.interface:
        raise NbError("--in: the name of an interface is expected")
    return make(
        arguments.proto, arguments.src, arguments.dst, flags=arguments.flags, mark=arguments.mark
    )


def make(proto: str, src: str, dst: str, *, flags: str = "SYN", mark: str = "0") -> Packet:
    """Return a packet of words."""
    proto, number_of_mark = proto.lower(), _mark(mark)
    if proto == "tcp":
        return tcp(src, dst, flags=flags, mark=number_of_mark)
    if proto == "udp":
        return udp(src, dst, mark=number_of_mark)
    numbers = {name: number for number, name in PROTOCOL_NAMES.items()}
    number = numbers.get(proto, int(proto) if proto.isdecimal() else -1)
    if number in WITH_PORTS:
        # Another protocol with ports: they begin its header as they begin UDP's.
        ports = udp(src, dst).data[-8:-4]
        return raw(src, dst, number, payload=ports + bytes(28), mark=number_of_mark)
    if any(port is not None for _, port in map(parse_endpoint, (src, dst))):
        raise NbError(f"{proto} has no ports: write the addresses alone")
    if proto in ("icmp", "icmpv6", "icmp6", "ipv6-icmp"):
        return icmp(src, dst, mark=number_of_mark)
    if number < 0:
        raise NbError(f"unknown protocol {proto!r}: tcp, udp, icmp, icmpv6 or a number")
    return raw(src, dst, number, mark=number_of_mark)


def _mark(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = -1
    if not 0 <= mark <= U32:
        raise NbError(f"--mark {text}: a number from 0 to {U32:#x} is expected")
    return mark


def listed(text: str, name: str) -> Iterator[tuple[Packet, str]]:
    """Yield the packets of a file: one a line as in ``FORM``, ``#`` begins a remark."""
    for lineno, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                yield _listed(words)
        except (NbError, ValueError) as error:
            raise NbError(f"{name}, line {lineno}: {error}") from None


def _listed(words: list[str]) -> tuple[Packet, str]:
    interface = words[1] if words[0] == "in" and len(words) > 1 else ""
    rest = words[2 if interface else 1 :]
    more = dict(zip(rest[3::2], rest[4::2], strict=False))
    if (not interface and words[0] != "local") or len(rest) % 2 == 0 or len(rest) < 3:
        raise NbError(f"{FORM} is expected")
    if not more.keys() <= {"flags", "mark"}:
        raise NbError(f"{FORM} is expected")
    return make(*rest[:3], **more), interface
