"""CT and NOTRACK: decide, before conntrack, how a connection will be tracked.

Linux: net/netfilter/xt_CT.c xt_ct_target(), notrack_tg(). A packet that is tracked already (one
that comes back by loopback) is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.connection import NO_ZONE, Zone
from nb_lib.effects import NoTrack, Track
from nb_lib.listed import headed
from nb_lib.options import Action, Context, Extension, Option, RefusedError, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_CT_EVENTS = ("new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark",
              "natseqinfo", "secmark")  # fmt: skip
_EXP_EVENTS = ("new",)
_SIDES = {"--zone": ("ORIGINAL", "REPLY"), "--zone-orig": ("ORIGINAL",), "--zone-reply": ("REPLY",)}
_CONTINUE = Action("CONTINUE")


class _Zone(kinds.Word):
    """A zone's number, or ``mark``: the packet's mark."""

    metavar = "id|mark"

    def read(self, word: str, _family: int) -> Any:
        return "mark" if word == "mark" else kinds.parse_number(word, 0, kinds.U16)


class _Events(kinds.Choices):
    """What conntrack reports."""

    metavar = "event[,…]"

    def read(self, word: str, family: int) -> tuple[Any, ...]:
        wrong = [event for event in word.split(",") if event not in self.words]
        if wrong:
            raise RefusedError(f"{wrong[0]!r} is no event", f'Unknown event type "{wrong[0]}"')
        return super().read(word, family)


def _ct(use: Use, packet: Packet, _ctx: Context) -> Action:
    if packet.attached:
        return _CONTINUE
    if "--notrack" in use.settings:
        return Action("CONTINUE", effects=(NoTrack(),))
    return Action("CONTINUE", effects=(Track(use.value("--helper", ""), _zone(use, packet)),))


def _zone(use: Use, packet: Packet) -> Zone:
    for option, sides in _SIDES.items():
        number = use.value(option)
        if number is not None:
            return Zone(packet.mark & 0xFFFF if number == "mark" else number, sides)
    return NO_ZONE


def _notrack(_use: Use, packet: Packet, _ctx: Context) -> Action:
    return _CONTINUE if packet.attached else Action("CONTINUE", effects=(NoTrack(),))


def _tracks(use: Use) -> bool:
    """A rule that only switches tracking off does not switch it on: xt_ct_tg_check()."""
    return "--notrack" not in use.settings


def _zone_option(name: str, meaning: str) -> Option:
    return Option(name, _Zone(), hidden=0, label="zone", listed=f"{name[2:]} {{value}}",
                  says={"value": "Cannot parse {word} as a zone ID"}, help=meaning)  # fmt: skip


CT = Extension(
    "CT",
    (
        Option("--notrack", kinds.FLAG, label="notrack", listed="notrack", help="do not track the packet"),
        Option("--helper", kinds.Word("name", 15), hidden="", label="helper", listed="helper {value}",
               help="use this helper for the connection"),
        Option("--timeout", kinds.Word("name", 31), hidden="", label="timeout", listed="timeout {value}",
               help="use this timeout policy"),
        Option("--ctevents", _Events(_CT_EVENTS), label="events", listed="ctevents {value}",
               help="report only these events"),
        Option("--expevents", _Events(_EXP_EVENTS), label="events", listed="expevents {value}",
               help="report only these events of expectations"),
        _zone_option("--zone-orig", "the zone, for the original direction"),
        _zone_option("--zone-reply", "the zone, for the reply direction"),
        _zone_option("--zone", "look the connection up in this zone"),
    ),
    listed=headed(" CT"),
    tables=("raw",), act=_ct, conntrack=_tracks,
    summary="choose how the connection will be tracked: not at all, with a helper, in a zone",
    source="net/netfilter/xt_CT.c xt_ct_target(); iptables-extensions(8) CT",
)  # fmt: skip

NOTRACK = Extension(
    "NOTRACK", tables=("raw",), act=_notrack, listed=headed(" NOTRACK"),
    summary="do not track the packet; the same as CT --notrack",
    source="net/netfilter/xt_CT.c notrack_tg(); iptables-extensions(8) NOTRACK",
)  # fmt: skip
