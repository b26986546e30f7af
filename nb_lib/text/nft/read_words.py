"""Reads statements, expressions and elements as ``nft list`` prints them.

Grammar (nft(8))::

    statement = verdict | counter | limit | quota | nat | reject | log | update | "notrack"
              | expression ( "vmap" data | "set" expression | [ operator ] value )
    expression = part { "." part } { ( "&" | "|" | "^" | "<<" | ">>" ) value }
"""

from __future__ import annotations

import re
from collections.abc import Callable

from nb_lib.text.nft.as_json import OPERATORS, VERDICTS
from nb_lib.text.nft.as_text import DEFAULT_REJECT
from nb_lib.text.nft.meters import USUAL_BURST, octets_of
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
    Update,
    Verdict,
    Vmap,
)
from nb_lib.text.nft.words import BARE, PROTOCOLS, is_flags, read_span

_TOKEN = re.compile(r'"[^"]*"|[{},;]|[^\s,;{}"]+')
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
_PREFIX = re.compile(r"([0-9a-f:.]+)/(\d+)")
_RANGE = re.compile(
    r"(0x[0-9a-f]+|\d[\d.]*|[0-9a-f]*:[0-9a-f:.]*)-(0x[0-9a-f]+|\d[\d.]*|[0-9a-f]*:[0-9a-f:.]*)"
)
_ADDRESS_PORT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[^:\s]*)):(?P<port>[\d-]+)")
_COMPARE = ("==", "!=", "<", ">", "<=", ">=")
_NAT_FLAGS = {"random", "fully-random", "persistent"}


class Words:
    """The tokens of a rule or of elements, read from left to right. IndexError at the end."""

    def __init__(self, text: str) -> None:
        found = list(_TOKEN.finditer(text))
        self.text = text
        self.tokens = [token[0] for token in found]
        self.starts = [token.start() for token in found]
        self.at = 0

    @property
    def next(self) -> str:
        """The word that comes next, empty at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        """Take a word; IndexError at the end."""
        self.at += 1
        return self.tokens[self.at - 1]

    def rest(self, at: int) -> str:
        """Return the text from a token on."""
        return self.text[self.starts[at] :]

    def expect(self, *words: str) -> None:
        """Take these words; ValueError if others stand there."""
        for word in words:
            if self.take() != word:
                raise ValueError(f"{word!r} expected")

    def skip(self, word: str) -> bool:
        """Take a word if it is this one, and tell."""
        if self.next != word:
            return False
        self.at += 1
        return True

    # --- expressions ---

    def expression(self) -> Expression:
        """Read what a rule looks at: parts joined by ``.``, then operators."""
        parts = [self.part()]
        while self.skip("."):
            parts.append(self.part())
        found: Expression = parts[0] if len(parts) == 1 else Concat(tuple(parts))
        while self.next in OPERATORS:
            found = Binary(self.take(), found, self.value())
        return found

    def part(self) -> Expression:
        """Read one thing that a rule looks at: a field, a mark, conntrack, routing, a number."""
        word = self.take()
        if word in BARE:
            return Meta(word)
        if word == "meta":
            return Meta(self.take())
        if word == "ct":
            direction = self.take() if self.next in ("original", "reply") else ""
            key = self.take()
            return Ct(f"{key} {self.take()}" if key in ("ip", "ip6") else key, direction)
        if word == "fib":
            flags = [self.take()]
            while self.skip("."):
                flags.append(self.take())
            return Fib(self.take(), tuple(flags))
        if word == "numgen":
            mode = self.take()
            self.expect("mod")
            modulus = int(self.take())
            return Numgen(mode, modulus, int(self.take()) if self.skip("offset") else 0)
        if word in PROTOCOLS:
            return Payload(word, self.take())
        raise ValueError(f"{word!r} is no expression known here")

    def value(self) -> Expression:
        """Read what it is compared with: a value, several, a range, a set."""
        if self.next == "{":
            return self.members()
        parts = [self.atom()]
        while self.skip("."):
            parts.append(self.atom())
        if len(parts) > 1:
            return Concat(tuple(parts))
        if self.next == ",":
            flags = [parts[0]]
            while self.skip(","):
                flags.append(self.atom())
            return Several(tuple(flags))  # type: ignore[arg-type]
        return parts[0]

    def atom(self) -> Expression:
        """Read one value: a word, a number, a network, a range, a verdict."""
        word = self.take()
        if word in VERDICTS:
            return Verdict(word, self.take() if word in ("jump", "goto") else "")
        if found := _PREFIX.fullmatch(word):
            return Prefix(found[1], int(found[2]))
        if found := _RANGE.fullmatch(word):
            return Range(_leaf(found[1]), _leaf(found[2]))
        if word in ("{", "}", ",", ";", ":"):
            raise ValueError(f"{word!r} is no value")
        return _leaf(word)

    def members(self) -> Members:
        """Read a set without a name."""
        self.expect("{")
        found = []
        while not self.skip("}"):
            found.append(self.element())
            if self.next != "}":
                self.expect(",")
        return Members(tuple(found))

    def element(self) -> Element:
        """Read an element of a set or a map, with what it has besides its key."""
        parts = [self.atom()]
        while self.skip("."):
            parts.append(self.atom())
        key: Expression = parts[0] if len(parts) == 1 else Concat(tuple(parts))
        counter = self.counter() if self.next == "counter" else None
        timeout = read_span(self.take()) if self.skip("timeout") else None
        expires = read_span(self.take()) if self.skip("expires") else None
        comment = self.take().strip('"') if self.skip("comment") else ""
        data = None
        if self.skip(":"):
            parts = [self.atom()]
            while self.skip("."):
                parts.append(self.atom())
            data = parts[0] if len(parts) == 1 else Concat(tuple(parts))
        numbers = (counter.packets, counter.octets) if counter else None
        return Element(key, data, timeout, expires, comment, numbers)

    # --- statements ---

    def statement(self, family: str) -> Statement:
        """Read a statement. Raises ValueError, KeyError or IndexError for what is not known here."""
        word = self.next
        if word in VERDICTS:
            return self.atom()  # type: ignore[return-value]
        if word in _STATEMENTS:
            return _STATEMENTS[word](self, family)
        left = self.expression()
        if self.skip("vmap"):
            return Vmap(left, self.value())
        if self.skip("set"):
            return Mangle(left, self.given())
        operator = self.take() if self.next in _COMPARE else ""
        right = self.value()
        if self.skip("/"):  # tcp flags syn / syn,ack
            return Match(operator or "==", Binary("&", left, self.value()), right)
        if not operator:
            flags = is_flags(left) and not isinstance(right, Members)
            operator = "in" if flags else "=="
        return Match(operator, left, right)

    def given(self) -> Expression:
        """Read the value that a field gets: of a header, of a map, or as it stands."""
        if self.next in (*BARE, *PROTOCOLS, "meta", "ct", "fib", "numgen"):
            found = self.expression()
            return Lookup(found, self.value()) if self.skip("map") else found
        return self.value()

    def counter(self) -> Counter:
        """Read ``counter packets N bytes N``."""
        self.expect("counter", "packets")
        packets = int(self.take())
        self.expect("bytes")
        return Counter(packets, int(self.take()))

    def named(self) -> Named | None:
        """Read ``counter name "C"``: an object of the table; None if the rule has its own."""
        if self.tokens[self.at + 1 : self.at + 2] != ["name"]:
            return None
        kind, _, name = self.take(), self.take(), self.take()
        if not name.startswith('"'):
            raise ValueError("a map of names")
        return Named(kind, name.strip('"'))

    def limit(self) -> Limit:
        """Read ``limit rate [over] N[ UNIT]/PERIOD [burst N UNIT]``."""
        self.expect("limit", "rate")
        over = self.skip("over")
        number, slash, per = self.take().partition("/")
        if slash:
            burst = int(self.take()) if self.skip("burst") else USUAL_BURST
            self.skip("packets")
            return Limit(int(number), per, burst, over=over)
        unit, _, per = self.take().partition("/")
        rate = octets_of(number, unit)
        burst = octets_of(self.take(), self.take()) if self.skip("burst") else 0
        return Limit(rate, per, burst, octets=True, over=over)

    def quota(self) -> Quota:
        """Read ``quota [over] N UNIT [used N UNIT]``."""
        self.expect("quota")
        over = self.skip("over")
        octets = octets_of(self.take(), self.take())
        used = octets_of(self.take(), self.take()) if self.skip("used") else 0
        return Quota(octets, over, used)

    def nat(self) -> Nat:
        """Read ``dnat [FAMILY] [to ADDRESS:PORT] [FLAGS]`` and its like."""
        kind = self.take()
        family = self.take() if self.next in ("ip", "ip6") else ""
        address: Expression | None = None
        port: Expression | None = None
        if self.skip("to"):
            found = _ADDRESS_PORT.fullmatch(self.next)
            # An IPv6 address without a port has colons too, and no brackets.
            if found and (found["six"] or ":" not in found["four"]):
                self.take()
                where = found["six"] or found["four"]
                address = Words(where).atom() if where else None
                port = Words(found["port"]).atom()
            else:
                address = self.given()
        flags: list[str] = []
        while self.next in _NAT_FLAGS:
            flags.append(self.take())
            self.skip(",")
        return Nat(kind, address, port, family, tuple(flags))

    def reject(self, family: str) -> Reject:
        """Read ``reject [with …]``; the family has a way of its own."""
        self.expect("reject")
        if not self.skip("with"):
            return DEFAULT_REJECT[family]
        kind = self.take()
        if kind == "tcp":
            self.expect("reset")
            return Reject("tcp reset")
        return Reject(kind, self.take())

    def log(self) -> Log:
        """Read ``log [prefix …] [group N] [level …]``."""
        self.expect("log")
        prefix = self.take().strip('"') if self.skip("prefix") else ""
        group = int(self.take()) if self.skip("group") else None
        return Log(prefix, self.take() if self.skip("level") else "", group)

    def update(self) -> Update:
        """Read ``update @SET { KEY [timeout SPAN] }``."""
        operation, name = self.take(), self.take()
        self.expect("{")
        key = self.expression()
        timeout = read_span(self.take()) if self.skip("timeout") else None
        self.expect("}")
        return Update(operation, key, name.removeprefix("@"), timeout)

    def notrack(self) -> NoTrack:
        """Read ``notrack``."""
        self.expect("notrack")
        return NoTrack()


_STATEMENTS: dict[str, Callable[[Words, str], Statement]] = {
    "counter": lambda w, _: w.named() or w.counter(),
    "limit": lambda w, _: w.named() or w.limit(),
    "quota": lambda w, _: w.named() or w.quota(),
    "reject": lambda w, family: w.reject(family),
    "log": lambda w, _: w.log(),
    "notrack": lambda w, _: w.notrack(),
    **dict.fromkeys(("update", "add", "delete"), lambda w, _: w.update()),
    **dict.fromkeys(("dnat", "snat", "masquerade", "redirect"), lambda w, _: w.nat()),
}


def _leaf(word: str) -> int | str:
    if word in ("exists", "missing"):
        return word == "exists"
    if _NUMBER.fullmatch(word):
        return int(word, 0) if word.startswith("0x") else int(word)
    return word.strip('"')
