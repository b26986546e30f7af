r"""Words of one line, as iptables-restore cuts them.

Grammar (iptables/xshared.c, add_param_to_argv())::

    line = { blank } [ word { blank { blank } word } ]
    word = { character } | { character } '"' { any | "\" any } '"'

Only double quotes quote; a backslash escapes inside them and is an ordinary character outside.
"""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.errors import RulesetError

MAX_WORD = 1024  # longest parameter iptables-restore takes (PARAM_MAX)


class Word(NamedTuple):
    """One word: its text without quotes, its first column (from 1), and whether it was quoted."""

    text: str
    col: int
    quoted: bool = False


BLANKS = " \t\r\n"  # iptables-restore takes a carriage return for a letter


def words(line: str, *, lineno: int = 0, blanks: str = BLANKS) -> list[Word]:
    """Cut ``line`` into words. Raise RulesetError for an unclosed quote or an over-long word."""
    found: list[Word] = []
    at, end = 0, len(line)
    while at < end:
        if line[at] in blanks:
            at += 1
            continue
        piece: list[str] = []
        start, quoted = at, False
        while at < end and line[at] not in blanks:
            if line[at] == '"':
                at = _quoted(line, at, piece, lineno)
                quoted = True
                break  # the closing quote ends the word
            piece.append(line[at])
            at += 1
        text = "".join(piece)
        if len(text) >= MAX_WORD:
            raise RulesetError(
                f"a word of {len(text)} characters; iptables-restore takes {MAX_WORD - 1}",
                lineno=lineno, col=start + 1, token=text, line=line,
            )  # fmt: skip
        found.append(Word(text, start + 1, quoted))
    return found


def _quoted(line: str, at: int, piece: list[str], lineno: int) -> int:
    """Read from the opening quote at ``at``; return the index behind the closing one."""
    start = at
    at += 1
    while at < len(line):
        if line[at] == "\\" and at + 1 < len(line):
            piece.append(line[at + 1])
            at += 2
        elif line[at] == '"':
            return at + 1
        else:
            piece.append(line[at])
            at += 1
    raise RulesetError("a quote that is never closed", lineno=lineno, col=start + 1,
                       token='"', line=line, hint='add " at the end of the text')  # fmt: skip
