"""CHECKSUM: fill in a checksum that a network card was to fill in.

Linux: net/netfilter/xt_CHECKSUM.c checksum_tg(). It touches only packets whose checksum is still to
be done; the packets of nb_lib have theirs, so nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.listed import headed
from nb_lib.options import Action, Context, Extension, Option, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _act(_use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("CONTINUE")


CHECKSUM = Extension(
    "CHECKSUM",
    (Option("--checksum-fill", kinds.FLAG, required=True, label="checksum", listed="fill",
            help="fill in the checksum"),),
    tables=("mangle",), act=_act, listed=headed(" CHECKSUM"),
    summary="fill in a checksum that was left to the network card",
    source="net/netfilter/xt_CHECKSUM.c checksum_tg(); iptables-extensions(8) CHECKSUM",
)  # fmt: skip
