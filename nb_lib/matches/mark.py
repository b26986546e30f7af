"""mark and connmark: the packet's mark, and that of its connection.

Linux: net/netfilter/xt_mark.c mark_mt(), net/netfilter/xt_connmark.c connmark_mt().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.matches.conntrack import no_tracking, tracked
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _test_mark(use: Use, packet: Packet, _ctx: Context) -> Answer:
    setting = use.settings["--mark"]
    value, mask = setting.value
    if (packet.mark & mask == value) is setting.inverted:
        return miss("--mark", packet.mark)
    return HIT


def _test_connmark(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = packet.ct or tracked(packet, ctx)
    if ct is None:
        return no_tracking("--mark")
    if ct.connection is None:
        return miss("no conntrack entry", f"({ct.state})")
    setting = use.settings["--mark"]
    value, mask = setting.value
    if (ct.connection.mark & mask == value) is setting.inverted:
        return miss("--mark", ct.connection.mark)
    return HIT


MARK = Extension(
    "mark",
    (Option("--mark", kinds.Mark(), invertible=True, required=True, label="mark",
            listed="mark match {! }{value}",
            help="the packet's mark, under a mask, has this value"),),
    test=_test_mark,
    summary="the packet's mark",
    source="net/netfilter/xt_mark.c mark_mt(); iptables-extensions(8) mark",
)  # fmt: skip

CONNMARK = Extension(
    "connmark",
    (Option("--mark", kinds.Mark(), invertible=True, required=True, label="connmark",
            listed="connmark match {!} {value}",
            help="the connection's mark, under a mask, has this value"),),
    test=_test_connmark, conntrack=True,
    summary="the connection's mark",
    source="net/netfilter/xt_connmark.c connmark_mt(); iptables-extensions(8) connmark",
)  # fmt: skip
