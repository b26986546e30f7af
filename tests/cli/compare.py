"""What nb_lib prints for a command, beside what the real program printed, sequence by sequence.

A sequence is followed to its first difference: behind it both sides may hold different rules. What is
not compared: the date of a save, and the debugging dumps of the libraries that ``-vv`` adds.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from difflib import unified_diff
from itertools import zip_longest
from typing import NamedTuple

from nb_lib.cli import State, run
from tests.cli.play import SETS, Command, Played, Player, Said, backend_of
from tests.kernel.shrink import smaller

NOW = 1_700_000_000.0
MAX_TRIES = 300
_DATE = re.compile(
    r"(?m)^(# (?:Generated|Completed) .*on )\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$"
)
# What -vv adds: libiptc's dump of a table, libnftnl's of rules, with -vvv libmnl's of messages.
_DEBUG = re.compile(
    r"(?ms)libiptc v.*?error=`ERROR'\n\n|"
    r"^(?:  \[ [^\n]*|  userdata [^\n]*|(?:ip6? |table )?(?:filter|nat|mangle|raw|security) [^\n]*|"
    r"\|[^\n]*|-{16}\t-+)?\n"
)


class Difference(NamedTuple):
    """The first command of a sequence that does not do what the real one did."""

    sequence: Sequence[Command]
    at: int
    real: Said
    ours: Said
    field: str  # status, stdout, stderr or files
    crash: str = ""

    @property
    def command(self) -> Command:
        return self.sequence[self.at]

    def __str__(self) -> str:
        lines = [f"  $ {command}" for command in self.sequence[: self.at + 1]]
        if self.real.status != self.ours.status:
            lines.append(f"    status {self.real.status}, nb_lib {self.ours.status}")
        for stream in ("stdout", "stderr"):
            real, ours = (
                [repr(line) for line in getattr(said, stream).splitlines(keepends=True)]
                for said in (
                    _comparable(self.real, self.command),
                    _comparable(self.ours, self.command),
                )
            )
            differ = unified_diff(real, ours, n=0, lineterm="")
            lines += [f"    {stream} {line}" for line in list(differ)[2:] if line[0] != "@"]
        return "\n".join([*lines, self.crash]).rstrip()


class Judged(NamedTuple):
    """A sequence beside ours: how many commands agree before the first difference, if there is one."""

    equal: int
    difference: Difference | None
    listings: int = 0  # -L and -S with counters that are not zero, among the equal ones


def judge(sequence: Sequence[Command], played: Played) -> Judged:
    """Follow a sequence with ``nb_lib.cli`` until it differs from what was played.

    Where the real program was killed by a signal the rest is left out: a crash is not imitated.
    """
    state, files, listings = State(sets=dict(SETS)), {}, 0
    for at, (command, real) in enumerate(zip(sequence, played.said, strict=True)):
        if real.status < 0:
            return Judged(at, None, listings)
        try:
            result = run(
                state,
                command.words,
                stdin=command.stdin,
                now=NOW,
                read=lambda name: _read(files, name),
            )
            ours, crash = Said(result.status, result.stdout, result.stderr), ""
        except Exception:  # noqa: BLE001 - whatever it is, it is a difference
            ours, crash = Said(-1, "", ""), traceback.format_exc(limit=-4)
        field = _field(_comparable(real, command), _comparable(ours, command))
        if field:
            return Judged(at, Difference(sequence, at, real, ours, field, crash), listings)
        state = result.state
        files.update(result.written)
        listings += counted_listing(command, real)
    if {n: dateless(t) for n, t in files.items()} != {
        n: dateless(t) for n, t in played.files.items()
    }:
        real, ours = (Said(0, str(held), "") for held in (played.files, files))
        return Judged(at, Difference(sequence, at, real, ours, "files"), listings)
    return Judged(len(sequence), None, listings)


def _read(files: dict[str, str], name: str) -> str:
    if name not in files:
        raise FileNotFoundError(2, "No such file or directory", name)
    return files[name]


def counted_listing(command: Command, said: Said) -> bool:
    """Whether a command is a listing with counters, not all of them zero."""
    if said.status or "-save" in command.words[0] or "-restore" in command.words[0]:
        return False
    listed = re.search(r"(?m)^(?:Chain |-P |-A |num )", said.stdout)
    counted = r"\(policy \w+ [1-9]|^ *[1-9]\w* +\w* +\w* |-c [1-9]|references\)\n.*\n *[1-9]"
    return bool(listed and re.search(counted, said.stdout, re.MULTILINE))


def _field(real: Said, ours: Said) -> str:
    return next((f for f in Said._fields if getattr(real, f) != getattr(ours, f)), "")


def _comparable(said: Said, command: Command) -> Said:
    stdout = dateless(said.stdout)
    words = (*command.words, *command.stdin.split())
    options = (word for word in words if re.match(r"-[^-]|--v", word))
    if sum(word.count("v") for word in options) < 2:
        return said._replace(stdout=stdout)
    # Behind its dump libiptc has forgotten which function failed, and says another sentence.
    forgotten = said.status == 1 and backend_of(command.words[0]) == "legacy"
    stderr = "" if forgotten else said.stderr
    return Said(said.status, _DEBUG.sub("", stdout), stderr)


def dateless(text: str) -> str:
    """Return a save without the date in its comments."""
    return _DATE.sub(r"\1DATE", text)


def kind(difference: Difference) -> str:
    """Return what a difference is about, by which others of its sort are filed."""
    command, crash = difference.command, difference.crash.strip()
    name = command.words[0].removeprefix("ip6tables").removeprefix("iptables") or "-nft"
    if crash:
        return f"{name} crash: {crash.splitlines()[-1][:100]}"
    if difference.field == "files":
        return f"{name} files"
    field = "stderr" if difference.field == "status" else difference.field
    real, ours = (
        getattr(_comparable(said, command), field).splitlines()
        for said in (difference.real, difference.ours)
    )
    pairs = zip_longest(real, ours, fillvalue="")
    lines = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    statuses = f" {difference.real.status} {difference.ours.status}"
    about = field + statuses * (difference.real.status != difference.ours.status)
    return f"{name} {about}: {_outline(lines[0])} | {_outline(lines[1])}"


def _outline(line: str) -> str:
    """Return a line without what differs from case to case."""
    line = re.sub(r"^ip6?tables(?:-\w+)* v1.8.9 \(\w+\): ", "", line)
    line = re.sub(r"^(-[APN] ).*", r"\1…", line)
    if re.match(r"(?:\s*\d+\w?\s+){1,3}\S+", line):
        return "a rule's line"
    return re.sub(r"\"[^\"]*\"|`[^']*'|'[^']*'|\b\d+[KMGT]?", "#", line)[:90]


def shrunk(difference: Difference, player: Player) -> Difference:
    """Return the smallest sequence found that still differs in the same way."""
    shrinker = _Shrinker(difference, player)
    shrinker.run()
    return shrinker.best


class _Shrinker:
    """Takes away commands, then lines of what they read, then words."""

    def __init__(self, difference: Difference, player: Player) -> None:
        self.first = self.best = difference
        self.player = player
        self.tries = 0

    def run(self) -> None:
        kept = smaller(self.first.sequence[: self.first.at + 1], self.differs)
        for at, command in enumerate(kept):
            kept[at] = self._fewer(kept, at, command.stdin.splitlines(keepends=True), _with_lines)
            kept[at] = self._fewer(kept, at, list(kept[at].words[1:]), _with_words)

    def _fewer(
        self, sequence: list[Command], at: int, parts: list[str], rebuilt: Callable[..., Command]
    ) -> Command:
        """Return the command at a place with as few of its parts as still differ."""

        def differs(some: list[str]) -> bool:
            return self.differs([*sequence[:at], rebuilt(sequence[at], some), *sequence[at + 1 :]])

        return rebuilt(sequence[at], smaller(parts, differs))

    def differs(self, sequence: Sequence[Command]) -> bool:
        self.tries += 1
        if self.tries > MAX_TRIES or not sequence:
            return False
        found = judge(sequence, self.player.play(sequence)).difference
        same = found is not None and kind(found) == kind(self.first)
        if same:
            self.best = found
        return same


def _with_lines(command: Command, lines: list[str]) -> Command:
    return command._replace(stdin="".join(lines))


def _with_words(command: Command, words: list[str]) -> Command:
    return command._replace(words=(command.words[0], *words))
