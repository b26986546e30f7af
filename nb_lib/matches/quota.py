"""quota: a number of bytes that a rule lets pass, once.

Linux: net/netfilter/xt_quota.c quota_mt().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    setting = use.settings["--quota"]
    key = ("quota", ctx.table, ctx.chain, ctx.number, ctx.part)
    left = ctx.recall(key, setting.value)
    fits = left >= packet.length
    # Once a packet was too large, smaller ones do not pass any more either.
    ctx.remember(key, left - packet.length if fits else 0)
    return miss("--quota", left) if fits is setting.inverted else HIT


QUOTA = Extension(
    "quota",
    (Option("--quota", kinds.Number(0, kinds.U64), invertible=True, required=True,
            label="bytes left of", listed="quota: {value} bytes",
            help="so many bytes match, then no more"),),
    test=_test,
    summary="so many bytes, once",
    source="net/netfilter/xt_quota.c quota_mt(); iptables-extensions(8) quota",
)  # fmt: skip
