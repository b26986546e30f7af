"""owner: who sent the packet, if it was sent here.

Linux: net/netfilter/xt_owner.c owner_mt(). The facts ``uid``, ``gid``, ``groups`` and ``socket``
(False: no socket sent it) come from the packet or the host; a forwarded packet has no socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.kinds import Range
from nb_lib.options import (
    BAD_VALUE,
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
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MOST = 2**32 - 2
_NOTHING = "owner: At least one of --uid-owner, --gid-owner or --socket-exists is required"
# Debian's base-passwd: the accounts that every installation has.
_USERS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "sync": 4, "games": 5, "man": 6, "lp": 7, "mail": 8,
    "news": 9, "uucp": 10, "proxy": 13, "www-data": 33, "backup": 34, "list": 38, "irc": 39,
    "nobody": 65534,
}  # fmt: skip
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mail": 8,
    "news": 9, "uucp": 10, "man": 12, "proxy": 13, "kmem": 15, "dialout": 20, "fax": 21,
    "voice": 22,
    "cdrom": 24, "floppy": 25, "tape": 26, "sudo": 27, "audio": 29, "dip": 30, "www-data": 33,
    "backup": 34, "operator": 37, "list": 38, "irc": 39, "src": 40, "shadow": 42, "utmp": 43,
    "video": 44, "sasl": 45, "plugdev": 46, "staff": 50, "games": 60, "users": 100,
    "nogroup": 65534,
}  # fmt: skip


class _Ids(kinds.Word):
    """A name, a number, or two numbers joined by ``-`` (or ``:``)."""

    def __init__(self, names: dict[str, int], metavar: str) -> None:
        super().__init__(metavar)
        self.names = names

    def read(self, word: str, _family: int) -> Range:
        if word in self.names:
            return Range(*[self.names[word]] * 2)
        low, dash, high = word.replace(":", "-").partition("-")
        try:
            first = kinds.parse_number(low, 0, _MOST)
            last = kinds.parse_number(high, 0, _MOST) if dash else first
        except ValueError:
            reason = f"{word!r} is neither a known name nor a number or range of numbers"
            said = BAD_VALUE.replace("{word}", word)
            raise RefusedError(reason, said) from None
        if first > last:
            reason = f"{word!r} is a range from the greater to the smaller"
            raise RefusedError(reason, kernel=INVALID)
        return Range(first, last)

    def save(self, value: Any) -> str:
        return str(value[0]) if value[0] == value[1] else f"{value[0]}-{value[1]}"

    def listed(self, value: Any, numeric: bool) -> str:
        if numeric or value.low != value.high:
            return self.save(value)
        return next((name for name, one in self.names.items() if one == value.low), str(value.low))


def _before_groups(_word: str, _family: int, settings: Settings, _core: Settings | None) -> None:
    """Refuse --suppl-groups without a group before it. libxt_owner.c owner_mt_parse()."""
    if "--gid-owner" not in settings:
        said = 'owner: Bad value for "--suppl-groups" option: "you need to use --gid-owner first"'
        raise RefusedError("--suppl-groups needs --gid-owner", said)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, "--uid-owner", "--gid-owner", "--socket-exists", said=_NOTHING)
    return settings


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    facts = dict(packet.facts)
    # Who has a sender has a socket; the host's own fact is about packets of which nothing is said.
    named = facts.keys() & {"uid", "gid", "sender"}
    socket = facts.get("socket", True if named else ctx.fact("socket"))
    if packet.in_iface or socket is False:
        return _no_socket(use)
    settings = use.settings
    if (setting := settings.get("--socket-exists")) and setting.inverted:
        return miss("--socket-exists")
    if facts.get("sender") == "kernel":
        return _no_user(use)
    for option, name in (("--uid-owner", "uid"), ("--gid-owner", "gid")):
        setting = settings.get(option)
        if setting is None:
            continue
        have = facts.get(name, ctx.fact(name))
        if have is None:
            return undecided(option, f"who sent the packet ({name}=…)")
        ids = (
            (have, *(facts.get("groups", ctx.fact("groups")) or ()))
            if "--suppl-groups" in settings and name == "gid"
            else (have,)
        )
        if any(setting.value.low <= one <= setting.value.high for one in ids) is setting.inverted:
            return miss(option, (have, have))
    if not (socket or facts or settings.keys() - {"--socket-exists"}):
        return undecided("--socket-exists", "whether a socket sent the packet (socket=…)")
    return HIT


def _no_socket(use: Use) -> Answer:
    """A packet without a socket: every option must stand behind a ``!``."""
    for option, setting in use.settings.items():
        if option != "--suppl-groups" and not setting.inverted:
            return miss("no socket sent the packet")
    return HIT


def _no_user(use: Use) -> Answer:
    """The kernel's own socket, from which ICMP errors come: it exists, and is no user's and no group's."""
    for option in ("--uid-owner", "--gid-owner"):
        setting = use.settings.get(option)
        if setting is not None and not setting.inverted:
            return miss("the kernel itself sent the packet")
    return HIT


OWNER = Extension(
    "owner",
    (
        Option("--socket-exists", kinds.FLAG, invertible=True, label="a socket",
               listed="{! }owner socket exists",
               help="a socket of this host sent the packet"),
        Option("--uid-owner", _Ids(_USERS, "user[-user]"), invertible=True, label="uid",
               listed="{! }owner UID match {value}",
               help="the sender's user"),
        Option("--gid-owner", _Ids(_GROUPS, "group[-group]"), invertible=True, label="gid",
               listed="{! }owner GID match {value}",
               help="the sender's group"),
        Option("--suppl-groups", kinds.FLAG, label="supplementary groups",
               listed="incl. suppl. groups", before=_before_groups,
               help="look at supplementary groups as well"),
    ),
    hooks=("OUTPUT", "POSTROUTING"), test=_test, tidy=_tidy,
    summary="the user and group of the process that sent the packet",
    source="net/netfilter/xt_owner.c owner_mt(); iptables-extensions(8) owner",
)  # fmt: skip
