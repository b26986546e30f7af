"""A listing of nft: its values exchanged as those of iptables' rules are, and written again."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from ipaddress import ip_address
from typing import Any

from nb_lib.connection import Address
from nb_lib.net import BITS, Net
from nb_lib.redact.facts import MAC
from nb_lib.redact.redactor import Redactor
from nb_lib.redact.values import Left
from nb_lib.text import nft
from nb_lib.text.nft import values
from nb_lib.text.nft.values import parts
from nb_lib.text.nft.words import DEVICE, kind_of, kinds_of

_ADDRESSES = frozenset({"saddr", "daddr"})
# Fields that name chains, sets and objects, and those that say something to people.
_NAMES = frozenset({"name", "target"})
_TEXTS = frozenset({"comment", "prefix"})
_PLAIN = (values.Payload, values.Meta, values.Ct, values.Fib, values.Numgen, values.Counter, values.Limit,
          values.Quota, values.Reject, values.NoTrack)  # fmt: skip


def read(text: str) -> nft.Ruleset:
    """Read a listing, JSON or text."""
    return nft.read_json(text) if text.lstrip().startswith("{") else nft.read_text(text)


def write(ruleset: nft.Ruleset, like: str) -> str:
    """Write a listing in the form of ``like``."""
    return nft.write_json(ruleset) if like.lstrip().startswith("{") else nft.write_text(ruleset)


def learn(redactor: Redactor, ruleset: nft.Ruleset) -> None:
    """Look at the networks and ranges that a listing names: their order has to stay."""
    for value in parts(ruleset):
        if isinstance(value, values.Prefix) and (net := _net(value)):
            redactor.addresses.learn(net)
        elif isinstance(value, values.Range):
            low, high = address(value.low), address(value.high)
            if low and high and low.version == high.version and int(low) <= int(high):
                redactor.addresses.learn_range(low, high)


def address(value: object) -> Address | None:
    """Return the address that a leaf is, None if it is none."""
    if not isinstance(value, str) or not (value[:1].isalnum() or value[:1] == ":"):
        return None
    try:
        return ip_address(value)
    except ValueError:
        return None


def _net(prefix: values.Prefix) -> Net | None:
    found = address(prefix.address)
    if found is None or prefix.length > found.max_prefixlen:
        return None
    bits = BITS[found.version]
    return Net(found.version, int(found), (1 << bits) - (1 << bits - prefix.length))


def redact(redactor: Redactor, ruleset: nft.Ruleset) -> tuple[nft.Ruleset, tuple[Left, ...]]:
    """Return a listing with everything exchanged, and what could not be."""
    exchange = _Exchange(redactor)
    return replace(ruleset, tables=exchange.value(ruleset.tables)), tuple(exchange.left)


class _Exchange:
    """Exchanges values; ``left`` is what could not be."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.left: list[Left] = []

    def value(self, value: Any, types: tuple[str, ...] = ()) -> Any:
        """Return what takes the place of a value; ``types`` are those of its parts (``text.nft.words``)."""
        if isinstance(value, values.Concat):
            each = types if len(types) == len(value.parts) else ("",) * len(value.parts)
            pairs = zip(value.parts, each, strict=True)
            return values.Concat(tuple(self.value(part, (kind,)) for part, kind in pairs))
        if isinstance(value, tuple):
            return tuple(self.value(one, types) for one in value)
        if isinstance(value, str):
            return self.leaf(value, types)
        if isinstance(value, values.Unknown):
            self.left.append(Left(value.raw, "nobody here knows what its words mean"))
            return value
        if isinstance(value, values.Prefix):
            net = _net(value)
            if net is None:
                return value
            turned = self.redactor.addresses.net(net._replace(value=net.value & net.mask))
            return replace(
                value, address=str(ip_address(turned.value.to_bytes(BITS[net.family] // 8, "big")))
            )
        if isinstance(value, _PLAIN) or not is_dataclass(value):
            return value
        return self.thing(value, types)

    def thing(self, value: Any, types: tuple[str, ...]) -> Any:
        """Exchange the fields of a rule's part, of a chain, of a set and the like."""
        if isinstance(value, values.Match | values.Vmap | values.Mangle | values.Lookup):
            left = value.left if isinstance(value, values.Match) else value.key
            types = kind_of(left)
            self._hidden(left)
        elif isinstance(value, values.Set):
            types = kinds_of(value.key)
        changed = {}
        for field in fields(value):
            held = getattr(value, field.name)
            if field.name in ("key", "data") and isinstance(value, values.Set):
                continue  # these are types
            if field.name in _NAMES and isinstance(held, str):
                changed[field.name] = self.redactor.name(held)
            elif field.name in _TEXTS and isinstance(held, str):
                changed[field.name] = self.redactor.text(held)
            elif field.name == "device" and held:
                changed[field.name] = self.redactor.device(held)
            elif not isinstance(held, str) or field.name in _VALUES:
                changed[field.name] = self.value(held, types)
        return replace(value, **changed)

    def leaf(self, text: str, types: tuple[str, ...]) -> str:
        """Exchange a word: an address, a set's name behind ``@``, a device's where one is expected."""
        if text.startswith("@"):
            return "@" + self.redactor.name(text[1:])
        if MAC.fullmatch(text):
            return self.redactor.addresses.mac(text)
        if found := address(text):
            return str(self.redactor.addresses.address(found))
        return self.redactor.device(text) if DEVICE in types else text

    def _hidden(self, left: Any) -> None:
        """Name a comparison of some bits of an address: only a network's could be exchanged."""
        if isinstance(left, values.Binary) and any(
            isinstance(one, values.Payload) and one.field in _ADDRESSES for one in parts(left)
        ):
            self.left.append(
                Left("a comparison of an address's bits", "only networks can be exchanged")
            )


# Fields that hold an expression, which may be a word.
_VALUES = frozenset(
    {"left", "right", "key", "data", "value", "low", "high", "address", "port", "element"}
)
