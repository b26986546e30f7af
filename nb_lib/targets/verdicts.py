"""ACCEPT, DROP, RETURN, QUEUE: the verdicts that need no extension.

Linux: include/uapi/linux/netfilter.h (NF_ACCEPT …), net/ipv4/netfilter/ip_tables.c ipt_do_table();
iptables(8) TARGETS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib.options import Action, Context, Extension, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_SOURCE = "net/ipv4/netfilter/ip_tables.c ipt_do_table(); iptables(8) TARGETS"


def _verdict(name: str, summary: str) -> Extension:
    """Build the target whose verdict is its name."""
    action = Action(name)

    def act(_use: Use, _packet: Packet, _ctx: Context) -> Action:
        return action

    return Extension(name, act=act, summary=summary, source=_SOURCE)


ACCEPT = _verdict("ACCEPT", "let the packet through: this table has no more to say")
DROP = _verdict("DROP", "drop the packet, without an answer")
RETURN = _verdict("RETURN", "back to the calling chain; in a built-in chain, to its policy")
QUEUE = _verdict("QUEUE", "hand the packet to a program in user space, by queue 0")
