"""What the kernel did, written to a file and read again: JSON lines, compressed.

``python -m tests.kernel --record`` writes it, tests/golden/test_oracle.py compares nb_lib with it where
there is no kernel to ask.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.kernel.compare import Played
from tests.kernel.oracle import Seen

FILE = Path(__file__).resolve().parents[1] / "recordings" / "oracle.jsonl.xz"


def write(games: Iterable[Played], path: Path = FILE) -> None:
    """Write what was played."""
    with lzma.open(path, "wt", preset=9) as file:
        for played in games:
            file.write(json.dumps(to_data(played), separators=(",", ":")) + "\n")


def read(path: Path = FILE) -> Iterator[Played]:
    """Yield what was played."""
    with lzma.open(path, "rt") as file:
        for line in file:
            yield from_data(json.loads(line))


def to_data(played: Played) -> dict[str, Any]:
    """Return a game as what JSON can hold."""
    packets = [[device, data.hex(), _seen(seen)] for device, data, seen in played.packets]
    return vars(played) | {"packets": packets}


def from_data(data: dict[str, Any]) -> Played:
    """Return the game that ``to_data`` made this of."""
    packets = [
        (device, bytes.fromhex(text), _read_seen(seen)) for device, text, seen in data["packets"]
    ]
    return Played(**{**data, "packets": packets})


def _seen(seen: Seen) -> dict[str, Any]:
    found = {
        "steps": [list(step) for step in seen.steps],
        "ct": seen.ct if any(word is not None for word in seen.ct) else None,
        "end": seen.end,
        "out": [[wire, data.hex()] for wire, data in seen.out],
        "delivered": [part.hex() for part in seen.delivered] if any(seen.delivered) else None,
        "drawn": sorted(seen.drawn),
        "error": seen.error,
        "answers": [_seen(answer) for answer in seen.answers],
        "legacy": seen.legacy,
    }
    return {name: value for name, value in found.items() if value}


def _read_seen(data: dict[str, Any]) -> Seen:
    steps = [tuple(step) for step in data.get("steps", ())]
    header, transport = data.get("delivered", ("", ""))
    return Seen(
        steps,
        data.get("ct") or [None] * len(steps),
        data.get("end", ""),
        [(wire, bytes.fromhex(text)) for wire, text in data.get("out", ())],
        (bytes.fromhex(header), bytes.fromhex(transport)),
        set(data.get("drawn", ())),
        data.get("error", 0),
        [_read_seen(answer) for answer in data.get("answers", ())],
        legacy=data.get("legacy", False),
    )
