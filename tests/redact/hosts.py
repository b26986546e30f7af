"""The hosts in data/, as texts by name."""

from __future__ import annotations

from pathlib import Path

from nb_lib.engine.load import texts_of

DATA = Path(__file__).parents[2] / "data"


def folders() -> list[str]:
    """Return the folders that hold a dump of iptables."""
    return _holding("ip*tables-save.txt")


def listings() -> list[str]:
    """Return the folders that hold a listing of nft and no dump of iptables."""
    return [folder for folder in _holding("nft-ruleset.*") if folder not in folders()]


def _holding(pattern: str) -> list[str]:
    return sorted({str(file.parent.relative_to(DATA)) for file in DATA.rglob(pattern)})


def files(folder: str) -> dict[str, str]:
    """Return what a folder says of its host."""
    return texts_of(DATA / folder)
