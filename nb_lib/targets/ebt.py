"""What ebtables and arptables do to a frame: mark, dnat, snat, redirect, arpreply; mangle, MARK.

Each ends with a verdict of its own (``--mark-target`` and its like).

Linux: net/bridge/netfilter/ebt_mark.c, ebt_dnat.c, ebt_snat.c, ebt_redirect.c, ebt_arpreply.c;
net/ipv4/netfilter/arpt_mangle.c; ebtables(8), arptables(8) TARGET EXTENSIONS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds
from nb_lib.effects import Redirect, Respond
from nb_lib.frame import NOBODY, Arp
from nb_lib.kinds import U32
from nb_lib.matches.ethernet import PlainMac, read_hex
from nb_lib.net import ARP, BRIDGE
from nb_lib.options import Action, Context, Extension, Option, Setting, Use

if TYPE_CHECKING:
    from collections.abc import Callable

    from nb_lib.packet import Packet

_VERDICTS = ("ACCEPT", "DROP", "CONTINUE")
_MAC = PlainMac()


def _verdict(
    name: str,
    default: str = "ACCEPT",
    *,
    hidden: bool = False,
    words: tuple[str, ...] = ("RETURN",),
) -> Option:
    """Return the option that says what happens after the target; ``words`` besides ``_VERDICTS``."""
    return Option(name, kinds.Choice((*_VERDICTS, *words), "target"), default=default,
                  hidden=default if hidden else None, label="then", help="what happens then")  # fmt: skip


# --- mark ---

_MARKS: dict[str, Callable[[int, int], int]] = {
    "--mark-set": lambda _mark, value: value,
    "--mark-or": lambda mark, value: mark | value,
    "--mark-and": lambda mark, value: mark & value,
    "--mark-xor": lambda mark, value: mark ^ value,
}
_WORD = kinds.Number(0, U32, "value", form="#x")


def _tidy_mark(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, *_MARKS)
    return settings


def _act_mark(use: Use, packet: Packet, _ctx: Context) -> Action:
    for option, change in _MARKS.items():
        if option in use.settings:
            packet = packet.change(mark=change(packet.mark, use.value(option)))
    return Action(use.value("--mark-target"), packet)


MARK = Extension(
    "mark",
    (
        Option("--mark-set", _WORD, ("--set-mark",), group="mode", help="set the mark"),
        Option("--mark-or", _WORD, group="mode", help="set these bits"),
        Option("--mark-and", _WORD, group="mode", help="keep only these bits"),
        Option("--mark-xor", _WORD, group="mode", help="turn these bits over"),
        _verdict("--mark-target"),
    ),
    families=(BRIDGE,), act=_act_mark, tidy=_tidy_mark,
    summary="set the packet's mark", source="net/bridge/netfilter/ebt_mark.c; ebtables(8) mark",
)  # fmt: skip

# --- dnat, snat, redirect ---


def _act_dnat(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action(use.value("--dnat-target"), effects=(Redirect(use.value("--to-dst")),))


def _act_snat(use: Use, packet: Packet, _ctx: Context) -> Action:
    mac = use.value("--to-src")
    if "--snat-arp" in use.settings and isinstance(packet, Arp) and packet.sizes[0] == 6:
        packet = packet.change(sender_mac=mac)
    return Action(use.value("--snat-target"), packet.change(mac_src=mac))


def _act_redirect(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action(use.value("--redirect-target"), effects=(Redirect(""),))


DNAT = Extension(
    "dnat",
    (
        Option("--to-dst", _MAC, ("--to-destination",), required=True,
               help="the new Ethernet address of the receiver"),
        _verdict("--dnat-target"),
    ),
    families=(BRIDGE,), tables=("nat", "broute"), hooks=("PREROUTING", "OUTPUT", "BROUTING"),
    act=_act_dnat, summary="change to whom the frame goes",
    source="net/bridge/netfilter/ebt_dnat.c; ebtables(8) dnat",
)  # fmt: skip
SNAT = Extension(
    "snat",
    (
        Option("--to-src", _MAC, ("--to-source",), required=True,
               help="the new Ethernet address of the sender"),
        Option("--snat-arp", kinds.FLAG, help="in an ARP message as well"),
        _verdict("--snat-target"),
    ),
    families=(BRIDGE,), tables=("nat",), hooks=("POSTROUTING",), act=_act_snat,
    summary="change from whom the frame comes",
    source="net/bridge/netfilter/ebt_snat.c; ebtables(8) snat",
)  # fmt: skip
REDIRECT = Extension(
    "redirect", (_verdict("--redirect-target", hidden=True),),
    families=(BRIDGE,), tables=("nat", "broute"), hooks=("PREROUTING", "BROUTING"),
    act=_act_redirect, summary="let the bridge's own host have the frame",
    source="net/bridge/netfilter/ebt_redirect.c; ebtables(8) redirect",
)  # fmt: skip

# --- arpreply ---


def _act_arpreply(use: Use, packet: Packet, _ctx: Context) -> Action:
    """An ARP request over Ethernet for IPv4 is answered; anything else goes on."""
    if not isinstance(packet, Arp) or packet.operation != 1 or not packet.readable:
        return Action("CONTINUE")
    mac = use.value("--arpreply-mac")
    return Action(use.value("--arpreply-target"), effects=(Respond(packet.reply(mac_src=mac)),))


def _check_arpreply(_use: Use, rule: Any) -> str:
    setting = rule.core.settings.get("-p")
    fine = setting is not None and setting.value == 0x0806 and not setting.inverted
    return "" if fine else "arpreply needs -p ARP"


ARPREPLY = Extension(
    "arpreply",
    (
        Option("--arpreply-mac", _MAC, default=NOBODY, help="the Ethernet address that is told"),
        _verdict("--arpreply-target", "DROP", hidden=True),
    ),
    families=(BRIDGE,), tables=("nat",), hooks=("PREROUTING",), act=_act_arpreply,
    check=_check_arpreply, summary="answer an ARP request",
    source="net/bridge/netfilter/ebt_arpreply.c; ebtables(8) arpreply",
)  # fmt: skip

# --- arptables ---

_MANGLED = {"--mangle-ip-s": "src", "--mangle-mac-s": "sender_mac", "--mangle-ip-d": "dst",
            "--mangle-mac-d": "target_mac"}  # fmt: skip


class _Address(addresses.Host):
    """An IPv4 address, in a rule of arptables."""

    def read(self, word: str, _family: int) -> Any:
        return super().read(word, kinds.IPV4)


def _tidy_mangle(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, *_MANGLED)
    return settings


def _act_mangle(use: Use, packet: Packet, _ctx: Context) -> Action:
    """arpt_mangle.c target(): an ARP message with addresses of other sizes is dropped."""
    assert isinstance(packet, Arp)
    if packet.sizes != (6, 4):
        return Action("DROP")
    news = {field: use.value(name) for name, field in _MANGLED.items() if name in use.settings}
    return Action(use.value("--mangle-target"), packet.change(**news))


MANGLE = Extension(
    "mangle",
    (
        Option("--mangle-ip-s", _Address(), help="the sender's IP address"),
        Option("--mangle-mac-s", _MAC, help="the sender's Ethernet address"),
        Option("--mangle-ip-d", _Address(), help="the target's IP address"),
        Option("--mangle-mac-d", _MAC, help="the target's Ethernet address"),
        _verdict("--mangle-target", hidden=True, words=()),
    ),
    families=(ARP,), act=_act_mangle, tidy=_tidy_mangle,
    summary="change the addresses in the ARP message",
    source="net/ipv4/netfilter/arpt_mangle.c; arptables(8) mangle",
)  # fmt: skip


class _Hex(kinds.Word):
    """A hexadecimal number, printed without 0x."""

    metavar = "mark"

    def read(self, word: str, _family: int) -> int:
        return read_hex(word, U32)

    def save(self, value: Any) -> str:
        return f"{value:x}"


_ARP_MARKS: dict[str, Callable[[int, int], int]] = {
    "--set-mark": lambda _mark, value: value,
    "--and-mark": lambda mark, value: mark & value,
    "--or-mark": lambda mark, value: mark | value,
}


def _tidy_arp_mark(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    return settings or {"--and-mark": Setting(U32)}


def _act_arp_mark(use: Use, packet: Packet, _ctx: Context) -> Action:
    for option, change in _ARP_MARKS.items():
        if option in use.settings:
            packet = packet.change(mark=change(packet.mark, use.value(option)))
    return Action("CONTINUE", packet)


ARP_MARK = Extension(
    "MARK",
    (
        Option("--set-mark", _Hex(), group="mode", help="set the mark, in hexadecimal"),
        Option("--and-mark", _Hex(), group="mode", help="keep only these bits"),
        Option("--or-mark", _Hex(), group="mode", help="set these bits"),
    ),
    families=(ARP,), act=_act_arp_mark, tidy=_tidy_arp_mark,
    summary="set the packet's mark", source="net/netfilter/xt_mark.c; arptables(8) MARK",
)  # fmt: skip


class _Class(kinds.Word):
    """``MAJOR:MINOR``, both hexadecimal."""

    metavar = "major:minor"

    def read(self, word: str, _family: int) -> tuple[int, int]:
        major, _, minor = word.partition(":")
        return read_hex(major, kinds.U16), read_hex(minor, kinds.U16)

    def save(self, value: Any) -> str:
        return f"{value[0]:x}:{value[1]:x}"


def _act_classify(_use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("CONTINUE")  # the priority is for queues, which no chain can see


ARP_CLASSIFY = Extension(
    "CLASSIFY",
    (Option("--set-class", _Class(), required=True, help="the queue's class"),),
    families=(ARP,), hooks=("OUTPUT", "FORWARD"), act=_act_classify,
    summary="set the priority, a class of the queues",
    source="net/netfilter/xt_CLASSIFY.c; arptables(8) CLASSIFY",
)  # fmt: skip
