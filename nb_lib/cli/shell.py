r"""The little of sh(1) that people write around iptables: quotes, comments, here documents, lists.

Grammar::

    text     = { command } ; a command ends at a newline, ";", "&&", "||" or "|"
    command  = { word | redirect }
    redirect = "<" FILE | ">" FILE | ">>" FILE | "2>" FILE | "2>&1" | "<<" MARK newline … MARK newline
    word     = unquoted, 'quoted', "quoted", \escaped, in any mixture
    comment  = "#" at the beginning of a word, to the end of the line

There are no variables, patterns, loops or functions: a script that has them is run by a real shell, with the
programs of ``nb_lib.cli.programs``. What is not understood is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\\\n)
      | (?P<comment>\#[^\n]*)
      | (?P<mark><<-?)[ \t]*(?P<end>[^\s;&|<>()]+)
      | (?P<sign>2?>&[12]|&>|2>>?|&&|\|\||>>|[\n;|&<>()])
      | (?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s;|&<>()'"\\])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(r"""\\(.)|'([^']*)'|"((?:\\.|[^"\\])*)"|([^'"\\]+)""", re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\$`\n])')
_ENDS = ("\n", ";", "&&", "||", "|")
_TARGETS = ("<", ">", ">>", "2>", "2>>", "&>")
_EXPANDED = re.compile(r"\$[\w{(@*#?]|`")


class ShellError(ValueError):
    """Words that this little shell does not understand; ``line`` is the line that they stand in."""

    line = ""


@dataclass
class Command:
    """One command: its words, where it reads and writes, and what joins it to the one before.

    ``redirects`` are pairs such as (">", "rules.v4"); ``document`` is the text of a here document.
    """

    words: list[str] = field(default_factory=list)
    redirects: list[tuple[str, str]] = field(default_factory=list)
    document: str | None = None
    joined: str = "\n"


class Line(NamedTuple):
    """What is typed and carried out as one: the text, and its commands."""

    text: str
    commands: list[Command]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def lines(text: str) -> Iterator[Line]:
    """Cut a text into lines, each with its continuations and here documents.

    Lines without a command, such as comments, have an empty list. Raise ShellError where the first line
    that is not understood is reached.
    """
    commands, begin = [Command()], 0
    try:
        for token in _tokens(text):
            if token.kind == "newline" and not _open(commands[-1]):
                yield Line(text[begin : token.end].strip("\n"), _complete(commands))
                commands, begin = [Command()], token.end
            elif token.kind != "newline":
                _take(commands, token)
        if rest := text[begin:].strip():
            yield Line(rest, _complete(commands))
    except ShellError as error:
        error.line = text[begin:].lstrip("\n").partition("\n")[0]
        raise


def _open(command: Command) -> bool:
    """Tell whether a line goes on: it ends in ``&&``, ``||`` or ``|``."""
    return not command.words and command.joined in ("&&", "||", "|")


def _take(commands: list[Command], token: _Token) -> None:
    """Add a word or a sign to the commands of a line. Raise ShellError."""
    last = commands[-1]
    if token.kind == "document":
        last.document = token.text
    elif token.kind == "word" and last.redirects and not last.redirects[-1][1]:
        last.redirects[-1] = (last.redirects[-1][0], unquoted(token.text))
    elif token.kind == "word":
        last.words.append(unquoted(token.text))
    elif token.text in _ENDS:
        if not last.words:
            raise ShellError(f"syntax error near unexpected token `{token.text}'")
        commands.append(Command(joined=token.text))
    elif token.text in _TARGETS:
        last.redirects.append((token.text, ""))
    elif token.text != "2>&1":  # both are shown anyway
        raise ShellError(f"`{token.text}' is not understood here: this is no whole shell")


def _complete(commands: list[Command]) -> list[Command]:
    """Return the commands of a line. Raise ShellError if the last of several is missing."""
    last = commands[-1]
    if any(not name for command in commands for _, name in command.redirects):
        raise ShellError("syntax error: the name of a file is missing")
    if last.words:
        return commands
    if _open(last) or last.redirects or last.document is not None:
        raise ShellError("syntax error: a command is missing")
    return commands[:-1]


def _tokens(text: str) -> Iterator[_Token]:
    """Yield words, signs, and here documents when their line is over."""
    at = 0
    marks: list[tuple[str, bool]] = []
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ShellError("unexpected EOF while looking for the end of a quotation")
        kind, start, at = str(found.lastgroup), at, found.end()
        if kind == "end":
            marks.append((unquoted(found["end"]), found["mark"] == "<<-"))
        elif found[0] == "\n":
            for mark, tabs in marks:
                document, at = _document(text, at, mark, tabs=tabs)
                yield _Token("document", document, start, at)
            marks = []
            yield _Token("newline", "\n", start, at)
        elif kind in ("word", "sign"):
            yield _Token(kind, found[0], start, at)
    for _ in marks:
        yield _Token("document", "", at, at)


def _document(text: str, at: int, mark: str, *, tabs: bool) -> tuple[str, int]:
    """Return a here document, which begins at ``at``, and where it is over."""
    kept = []
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].lstrip("\t") if tabs else text[at:end]
        at = min(end + 1, len(text))
        if line == mark:
            break
        kept.append(line + "\n")
    return "".join(kept), at


def unquoted(word: str) -> str:
    """Return a word without its quotes. Raise ShellError for what a shell would put in its place."""
    pieces = []
    for escaped, single, double, plain in _PIECE.findall(word):
        if _EXPANDED.search(_ESCAPED.sub("", double) + plain):
            raise ShellError(f"{word}: there are no variables here; write the value itself")
        pieces.append(escaped + single + _ESCAPED.sub(r"\1", double) + plain)
    return "".join(pieces)
