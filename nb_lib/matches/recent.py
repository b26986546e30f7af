"""recent: lists of addresses, and when each was seen.

Linux: net/netfilter/xt_recent.c recent_mt(), recent_entry_update(), recent_entry_reap(). A list
belongs to all rules of one name; it holds 100 addresses, the oldest gives way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import addresses, kinds
from nb_lib.listed import options_listed
from nb_lib.matches.limit import HZ
from nb_lib.net import make_address
from nb_lib.options import (
    HIT,
    INVALID,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Settings,
    Use,
    miss,
    of_two,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_LIST_MOST = 100  # module parameter ip_list_tot
_LONGEST = 199  # XT_RECENT_NAME_LEN, without its closing zero
_STAMPS = 32  # a list keeps at least so many times of each address
_COMMANDS = ("--set", "--rcheck", "--update", "--remove")


class Seen(NamedTuple):
    """One address of a list: the TTL it came with, and when, in jiffies, the latest last."""

    address: int
    ttl: int
    stamps: tuple[int, ...]


class _Seconds(kinds.Number):
    """Seconds; iptables prints them signed."""

    def save(self, value: Any) -> str:
        return str(value - (value >> 31 << 32))


_NO_COMMAND = "recent: you must specify one of `--set', `--rcheck' `--update' or `--remove'"
_SHOWN = {"--set": "SET", "--rcheck": "CHECK", "--update": "UPDATE", "--remove": "REMOVE"}


def _printed(use: Use, numeric: bool) -> str:
    """Show the command, then the rest. libxt_recent.c recent_print()."""
    command, setting = next(
        (name, use.settings[name]) for name in _COMMANDS if name in use.settings
    )
    side = "dest" if "--rdest" in use.settings else "source"
    rest = options_listed(use, numeric)
    mask = f" side: {side} mask: {use.value('--mask')}"
    return f"{' !' * setting.inverted} recent: {_SHOWN[command]}{rest}{mask}"


class _Name(kinds.FileName):
    """A list's name; what is too long is cut off."""

    def read(self, word: str, family: int) -> Any:
        return super().read(kinds.cut(word, _LONGEST), family)


def _final(settings: Settings) -> None:
    """Look at the options together. libxt_recent.c recent_check(), then xtables_options_fcheck()."""
    command = kinds.one_of(settings, *_COMMANDS, said=_NO_COMMAND)
    if "--reap" in settings and "--seconds" not in settings:
        raise of_two("also", "--reap", "--seconds")
    if "--rttl" in settings and command in ("--set", "--remove"):
        raise of_two("group", "--rttl", command)


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Fill in the list, the mask and the side; refuse what the kernel refuses."""
    command = kinds.one_of(settings, *_COMMANDS)
    for name in ("--seconds", "--hitcount", "--reap"):
        if name in settings and command in ("--set", "--remove"):
            raise RefusedError(f"{name} goes with --rcheck and --update only", kernel=INVALID)
    if settings.get("--hitcount", Setting(0)).value > kinds.U16:
        raise RefusedError(f"--hitcount is at most {kinds.U16}", kernel=INVALID)
    settings = {
        "--name": Setting("DEFAULT"),
        "--mask": Setting(make_address(family, kinds.full_mask(family))),
        **settings,
    }
    if "--rdest" in settings:
        settings.pop("--rsource", None)
    else:
        settings["--rsource"] = Setting(True)
    return settings


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    settings = use.settings
    command = next(name for name in _COMMANDS if name in settings)
    inverted = settings[command].inverted
    key = ("recent", use.value("--name"), packet.family)
    seen: tuple[Seen, ...] = ctx.recall(key, ())
    address = int(packet.dst if "--rdest" in settings else packet.src) & int(
        settings["--mask"].value
    )
    # The TTL as it was before forwarding took one off: ip_forward() does that first.
    ttl = packet.ttl + (ctx.hook == "FORWARD")
    entry = _find(seen, address, ttl if "--rttl" in settings else 0)
    now = int(ctx.now * HZ)
    if entry is None:
        if command != "--set":
            return _answer(command, hit=inverted)
        ctx.remember(key, (*seen[-(_LIST_MOST - 1) :], Seen(address, ttl, (now,))))
        return _answer(command, hit=not inverted)
    hit = _listed(use, entry, command, now) is not inverted
    if "--reap" in settings:
        seen = _reap(seen, entry, now - settings["--seconds"].value * HZ, working=hit)
    if command in ("--set", "--remove") or (command == "--update" and hit):
        seen = tuple(other for other in seen if other is not entry)
    if command == "--set" or (command == "--update" and hit):
        # The list is ordered by last use, so that the oldest address gives way.
        keep = max(_STAMPS, use.value("--hitcount", 0))
        seen = (*seen, Seen(address, ttl, (*entry.stamps, now)[-keep:]))
    ctx.remember(key, seen)
    return _answer(command, hit=hit)


def _answer(command: str, *, hit: bool) -> Answer:
    return HIT if hit else miss(command)


def _find(seen: tuple[Seen, ...], address: int, ttl: int) -> Seen | None:
    for entry in seen:
        if entry.address == address and (not ttl or not entry.ttl or entry.ttl == ttl):
            return entry
    return None


def _listed(use: Use, entry: Seen, command: str, now: int) -> bool:
    """Tell whether an entry was seen often enough, lately enough."""
    if command in ("--set", "--remove"):
        return True
    seconds, wanted = use.value("--seconds", 0), use.value("--hitcount", 0)
    since = now - seconds * HZ
    hits = sum(1 for stamp in entry.stamps if not seconds or stamp >= since)
    return bool(hits >= max(wanted, 1))


def _reap(seen: tuple[Seen, ...], entry: Seen, since: int, *, working: bool) -> tuple[Seen, ...]:
    """Forget the address that was unused longest, if it is too old. Linux: recent_entry_reap()."""
    if not seen or (seen[0] is entry and working):
        return seen
    return seen[1:] if seen[0].stamps[-1] < since else seen


RECENT = Extension(
    "recent",
    (
        Option("--set", kinds.FLAG, invertible=True, group="command", label="listed",
               help="put the address on the list"),
        Option("--rcheck", kinds.FLAG, invertible=True, group="command", label="listed",
               help="the address is on the list"),
        Option("--update", kinds.FLAG, invertible=True, group="command", label="listed",
               help="the address is on the list; if so, note the time"),
        Option("--remove", kinds.FLAG, invertible=True, group="command", label="listed",
               help="the address is on the list; if so, take it off"),
        Option("--seconds", _Seconds(1, kinds.U32), label="seconds",
               listed="seconds: {value}",
               help="seen within so many seconds"),
        Option("--reap", kinds.FLAG, label="reap", listed="reap",
               help="forget addresses older than --seconds"),
        Option("--hitcount", kinds.Number(0, kinds.U32), hidden=0, label="hits",
               listed="hit_count: {value}",
               help="seen at least so many times"),
        Option("--rttl", kinds.FLAG, label="TTL", listed="TTL-Match",
               help="only if the TTL is that of the packet that was noted"),
        Option("--name", _Name(), label="list",
               listed="name: {value}", help="the list's name"),
        Option("--mask", addresses.Host("netmask"), label="mask",
               help="addresses are compared under this mask"),
        Option("--rsource", kinds.FLAG, label="source",
               help="note the source (as it is without being told)"),
        Option("--rdest", kinds.FLAG, label="destination", help="note the destination"),
    ),
    test=_test, final=_final, tidy=_tidy, listed=_printed,
    summary="lists of addresses, and when they were seen",
    source="net/netfilter/xt_recent.c recent_mt(); iptables-extensions(8) recent",
)  # fmt: skip
