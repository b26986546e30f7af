"""Jenkins' hash, by which the kernel spreads addresses: HMARK, cluster.

Linux: include/linux/jhash.h jhash2(), jhash_1word(), jhash_3words(); include/linux/kernel.h
reciprocal_scale().
"""

from __future__ import annotations

from collections.abc import Sequence

_BITS = 0xFFFFFFFF
_START = 0xDEADBEEF  # JHASH_INITVAL


def _turn(word: int, by: int) -> int:
    """Turn 32 bits to the left."""
    return (word << by | word >> 32 - by) & _BITS


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by_a, by_b, by_c in ((4, 6, 8), (16, 19, 4)):
        a, c = (a - c & _BITS) ^ _turn(c, by_a), c + b & _BITS
        b, a = (b - a & _BITS) ^ _turn(a, by_b), a + c & _BITS
        c, b = (c - b & _BITS) ^ _turn(b, by_c), b + a & _BITS
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for by_c, by_a, by_b in ((14, 11, 25), (16, 4, 14)):
        c = (c ^ b) - _turn(b, by_c) & _BITS
        a = (a ^ c) - _turn(c, by_a) & _BITS
        b = (b ^ a) - _turn(a, by_b) & _BITS
    return (c ^ b) - _turn(b, 24) & _BITS


def jhash(words: Sequence[int], seed: int) -> int:
    """Return the hash of up to three or more 32-bit words."""
    a = b = c = _START + (len(words) << 2) + seed & _BITS
    rest = list(words)
    while len(rest) > 3:
        a, b, c = _mix(a + rest[0] & _BITS, b + rest[1] & _BITS, c + rest[2] & _BITS)
        del rest[:3]
    if not rest:
        return c
    first, second, third = (*rest, 0, 0)[:3]
    return _final(a + first & _BITS, b + second & _BITS, c + third & _BITS)


def scale(value: int, size: int) -> int:
    """Map 32 bits onto 0 … ``size`` - 1 in even parts: reciprocal_scale()."""
    return value * size >> 32
