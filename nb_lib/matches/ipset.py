"""set: membership in an ipset.

Linux: net/netfilter/xt_set.c set_match_v4(). The Host keeps the sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nb_lib.packet import Packet

_LONGEST_NAME = 31
_MOST_FIELDS = 6
_COUNTERS = (
    "--packets-eq",
    "--packets-lt",
    "--packets-gt",
    "--bytes-eq",
    "--bytes-lt",
    "--bytes-gt",
)


class SetRef(NamedTuple):
    """A set's name, and the packet's fields that are looked up in it."""

    name: str
    fields: tuple[str, ...]


class SetKind(kinds.Word):
    """``NAME src|dst[,…]``."""

    arity = 2
    metavar = "name src|dst[,…]"

    def parse(self, words: Sequence[str], _family: int) -> SetRef:
        """Read the set's name and the fields."""
        name, fields = words[0], tuple(words[1].split(","))
        if len(kinds.octets(name)) > _LONGEST_NAME:
            reason = f"the set's name {name!r} is longer than {_LONGEST_NAME} characters"
            said = f"setname `{name}' too long, max {_LONGEST_NAME} characters."
            raise RefusedError(reason, said)
        reason = f"{words[1]!r} is not a list of up to {_MOST_FIELDS} times src or dst"
        if any(field[:3] not in ("src", "dst") for field in fields[:_MOST_FIELDS]):
            said = "You must spefify (the comma separated list of) 'src' or 'dst'."
            raise RefusedError(reason, said)
        if len(fields) > _MOST_FIELDS:
            raise RefusedError(reason, f"Can't be more src/dst options than {_MOST_FIELDS}.")
        return SetRef(name, tuple(field[:3] for field in fields))

    def save(self, value: Any) -> str:
        """Write the name and the fields."""
        return f"{value.name} {','.join(value.fields)}"

    def show(self, value: Any) -> str:
        """Write ``blocked (src)``."""
        return f"{value.name} ({','.join(value.fields)})"


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    setting = use.settings["--match-set"]
    found = ctx.in_set(setting.value.name, setting.value.fields, packet)
    if found is None:
        return undecided("--match-set", f"the members of the ipset {setting.value.name}")
    if any(name in use.settings for name in (*_COUNTERS, "--return-nomatch")):
        return undecided(
            "--match-set", f"the counters of the ipset {setting.value.name}, which are not modelled"
        )
    return miss("--match-set") if found is setting.inverted else HIT


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Counters are updated unless a ``!`` forbids it, so only that is printed."""
    usual = ("--update-counters", "--update-subcounters")
    return {name: one for name, one in settings.items() if name not in usual or one.inverted}


_COUNT = kinds.Number(0, kinds.U64)
_NO_SET = {
    "missing": "You must specify `--match-set' with proper arguments",
    "twice": "--match-set can be specified only once",
}


def _counter(name: str, what: str, explained: str) -> Option:
    """Return an option that compares a counter of the element."""
    counter = name[2:-3]
    only = f"only one of the --{counter}-[eq|lt|gt] is allowed"
    return Option(
        name, _COUNT, invertible=name.endswith("eq"), group=counter, label=what,
        listed=f"{{! }}{name[2:]} {{value}}",
        says={"value": "Cannot parse {word} as a counter value", "twice": only, "group": only,
              "inverted": "{option} option cannot be inverted"},
        help=explained,
    )  # fmt: skip


SET = Extension(
    "set",
    (
        Option("--match-set", SetKind(), invertible=True, required=True, label="in the set",
               listed="{! }match-set {value}", says=_NO_SET,
               help="the packet's fields are a member of the set"),
        Option("--return-nomatch", kinds.FLAG, repeats=True, label="nomatch", listed="return-nomatch",
               says={"inverted": "{option} flag cannot be inverted"},
               help="match an element that says nomatch"),
        Option("--update-counters", kinds.FLAG, invertible=True, repeats=True,
               label="counters", listed="{! }update-counters",
               help="count the match at the element"),
        Option("--update-subcounters", kinds.FLAG, invertible=True, repeats=True,
               label="subcounters", listed="{! }update-subcounters",
               help="count in a list's members"),
        _counter("--packets-eq", "packets", "the element's packet counter"),
        _counter("--packets-lt", "packets below", "the element's packet counter is less"),
        _counter("--packets-gt", "packets above", "the element's packet counter is more"),
        _counter("--bytes-eq", "bytes", "the element's byte counter"),
        _counter("--bytes-lt", "bytes below", "the element's byte counter is less"),
        _counter("--bytes-gt", "bytes above", "the element's byte counter is more"),
    ),
    test=_test, tidy=_tidy,
    summary="the packet's address, port … is a member of an ipset",
    source="net/netfilter/xt_set.c set_match_v4(); iptables-extensions(8) set",
)  # fmt: skip
