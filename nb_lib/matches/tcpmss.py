"""tcpmss: the segment size that a handshake announces.

Linux: net/netfilter/xt_tcpmss.c tcpmss_mt().
"""

from __future__ import annotations

from nb_lib import kinds, ports
from nb_lib.headers import TCP
from nb_lib.matches.tcpudp import tcp_options
from nb_lib.options import HIT, Answer, Context, Extension, Option, Outcome, Use, miss
from nb_lib.packet import Packet

MSS, MSS_LENGTH = 2, 4


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if packet.protocol != TCP or packet.flags is None or not packet.whole:
        return Answer(Outcome.HOTDROP)
    setting, data = use.settings["--mss"], packet.data
    at = tcp_options(packet).get(MSS)
    if at is None or data[at + 1] != MSS_LENGTH:
        return HIT if setting.inverted else miss("no MSS option")
    have = data[at + 2] << 8 | data[at + 3]
    if (setting.value.low <= have <= setting.value.high) is setting.inverted:
        return miss("--mss", (have, have))
    return HIT


_RANGE = kinds.NumberRange(65535, ordered=True, backwards="tcpmss: invalid range given")

TCPMSS = Extension(
    "tcpmss",
    (Option("--mss", _RANGE, invertible=True, required=True, label="MSS",
            listed="tcpmss match {!}{value}",
            help="the announced segment size, or a range"),),
    protocols=("tcp",), test=_test, check=ports.needs_protocol("tcpmss", "tcp"),
    summary="the segment size that a TCP handshake announces",
    source="net/netfilter/xt_tcpmss.c tcpmss_mt(); iptables-extensions(8) tcpmss",
)  # fmt: skip
