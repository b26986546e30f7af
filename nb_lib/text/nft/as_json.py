"""Expressions and statements of ``nft -j``, from JSON to values and back.

Grammar: libnftables-json(5). A statement that does not write back as it was is kept as ``Unknown``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nb_lib.errors import RulesetError
from nb_lib.text.nft.meters import limit_json, quota_json, read_limit, read_quota
from nb_lib.text.nft.sound import sound
from nb_lib.text.nft.values import (
    Binary,
    Concat,
    Counter,
    Ct,
    Element,
    Expression,
    Fib,
    Limit,
    Log,
    Lookup,
    Mangle,
    Match,
    Members,
    Meta,
    Named,
    Nat,
    NoTrack,
    Numgen,
    Payload,
    Prefix,
    Quota,
    Range,
    Reject,
    Several,
    Statement,
    Unknown,
    Update,
    Verdict,
    Vmap,
)

VERDICTS = ("accept", "drop", "return", "continue", "jump", "goto")
OPERATORS = ("&", "|", "^", "<<", ">>")
_NATS = ("dnat", "snat", "masquerade", "redirect")
_SECOND = 1000  # milliseconds


class _UnknownError(ValueError):
    """An object that is none of those known here."""


# --- expressions ---


def _verdict(body: Any, kind: str) -> Verdict:
    return Verdict(kind, body["target"] if body is not None else "")


_READ: dict[str, Callable[[Any], Expression]] = {
    "prefix": lambda b: Prefix(b["addr"], b["len"]),
    "range": lambda b: Range(_expression(b[0]), _expression(b[1])),
    "concat": lambda b: Concat(tuple(map(_expression, b))),
    "payload": lambda b: Payload(b["protocol"], b["field"]),
    "meta": lambda b: Meta(b["key"]),
    "ct": lambda b: Ct(b["key"], b.get("dir", "")),
    "fib": lambda b: Fib(b["result"], words(b["flags"])),
    "numgen": lambda b: Numgen(b["mode"], b["mod"], b["offset"]),
    "set": lambda b: Members(tuple(map(element, b))),
    "map": lambda b: Lookup(_expression(b["key"]), _expression(b["data"])),
    **{o: lambda b, o=o: Binary(o, *map(_expression, b)) for o in OPERATORS},  # type: ignore[misc]
    **{v: lambda b, v=v: _verdict(b, v) for v in VERDICTS},  # type: ignore[misc]
}


def _expression(given: Any) -> Expression:
    if isinstance(given, (str, int)):
        return given
    if isinstance(given, list):
        if not all(isinstance(each, (str, int)) for each in given):
            raise _UnknownError(str(given))
        return Several(tuple(given))
    (name, body) = single(given)
    if name not in _READ:
        raise _UnknownError(name)
    return _READ[name](body)


def single(given: Any) -> tuple[str, Any]:
    """Return the name and the body of an object that has one name. Raises ValueError."""
    if not isinstance(given, dict) or len(given) != 1:
        raise _UnknownError(str(given))
    return next(iter(given.items()))


def words(given: Any) -> tuple[str, ...]:
    """Return what may be one word, a list of words, or missing."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def element(given: Any) -> Element:
    """Read an element of a set, or a pair of a map."""
    key, data = given if isinstance(given, list) else (given, None)
    more: Mapping[str, Any] = {}
    if isinstance(key, dict) and "elem" in key:
        more = key["elem"]
        key = more["val"]
    counter = more.get("counter")
    return Element(
        _expression(key),
        None if data is None else _expression(data),
        milliseconds(more.get("timeout")),
        milliseconds(more.get("expires")),
        more.get("comment", ""),
        (counter["packets"], counter["bytes"]) if counter else None,
    )


def milliseconds(seconds: int | None) -> int | None:
    """Return a span of JSON, whole seconds, as values hold it."""
    return None if seconds is None else seconds * _SECOND


def seconds(milliseconds: int | None) -> int | None:
    """Return a span as JSON has it."""
    return None if milliseconds is None else milliseconds // _SECOND


def expression_json(value: Expression) -> Any:  # noqa: C901, PLR0912 - one case each
    """Return an expression as ``nft -j`` writes it."""
    out = expression_json
    match value:
        case Prefix(address, length):
            return {"prefix": {"addr": address, "len": length}}
        case Range(low, high):
            return {"range": [out(low), out(high)]}
        case Concat(parts):
            return {"concat": [out(part) for part in parts]}
        case Several(values):
            return list(values)
        case Payload(protocol, field):
            return {"payload": {"protocol": protocol, "field": field}}
        case Meta(key):
            return {"meta": {"key": key}}
        case Ct(key, direction):
            return {"ct": {"key": key, **({"dir": direction} if direction else {})}}
        case Fib(result, flags):
            return {"fib": {"result": result, "flags": list(flags)}}
        case Numgen(mode, modulus, offset):
            return {"numgen": {"mode": mode, "mod": modulus, "offset": offset}}
        case Binary(operator, left, right):
            return {operator: [out(left), out(right)]}
        case Verdict(kind, target):
            return {kind: {"target": target} if target else None}
        case Members(elements):
            return {"set": [element_json(each) for each in elements]}
        case Lookup(key, data):
            return {"map": {"key": out(key), "data": out(data)}}
    return value


def element_json(element: Element) -> Any:
    """Return an element as ``nft -j`` writes it."""
    key = expression_json(element.key)
    counter = element.counter
    more = present(
        timeout=seconds(element.timeout),
        expires=seconds(element.expires),
        comment=element.comment or None,
        counter={"packets": counter[0], "bytes": counter[1]} if counter else None,
    )
    if more:
        key = {"elem": {"val": key, **more}}
    return key if element.data is None else [key, expression_json(element.data)]


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value, with ``_`` for ``-`` in their names."""
    return {name.replace("_", "-"): v for name, v in fields.items() if v is not None}


# --- statements ---


def _nat(body: Any, kind: str) -> Nat:
    body = body or {}
    address, port = (
        None if body.get(k) is None else _expression(body[k]) for k in ("addr", "port")
    )
    return Nat(kind, address, port, body.get("family", ""), words(body.get("flags")))


def _update(body: Any) -> Update:
    element, timeout = body["elem"], None
    if isinstance(element, dict) and "elem" in element:
        element, timeout = element["elem"]["val"], element["elem"].get("timeout")
    return Update(
        body["op"], _expression(element), body["set"].removeprefix("@"), milliseconds(timeout)
    )


def _named(body: Any, kind: str) -> Named | None:
    """Return the object of the table that stands for a meter of the rule's own, if one does."""
    return Named(kind, body) if isinstance(body, str) else None


_STATEMENTS: dict[str, Callable[[Any], Statement]] = {
    "match": lambda b: Match(b["op"], _expression(b["left"]), _expression(b["right"])),
    "vmap": lambda b: Vmap(_expression(b["key"]), _expression(b["data"])),
    "mangle": lambda b: Mangle(_expression(b["key"]), _expression(b["value"])),
    "counter": lambda b: _named(b, "counter") or Counter(b["packets"], b["bytes"]),
    "limit": lambda b: _named(b, "limit") or read_limit(b),
    "quota": lambda b: _named(b, "quota") or read_quota(b),
    "reject": lambda b: Reject(b["type"], b.get("expr", "")),
    "set": _update,
    "log": lambda b: Log(b.get("prefix", ""), b.get("level", ""), b.get("group")),
    "notrack": lambda _: NoTrack(),
    **{v: lambda b, v=v: _verdict(b, v) for v in VERDICTS},  # type: ignore[misc]
    **{n: lambda b, n=n: _nat(b, n) for n in _NATS},  # type: ignore[misc]
}


def read_statement(given: Any) -> Statement:
    """Return a statement; one that is not understood, or not wholly, is ``Unknown``."""
    try:
        name, body = single(given)
        found = _STATEMENTS[name](body)
        sound(found)
        if statement_json(found) == given:
            return found
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        pass
    return Unknown("json", json.dumps(given, sort_keys=True))


def statement_json(  # noqa: C901, PLR0912 - one case for each
    statement: Statement,
) -> Any:
    """Return a statement as ``nft -j`` writes it. Raises RulesetError for what is kept as text."""
    out = expression_json
    match statement:
        case Unknown():
            return kept(statement)
        case Match(operator, left, right):
            return {"match": {"op": operator, "left": out(left), "right": out(right)}}
        case Vmap():
            return {"vmap": {"key": out(statement.key), "data": out(statement.data)}}
        case Mangle():
            return {"mangle": {"key": out(statement.key), "value": out(statement.value)}}
        case Counter(packets, octets):
            return {"counter": {"packets": packets, "bytes": octets}}
        case Limit():
            return {"limit": limit_json(statement)}
        case Quota():
            return {"quota": quota_json(statement)}
        case Named(kind, name):
            return {kind: name}
        case Reject(kind, code):
            return {"reject": present(type=kind, expr=code or None)}
        case Log(prefix, level, group):
            body = present(prefix=prefix or None, level=level or None, group=group)
            return {"log": body or None}
        case NoTrack():
            return {"notrack": None}
        case Update(operation, element, name, timeout):
            key: Any = out(element)
            if timeout is not None:
                key = {"elem": {"val": key, "timeout": seconds(timeout)}}
            return {"set": {"op": operation, "elem": key, "set": f"@{name}"}}
        case Nat():
            return _nat_json(statement)
    return out(statement)


def _nat_json(nat: Nat) -> Any:
    flags: Any = nat.flags[0] if len(nat.flags) == 1 else list(nat.flags)
    address, port = (None if e is None else expression_json(e) for e in (nat.address, nat.port))
    body = present(family=nat.family or None, addr=address, port=port, flags=flags or None)
    return {nat.kind: body or None}


def kept(unknown: Unknown) -> Any:
    """Return what was kept as JSON. Raises RulesetError for what was kept as text."""
    if unknown.form != "json":
        raise RulesetError(f"{unknown.raw!r} is kept as nft's text: it has no JSON")
    return json.loads(unknown.raw)
