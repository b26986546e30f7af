"""physdev: the bridge ports that a packet came in by and leaves by.

Linux: net/netfilter/xt_physdev.c physdev_mt(). Without a bridge every condition must be negated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import addresses, kinds
from nb_lib.listed import headed
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Place,
    RefusedError,
    Setting,
    Use,
    miss,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if not settings:
        raise RefusedError(
            "physdev needs at least one option", "PHYSDEV: no physdev option specified"
        )
    return settings


def _place(use: Use) -> Place:
    """What the host itself sends has no bridge port yet, unless only bridged packets are meant."""
    settings = use.settings
    bridged = settings.get("--physdev-is-bridged")
    out = "--physdev-out" in settings or "--physdev-is-out" in settings
    if out and (bridged is None or bridged.inverted):
        return Place((), ("PREROUTING", "INPUT", "FORWARD", "POSTROUTING"))
    return Place()


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    came, goes = packet.in_port, packet.out_port
    bridged = bool(came or goes)
    for option, setting in use.settings.items():
        have = goes if option in ("--physdev-out", "--physdev-is-out") else came
        if not bridged:
            fits = False
        elif option == "--physdev-is-bridged":
            fits = bool(goes)
        elif option in ("--physdev-in", "--physdev-out"):
            if not have and option == "--physdev-out":
                return miss(option, "none")  # physdev_mt(): no port, no match, with ! or without
            if not have:
                continue  # but it skips the comparison with a port that the packet did not come by
            fits = not setting.value or addresses.fits(have, setting.value)
        else:
            fits = bool(have)
        if fits is setting.inverted:
            return miss(option, None if option.startswith("--physdev-is") else have or "none")
    return HIT


class _PortName(addresses.Interface):
    """A port's name; an empty one is any, though a restore refuses to read it again."""

    def read(self, word: str, family: int) -> str:
        return super().read(word, family) if word else word


_PORT = _PortName()
PHYSDEV = Extension(
    "physdev",
    (
        Option("--physdev-is-in", kinds.FLAG, invertible=True,
               listed="{! }--physdev-is-in", label="in by a bridge port",
               help="it came in by a bridge port"),
        Option("--physdev-in", _PORT, invertible=True, warns=addresses.weird,
               listed="{! }--physdev-in {value}", label="bridge port in",
               help="the bridge port that it came in by"),
        Option("--physdev-is-out", kinds.FLAG, invertible=True,
               listed="{! }--physdev-is-out", label="out by a bridge port",
               help="it leaves by a bridge port"),
        Option("--physdev-out", _PORT, invertible=True, warns=addresses.weird,
               listed="{! }--physdev-out {value}", label="bridge port out",
               help="the bridge port that it leaves by"),
        Option("--physdev-is-bridged", kinds.FLAG, invertible=True,
               listed="{! }--physdev-is-bridged", label="bridged",
               help="it is bridged, not routed"),
    ),
    test=_test, tidy=_tidy, place=_place, listed=headed(" PHYSDEV match"),
    summary="the bridge ports that the packet passes",
    source="net/netfilter/xt_physdev.c physdev_mt(); iptables-extensions(8) physdev",
)  # fmt: skip
