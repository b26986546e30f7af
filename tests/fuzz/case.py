"""One input: everything that a reader may hand to nb_lib, as texts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """Rules, packets, facts of a host and arguments of the command; each may be empty.

    ``packets`` has a line a packet, ``DEVICE HEX`` (``-``: the host sends it) or ``wait SECONDS``.
    ``told`` are lines of a trace. ``facts`` are (file of a host's folder, text). ``views``: pictures and
    tables are made as well; ``typed``: the rules are restored and typed as commands as well.
    """

    family: int = 4
    backend: str = "nft"
    rules: str = ""
    packets: str = ""
    told: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    views: bool = False
    typed: bool = False

    @property
    def size(self) -> int:
        """How many characters it has."""
        texts = (
            self.rules,
            self.packets,
            self.told,
            *self.arguments,
            *(text for _, text in self.facts),
        )
        return sum(map(len, texts))

    def write(self, path: Path) -> None:
        """Keep it; lone surrogates and NULs survive."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> Case:
        """Return what ``write`` kept."""
        held = json.loads(path.read_text())
        held["facts"] = tuple((name, text) for name, text in held["facts"])
        held["arguments"] = tuple(held["arguments"])
        return Case(**held)
