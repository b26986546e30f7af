"""What a command writes: text with colour where somebody looks at it, JSON where a program does."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import TextIO

_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}
# The marks of a trace's lines and of a comparison's, with the styles of their lines.
_MARKS = {
    "●": "green",
    "■": "red",
    "▲": "red",
    "✎": "yellow",
    "–": "dim",
    "?": "yellow",
    "⤷": "cyan",
    "↩": "cyan",
}
_HOOK = re.compile(r"(?:bridge |arp )?(?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING|BROUTING)\Z")

CHOICES = argparse.ArgumentParser(add_help=False)
_SHOWN = CHOICES.add_argument_group("what is written")
_SHOWN.add_argument("--json", action="store_true", help="JSON, for programs")
_SHOWN.add_argument("--color", choices=("auto", "always", "never"), default="auto", metavar="WHEN",
                    help="auto (the default: on a terminal without NO_COLOR), always or never")  # fmt: skip


class Output:
    """Writes for one command; ``json`` and ``color`` are its options."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.json: bool = arguments.json
        when = arguments.color
        seen = (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )
        self._colour = when == "always" or (when == "auto" and seen)

    def paint(self, text: str, *styles: str) -> str:
        """Return a text in some styles, the text alone where there is no colour."""
        if not self._colour or not text:
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def story(self, text: str) -> str:
        """Return a trace's words, each line in the colour of its mark."""
        if not self._colour:
            return text
        return "\n".join(map(self._line, text.split("\n")))

    def _line(self, line: str) -> str:
        if _HOOK.match(line):
            return self.paint(line, "bold", "blue")
        style = _MARKS.get(line.strip()[:1])
        return self.paint(line, style) if style else line

    def data(self, value: object) -> None:
        """Write a value as JSON."""
        self.lines([json.dumps(value, ensure_ascii=False)])

    @staticmethod
    def lines(lines: Iterable[str]) -> None:
        """Write lines. Bytes of a dump that are no UTF-8 go out as they came."""
        _as_they_came(sys.stdout)
        for line in lines:
            print(line)

    @staticmethod
    def say(text: str) -> None:
        """Tell something that is no part of the result, on stderr."""
        _as_they_came(sys.stderr)
        print(text, file=sys.stderr)


def _as_they_came(stream: TextIO) -> None:
    """Let bytes that are no UTF-8 pass; a notebook's stream is none of bytes."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")


def counted(number: int, thing: str) -> str:
    """Return ``1 warning``, ``2 warnings``."""
    return f"{number} {thing}{'s' * (number != 1)}"
