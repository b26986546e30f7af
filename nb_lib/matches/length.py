"""length: the size of the packet with its IP header.

Linux: net/netfilter/xt_length.c length_mt(), length_mt6().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    setting, length = use.settings["--length"], packet.length
    if (setting.value.low <= length <= setting.value.high) is setting.inverted:
        return miss("--length", (length, length))
    return HIT


LENGTH = Extension(
    "length",
    (Option("--length", kinds.NumberRange(65535), invertible=True, required=True, label="length",
            listed="length {!}{value}",
            help="the packet's length in bytes, or a range"),),
    test=_test,
    summary="the packet's length in bytes, IP header included",
    source="net/netfilter/xt_length.c length_mt(); iptables-extensions(8) length",
)  # fmt: skip
