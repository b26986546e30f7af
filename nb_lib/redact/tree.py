"""A keyed automorphism of the tree of all addresses: what begins alike still begins alike.

Theory of operation. The values of 32 bits are the leaves of a binary tree; a prefix is a node. At each
node a key decides whether its two sides change places. So a network becomes a network of the same size,
what lay inside it lies inside, and two addresses that shared 20 bits share 20 bits. Some nodes must not
turn: the meaning of a dump hangs on them. ``keep`` names nodes on the way to a value, ``hold`` a node
below which nothing turns.

Source: J. Xu et al., Prefix-Preserving IP Address Anonymization (ICNP 2002), with HMAC-SHA256 for their
cipher: one HMAC a byte, whose bits are the turns of the 255 nodes below that byte's prefix.
"""

from __future__ import annotations

import hashlib
import hmac

_MEMORY = 100_000  # values and prefixes that are remembered


class Tree:
    """The automorphism that a key gives to the numbers of so many bits."""

    def __init__(self, key: bytes, bits: int) -> None:
        self.bits = bits
        self._key = hmac.digest(key, f"tree of {bits} bits".encode(), hashlib.sha256)
        self._kept: set[tuple[int, int]] = set()
        self._held: set[tuple[int, int]] = set()
        self._turns: dict[tuple[int, int], int] = {}
        self._known: dict[int, int] = {}

    def keep(self, value: int, start: int = 0, stop: int | None = None) -> None:
        """Let the nodes on the way to ``value`` stay as they are, those of ``start`` bits up to ``stop``."""
        stop = self.bits if stop is None else stop
        self._kept.update((depth, value >> self.bits - depth) for depth in range(start, stop))
        self._known.clear()

    def hold(self, value: int, length: int) -> None:
        """Let everything below a prefix of ``length`` bits stay as it is, the prefix itself may turn."""
        self._held.add((length, value >> self.bits - length))
        self._known.clear()

    def map(self, value: int) -> int:
        """Return the value that takes the place of ``value``."""
        found = self._known.get(value)
        if found is None:
            if len(self._known) >= _MEMORY:
                self._known.clear()
            found = self._known[value] = self._map(value)
        return found

    def _map(self, value: int) -> int:
        turned = 0
        for depth in range(self.bits):
            rest = self.bits - depth
            node = depth, value >> rest
            if node in self._held:
                break
            if node not in self._kept and self._turn(*node):
                turned |= 1 << rest - 1
        return value ^ turned

    def _turn(self, depth: int, prefix: int) -> bool:
        """Whether the sides of a node change places."""
        inside = depth % 8
        byte = depth - inside, prefix >> inside
        turns = self._turns.get(byte)
        if turns is None:
            if len(self._turns) >= _MEMORY:
                self._turns.clear()
            text = f"{byte[0]}:{byte[1]:x}".encode()
            turns = int.from_bytes(hmac.digest(self._key, text, hashlib.sha256), "big")
            self._turns[byte] = turns
        return bool(turns >> (1 << inside | prefix & (1 << inside) - 1) & 1)
