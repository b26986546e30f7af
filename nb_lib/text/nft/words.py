"""The words of nft's language: types of values, names of priorities, spans of time."""

from __future__ import annotations

import re

from nb_lib.text.nft.values import Binary, Concat, Ct, Expression, Meta, Payload

# Types whose values are not printed as they are: marks in hexadecimal, names of devices in quotes.
MARK, DEVICE = "mark", "ifname"
_META = {
    "mark": MARK,
    **dict.fromkeys(("iif", "oif", "iifname", "oifname", "ibrname", "obrname"), DEVICE),
}
BARE = ("iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup")  # printed without ``meta``
_TYPES = {"mark": MARK, "ifname": DEVICE, "iface_index": DEVICE}
_FLAGS = {Ct("state"), Ct("status"), Payload("tcp", "flags")}

PROTOCOLS = ("ip", "ip6", "th", "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "ether",
             "ah", "esp", "comp", "arp", "vlan", "igmp")  # fmt: skip
_PRIORITIES = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}
_BRIDGE = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
_WHERE = {"dstnat": "prerouting", "srcnat": "postrouting", "out": "output"}
_NEAR = 10  # a name is used for priorities this far from it


def kind_of(value: Expression) -> tuple[str, ...]:
    """Return the type of each part of an expression: MARK, DEVICE or empty."""
    match value:
        case Meta(key):
            return (_META.get(key, ""),)
        case Ct("mark"):
            return (MARK,)
        case Binary(_, left, _):
            return kind_of(left)
        case Concat(parts):
            return tuple(kind for part in parts for kind in kind_of(part))
    return ("",)


def kinds_of(types: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same for the types of a set, as it declares them."""
    return tuple(_TYPES.get(name, "") for name in types)


def is_flags(value: Expression) -> bool:
    """Tell whether the expression's value is a set of flags."""
    return value in _FLAGS


# --- priorities ---


def _names(family: str, hook: str) -> dict[str, int]:
    known = _BRIDGE if family == "bridge" else _PRIORITIES
    if family in ("arp", "netdev"):
        known = {"filter": 0}
    return {name: at for name, at in known.items() if _WHERE.get(name, hook) == hook}


def priority_text(family: str, hook: str, priority: int) -> str:
    """Write ``dstnat - 10``, ``filter`` or ``-110``: src/rule.c prio2str()."""
    for name, at in _names(family, hook).items():
        offset = priority - at
        if abs(offset) <= _NEAR:
            return name + (f" {'-' if offset < 0 else '+'} {abs(offset)}" if offset else "")
    return str(priority)


def read_priority(family: str, hook: str, words: str) -> int:
    """Read what ``priority_text`` writes. Raises ValueError or KeyError."""
    name, *rest = words.split()
    if not rest and name not in _names(family, hook):
        return int(name)
    offset = int("".join(rest)) if rest else 0
    return _names(family, hook)[name] + offset


# --- time ---

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SPAN = re.compile(r"(\d+)(ms|[dhms])")


def span_text(milliseconds: int) -> str:
    """Write ``1h30m``: src/datatype.c time_print()."""
    if not milliseconds:
        return "0s"
    found = ""
    for unit, size in _UNITS.items():
        count, milliseconds = divmod(milliseconds, size)
        found += f"{count}{unit}" if count else ""
    return found


def read_span(text: str) -> int:
    """Read a span of time. Raises ValueError."""
    if not re.fullmatch(r"(?:\d+(?:ms|[dhms]))+", text):
        raise ValueError(f"{text!r} is no span of time")
    return sum(int(count) * _UNITS[unit] for count, unit in _SPAN.findall(text))
