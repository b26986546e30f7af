"""``nft list ruleset``: from text to values.

Grammar, as far as nft itself prints it (nft(8))::

    ruleset   = { "table" FAMILY NAME "{" { comment | flags | set | chain | other } "}" }
    set       = ( "set" | "map" ) NAME "{" { property } [ "elements" "=" "{" elements "}" ] "}"
    chain     = "chain" NAME "{" [ comment ] [ "type" … ] { rule } "}"
    rule      = { statement } [ comment ]

A set or a rule that does not write back as it was is kept as ``Unknown``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from nb_lib.errors import RulesetError
from nb_lib.text.nft.as_text import rule_text, set_lines
from nb_lib.text.nft.meters import object_lines
from nb_lib.text.nft.read_words import Words
from nb_lib.text.nft.values import Chain, Object, Rule, Ruleset, Set, Statement, Table, Unknown
from nb_lib.text.nft.words import read_priority, read_span


def read_rule(text: str, family: str = "ip") -> Rule:
    """Read a rule; from the first statement on that is not understood it keeps its words."""
    words = Words(text)
    statements: list[Statement] = []
    comment = ""
    while words.next:
        start = words.at
        try:
            if words.skip("comment"):
                comment = words.take().strip('"')
            else:
                statements.append(words.statement(family))
        except (ValueError, IndexError, KeyError):
            statements.append(Unknown("text", words.rest(start)))
            break
    rule = Rule(tuple(statements), comment)
    return rule if rule_text(rule, family) == text else Rule((Unknown("text", text),))


def read_set(lines: list[str]) -> Set | Unknown:
    """Read the lines of a set or a map, from its name to its last brace."""
    whole = "\n".join(lines)
    try:
        found = _read_set(lines)
        if "\n".join(set_lines(found)) == whole:
            return found
    except (ValueError, IndexError, KeyError):
        pass
    return Unknown("text", whole)


def _read_set(lines: list[str]) -> Set:
    kind, name, _ = lines[0].split()
    body, _, rest = "\n".join(lines[1:-1]).partition("\t\telements = ")
    given = dict(_property(line) for line in body.splitlines())
    if given.keys() - {"type", "size", "flags", "timeout", "gc-interval", "counter", "comment"}:
        raise ValueError("a property that is not known here")
    key, _, data = given["type"].partition(" : ")
    if bool(data) != (kind == "map"):
        raise ValueError("a map has data, a set has none")
    return Set(
        name,
        tuple(key.split(" . ")),
        tuple(data.split(" . ")) if data else (),
        Words(rest).members().elements if rest else (),
        tuple(given["flags"].split(",")) if "flags" in given else (),
        int(given["size"]) if "size" in given else None,
        read_span(given["timeout"]) if "timeout" in given else None,
        read_span(given["gc-interval"]) if "gc-interval" in given else None,
        "counter" in given,
        given.get("comment", "").strip('"'),
    )


def _property(line: str) -> tuple[str, str]:
    name, _, value = line.strip().partition(" ")
    return name, value


_BASE = re.compile(r'type (\w+) hook (\w+)(?: device "([^"]*)")? priority ([^;]+); policy (\w+);')


class _Reader:
    """Reads a listing line by line."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.at = 0

    def ruleset(self) -> Ruleset:
        tables = []
        while self.at < len(self.lines):
            words = self.lines[self.at].split()
            if not words or words[0].startswith("#"):
                self.at += 1
            elif len(words) == 4 and words[0] == "table" and words[3] == "{":
                tables.append(self.table(words[1], words[2]))
            else:
                raise self.error("this is no line of `nft list ruleset`", "table FAMILY NAME {")
        return Ruleset(tuple(tables))

    def error(self, reason: str, hint: str = "") -> RulesetError:
        line = self.lines[min(self.at, len(self.lines) - 1)]
        return RulesetError(reason, lineno=self.at + 1, col=1, line=line, hint=hint)

    def take(self) -> str:
        if self.at >= len(self.lines):
            raise self.error("the text ends inside a table")
        self.at += 1
        return self.lines[self.at - 1]

    def table(self, family: str, name: str) -> Table:
        self.take()
        comment, flags = "", ()
        sets: list[Set | Object | Unknown] = []
        chains: list[Chain] = []
        while (line := self.take()) != "}":
            word, _, rest = line.strip().partition(" ")
            if word == "comment":
                comment = rest.strip('"')
            elif word == "flags":
                flags = tuple(rest.split(","))  # type: ignore[assignment]
            elif word == "chain":
                chains.append(self.chain(family, rest.removesuffix(" {")))
            elif word:
                block = self.block(line)
                sets.append(_READERS.get(word, _other)(block))
        return Table(family, name, tuple(sets), tuple(chains), flags, comment)

    def block(self, first: str) -> list[str]:
        found = [first]
        while found[-1] != "\t}":
            found.append(self.take())
        return found

    def chain(self, family: str, name: str) -> Chain:
        rules: list[Rule] = []
        base: tuple[str, str, int, str] = ("", "", 0, "")
        comment, device = "", ""
        while (line := self.take()) != "\t}":
            text = line.strip()
            if text.startswith("type ") and (found := _BASE.fullmatch(text)):
                kind, hook, device, priority, policy = found.groups("")
                try:
                    base = kind, hook, read_priority(family, hook, priority), policy
                except (ValueError, KeyError):
                    raise self.error(f"{priority!r} is no priority of {hook}") from None
            elif text.startswith('comment "') and not rules:
                comment = text.removeprefix("comment ").strip('"')
            else:
                rules.append(read_rule(text, family))
        return Chain(name, tuple(rules), *base, comment, device)


def _object(lines: list[str]) -> Object | Unknown:
    """Read the lines of a counter, a quota or a limit with a name."""
    try:
        kind, name, _ = lines[0].split()
        *comment, body = (line.strip() for line in lines[1:-1])
        said = comment[0].removeprefix("comment ").strip('"') if comment else ""
        found = Object(name, Words(f"{kind} {body}").statement("ip"), said)  # type: ignore[arg-type]
        if list(object_lines(found)) == lines:
            return found
    except (ValueError, IndexError, KeyError):
        pass
    return _other(lines)


def _other(lines: list[str]) -> Unknown:
    return Unknown("text", "\n".join(lines))


_READERS: dict[str, Callable[[list[str]], Set | Object | Unknown]] = {
    **dict.fromkeys(("set", "map"), read_set),
    **dict.fromkeys(("counter", "quota", "limit"), _object),
}


def read_text(text: str) -> Ruleset:
    """Read the output of ``nft list ruleset``. Raises RulesetError if it is none."""
    return _Reader(text).ruleset()
