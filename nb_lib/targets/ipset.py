"""SET: put the packet's fields into an ipset, or take them out.

Linux: net/netfilter/xt_set.c set_target_v3().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.effects import SetMember
from nb_lib.matches.ipset import SetKind
from nb_lib.options import Action, Context, Extension, Option, Place, RefusedError, Setting, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MAPPED = ("--map-mark", "--map-prio", "--map-queue")
_ONLY_WITH = (
    *((name, "Flag", "--map-set") for name in _MAPPED),
    ("--exist", "Flag", "--add-set"),
    ("--timeout", "Option", "--add-set"),
)
_NO_TIMEOUT = 2**32 - 1
_ONCE = {"twice": "{option} can be specified only once"}
_TIMEOUT = {"value": f"Invalid value for option --timeout or out of range 0-{_NO_TIMEOUT - 1}"}


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, "--add-set", "--del-set", "--map-set",
                 said="You must specify either `--add-set' or `--del-set' or `--map-set'")  # fmt: skip
    if "--map-set" in settings and not any(name in settings for name in _MAPPED):
        said = "You must specify flags `--map-mark' or '--map-prio` or `--map-queue'"
        raise RefusedError("--map-set needs --map-mark, --map-prio or --map-queue", said)
    for name, kind, other in _ONLY_WITH:
        if name in settings and other not in settings:
            said = f"{kind} `{name}' can be used with `{other}' only"
            raise RefusedError(f"{name} needs {other}", said)
    # iptables takes a ! before each of these, and forgets it.
    return {name: Setting(setting.value) for name, setting in settings.items()}


def _place(use: Use) -> Place:
    if "--map-set" not in use.settings:
        return Place()
    queued = {"--map-prio", "--map-queue"} & use.settings.keys()
    return Place(("mangle",), ("FORWARD", "OUTPUT", "POSTROUTING") if queued else ())


def _act(use: Use, _packet: Packet, _ctx: Context) -> Action:
    if "--map-set" in use.settings:
        return Action("UNDECIDED", missing=use.beyond("--map-set"))
    wishes = []
    if add := use.value("--add-set"):
        wishes.append(SetMember(add.name, add.fields, add=True, timeout=use.value("--timeout"),
                                exist="--exist" in use.settings))  # fmt: skip
    if remove := use.value("--del-set"):
        wishes.append(SetMember(remove.name, remove.fields, add=False))
    return Action("CONTINUE", effects=tuple(wishes))


_SET = SetKind()
SET = Extension(
    "SET",
    (
        Option("--add-set", _SET, invertible=True, label="add to", says=_ONCE, listed="add-set {value}",
               help="put the packet's fields into this set"),
        Option("--exist", kinds.FLAG, invertible=True, repeats=True, label="exist", listed="exist",
               help="renew the timeout of an entry that is there"),
        Option("--timeout", kinds.Number(0, _NO_TIMEOUT - 1), invertible=True, repeats=True,
               label="timeout", says=_TIMEOUT, listed="timeout {value}",
               help="seconds that the entry lives"),
        Option("--del-set", _SET, invertible=True, label="take from", says=_ONCE, listed="del-set {value}",
               help="take the packet's fields out of this set"),
        Option("--map-set", _SET, invertible=True, label="map by", says=_ONCE, listed="map-set {value}",
               help="take mark, priority or queue from the set's entry"),
        Option("--map-mark", kinds.FLAG, invertible=True, repeats=True, label="mark", listed="map-mark",
               help="the packet's mark is the entry's"),
        Option("--map-prio", kinds.FLAG, invertible=True, repeats=True, label="priority", listed="map-prio",
               help="the packet's priority is the entry's"),
        Option("--map-queue", kinds.FLAG, invertible=True, repeats=True, label="queue", listed="map-queue",
               help="the packet's queue is the entry's"),
    ),
    act=_act, tidy=_tidy, place=_place,
    beyond={"--map-set": "marks, priorities and queues that a set's entries keep are not modelled"},
    summary="put the packet's fields into an ipset, or take them out",
    source="net/netfilter/xt_set.c set_target_v3(); iptables-extensions(8) SET",
)  # fmt: skip
