"""MARK and CONNMARK: set the mark of the packet or of its connection.

Linux: net/netfilter/xt_mark.c mark_tg(), net/netfilter/xt_connmark.c connmark_tg_shift().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.effects import ConnMark
from nb_lib.kinds import Masked
from nb_lib.listed import options_listed
from nb_lib.options import Action, Context, Extension, Option, Setting, Use, of_two

if TYPE_CHECKING:
    from collections.abc import Callable

    from nb_lib.packet import Packet

_ALL = kinds.U32
CONTINUE = Action("CONTINUE")


def _as_xmark(settings: dict[str, Setting]) -> dict[str, Setting]:
    """Say every way of setting a mark as ``--set-xmark VALUE/MASK``: keep ~MASK, then xor VALUE."""
    settings = dict(settings)
    for name, turn in _XMARK.items():
        if name in settings:
            settings["--set-xmark"] = Setting(turn(settings.pop(name).value))
    return settings


_XMARK: dict[str, Callable[[Any], Masked]] = {
    "--set-mark": lambda mark: Masked(mark.value, mark.value | mark.mask),
    "--and-mark": lambda bits: Masked(0, ~bits & _ALL),
    "--or-mark": lambda bits: Masked(bits, bits),
    "--xor-mark": lambda bits: Masked(bits, 0),
}


def _tidy_mark(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, "--set-xmark", *_XMARK, said="MARK: One of the --set-xmark, "
                 "--{and,or,xor,set}-mark options is required")  # fmt: skip
    return _as_xmark(settings)


def _tidy_connmark(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    mode = kinds.one_of(settings, "--set-xmark", *_XMARK, "--save-mark", "--restore-mark",
                        said="CONNMARK target: No operation specified")  # fmt: skip
    mask = settings.get("--mask")
    for other in ("--ctmask", "--nfmask"):
        if mask and other in settings:
            raise of_two("group", other, "--mask")
    shifts = [name for name in settings if name in _SHIFTS]
    settings = {name: setting for name, setting in settings.items() if name not in shifts[:-1]}
    if mode not in ("--save-mark", "--restore-mark"):
        settings = _as_xmark(settings)
        if mask:
            settings["--set-xmark"] = Setting(
                Masked(settings["--set-xmark"].value.value, mask.value)
            )
        return {
            name: setting
            for name, setting in settings.items()
            if name not in ("--mask", "--nfmask", "--ctmask")
        }
    full = mask or Setting(_ALL)
    return {
        "--nfmask": full,
        "--ctmask": full,
        **{n: s for n, s in settings.items() if n != "--mask"},
    }


def _act_mark(use: Use, packet: Packet, _ctx: Context) -> Action:
    value, mask = use.settings["--set-xmark"].value
    return Action("CONTINUE", packet.change(mark=packet.mark & ~mask ^ value))


def _act_connmark(use: Use, packet: Packet, _ctx: Context) -> Action:
    ct = packet.ct
    if ct is None or ct.connection is None:
        return CONTINUE
    old = ct.connection.mark
    if "--set-xmark" in use.settings:
        value, mask = use.settings["--set-xmark"].value
        return _remember(_shift(use, old & ~mask ^ value), old)
    nfmask, ctmask = use.value("--nfmask"), use.value("--ctmask")
    if "--save-mark" in use.settings:
        return _remember(old & ~ctmask ^ _shift(use, packet.mark & nfmask), old)
    return Action("CONTINUE", packet.change(mark=packet.mark & ~nfmask ^ _shift(use, old & ctmask)))


def _remember(mark: int, old: int) -> Action:
    """Ask the engine for the connection's new mark, unless it has it already."""
    mark &= _ALL
    return CONTINUE if mark == old else Action("CONTINUE", effects=(ConnMark(mark),))


def _shift(use: Use, mark: int) -> int:
    """Shift left or right, within 32 bits."""
    mark = mark << use.value("--left-shift-mark", 0) & _ALL
    return int(mark >> use.value("--right-shift-mark", 0))


def _change(mark: Masked) -> str:
    """Say how a mark is changed, in the words of ``iptables -L``."""
    value, mask = mark
    if not value:
        return f"and {~mask & _ALL:#x}"
    if value == mask:
        return f"or {value:#x}"
    if not mask:
        return f"xor {value:#x}"
    return f"set {value:#x}" if mask == _ALL else f"xset {value:#x}/{mask:#x}"


def _list_mark(use: Use, _numeric: bool) -> str:
    return f" MARK {_change(use.value('--set-xmark'))}"


def _list_connmark(use: Use, numeric: bool) -> str:
    """Linux user space: extensions/libxt_CONNMARK.c connmark_tg_print_v2()."""
    nfmask, ctmask = use.value("--nfmask"), use.value("--ctmask")
    if "--set-xmark" in use.settings:
        said = _change(use.value("--set-xmark"))
    else:
        said = "save" if "--save-mark" in use.settings else "restore"
        if nfmask == ctmask:
            said += "" if nfmask == _ALL else f" mask {nfmask:#x}"
        elif said == "save":
            said += f" nfmask {nfmask:#x} ctmask ~{ctmask:#x}"
        else:
            said += f" ctmask {ctmask:#x} nfmask ~{nfmask:#x}"
    return f" CONNMARK {said}{options_listed(use, numeric)}"


_SHIFTS = ("--left-shift-mark", "--right-shift-mark")  # the last one counts
_BITS = kinds.Number(0, _ALL, "bits", form="#x")
_SHIFT = kinds.TakenNumber(0, 32, least=0, most=31, metavar="bits")
_MASKED = kinds.Mark(always=True)
_SETTING = (
    Option(
        "--set-xmark",
        _MASKED,
        group="mode",
        label="mark",
        help="clear the mask's bits, then xor the value",
    ),
    Option(
        "--set-mark",
        _MASKED,
        group="mode",
        label="mark",
        help="clear the mask's bits, then or the value",
    ),
    Option("--and-mark", _BITS, group="mode", label="mark", help="keep only these bits"),
    Option("--or-mark", _BITS, group="mode", label="mark", help="set these bits"),
    Option("--xor-mark", _BITS, group="mode", label="mark", help="turn these bits over"),
)

MARK = Extension(
    "MARK", _SETTING, act=_act_mark, tidy=_tidy_mark, listed=_list_mark,
    summary="set the packet's mark",
    source="net/netfilter/xt_mark.c mark_tg(); iptables-extensions(8) MARK",
)  # fmt: skip

CONNMARK = Extension(
    "CONNMARK",
    (
        *_SETTING,
        Option("--save-mark", kinds.FLAG, group="mode", label="save",
               help="copy the packet's mark to the connection"),
        Option("--restore-mark", kinds.FLAG, group="mode", label="restore",
               help="copy the connection's mark to the packet"),
        Option("--nfmask", _BITS, label="packet's bits", help="which bits of the packet's mark"),
        Option("--ctmask", _BITS, label="connection's bits",
               help="which bits of the connection's mark"),
        Option("--mask", _BITS, label="bits", help="which bits of both marks"),
        Option("--left-shift-mark", _SHIFT, hidden=0, label="left shift",
               listed="left-shift-mark {value}", help="shift the mark to the left"),
        Option("--right-shift-mark", _SHIFT, hidden=0, label="right shift",
               listed="right-shift-mark {value}", help="shift the mark to the right"),
    ),
    act=_act_connmark, tidy=_tidy_connmark, conntrack=True, listed=_list_connmark,
    summary="set the connection's mark, or copy it from and to the packet",
    source="net/netfilter/xt_connmark.c connmark_tg_shift(); iptables-extensions(8) CONNMARK",
)  # fmt: skip
