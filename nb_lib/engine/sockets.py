"""What the host's own stack answers to a packet that was delivered: from a socket, or for want of one.

Known are only the sockets that the reader names (``facts={'listening': ("tcp:80", "udp:10.0.0.1:53")}``)
and those that the host has sent from. A listening TCP socket answers a SYN; what a program says is not
known. Without the fact nothing is answered.

Linux: net/ipv4/tcp_ipv4.c tcp_v4_rcv(), tcp_v4_send_reset(); udp.c __udp4_lib_rcv(); icmp.c icmp_echo();
ip_input.c ip_protocol_deliver_rcu(); net/ipv6/tcp_ipv6.c, udp.c, icmp.c, ip6_input.c. RFC 9293 3.10.7.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from nb_lib.connection import Address
from nb_lib.engine import reject
from nb_lib.engine.protocols import checksum_ok
from nb_lib.errors import HostError, PacketError
from nb_lib.headers import ACK, FIN, ICMP, ICMPV6, IGMP, RST, SYN, TCP, UDP, UDPLITE
from nb_lib.packet import Packet, icmp, parse_endpoint, tcp

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "udplite": UDPLITE}
HANDLED = frozenset({ICMP, IGMP, TCP, UDP, UDPLITE, ICMPV6})
_ECHO = {4: (ICMP, 8, 0), 6: (ICMPV6, 128, 129)}
_ECN = 3


class Socket(NamedTuple):
    """A port of one address, or of all (None); that waits for anybody, or talks with ``peer``."""

    protocol: int
    address: Address | None
    port: int
    peer: tuple[Address, int] | None = None


@lru_cache(maxsize=16)
def read(texts: tuple[str, ...]) -> frozenset[Socket]:
    """Read ``tcp:80``, ``udp:10.0.0.1:53`` or ``tcp:[fd00::1]:80``. Raise HostError."""
    return frozenset(map(_read, texts))


def _read(text: str) -> Socket:
    name, _, where = text.partition(":")
    if name not in _PROTOCOLS:
        raise HostError(f"listening {text!r}: {name!r} is not one of {', '.join(_PROTOCOLS)}")
    try:
        if where.isdecimal():
            return Socket(_PROTOCOLS[name], None, parse_endpoint(f"0.0.0.0:{where}")[1] or 0)
        address, port = parse_endpoint(where)
    except (PacketError, ValueError) as error:
        raise HostError(f"listening {text!r}: {error}") from None
    if port is None:
        raise HostError(f"listening {text!r}: write PROTOCOL:PORT or PROTOCOL:ADDRESS:PORT")
    return Socket(_PROTOCOLS[name], address, port)


def sender(packet: Packet) -> Socket | None:
    """Return the socket that a packet of the host's own comes from; none sends a RST."""
    if packet.sport is None or packet.dport is None or (packet.flags or 0) & RST:
        return None
    peer = (packet.dst, packet.dport) if packet.protocol == TCP else None
    return Socket(packet.protocol, packet.src, packet.sport, peer)


def answer(packet: Packet, sockets: Iterable[Socket]) -> tuple[Packet | None, str]:
    """Return what the stack sends back, and who does; None and nothing if it is silent."""
    if packet.link != "HOST" or packet.fragment_offset or packet.more_fragments:
        return None, ""
    if packet.protocol not in HANDLED:
        return _no_protocol(packet), "the stack: no protocol"
    if not checksum_ok(packet):
        return None, ""
    if packet.protocol == _ECHO[packet.family][0]:
        return _echo(packet)
    if packet.dport is None or packet.sport is None:
        return None, ""
    here = (packet.protocol, packet.dport)
    mine = [s for s in sockets if s[:3:2] == here and s.address in (None, packet.dst)]
    if any(s.peer in (None, (packet.src, packet.sport)) for s in mine if s.peer or here[0] != TCP):
        return None, ""
    if packet.protocol == TCP:
        return _tcp(packet, listens=any(s.peer is None for s in mine))
    kind = (3, 3) if packet.family == 4 else (1, 4)
    return reject.unreachable(packet, *kind, packet.dst), "the stack: a closed port"


def _no_protocol(packet: Packet) -> Packet | None:
    """IPv6 has a parameter problem, and points at the byte that names the protocol."""
    if packet.family == 4:
        return reject.unreachable(packet, 3, 2, packet.dst)
    at = packet.extensions[-1][1] if packet.extensions else 6
    return reject.unreachable(packet, 4, 1, packet.dst, at.to_bytes(4, "big"))


def _echo(packet: Packet) -> tuple[Packet | None, str]:
    """A ping is answered with what it brought; its traffic class too."""
    _, asked, answered = _ECHO[packet.family]
    if packet.icmp_type != asked:
        return None, ""
    at = packet.header_end
    made = icmp(packet.dst, packet.src, type=answered, code=packet.icmp_code or 0, tos=packet.tos,
                rest=packet.data[at + 4 : at + 8], payload=packet.payload)  # fmt: skip
    return made, "the stack: an echo"


def _tcp(packet: Packet, *, listens: bool) -> tuple[Packet | None, str]:
    """A segment of no connection gets a RST, a listening socket's SYN-ACK, or nothing."""
    flags = packet.flags or 0
    if not listens or flags & (ACK | RST) == ACK:
        made = reject.reset(packet)
        who = "a listening socket" if listens else "the stack: a closed port"
        return made and made.change(tos=packet.tos & ~_ECN), who
    if flags & (SYN | ACK | RST | FIN) != SYN:
        return None, ""
    assert packet.seq is not None
    made = tcp(packet.dst, packet.src, sport=packet.dport, dport=packet.sport, flags="SYN,ACK",
               ack=packet.seq + 1, dont_fragment=packet.family == 4)  # fmt: skip
    return made, "a listening socket"
