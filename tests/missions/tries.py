"""What people type, read from ``tries.txt``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

TEXT = (Path(__file__).parent / "tries.txt").read_text(encoding="utf-8")


class Wrong(NamedTuple):
    """Lines that must not win, and a piece of the requirement that fails."""

    says: str
    lines: str


def _read(text: str) -> tuple[dict[str, list[str]], dict[str, list[Wrong]]]:
    right: dict[str, list[str]] = {}
    wrong: dict[str, list[Wrong]] = {}
    name = ""
    for block in text.split("\n\n")[1:]:
        head, _, lines = block.strip().partition("\n")
        if head.startswith("["):
            name = head.strip("[]")
            right[name], wrong[name] = [], []
        elif head == "right:":
            right[name].append(lines)
        else:
            wrong[name].append(Wrong(head.removeprefix("wrong: "), lines))
    return right, wrong


RIGHT, WRONG = _read("\n\n" + TEXT.partition("\n\n")[2])
