"""The hosts in data/, as texts by name."""

from __future__ import annotations

from pathlib import Path

from nb_lib.engine.load import texts_of

DATA = Path(__file__).parents[2] / "data"


def folders() -> list[str]:
    """Return the folders that hold a dump."""
    return sorted({str(file.parent.relative_to(DATA)) for file in DATA.rglob("ip*tables-save.txt")})


def files(folder: str) -> dict[str, str]:
    """Return what a folder says of its host."""
    return texts_of(DATA / folder)
