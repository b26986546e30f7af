"""The iptables command: arguments in; a new state, printed text and an exit status out.

``run()`` is all six programs in both personalities: it takes the words of a command line and what the
host holds, and returns what the host holds afterwards. Nothing is kept anywhere: undo is keeping the
old value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from errno import ENOENT
from typing import NamedTuple

from nb_lib.cli.arguments import Arguments, Finished
from nb_lib.cli.commands import perform
from nb_lib.cli.personality import Exit, Personality
from nb_lib.cli.restore import restore
from nb_lib.cli.save import save
from nb_lib.cli.state import Place, State, Work
from nb_lib.cli.told import told
from nb_lib.hooks import builtin
from nb_lib.rules import Ruleset
from nb_lib.text.lexer import Word

__all__ = ["Result", "State", "run"]


class Result(NamedTuple):
    """What a command did: the state afterwards, what it printed, its exit status.

    ``hint`` is ours: what to try instead. ``written`` are files that ``-save -f`` wrote. ``place`` is the
    family and the backend of the program.
    """

    state: State
    stdout: str = ""
    stderr: str = ""
    status: int = 0
    hint: str = ""
    written: Mapping[str, str] = {}
    place: Place = (4, "nft")

    @property
    def ruleset(self) -> Ruleset:
        """What is loaded afterwards, in the program's family and backend."""
        return self.state.ruleset(*self.place)


def run(
    state: State,
    words: Sequence[str],
    *,
    stdin: str = "",
    now: float = 0.0,
    read: Callable[[str], str] | None = None,
) -> Result:
    """Run one command: ``words`` begin with the program's name, ``iptables`` or ``ip6tables-legacy-save``.

    ``stdin`` is what a restore reads, ``now`` the clock that a save prints (seconds since the epoch, UTC),
    ``read`` returns the text of a file that a restore names.
    """
    who, action = _program(words[0])

    def source(name: str) -> str:
        if not name:
            return stdin
        if read is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        return read(name)

    program = words[0].rpartition("/")[2]
    try:
        if action == "save":
            text, file = save(state, program, words[1:], who, now)
            return Result(state, written={file: text}) if file else Result(state, text)
        if action == "restore":
            return Result(*restore(state, program, words[1:], who, source))
        return command(state, words[1:], who)
    except Exit as end:
        return Result(state, end.stdout, end.stderr, end.status, end.hint)


def command(state: State, words: Sequence[str], who: Personality) -> Result:
    """Run ``iptables`` or ``ip6tables``. Raise Exit if the command fails."""
    found = [Word(text, 1) for text in words]
    arguments = Arguments(found, who, frozenset(), " ".join(words))
    try:
        request = arguments.request()
    except Finished as finished:
        return Result(state, told(finished, who))
    if request.table not in builtin(who.family, who.backend):
        raise _no_table(request.table, who)
    work = Work(state, who, request.table)
    warnings = "".join(arguments.warnings)
    try:
        printed = perform(work, request)
    except Exit as end:
        # A legacy table is made as soon as it is named.
        after = Work(state, who, request.table).state()
        return Result(after, end.stdout, warnings + end.stderr, end.status, end.hint)
    return Result(work.state(), printed, warnings)


def _no_table(name: str, who: Personality) -> Exit:
    if who.nft:
        return who.outdated(f"table '{name}' does not exist")
    why = "Table does not exist (do you need to insmod?)"
    return who.outdated(f"can't initialize {who.base} table `{name}': {why}")


def _program(name: str) -> tuple[Personality, str]:
    """Return the personality of a program's name, and what it does: a command, save or restore."""
    parts = name.rpartition("/")[2].split("-")
    family = 6 if parts[0] == "ip6tables" else 4
    backend = "legacy" if "legacy" in parts else "nft"
    action = parts[-1] if parts[-1] in ("save", "restore") else ""
    suffix = f"-{action}" if action else ""
    if action and backend == "nft" and "nft" in parts:
        suffix = f"-nft{suffix}"  # it calls itself what it was called
    return Personality(family, backend, suffix), action
