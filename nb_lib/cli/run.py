"""All six programs, in both personalities: from the words of a command line to a new state.

Sources: iptables/xtables-nft-multi.c, iptables/xtables-legacy-multi.c: one program of many names.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from errno import ENOENT
from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import present
from nb_lib.cli.arguments import Arguments
from nb_lib.cli.commands import perform
from nb_lib.cli.machine import machine
from nb_lib.cli.personality import Exit, Personality
from nb_lib.cli.request import Finished
from nb_lib.cli.restore import restore
from nb_lib.cli.save import save
from nb_lib.cli.state import Place, State, Work
from nb_lib.cli.tables import listing_warning
from nb_lib.cli.told import told
from nb_lib.hooks import builtin
from nb_lib.kinds import IPV4, IPV6
from nb_lib.rules import Ruleset
from nb_lib.text.lexer import Word

if TYPE_CHECKING:
    from nb_lib.engine import Host


class Result(NamedTuple):
    """What a command did: the state afterwards, what it printed, its exit status.

    ``hint`` is ours: what to try instead. ``written`` are files that ``-save -f`` wrote. ``place`` is the
    family and the backend of the program, ``line`` the command as it was typed.
    """

    state: State
    stdout: str = ""
    stderr: str = ""
    status: int = 0
    hint: str = ""
    written: Mapping[str, str] = {}
    place: Place = (IPV4, "nft")
    line: str = ""

    def __str__(self) -> str:
        return present.text(self)

    def _repr_mimebundle_(self, **_which: Any) -> dict[str, Any]:
        return present.bundle(self)

    @property
    def ruleset(self) -> Ruleset:
        """What is loaded afterwards, in the program's family and backend."""
        return self.state.ruleset(*self.place)


def iptables(where: Result | State | Ruleset | Host | None, line: str | Sequence[str]) -> Result:
    """Run a command on a host, a ruleset, an empty machine (None), or on what another command left.

    ``line`` is what a shell would be given; one that begins with an option is meant for the program that
    fits the ruleset: ``iptables(ruleset, "-A INPUT -j DROP")``.
    """
    place: Place = (IPV4, "nft")
    if isinstance(where, Result):
        place = where.place
    elif isinstance(where, Ruleset):
        place = (where.family, where.backend)
    words = shlex.split(line) if isinstance(line, str) else list(line)
    if not words or words[0].startswith(("-", "!")):
        who = Personality(*place)
        words = [who.base if who.nft else f"{who.base}-legacy", *words]
    state = where.state if isinstance(where, Result) else machine(where)
    return run(state, words)._replace(line=shlex.join(words))


def run(
    state: State,
    words: Sequence[str],
    *,
    stdin: str | Callable[[], str] = "",
    now: float = 0.0,
    read: Callable[[str], str] | None = None,
) -> Result:
    """Run one command: ``words`` begin with the program's name, ``iptables`` or ``ip6tables-legacy-save``.

    ``stdin`` is what a restore reads, or what fetches that, ``now`` the clock that a save prints (seconds
    since the epoch, UTC), ``read`` returns the text of a file that a restore names; without it there are
    no files.
    """
    program = words[0].rpartition("/")[2]
    who, action = _program(program)

    def source(name: str) -> str:
        if not name:
            return stdin if isinstance(stdin, str) else stdin()
        if read is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        return read(name)

    try:
        if action == "save":
            after, text, warning, files = save(state, program, words[1:], who, now)
            done = Result(after, text, warning + _of_legacy(state, who), written=files)
        elif action == "restore":
            done = Result(*restore(state, program, words[1:], who, source))
        else:
            done = _command(state, words[1:], who)
    except Exit as end:
        done = Result(state, end.stdout, end.stderr, end.status, end.hint, end.written)
    return done._replace(place=(who.family, who.backend))


def _program(name: str) -> tuple[Personality, str]:
    """Return the personality of a program's name, and what it does: a command, save or restore."""
    parts = name.split("-")
    family = IPV6 if parts[0] == "ip6tables" else IPV4
    backend = "legacy" if "legacy" in parts else "nft"
    action = parts[-1] if parts[-1] in ("save", "restore") else ""
    suffix = f"-{action}" if action else ""
    if action and "nft" in parts:
        suffix = f"-nft{suffix}"  # it calls itself what it was called
    return Personality(family, backend, suffix, called=name), action


def _command(state: State, words: Sequence[str], who: Personality) -> Result:
    """Run ``iptables`` or ``ip6tables``. Raise Exit if it ends before it has begun."""
    arguments = Arguments([Word(text, 1) for text in words], who, " ".join(words), sets=state.sets)
    try:
        request = arguments.request()
    except Finished as finished:
        return Result(state, told(finished, who), "".join(arguments.warnings))
    if request.table not in builtin(who.family, who.backend):
        end = _no_table(request.table, who)
        end.stderr = "".join(arguments.warnings) + end.stderr
        raise end
    arguments.check_rule()
    work = Work(state, who, request.table)
    warned = "".join(arguments.warnings)
    arguments.warnings.clear()  # they are said once
    if "L" in request.command or "S" in request.command:
        warned += _of_legacy(state, who)
    try:
        printed = perform(work, request)
        if not who.nft and {*request.command} & {"F", "Z"}:
            work.changed = True  # legacy hands the table to the kernel, changed or not
        warned += listing_warning(work.shown)
    except Exit as end:
        # A legacy table is made as soon as it is named.
        after = Work(state, who, request.table).state()
        return Result(after, end.stdout, warned + end.stderr, end.status, end.hint)
    return Result(work.state(), printed, warned)


def _of_legacy(state: State, who: Personality) -> str:
    """Return the warning of iptables-nft that there are tables which it cannot show."""
    if not who.nft or not state.ruleset(who.family, "legacy").tables:
        return ""
    program = f"{who.base}-legacy{'-save' if who.suffix else ''}"
    return f"# Warning: {who.base}-legacy tables present, use {program} to see them\n"


def _no_table(name: str, who: Personality) -> Exit:
    if who.nft:
        return who.outdated(f"table '{name}' does not exist")
    return who.outdated(f"can't initialize {who.base} table `{name}': {who.no_table(name)}")
