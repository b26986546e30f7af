"""One command of ``nft -f``: from text to a verb, a kind, names and a value.

Grammar, as far as kube-proxy writes it (nft(8))::

    command = VERB KIND [ FAMILY ] TABLE [ NAME ] [ block | elements | rule ]
    block   = "{" { property ";" } "}"

Input spells some things otherwise than a listing does: ``mark set mark or 0x4000`` for ``meta mark set meta
mark | 0x4000``, and a set of one member for that member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import collapse_addresses, ip_network
from typing import NamedTuple

from nb_lib.text.nft.read_words import Words
from nb_lib.text.nft.values import (
    Chain,
    Element,
    Expression,
    Match,
    Members,
    Prefix,
    Rule,
    Set,
    Statement,
    Table,
)
from nb_lib.text.nft.words import read_priority, read_span

FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
VERBS = ("add", "insert", "delete", "destroy", "flush")
_OPERATORS = {"and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>"}
_DYNAMIC = 65_535  # the size of a set that packets fill, if none is given
_SECONDS = "s"

Value = Table | Chain | Set | Rule | Members | None


class Command(NamedTuple):
    """What a line asks for; ``name`` is empty where a table itself is meant."""

    verb: str
    kind: str  # table, chain, rule, set, map, element
    family: str
    table: str
    name: str
    value: Value


class MistakeError(ValueError):
    """A command that nft refuses, at one of its words."""

    def __init__(self, reason: str, word: str = "") -> None:
        super().__init__(reason)
        self.word = word


def read_command(line: str) -> Command:
    """Read one line. Raises MistakeError with the word that is wrong."""
    words = Words(line)
    try:
        return _command(words)
    except MistakeError:
        raise
    except IndexError:
        raise MistakeError("syntax error, unexpected end of line") from None
    except (ValueError, KeyError) as error:
        word = words.tokens[min(words.at, len(words.tokens)) - 1]
        raise MistakeError(f"syntax error: {error}", word) from None


def _command(words: Words) -> Command:
    verb, kind = _one_of(words, VERBS), _one_of(words, _VALUES)
    family = words.take() if words.next in FAMILIES else "ip"
    table = words.take()
    name = "" if kind == "table" else words.take()
    value = _VALUES[kind](words, family, name or table) if verb in ("add", "insert") else None
    if kind == "element" and verb in ("delete", "destroy"):
        value = words.members()
    if words.next:
        raise MistakeError(f"syntax error, unexpected {words.next}", words.next)
    return Command(verb, kind, family, table, name, value)


def _one_of(words: Words, known: object) -> str:
    word = words.take()
    if word not in known:  # type: ignore[operator]
        raise MistakeError(f"syntax error, unexpected {word}", word)
    return word


# --- what a block says ---


def _block(words: Words, known: tuple[str, ...]) -> dict[str, list[str]]:
    """Read ``{ NAME VALUE… ; … }``, or nothing."""
    found: dict[str, list[str]] = {}
    if not words.skip("{"):
        return found
    while not words.skip("}"):
        name = _one_of(words, known)
        values = found[name] = []
        while words.next not in (";", "}"):
            values.append(words.take())
        words.skip(";")
    return found


def _said(given: dict[str, list[str]]) -> str:
    return " ".join(given.get("comment", ())).strip('"')


def _table(words: Words, family: str, name: str) -> Table:
    return Table(family, name, comment=_said(_block(words, ("comment",))))


def _chain(words: Words, family: str, name: str) -> Chain:
    given = _block(words, ("type", "policy", "comment"))
    if "type" not in given:
        return Chain(name, comment=_said(given))
    kind, _, hook, *rest = given["type"]
    priority = read_priority(family, hook, " ".join(rest[1:]))
    (policy,) = given.get("policy", ("accept",))
    return Chain(name, (), kind, hook, priority, policy, _said(given))


def _set(words: Words, _family: str, name: str) -> Set:
    given = _block(words, ("type", "flags", "timeout", "size", "gc-interval", "comment"))
    key, _, data = " ".join(given["type"]).partition(" : ")
    flags = tuple(word for word in given.get("flags", ()) if word != ",")
    size = int(given["size"][0]) if "size" in given else None
    times = {name: _span(*given[name]) for name in ("timeout", "gc-interval") if name in given}
    return Set(
        name, tuple(key.split(" . ")), tuple(data.split(" . ")) if data else (), (), flags,
        size or (_DYNAMIC if "dynamic" in flags else None), times.get("timeout"),
        times.get("gc-interval"), comment=_said(given),
    )  # fmt: skip


def _span(text: str) -> int:
    return read_span(text + _SECONDS if text.isdecimal() else text)


# --- rules ---


def _rule(words: Words, family: str, _name: str) -> Rule:
    listed = Words(" ".join(_as_listed(words.tokens[words.at :])))
    words.at = len(words.tokens)
    statements: list[Statement] = []
    comment = ""
    while listed.next:
        if listed.skip("comment"):
            comment = listed.take().strip('"')
        else:
            statements.append(_settled(listed.statement(family)))
    if not statements:
        raise MistakeError("syntax error, unexpected end of line")
    return Rule(tuple(statements), comment)


def _as_listed(tokens: list[str]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        if token == "mark" and found[-1:] not in (["meta"], ["ct"]):
            found.append("meta")
        found.append(_OPERATORS.get(token, token))
    return found


def _settled(statement: Statement) -> Statement:
    """Networks in a set of the rule's own are joined, and a set of one member is that member."""
    if not isinstance(statement, Match) or not isinstance(statement.right, Members):
        return statement
    keys: list[Expression] = [each.key for each in statement.right.elements]
    if any(isinstance(key, Prefix) for key in keys):
        keys = _joined(keys)
    if len(keys) == 1:
        return replace(statement, right=keys[0])
    return replace(statement, right=Members(tuple(map(Element, keys))))


def _joined(keys: list[Expression]) -> list[Expression]:
    networks = [
        ip_network(f"{key.address}/{key.length}" if isinstance(key, Prefix) else str(key))
        for key in keys
    ]
    found = collapse_addresses(networks)  # type: ignore[type-var]
    return [
        str(net.network_address)
        if net.prefixlen == net.max_prefixlen
        else Prefix(str(net.network_address), net.prefixlen)
        for net in found
    ]


_VALUES: dict[str, Callable[[Words, str, str], Value]] = {
    "table": _table,
    "chain": _chain,
    "set": _set,
    "map": _set,
    "rule": _rule,
    "element": lambda words, _family, _name: words.members(),
}
