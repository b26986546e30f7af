"""u32: arithmetic on four bytes taken from anywhere in the packet.

Linux: net/netfilter/xt_u32.c u32_match_it(); the language is that of iptables-extensions(8) u32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.kinds import Range
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Use,
    miss,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MOST_PARTS = 10  # XT_U32_MAXSIZE


class Step(NamedTuple):
    """An operator (``&``, ``<<``, ``>>`` or ``@``) and its number."""

    operator: str
    number: int


class U32Test(NamedTuple):
    """Four bytes at ``start``, changed by ``steps``, lie in one of ``ranges``."""

    start: int
    steps: tuple[Step, ...]
    ranges: tuple[Range, ...]


class _Program(kinds.Word):
    """Tests, joined by ``&&``.

    test = START { OPERATOR NUMBER } "=" RANGE { "," RANGE }
    """

    metavar = "tests"

    def read(self, word: str, _family: int) -> tuple[U32Test, ...]:
        return _Text(word).tests()

    def save(self, value: Any) -> str:
        return '"' + "&&".join(map(_test_text, value)) + '"'

    def listed(self, value: Any, _numeric: bool) -> str:
        return self.save(value)


class _Text:
    """A program as it is read, character by character. libxt_u32.c u32_parse()."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def tests(self) -> tuple[U32Test, ...]:
        """Read all tests."""
        found = [self.test()]
        while self.next():
            self.both("&")
            if len(found) > _MOST_PARTS:  # u32_parse() has room for one more, and looks at the end
                self.at -= 1
                raise self.error('too many "&&"s')
            found.append(self.test())
        if len(found) > _MOST_PARTS:
            raise self.error('too many "&&"s')
        return tuple(found)

    def test(self) -> U32Test:
        """Read one location, and the values that it may have."""
        start, steps = self.location()
        ranges: list[Range] = []
        while self.next() not in ("", "&"):
            if ranges:
                if self.next() != ",":
                    raise self.error('expected "," or "&&"')
                self.at += 1
            ranges.append(self.range())
            if len(ranges) > _MOST_PARTS:
                raise self.error('too many ","s')
        if not ranges and self.next():
            self.at += 1
            raise self.error("value spec missing")
        if not ranges:
            raise _complaint("test ended with no value specified")
        return U32Test(start, steps, tuple(ranges))

    def location(self) -> tuple[int, tuple[Step, ...]]:
        """Read numbers and the operators between them, up to the ``=``."""
        if self.next() == "=":
            raise self.error("location spec missing")
        if not self.next():
            raise _complaint("abrupt end of input after location specifier")
        start, steps = self.number(), []
        while (sign := self.next()) != "=":
            if not sign:
                raise _complaint("abrupt end of input after location specifier")
            if sign not in ("&", "@", "<", ">"):
                raise self.error("operator expected")
            operator = self.both(sign) if sign in "<>" else sign
            self.at += sign not in "<>"
            steps.append(Step(operator, self.number()))
            if len(steps) == _MOST_PARTS:
                raise self.error("too many operators")
        self.at += 1
        return start, tuple(steps)

    def range(self) -> Range:
        """Read ``LOW[:HIGH]``."""
        low = self.number()
        if self.next() != ":":
            return Range(low, low)
        self.at += 1
        return Range(low, self.number())

    def next(self) -> str:
        """Return the next character that is no blank."""
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def both(self, sign: str) -> str:
        """Read an operator of two equal characters."""
        self.at += 1
        if self.text[self.at : self.at + 1] != sign:
            raise self.error(f"a second '{sign}' was expected")
        self.at += 1
        return sign * 2

    def number(self) -> int:
        """Read a number."""
        found = kinds.leading_number(self.text[self.at :])
        if found is None or found[0] > kinds.U32:
            raise self.error("not a number or out of range")
        self.at = len(self.text) - len(found[1])
        return found[0]

    def error(self, said: str) -> RefusedError:
        """Return the error at the character that was looked at last."""
        return _complaint(f"at char {self.at}: {said}")


def _complaint(said: str) -> RefusedError:
    return RefusedError(said, f"u32: {said}")


def _test_text(test: U32Test) -> str:
    steps = "".join(f"{step.operator}{step.number:#x}" for step in test.steps)
    ranges = (f"{low:#x}" if low == high else f"{low:#x}:{high:#x}" for low, high in test.ranges)
    return f"{test.start:#x}{steps}=" + ",".join(ranges)


def _fetch(data: bytes, at: int) -> int | None:
    return int.from_bytes(data[at : at + 4], "big") if at + 4 <= len(data) else None


def _passes(test: U32Test, data: bytes) -> bool:
    """Evaluate one test; outside the packet it fails."""
    base, value = 0, _fetch(data, test.start)
    for operator, number in test.steps:
        if value is None:
            return False
        if operator == "&":
            value &= number
        elif operator == "<<":
            value = value << (number & 31) & kinds.U32
        elif operator == ">>":
            value >>= number & 31
        else:
            base += value
            value = _fetch(data, base + number)
    return value is not None and any(low <= value <= high for low, high in test.ranges)


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    setting = use.settings["--u32"]
    passed = all(_passes(test, packet.data) for test in setting.value)
    return miss("--u32") if passed is setting.inverted else HIT


U32 = Extension(
    "u32",
    (Option("--u32", _Program(), invertible=True, required=True, label="u32", listed="u32 {! }{value}",
            help="all of these tests hold"),),
    test=_test,
    summary="arithmetic on four bytes taken from anywhere in the packet",
    source="net/netfilter/xt_u32.c u32_match_it(); iptables-extensions(8) u32",
)  # fmt: skip
