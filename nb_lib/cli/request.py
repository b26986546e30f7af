"""What a command line asks for, once it is read: a command for a table, or the end of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nb_lib.cli.arguments import Arguments


class Request(NamedTuple):
    """What a command line asks for.

    ``command`` is a letter, with ``#`` if it names rules by number (``D#``), or two of them (``LZ``).
    ``seen`` are the letters of the options that were given.
    """

    command: str
    table: str
    chain: str
    named: bool  # whether it names a chain
    number: int
    name: str  # the new name of -E, the policy of -P
    seen: str
    verbose: int
    rule: Arguments


class Finished(Exception):  # noqa: N818 - not an error: -h and -V end the command at once
    """The command has printed what was asked for: ``-h``, ``-V``."""

    def __init__(self, letter: str, *, inverted: bool = False, rule: Arguments) -> None:
        super().__init__(letter)
        self.letter, self.inverted, self.rule = letter, inverted, rule
