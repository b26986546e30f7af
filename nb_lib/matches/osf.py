"""osf: the operating system that sent a TCP SYN, by its fingerprint.

Linux: net/netfilter/nfnetlink_osf.c nf_osf_match(). The fingerprints are loaded into the kernel by
``nfnl_osf``; what they say of a packet is the fact ``os`` (the genre; an empty text if none fits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import headers, kinds, ports
from nb_lib.matches.host import fact
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss, undecided

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_LONGEST = 31  # MAXGENRELEN, without its closing zero


class _Genre(kinds.Word):
    """A system's name; what is too long is cut off."""

    metavar = "genre"

    def read(self, word: str, _family: int) -> str:
        return kinds.cut(word, _LONGEST)


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    if packet.protocol != headers.TCP:
        return miss("protocol", packet.protocol_name)
    if packet.flags is None or not packet.flags & headers.SYN:
        return miss("only a SYN has a fingerprint")
    have = fact(packet, ctx, "os")
    if have is None:
        return undecided(
            "--genre", "whose fingerprint the kernel finds (os='Linux', or '' for none)"
        )
    setting = use.settings["--genre"]
    # With --log every fingerprint counts; the negation is read, but no kernel since 4.20 looks at it.
    if not have or ("--log" not in use.settings and have != setting.value):
        return miss("--genre", have or "unknown")
    return HIT


_LEVEL = kinds.Number(0, 2)
OSF = Extension(
    "osf",
    (
        Option("--genre", _Genre(), invertible=True, required=True, label="system",
               listed="OS fingerprint match {! }{value}",
               help="the system that sent the SYN"),
        Option("--ttl", _LEVEL, label="TTL",
               help="how its TTL is compared: 0 equal, 1 not above, 2 not at all"),
        Option("--log", _LEVEL, label="log", help="what is logged: 0 all, 1 the first, 2 all known"),
    ),
    families=(4,), protocols=("tcp",), hooks=("PREROUTING", "INPUT", "FORWARD"), test=_test,
    check=ports.needs_protocol("osf", "tcp"),
    summary="the operating system that sent a TCP SYN, by its fingerprint",
    source="net/netfilter/nfnetlink_osf.c nf_osf_match(); iptables-extensions(8) osf",
)  # fmt: skip
