"""mac: the sender's Ethernet address.

Linux: net/netfilter/xt_mac.c mac_mt(). Only a packet that came in by Ethernet has one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Use,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")


class MacKind(kinds.Word):
    """Six hexadecimal bytes with colons, kept in lower case. xtoptions.c xtopt_parse_ethermac()."""

    metavar = "xx:xx:xx:xx:xx:xx"

    def read(self, word: str, _family: int) -> str:
        """Read the address; each byte may have one digit or two."""
        if not _MAC.fullmatch(word):
            reason = f"{word!r} is not an Ethernet address"
            raise RefusedError(reason, "Invalid MAC address specified.")
        return ":".join(f"{int(byte, 16):02x}" for byte in word.split(":"))


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if not packet.in_iface:
        return miss("the packet came in by no interface")
    if packet.in_iface == "lo":
        return miss("loopback has no Ethernet addresses")
    if not packet.mac_src:
        return undecided("--mac-source", "the sender's Ethernet address (mac_src=…)")
    setting = use.settings["--mac-source"]
    have = packet.mac_src.lower()
    return miss("--mac-source", have) if (have == setting.value) is setting.inverted else HIT


MAC = Extension(
    "mac",
    (Option("--mac-source", MacKind(), invertible=True, required=True, label="source MAC",
            listed="MAC {! }{value}",
            help="the Ethernet address of the sender"),),
    hooks=("PREROUTING", "INPUT", "FORWARD"), test=_test,
    summary="the Ethernet address from which the packet came",
    source="net/netfilter/xt_mac.c mac_mt(); iptables-extensions(8) mac",
)  # fmt: skip
