"""pkttype: to whom the link layer addressed the packet.

Linux: net/netfilter/xt_pkttype.c pkttype_mt(). A looped-back packet counts as broadcast or
multicast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss, undecided

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_WORDS = {
    "unicast": "HOST", "broadcast": "BROADCAST", "multicast": "MULTICAST", "otherhost": "OTHERHOST",
    "host": "HOST", "bcast": "BROADCAST", "mcast": "MULTICAST",
}  # fmt: skip


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    link = packet.link
    if link == "LOOPBACK":
        link = "MULTICAST" if packet.dst.is_multicast else "BROADCAST"
    elif not link and (ctx.hook == "OUTPUT" or not packet.in_iface):
        link = "HOST"  # alloc_skb() leaves PACKET_HOST, which is zero
    elif not link:
        return undecided(
            "--pkt-type", "to whom the frame was addressed (link='HOST', 'BROADCAST' …)"
        )
    setting = use.settings["--pkt-type"]
    return (
        miss("--pkt-type", _KIND.show(link)) if (link == setting.value) is setting.inverted else HIT
    )


_KIND = kinds.Choice(_WORDS, "type", fold=True)
PKTTYPE = Extension(
    "pkttype",
    (Option("--pkt-type", _KIND, invertible=True, required=True,
            label="packet type", help="unicast, broadcast, multicast or otherhost",
            listed="PKTTYPE {!}= {value}", says={"value": "Bad packet type '{word}'"}),),
    test=_test,
    summary="unicast, broadcast or multicast on the link",
    source="net/netfilter/xt_pkttype.c pkttype_mt(); iptables-extensions(8) pkttype",
)  # fmt: skip
