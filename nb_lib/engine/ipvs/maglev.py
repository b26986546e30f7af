"""Maglev hashing: a table of 4,093 places that changes little when servers come and go.

Each server has its own order of all places, drawn by two hashes of its address. The servers take turns, and
each takes the first place of its order that is still free; a heavier server takes several in its turn.

Linux: net/netfilter/ipvs/ip_vs_mh.c ip_vs_mh_permutate(), ip_vs_mh_populate(); lib/siphash.c hsiphash_1u32()
on 64 bits; D. E. Eisenbud et al., Maglev (NSDI 2016), 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd

SIZE = 4_093  # CONFIG_IP_VS_MH_TAB_INDEX=12
_BITS = 6
_KEYS = (2_654_435_761, 2_654_446_892)
_WORD = 2**64 - 1
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def hashed(value: int, key: int = 0) -> int:
    """Return the hash of a 32-bit number with one of two keys: SipHash-1-3, cut to 32 bits."""
    secret, data = _KEYS[key], 4 << 56 | value & 0xFFFFFFFF
    state = [word ^ secret for word in _START]
    state[3] ^= data
    _mix(state)
    state[0] ^= data
    state[2] ^= 0xFF
    for _round in range(3):
        _mix(state)
    return (state[0] ^ state[1] ^ state[2] ^ state[3]) & 0xFFFFFFFF


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) & _WORD


def _mix(state: list[int]) -> None:
    """SIPROUND."""
    a, b, c, d = state
    a = a + b & _WORD
    b = _turned(b, 13) ^ a
    a = _turned(a, 32)
    c = c + d & _WORD
    d = _turned(d, 16) ^ c
    a = a + d & _WORD
    d = _turned(d, 21) ^ a
    c = c + b & _WORD
    b = _turned(b, 17) ^ c
    c = _turned(c, 32)
    state[:] = a, b, c, d


@lru_cache(maxsize=16)
def places(servers: tuple[tuple[int, int], ...]) -> Sequence[int | None]:
    """Return which server has each place, by its number.

    ``servers`` are the folded addresses plus ports, and the weights, in the kernel's order.
    """
    weights = [weight for _, weight in servers]
    step = gcd(*weights)
    if not step:
        return [None] * SIZE
    shift = max((max(weights) // step).bit_length() - _BITS, 0)
    turns = [(weight // step >> shift) or int(weight > 0) for weight in weights]
    at = [hashed(value) % SIZE for value, _ in servers]
    skip = [hashed(value, 1) % (SIZE - 1) + 1 for value, _ in servers]
    table: list[int | None] = [None] * SIZE
    left = SIZE
    while True:
        for number, count in enumerate(turns):
            for _turn in range(count):
                while table[at[number]] is not None:
                    at[number] = (at[number] + skip[number]) % SIZE
                table[at[number]] = number
                left -= 1
                if not left:
                    return table
