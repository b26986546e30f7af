"""Print where the book answers each question and has each topic, as Markdown: ``python -m tools.covered``."""

from __future__ import annotations

import tomllib
from pathlib import Path

HELD = Path(__file__).resolve().parent.parent / "tests" / "book" / "questions.toml"


def main() -> None:
    """Print both tables of questions.toml."""
    held = tomllib.loads(HELD.read_text(encoding="utf-8"))
    print("| question | where |\n| --- | --- |")
    for one in held["question"]:
        print(f"| {one['number']}. {one['asked']} | {one['where']} |")
    print("\n| topic | where |\n| --- | --- |")
    for one in held["topic"]:
        print(f"| {one['name']} | {', '.join(one['where'])} |")


if __name__ == "__main__":
    main()
