"""A terminal in which iptables is typed: what it shows, its history, and the way back.

A line is a command of ``nb_lib.cli`` as a shell would read it (``nb_lib.cli.shell``). One that begins with
an option leaves the program out: ``-A INPUT -j DROP`` is iptables's, as in a dump. Files that commands
write live in the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from nb_lib.cli import Result, State, run
from nb_lib.cli.changes import Change, changes
from nb_lib.cli.complete import Candidate, complete
from nb_lib.cli.programs import NAMES
from nb_lib.cli.shell import Command, Line, ShellError, lines
from nb_lib.kinds import IPV4, IPV6
from nb_lib.text.parse import family_of

NOT_FOUND, MISUSED = 127, 2  # exit statuses of a shell
MOST_UNDONE = 1000
HELP = """\
iptables and ip6tables, their -save and -restore, and all of them as -nft and -legacy.
iptables is what a line means that begins with an option: -A INPUT -j DROP
Also: cat FILE, true, false, ; && || | < > >> <<END and # comments.
"""
_COUNTED = re.compile(r"^\[\d+:\d+\] -A ", re.MULTILINE)


class Shown(NamedTuple):
    """What a terminal shows of one line.

    ``pieces`` are pairs of a stream (``out`` or ``err``) and a text, in their order. ``hint`` is ours, not
    the program's. ``changes`` are the rules and chains that are not what they were.
    """

    line: str
    pieces: tuple[tuple[str, str], ...] = ()
    status: int = 0
    hint: str = ""
    changes: tuple[Change, ...] = ()

    @property
    def stdout(self) -> str:
        """What the line printed."""
        return "".join(text for stream, text in self.pieces if stream == "out")

    @property
    def stderr(self) -> str:
        """What it said on stderr."""
        return "".join(text for stream, text in self.pieces if stream == "err")


class Terminal:
    """A host on which commands are typed.

    ``clock`` tells the time that a save prints, in seconds since the epoch; without one it is always the
    same, so that what is stored stays the same. ``history`` is what was shown, the oldest first.
    """

    def __init__(
        self, state: State | None = None, *, clock: Callable[[], float] | None = None
    ) -> None:
        self.state = state or State()
        self.clock = clock or (lambda: 0.0)
        self.history: list[Shown] = []
        self.files: dict[str, str] = {}
        self._past: list[State] = []

    def type(self, line: str) -> Shown:
        """Carry one line out; whatever is wrong with it is shown, nothing is raised."""
        try:
            commands = [command for one in lines(line) for command in one.commands]
        except ShellError as error:
            return self._keep(_refused(line, error))
        return self._typed(Line(line, commands))

    def run(self, text: str) -> list[Shown]:
        """Carry out the lines of a text, comments shown as they are, up to one that is no shell's."""
        begin = len(self.history)
        try:
            for line in lines(text):
                if line.text.strip():
                    self._typed(line)
        except ShellError as error:
            self._keep(_refused(error.line, error))
        return self.history[begin:]

    @property
    def can_undo(self) -> bool:
        """Whether some line has changed a rule or a chain."""
        return bool(self._past)

    def undo(self) -> bool:
        """Take back the last line that changed a rule or a chain; False if there is none."""
        if not self._past:
            return False
        self.state = self._past.pop()
        return True

    def complete(self, text: str, cursor: int | None = None) -> list[Candidate]:
        """Return what may take the place of the word before the cursor."""
        return complete(self.state, text, cursor)

    def dump(self, family: int = IPV4, backend: str = "nft") -> str:
        """Return what ``iptables-save -c`` prints."""
        return run(self.state, [_program(family, backend, "-save"), "-c"], now=self.clock()).stdout

    def load(self, text: str, backend: str = "nft") -> Shown:
        """Restore a dump; its header tells the family, its rules whether counters are kept."""
        program = _program(family_of(text) or IPV4, backend, "-restore")
        self.files["dump"] = text
        return self.type(f"{program} {'-c ' if _COUNTED.search(text) else ''}dump")

    # --- one line ---

    def _typed(self, line: Line) -> Shown:
        before, pieces, result, hints = self.state, [], Result(self.state), []
        for number, command in enumerate(line.commands):
            if not _wanted(command.joined, result.status):
                continue
            result = self._perform(command, result.stdout if command.joined == "|" else "")
            self.state = result.state
            hints.append(result.hint)
            piped = [one.joined for one in line.commands[number + 1 : number + 2]] == ["|"]
            pieces += [("err", result.stderr), ("out", "" if piped else result.stdout)]
        changed = changes(before, self.state)
        if changed:
            self._past = [*self._past[1 - MOST_UNDONE :], before]
        said = tuple((stream, text) for stream, text in pieces if text)
        hint = "\n".join(filter(None, hints))
        return self._keep(Shown(line.text, said, result.status, hint, changed))

    def _keep(self, shown: Shown) -> Shown:
        self.history.append(shown)
        return shown

    def _perform(self, command: Command, stdin: str) -> Result:
        """Carry out one command, and send what it prints where the line says."""
        if command.document is not None:
            stdin = command.document
        for sign, name in command.redirects:
            if sign == "<":
                try:
                    stdin = self._read(name)
                except FileNotFoundError:
                    return Result(
                        self.state, stderr=f"sh: {name}: No such file or directory\n", status=1
                    )
        result = self._program(command.words, stdin)
        self.files.update(result.written)
        for sign, name in command.redirects:
            if sign in (">", ">>"):
                self._write(name, result.stdout, more=sign == ">>")
                result = result._replace(stdout="")
            elif sign != "<":
                self._write(name, result.stderr, more=sign == "2>>")
                result = result._replace(stderr="")
        return result

    def _program(self, words: list[str], stdin: str) -> Result:
        words = words[1:] if words[0] == "sudo" and words[1:] else words
        if words[0].startswith("-"):
            words = ["iptables", *words]
        name = words[0].rpartition("/")[2]
        if name in NAMES:
            return run(
                self.state, [name, *words[1:]], stdin=stdin, now=self.clock(), read=self._read
            )
        if name == "cat":
            return self._cat(words[1:], stdin)
        if name in ("true", ":", "false", "help"):
            return Result(self.state, HELP if name == "help" else "", status=int(name == "false"))
        hint = "there is no whole shell here, only iptables and its kin; `help` names them"
        return Result(self.state, "", f"sh: {name}: command not found\n", NOT_FOUND, hint)

    def _cat(self, names: list[str], stdin: str) -> Result:
        missing = [name for name in names if name not in self.files]
        printed = "".join(self.files.get(name, "") for name in names) if names else stdin
        said = "".join(f"cat: {name}: No such file or directory\n" for name in missing)
        return Result(self.state, printed, said, int(bool(missing)))

    def _read(self, name: str) -> str:
        if name == "/dev/null":
            return ""
        if name not in self.files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return self.files[name]

    def _write(self, name: str, text: str, *, more: bool) -> None:
        if name != "/dev/null":
            self.files[name] = (self.files.get(name, "") if more else "") + text


def _refused(line: str, error: ShellError) -> Shown:
    hint = "a script with variables, loops or functions runs in a real shell: python -m nb_lib.cli --help"
    return Shown(line, (("err", f"sh: {error}\n"),), MISUSED, hint)


def _wanted(joined: str, status: int) -> bool:
    """Tell whether a command is carried out after one that ended with ``status``."""
    return {"&&": status == 0, "||": status != 0}.get(joined, True)


def _program(family: int, backend: str, suffix: str) -> str:
    base = "ip6tables" if family == IPV6 else "iptables"
    return f"{base}{'-legacy' if backend == 'legacy' else ''}{suffix}"
