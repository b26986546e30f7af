"""What decides how a rule is read."""

from __future__ import annotations

from typing import NamedTuple


class Dialect(NamedTuple):
    """What decides how a rule is read: its family, the chains that ``-j`` may name, the backend."""

    family: int
    chains: frozenset[str]
    backend: str = "nft"
