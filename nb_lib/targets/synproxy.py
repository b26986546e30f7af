"""SYNPROXY: answers TCP handshakes on behalf of a server, with cookies.

Linux: net/ipv4/netfilter/ipt_SYNPROXY.c synproxy_tg4(), net/netfilter/nf_synproxy_core.c. The cookie is
drawn here; the kernel computes it with a secret. What follows the client's ACK is not modelled.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from nb_lib import kinds, ports
from nb_lib.effects import Note, Respond
from nb_lib.headers import ACK, FIN, RST, SYN, TCP, checksum, pseudo_header
from nb_lib.listed import options_listed
from nb_lib.matches.tcpudp import tcp_options
from nb_lib.options import Action, Context, Extension, Option, Use
from nb_lib.packet import tcp

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MSS, _WSCALE, _SACK, _TIMESTAMP = 2, 3, 4, 8  # kinds of TCP options
_SIZES = {_MSS: 4, _WSCALE: 3, _SACK: 2, _TIMESTAMP: 10}


def _synproxy(use: Use, packet: Packet, ctx: Context) -> Action:
    """Answer a SYN with a cookie; an ACK must bring it back."""
    flags = packet.flags
    segment = packet.data[packet.header_end : packet.length]
    total = pseudo_header(packet.src, packet.dst, TCP, len(segment)) + segment
    if flags is None or checksum(total):
        return Action("DROP")
    ends = (packet.src, packet.sport, packet.dst, packet.dport)
    if flags & SYN and not flags & (ACK | FIN | RST):
        cookie = ctx.draw(0, kinds.U32)
        ctx.remember(("SYNPROXY", *ends), cookie)
        said = Note("SYNPROXY: answers the handshake itself, with a cookie")
        return Action("STOLEN", effects=(said, Respond(_answer(use, packet, cookie, ctx.now))))
    if flags & ACK and not flags & (FIN | RST | SYN):
        assert packet.ack is not None
        if packet.ack - 1 & kinds.U32 == ctx.recall(("SYNPROXY", *ends), None):
            return Action("UNDECIDED", missing=use.beyond())
        return Action("DROP")  # no cookie of ours
    return Action("CONTINUE")


def _answer(use: Use, packet: Packet, cookie: int, now: float) -> Packet:
    """Return the SYN-ACK: synproxy_send_client_synack()."""
    assert packet.seq is not None
    return tcp(
        packet.dst, packet.src, sport=packet.dport, dport=packet.sport, flags=SYN | ACK, seq=cookie,
        ack=packet.seq + 1 & kinds.U32, window=0, options=_options(use, packet, now),
        dont_fragment=packet.family == 4,
    )  # fmt: skip


def _options(use: Use, packet: Packet, now: float) -> bytes:
    """Return the options that both sides want: synproxy_build_options().

    Without a timestamp there is no room in the cookie for more than the segment size.
    """
    wanted = {"--mss": _MSS, "--wscale": _WSCALE, "--sack-perm": _SACK, "--timestamp": _TIMESTAMP}
    at = {kind: place for kind, place in tcp_options(packet).items()
          if packet.data[place + 1 : place + 2] == bytes([_SIZES.get(kind, 0)])}  # fmt: skip
    both = {kind for name, kind in wanted.items() if name in use.settings and kind in at}
    found = struct.pack("!BBH", _MSS, 4, use.value("--mss")) if _MSS in both else b""
    if _TIMESTAMP not in both:
        return found
    theirs = packet.data[at[_TIMESTAMP] + 2 : at[_TIMESTAMP] + 6]
    scale = packet.data[at[_WSCALE] + 2] if _WSCALE in both else 0xF
    ours = int(now * 1000) & 0xFFFFFFC0 | scale | (_SACK in both) << 4
    found += struct.pack("!BB", _SACK, 2) if _SACK in both else b"\1\1"
    found += struct.pack("!BBI", _TIMESTAMP, 10, ours) + theirs
    if _WSCALE in both:
        found += struct.pack("!BBBB", 1, _WSCALE, 3, use.value("--wscale"))
    return found


class _Small(kinds.Number):
    """A number of which only the lowest bits are kept."""

    def __init__(self, mask: int) -> None:
        super().__init__(0, kinds.U32)
        self.mask = mask

    def read(self, word: str, family: int) -> int:
        return super().read(word, family) & self.mask


def _list_synproxy(use: Use, numeric: bool) -> str:
    return f" SYNPROXY{options_listed(use, numeric)} "


SYNPROXY = Extension(
    "SYNPROXY",
    (
        Option("--sack-perm", kinds.FLAG, label="SACK", listed="sack-perm",
               help="offer selective acknowledgements"),
        Option("--timestamp", kinds.FLAG, label="timestamps", listed="timestamp",
               help="offer timestamps"),
        Option("--wscale", _Small(kinds.U8), label="window scale", listed="wscale {value}",
               help="announce this window scale"),
        Option("--mss", _Small(kinds.U16), label="MSS", listed="mss {value}",
               help="announce this segment size"),
        Option("--ecn", kinds.FLAG, label="ECN", listed="ecn",
               help="allow congestion notification"),
    ),
    protocols=("tcp",), hooks=("INPUT", "FORWARD"), act=_synproxy, listed=_list_synproxy,
    conntrack=True,
    check=ports.needs_protocol("SYNPROXY", "tcp"),
    beyond={"": "what follows an ACK that carries the cookie is not modelled"},
    summary="answer TCP handshakes with cookies, on behalf of the server",
    source="net/ipv4/netfilter/ipt_SYNPROXY.c synproxy_tg4(); iptables-extensions(8) SYNPROXY",
)  # fmt: skip
