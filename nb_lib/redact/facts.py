"""What stands beside a dump: ``ip -j addr`` and ``route``, ``ipset save``, sysctls; with the same key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from nb_lib.connection import Address
from nb_lib.kinds import quote
from nb_lib.net import Net, parse_address, parse_net
from nb_lib.redact.redactor import Redactor
from nb_lib.redact.values import Left
from nb_lib.text.ipset import PHYSDEV

_DEVICES = frozenset(
    {"altname", "dev", "ifname", "iif", "label", "link", "master", "oif", "parentdev"}
)
# Words of ip(8) itself, such as "state": "UP".
_KEPT = frozenset({
    "addr_gen_mode", "encap", "family", "flags", "info_data", "info_kind", "link_type", "operstate", "proto",
    "protocol", "qdisc", "scope", "table", "type",
})  # fmt: skip
MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_NET_SYSCTL = re.compile(r"(net[./]ipv[46][./](?:conf|neigh)[./])(.+)([./][a-z0-9_]+)\s*\Z")

# ── ip -j ───────────────────────────────────────────────────────────────────────────


def learn_ip(redactor: Redactor, data: Any) -> None:
    """Look at the networks of addresses and routes."""
    for thing in _things(data):
        if "local" in thing and "prefixlen" in thing:
            _learn(redactor, f"{thing['local']}/{thing['prefixlen']}")
        _learn(redactor, thing.get("dst"))


def _things(data: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON value."""
    if isinstance(data, dict):
        yield data
    inside = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    for one in inside:
        yield from _things(one)


def _learn(redactor: Redactor, text: object) -> None:
    if isinstance(net := _parsed(str(text)), Net):
        redactor.addresses.learn(net)


def redact_ip(redactor: Redactor, data: Any, key: str = "") -> Any:
    """Return what takes the place of a value of ``ip -j``, which stands under ``key``."""
    if isinstance(data, dict):
        return {name: redact_ip(redactor, value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [redact_ip(redactor, value, key) for value in data]
    if key.rstrip("s") in _DEVICES and data is not None:
        return redactor.device(str(data))
    if not isinstance(data, str) or key in _KEPT:
        return data
    if key == "dst" and data == "default":
        return data
    return _exchanged(redactor, data)


def _exchanged(redactor: Redactor, text: str) -> str:
    """Return what takes the place of an address, a network, an Ethernet address or a name."""
    if MAC.fullmatch(text):
        return redactor.addresses.mac(text)
    found = _parsed(text)
    if isinstance(found, Net):
        return str(redactor.addresses.net(found))
    return str(redactor.addresses.address(found)) if found else redactor.text(text)


def _parsed(text: str) -> Address | Net | None:
    family = 6 if ":" in text else 4
    try:
        return parse_net(text, family) if "/" in text else parse_address(text, family)
    except ValueError:
        return None


# ── ipset save ──────────────────────────────────────────────────────────────────────


def ipset(text: str, of_line: Callable[[list[str], tuple[str, ...]], list[str]]) -> str:
    """Return ``ipset save`` with each line's words exchanged; what a set is made of is told beside them."""
    parts: dict[str, tuple[str, ...]] = {}
    lines = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["create"]:
            parts[words[1]] = tuple(words[2].partition(":")[2].split(","))
        lines.append(" ".join(of_line(words, parts.get(words[1], ())) if len(words) > 2 else []))
    return "".join(f"{line}\n" for line in lines)


def learn_ipset(redactor: Redactor, text: str) -> None:
    """Look at the networks and ranges in sets."""

    def look(words: list[str], _parts: tuple[str, ...]) -> list[str]:
        for word in words[2].split(",") if words[0] == "add" else words[3:]:
            low, dash, high = word.partition("-")
            ends = _parsed(low), _parsed(high)
            if dash and isinstance(ends[0], Address) and isinstance(ends[1], Address):
                redactor.addresses.learn_range(ends[0], ends[1])
            elif "/" in word:
                _learn(redactor, word)
        return words

    ipset(text, look)


def redact_ipset(redactor: Redactor, text: str) -> str:
    """Return ``ipset save`` with the names of sets and their members exchanged."""

    def exchange(words: list[str], parts: tuple[str, ...]) -> list[str]:
        kind, name, thing, *options = words
        name = redactor.name(name)
        if "comment" in options and kind == "add":
            at = options.index("comment") + 1
            comment = " ".join(options[at:]).strip('"')
            options = [*options[:at], quote(redactor.text(comment))]
        if kind == "create":
            return [kind, name, thing, *(_range(redactor, word) for word in options)]
        members = thing.split(",")
        exchanged = (
            _member(redactor, part, word) for part, word in zip(parts, members, strict=False)
        )
        return [kind, name, ",".join(exchanged), *options]

    return ipset(text, exchange)


def _range(redactor: Redactor, word: str) -> str:
    """Return what takes the place of a word that may be addresses: those that a bitmap:ip spans."""
    if "." not in word and ":" not in word:
        return word
    return "-".join(_exchanged(redactor, one) for one in word.split("-"))


def _member(redactor: Redactor, part: str, word: str) -> str:
    if part in ("ip", "net"):
        return _range(redactor, word)
    if part == "iface":
        physdev = PHYSDEV if word.startswith(PHYSDEV) else ""
        return physdev + redactor.device(word.removeprefix(PHYSDEV))
    if part == "mac" and MAC.fullmatch(word):
        return redactor.addresses.mac(word)
    return redactor.name(word) if part in ("set", "mac") else word


# ── ipvsadm -Sn ─────────────────────────────────────────────────────────────────────

_SERVER = re.compile(
    r"(?:(?<= -[tur] )|(?<= --sctp-service ))(?:\[([0-9A-Fa-f:]+)\]|([0-9.]+))(?=:\d)"
)
_HASHING = re.compile(r" -s (sh|dh|mh|lblcr?)\b")  # schedulers that choose by a hash of addresses


def redact_ipvs(redactor: Redactor, text: str) -> tuple[str, tuple[Left, ...]]:
    """Return ``ipvsadm -Sn`` with the addresses of servers exchanged, and what could not be kept."""

    def exchange(found: re.Match[str]) -> str:
        address = redactor.addresses.address(parse_address(found[1] or found[2]))
        return f"[{address}]" if found[1] else str(address)

    left = tuple(
        Left(
            f"-s {found[1]}",
            "it chooses a server by a hash of addresses, which are others afterwards",
            lineno,
        )
        for lineno, line in enumerate(text.split("\n"), 1)
        if (found := _HASHING.search(line))
    )
    return _SERVER.sub(exchange, text), left


# ── sysctl ──────────────────────────────────────────────────────────────────────────


def redact_sysctls(redactor: Redactor, text: str) -> str:
    """Return the settings of the network, with the interfaces in their names exchanged; no others."""
    lines = []
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or not name.startswith("net"):
            continue
        if found := _NET_SYSCTL.match(name):
            end = name[found.end(3) :]
            name = f"{found[1]}{redactor.device(found[2])}{found[3]} {end}".rstrip() + " "
        lines.append(f"{name}={value}")
    return "".join(f"{line}\n" for line in lines)
