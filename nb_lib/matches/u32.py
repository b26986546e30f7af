"""u32: arithmetic on four bytes taken from anywhere in the packet.

Linux: net/netfilter/xt_u32.c u32_match_it(); the language is that of iptables-extensions(8) u32.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.kinds import Range
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_MOST_PARTS = 10  # XT_U32_MAXSIZE
_TOKEN = re.compile(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+|&&|<<|>>|[&@=:,])\s*")


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
        tokens, at = [], 0
        while at < len(word):
            found = _TOKEN.match(word, at)
            if not found:
                raise ValueError(f"{word[at:]!r} is neither a number nor an operator")
            tokens.append(found[1])
            at = found.end()
        tests: list[list[str]] = [[]]
        for token in tokens:
            if token == "&&":
                tests.append([])
            else:
                tests[-1].append(token)
        if len(tests) > _MOST_PARTS:
            raise ValueError(f"more than {_MOST_PARTS} tests")
        return tuple(map(_parse_test, tests))

    def save(self, value: Any) -> str:
        return '"' + "&&".join(map(_test_text, value)) + '"'


def _parse_test(tokens: list[str]) -> U32Test:
    if "=" not in tokens:
        raise ValueError("a test has no value to compare with")
    sign = tokens.index("=")
    location, values = tokens[:sign], tokens[sign + 1 :]
    if len(location) % 2 == 0 or any(op not in ("&", "<<", ">>", "@") for op in location[1::2]):
        raise ValueError(f"{''.join(location)!r} is not a location")
    steps = tuple(
        Step(op, _number(word)) for op, word in zip(location[1::2], location[2::2], strict=True)
    )
    return U32Test(_number(location[0]), steps, tuple(map(_range, _split(values))))


def _split(tokens: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _range(tokens: list[str]) -> Range:
    if len(tokens) == 1:
        return Range(*[_number(tokens[0])] * 2)
    if len(tokens) == 3 and tokens[1] == ":":
        return Range(_number(tokens[0]), _number(tokens[2]))
    raise ValueError(f"{''.join(tokens)!r} is not a number or a range")


def _number(word: str) -> int:
    return kinds.parse_number(word, 0, kinds.U32)


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
    (Option("--u32", _Program(), invertible=True, required=True, label="u32",
            help="all of these tests hold"),),
    test=_test,
    summary="arithmetic on four bytes taken from anywhere in the packet",
    source="net/netfilter/xt_u32.c u32_match_it(); iptables-extensions(8) u32",
)  # fmt: skip
