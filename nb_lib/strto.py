"""Numbers at the start of a word, as the C library reads them: strtoul(3), strtod(3), atoi(3).

A word that is refused for what stands behind its number, or that is not, depends on the option: some
of iptables' extensions look, and some do not.
"""

from __future__ import annotations

import re

UINT_MAX, ULONG_MAX = 2**32 - 1, 2**64 - 1

_STRTOUL = {0: r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", 10: r"[0-9]+"}
_STRTOD = re.compile(
    r"""\s*([+-]?)(0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?
    |(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])""",
    re.VERBOSE,
)


def strtoul(word: str, base: int = 0) -> tuple[int, str]:
    """Read the number at the start of a word as the C library does, and return the rest.

    A negative number wraps around, one that is too large is the largest, none is 0.
    """
    found = re.match(rf"\s*([+-]?)({_STRTOUL[base]})", word)
    if not found:
        return 0, word
    number = min(to_int(found[2]) if base == 0 else int(found[2]), ULONG_MAX)
    return (-number & ULONG_MAX if found[1] == "-" else number), word[found.end() :]


def strtod(word: str) -> tuple[float, str] | None:
    """Read a number with a point or an exponent as the C library does; None if there is none."""
    found = _STRTOD.match(word)
    if not found:
        return None
    digits = found[2].lower()
    number = float.fromhex(digits) if digits.startswith("0x") else float(digits)
    return (-number if found[1] == "-" else number), word[found.end() :]


def to_u32(number: float) -> int:
    """Turn a floating-point number into 32 bits as a C program on x86-64 does."""
    return int(number) & UINT_MAX if abs(number) < 2**63 else 0  # inf and nan too


def atoi(word: str) -> int:
    """Read the decimal number at the start of a word as the C library does, 0 if there is none."""
    found = re.match(r"\s*([+-]?[0-9]+)", word)
    value = int(found[1]) & UINT_MAX if found else 0
    return value - (value >> 31 << 32)


def to_int(digits: str) -> int:
    """Read digits in the base that they are written in: ``0x8``, ``010``, ``8``."""
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    return int(digits, 8 if digits[0] == "0" else 10)
