"""The input of a restore, line by line: tables, chains, commands, COMMIT.

iptables-legacy carries each line out as it comes and hands the table to the kernel at COMMIT;
iptables-nft reads all lines of a table first, carries them out at COMMIT and sends them as one
transaction. Sources: iptables/iptables-restore.c ip46tables_restore_main(), iptables/xtables-restore.c
xtables_restore_parse().
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from nb_lib.cli.arguments import Arguments
from nb_lib.cli.commands import perform
from nb_lib.cli.kernel import VERDICTS
from nb_lib.cli.personality import Exit, Personality
from nb_lib.cli.request import Finished, Request
from nb_lib.cli.state import State, Work
from nb_lib.cli.told import told
from nb_lib.errors import RulesetError
from nb_lib.hooks import builtin
from nb_lib.rules import ZERO, Chain, Counters
from nb_lib.strto import strtoul
from nb_lib.text.lexer import Word, words

_COUNTERS = re.compile(r"\[\s*([+-]?\d+):\s*([+-]?\d+)", re.ASCII)
_BLANKS = " \t\n"


class Options(NamedTuple):
    """What was asked of a restore."""

    counters: bool = False
    verbose: bool = False
    test: bool = False
    flush: bool = True
    table: str | None = None
    file: str = ""
    warning: str = ""
    wrong: str = ""  # what is complained of once the file is open


class Declared(NamedTuple):
    """A line ``:CHAIN POLICY [PACKETS:BYTES]``."""

    name: str
    policy: str
    counters: Counters


class Batch:
    """A restore at work: ``state`` holds the tables that were committed."""

    def __init__(self, state: State, who: Personality, options: Options) -> None:
        self.state, self.who, self.options = state, who, options
        self.printed: list[str] = []
        self.warned: list[str] = []
        self.work: Work | None = None
        self.later: list[tuple[int, Request | Declared]] = []  # nft: what COMMIT will carry out
        self.printed_later: list[str] = []  # nft: what COMMIT will print first
        self.table = self.latest = ""  # the table whose lines come, and the one named last

    def lines(self, text: str) -> None:
        """Take the input line by line. Raise Exit at what is wrong."""
        number = 0
        for number, line in enumerate(_lines(text), 1):
            self.who = self.who._replace(line=number)
            self.line(line)
        if self.table:
            raise Exit("", f"{self.who.program}: COMMIT expected at line {number + 1}\n", 1)

    def line(self, line: str) -> None:
        """Take one line."""
        if line.startswith("#"):
            if self.options.verbose:
                self.printed.append(line)
            return
        if line == "\n" or not line:
            return
        if self.table:
            self.inside(line)
        elif line.startswith("*"):
            self.begin(line)
        elif self.options.table in (None, self.latest) or (self.who.nft and not self.latest):
            raise self.failed()  # what is not of the table that is asked for is left out

    def inside(self, line: str) -> None:
        """Take a line of a table; those of a table that is not asked for only up to its COMMIT."""
        if line == "COMMIT\n" or (self.who.nft and line == "COMMIT"):
            self.commit()
        elif self.work and line.startswith(":"):
            self.chain(line)
        elif self.work:
            self.rule(line)

    def failed(self, line: int = 0, said: str = "") -> Exit:
        """Return the end of a restore that fails at a line."""
        words = f" failed: {said}" if said else " failed"
        return Exit("", f"{self.who.program}: line {line or self.who.line}{words}\n", 1)

    def begin(self, line: str) -> None:
        """``*TABLE``."""
        name = (_tokens(line[1:]) or [""])[0]
        if not name:
            raise self.usage(f"line {self.who.line} table name invalid")
        self.latest = name
        if self.options.table is not None and name != self.options.table:
            return
        self.table = name
        if name not in builtin(self.who.family, self.who.backend):
            if self.who.nft:
                raise self.usage(f"line {self.who.line} table name '{name}' invalid")
            raise self.usage(f"unable to initialize table '{name}'")
        self.work = Work(self.state, self.who, name)
        if not self.who.nft:
            self.state = self.work.state()  # a legacy table is made as soon as it is named
        self.work.deferred, self.later = [], []
        if self.options.flush:
            flushed = self.work.empty(verbose=self.options.verbose)
            (self.printed_later if self.who.nft else self.printed).extend(flushed)

    def usage(self, said: str) -> Exit:
        """Return the end of a restore whose input is written wrongly."""
        return self.who.usage(f"{self.who.program}: {said}")

    def chain(self, line: str) -> None:
        """``:CHAIN POLICY [PACKETS:BYTES]``."""
        assert self.work is not None
        found = _tokens(line[1:])
        if not found:
            raise self.usage(f"line {self.who.line} chain name invalid")
        name = found[0]
        builtin_chain = name in self.work.names
        self.check_name(name, builtin_chain=builtin_chain)
        if len(found) < 2:
            raise self.usage(f"line {self.who.line} policy invalid")
        policy = found[1]
        counters = ZERO
        if self.options.counters and policy != "-" and (builtin_chain or not self.who.nft):
            pair = _COUNTERS.match(found[2]) if len(found) > 2 else None
            if pair is None:
                raise self.who.usage(f"invalid policy counters for chain '{name}'")
            counters = Counters(strtoul(pair[1], 10)[0], strtoul(pair[2], 10)[0])
        self.declare(Declared(name, policy, counters))

    def check_name(self, name: str, *, builtin_chain: bool) -> None:
        """Complain about a name that no chain can have."""
        assert self.work is not None
        if builtin_chain:
            return
        if self.who.nft:
            Arguments([], self.who, "", sets={}).check_name(name)
            return
        if len(name) > 28:
            raise self.who.usage(f"Invalid chain name `{name}' (28 chars max)")

    def declare(self, line: Declared) -> None:
        """Take the declaration of a chain; iptables-nft carries it out at COMMIT."""
        assert self.work is not None
        if self.who.nft:
            self.later.append((self.who.line, line))
            return
        if line.name in self.work.names:
            if line.policy not in ("ACCEPT", "DROP", "-"):
                raise self.policy_error(line, "Bad policy name")
        elif line.name in VERDICTS or (self.options.flush and line.name in self.work.table):
            raise self.who.usage(f"error creating chain '{line.name}':File exists")
        self.make(line)
        if line.name not in self.work.names and line.policy != "-":
            raise self.policy_error(line, "Bad built-in chain name")

    def make(self, line: Declared) -> None:
        """Make a chain, or empty one that is there; set a policy."""
        work = self.work
        assert work is not None
        work.declared.add(line.name)
        if line.name not in work.names:
            work.put(Chain(line.name))
        elif line.policy == "-":
            work.opened(line.name)
            if self.who.nft:
                work.put(replace(work.table[line.name], counters=ZERO))
        else:
            work.counted.add(line.name)
            chain = work.table[line.name]
            work.put(replace(chain, policy=line.policy, counters=line.counters))

    def policy_error(self, line: Declared, why: str) -> Exit:
        """Return the end of a restore that cannot set a policy."""
        said = f"Can't set policy `{line.policy}' on `{line.name}' line {self.who.line}: {why}"
        return self.who.trouble(said)

    def rule(self, line: str) -> None:
        """Take a line with a command, with or without ``[PACKETS:BYTES]`` before it."""
        assert self.work is not None
        body, counters = self.counted(line) if line.startswith("[") else (line, ())
        found = self.words(body)
        if counters and self.options.counters:
            found = [Word("-c", 0), *(Word(text, 0) for text in counters), *found]
        if self.options.verbose and self.options.flush:
            found = [Word("-v", 0), *found]
        arguments = Arguments(
            found,
            self.who,
            body,
            sets=self.state.sets,
            restoring=self.who.program,
            table=self.table,
        )
        try:
            request = arguments.request()
        except Finished as finished:
            if finished.letter in "46":  # the line is meant for the other family
                return
            raise Exit(told(finished, self.who), "", 0) from None
        arguments.check_rule()
        self.warned += arguments.warnings
        if self.who.nft:
            self.later.append((self.who.line, request))
        else:
            self.perform(request, self.who.line)

    def counted(self, line: str) -> tuple[str, tuple[str, str]]:
        """Return what stands behind ``[PACKETS:BYTES]``, and the two; xshared.c tokenize_rule_counters()."""
        _, bracket, body = line.partition("]")
        packets, colon, rest = line[1:].lstrip(":").partition(":")
        rest = rest.lstrip("]")
        if not bracket or not colon or not rest:
            raise self.who.usage(f"Bad line {self.who.line}: need ]")
        return body, (packets, rest.partition("]")[0])

    def words(self, body: str) -> list[Word]:
        """Cut a line into words; a quote that is never closed takes all of the line, its end too."""
        try:
            return words(body, blanks=_BLANKS)
        except RulesetError as error:
            if error.token != '"':
                raise self.who.usage(error.said or error.reason) from None
            return words(body + '"', blanks=_BLANKS)

    def perform(self, request: Request, line: int) -> None:
        """Carry out one command; a failure names its line."""
        assert self.work is not None
        self.work.line, request.rule.personality = line, self.who
        try:
            self.printed.append(perform(self.work, request))
        except Exit as end:
            self.printed.append(end.stdout)
            if end.status == 1:
                said = end.stderr.partition(": ")[2].strip()
                raise self.failed(line, said if self.who.nft else "") from None
            raise

    def commit(self) -> None:
        """Hand the table to the kernel."""
        work, self.table = self.work, ""
        if work is None:
            return
        if self.who.nft and self.options.test:  # nothing is carried out
            self.work, self.later, self.printed_later = None, [], []
            return
        self.printed += self.printed_later
        self.printed_later = []
        for line, request in self.later:
            if isinstance(request, Declared):
                if request.name in work.names and request.policy not in ("ACCEPT", "DROP", "-"):
                    raise self.failed(line, "Bad policy name.")
                self.make(request)
            else:
                self.perform(request, line)
        for old, new in work.renames:
            work.rename(work.table[old], new)
        if work.deferred and not self.options.test:
            raise self.refused(work.deferred)
        if not self.options.test:
            self.state = work.state()
        self.work = None

    def refused(self, deferred: list[tuple[int, str]]) -> Exit:
        """Return what is said if the kernel refuses some of the rules."""
        if not self.who.nft:
            return self.failed()
        lines = "".join(f"line {line}: {said}\n" for line, said in deferred)
        return Exit("", f"{self.who.version}: \n{lines}", 4)


def _lines(text: str) -> list[str]:
    """Cut a text into lines, each with its end if it has one."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _tokens(text: str) -> list[str]:
    """Cut a text at blanks, as strtok(3) does with those of iptables-restore."""
    return [token for token in re.split(f"[{_BLANKS}]", text) if token]
