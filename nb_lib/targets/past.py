"""LED, CLUSTERIP, ULOG: targets that iptables still reads and few kernels, or none, still have.

LED: drivers/leds trigger, net/netfilter/xt_LED.c led_tg(). CLUSTERIP left Linux with 6.3 (the match
``cluster`` took its place), ULOG with 3.17 (NFLOG). Read and printed as iptables does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.effects import Note
from nb_lib.matches.mac import MacKind
from nb_lib.options import Action, Context, Extension, Option, RefusedError, Setting, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet

# --- LED ---


class _Trigger(kinds.Text):
    """A trigger's name, always quoted."""

    metavar = "name"

    def save(self, value: Any) -> str:
        return f'"{value}"'


class _Delay(kinds.Word):
    """Milliseconds, or ``inf``, which is printed as -1."""

    metavar = "ms"

    def read(self, word: str, _family: int) -> int:
        return kinds.U32 if word.lower() == "inf" else kinds.parse_number(word, 0, kinds.U32)

    def save(self, value: Any) -> str:
        return str(value - (value >> 31 << 32))

    def listed(self, value: Any, _numeric: bool) -> str:
        return "inf" if value == kinds.U32 else f"{self.save(value)}ms"


def _list_led(use: Use, _numeric: bool) -> str:
    """Linux user space: extensions/libxt_LED.c LED_print(), which shows a delay of 0 too."""
    name = re.sub(r'(["\\])', r"\\\1", use.value("--led-trigger-id"))
    blink = " led-always-blink" if "--led-always-blink" in use.settings else ""
    return f' led-trigger-id:"{name}" led-delay:{_Delay().listed(use.value("--led-delay", 0), True)}{blink}'


def _led(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("CONTINUE", effects=(Note(f"LED: {use.value('--led-trigger-id')} lights up"),))


LED = Extension(
    "LED",
    (
        Option("--led-trigger-id", _Trigger("name", 16), required=True, label="trigger",
               help="the trigger's name, without its netfilter-"),
        Option("--led-delay", _Delay(), hidden=0, label="delay",
               says={"value": f"Delay value must be within range 0..{kinds.U32}"},
               help="milliseconds until the light goes out; inf: never"),
        Option("--led-always-blink", kinds.FLAG, label="blink",
               help="blink even if the light is on already"),
    ),
    act=_led, listed=_list_led,
    summary="light a lamp, and go on",
    source="net/netfilter/xt_LED.c led_tg(); iptables-extensions(8) LED",
)  # fmt: skip

# --- CLUSTERIP ---

_MOST_NODES = 16  # CLUSTERIP_MAX_NODES
_NEW = ("--new", "--hashmode", "--clustermac", "--total-nodes", "--local-node")
_MODES = ("sourceip", "sourceip-sourceport", "sourceip-sourceport-destport")


class _Multicast(MacKind):
    """A multicast Ethernet address, printed in capitals."""

    def read(self, word: str, family: int) -> str:
        found = super().read(word, family)
        if not int(found[:2], 16) & 1:
            reason = f"{word!r} is not a multicast Ethernet address"
            raise RefusedError(reason, "MAC has to be a multicast ethernet address")
        return found.upper()


def _tidy_clusterip(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if not settings:
        return settings
    missing = [name for name in _NEW if name not in settings]
    if missing:
        said = "CLUSTERIP target: Invalid parameter combination"
        raise RefusedError(f"CLUSTERIP: {missing[0]} is missing", said)
    return {"--hash-init": Setting(0), **settings}


def _list_clusterip(use: Use, _numeric: bool) -> str:
    """Linux user space: extensions/libipt_CLUSTERIP.c CLUSTERIP_print()."""
    if not use.settings:
        return " CLUSTERIP"
    names = ("hashmode", "clustermac", "total-nodes", "local-node", "hash-init")
    shown = " ".join(f"{name.replace('-', '_')}={use.value(f'--{name}')}" for name in names)
    return f" CLUSTERIP {shown}"


def _clusterip(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("UNDECIDED", missing=use.beyond())


_NODES = kinds.Number(0, _MOST_NODES)
CLUSTERIP = Extension(
    "CLUSTERIP",
    (
        Option("--new", kinds.FLAG, label="new", help="create the cluster's address"),
        Option("--hashmode", kinds.Choice(_MODES, "mode"), label="hash mode",
               says={"value": 'Unknown hashmode "{word}"'},
               help="what decides which node answers"),
        Option("--clustermac", _Multicast(), label="cluster MAC",
               help="the multicast Ethernet address that all nodes share"),
        Option("--total-nodes", _NODES, label="nodes", help="how many nodes there are"),
        Option("--local-node", _NODES, label="node", help="which of them this host is"),
        Option("--hash-init", kinds.Number(0, kinds.U32), label="seed", help="the hash's seed"),
    ),
    families=(4,), act=_clusterip, tidy=_tidy_clusterip, listed=_list_clusterip,
    beyond={"": "it left Linux with 6.3; -m cluster chooses a node since"},
    summary="answer for an address that several nodes share (Linux before 6.3)",
    source="net/ipv4/netfilter/ipt_CLUSTERIP.c, removed; iptables-extensions(8) CLUSTERIP",
)  # fmt: skip

# --- ULOG ---


class _Prefix(kinds.Text):
    """Text of which the first thirty-one characters are kept."""

    metavar = "prefix"

    def read(self, word: str, _family: int) -> str:
        if not word:
            said = "Argument must have a minimum length of 1 characters\n"
            raise RefusedError("an empty prefix says nothing", said)
        return kinds.cut(word, 31)


class _Size(kinds.Number):
    """A number of bytes of which 32 bits are printed."""

    def save(self, value: Any) -> str:
        return str(value & kinds.U32)


def _list_ulog(use: Use, _numeric: bool) -> str:
    """Linux user space: extensions/libipt_ULOG.c ULOG_print()."""
    copied, group = use.value("--ulog-cprange", 0) & kinds.U32, use.value("--ulog-nlgroup", 1)
    prefix = use.value("--ulog-prefix")
    shown = f' prefix "{prefix}"' if prefix else ""
    threshold = use.value("--ulog-qthreshold", 1)
    return f" ULOG copy_range {copied} nlgroup {group}{shown} queue_threshold {threshold}"


def _ulog(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("CONTINUE", effects=(Note(f"ULOG: group {use.value('--ulog-nlgroup', 1)}"),))


ULOG = Extension(
    "ULOG",
    (
        Option("--ulog-prefix", _Prefix(), label="prefix", help="up to 31 characters before the packet"),
        Option("--ulog-nlgroup", kinds.Number(1, 32), hidden=1, label="group",
               help="the netlink group that is told"),
        Option("--ulog-cprange", _Size(0, kinds.U64), hidden=0, label="range",
               help="how many bytes of the packet to copy"),
        Option("--ulog-qthreshold", kinds.Number(1, 50), hidden=1, label="threshold",
               help="how many packets are collected before they are told"),
    ),
    families=(4,), act=_ulog, listed=_list_ulog,
    summary="hand a copy to a program in user space, and go on (Linux before 3.17)",
    source="net/ipv4/netfilter/ipt_ULOG.c, removed; iptables-extensions(8) ULOG",
)  # fmt: skip
