"""What may stand where the cursor is: programs, commands, chains, extensions and their options.

It reads the tables that the command itself reads: an option that an extension gains is completed at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nb_lib import matches, names, targets
from nb_lib.cli import State
from nb_lib.cli.programs import NAMES
from nb_lib.hooks import builtin
from nb_lib.kinds import Choice
from nb_lib.matches import IMPLIED
from nb_lib.options import Extension
from nb_lib.rules import Chain


class Candidate(NamedTuple):
    """A word that may stand there, and what it means (often empty)."""

    word: str
    about: str = ""


COMMANDS = {
    "-A": "append a rule to a chain", "-C": "tell whether a chain has this rule",
    "-D": "delete a rule, by number or by its words", "-E": "rename a chain", "-F": "delete all rules",
    "-I": "insert a rule, at the beginning or by number", "-L": "list rules",
    "-N": "make a chain", "-P": "set the policy of a built-in chain", "-R": "replace a rule",
    "-S": "print rules as commands", "-V": "print the version", "-X": "delete a chain",
    "-Z": "set counters to zero", "-h": "print help",
}  # fmt: skip
OPTIONS = {
    "-c": "set a rule's counters", "-g": "go on in a chain, not to return",
    "-j": "what to do with the packet", "-m": "use a match", "-n": "numbers instead of names",
    "-t": "the table", "-v": "more in listings, counters too", "-w": "wait for the lock",
    "-x": "exact counters", "--line-numbers": "number the rules",
}  # fmt: skip
_OF_PROGRAM = {
    "-save": {"-c": "counters too", "-f": "write into a file", "-t": "one table only"},
    "-restore": {"-c": "counters too", "-n": "keep what is there", "-t": "try, change nothing",
                 "-T": "one table only", "-v": "say what is done", "-w": "wait for the lock"},
}  # fmt: skip
_LONG = {
    "--append": "-A", "--check": "-C", "--delete": "-D", "--rename-chain": "-E", "--flush": "-F",
    "--insert": "-I", "--list": "-L", "--new-chain": "-N", "--policy": "-P", "--replace": "-R",
    "--list-rules": "-S", "--delete-chain": "-X", "--zero": "-Z", "--jump": "-j", "--goto": "-g",
    "--match": "-m", "--table": "-t", "--protocol": "-p",
}  # fmt: skip
_USER_CHAINS = ("-X", "-E", "-g")
_OF_RULES = ("-A", "-C", "-D", "-I", "-R")
_LISTING = ("-n", "-t", "-v", "-w", "-x", "--line-numbers")
_NO_CHAIN = ("-N", "-V", "-h")


def complete(state: State, text: str, cursor: int | None = None) -> list[Candidate]:
    """Return what may take the place of the word before the cursor, best first.

    That word is what stands behind the last blank before ``cursor`` (the end of the text if it is None).
    """
    before = text if cursor is None else text[:cursor]
    command = re.split(r"[;|\n]|&&", before)[-1]
    words = command.split()
    begun = words.pop() if words and not command[-1:].isspace() else ""
    if words[:1] == ["sudo"]:
        words = words[1:]
    if not words and not begun.startswith("-"):
        return _begun(begun, map(Candidate, NAMES))
    if not words or words[0].startswith("-"):
        words = ["iptables", *words]
    name = words[0].rpartition("/")[2]
    if name not in NAMES:
        return []
    return _begun(begun, _Place(state, name, words[1:]).candidates(begun))


def _begun(begun: str, found: Iterable[Candidate]) -> list[Candidate]:
    chosen = {one.word: one for one in found if one.word.startswith(begun)}
    return list(chosen.values())


class _Place:
    """The words of a command up to the one that is being written."""

    def __init__(self, state: State, program: str, words: Sequence[str]) -> None:
        self.words = [_LONG.get(word, word) for word in words]
        self.last = self.words[-1] if words else ""
        self.suffix = "".join(re.findall("-save|-restore", program))
        self.family = 6 if program.startswith("ip6") else 4
        self.backend = "legacy" if "-legacy" in program else "nft"
        self.table = self.behind("-t") or "filter"
        self.ruleset = state.rulesets.get((self.family, self.backend))

    def behind(self, option: str) -> str:
        """Return the word behind an option, empty without it."""
        pairs = zip(self.words, self.words[1:], strict=False)
        return next((value for name, value in pairs if name == option), "")

    def candidates(self, begun: str) -> Iterator[Candidate]:
        """Yield what may follow."""
        if self.suffix:
            tables = self.last in ("-t", "-T") and (self.suffix, self.last) != ("-restore", "-t")
            yield from self.tables() if tables else _listed(_OF_PROGRAM[self.suffix])
        elif self.last == "-t":
            yield from self.tables()
        elif self.last in COMMANDS and self.last not in _NO_CHAIN:
            yield from self.chains()
            if begun:  # many commands need no chain
                yield from self.options()
        elif self.words[-2:-1] == ["-P"]:
            yield from map(Candidate, ("ACCEPT", "DROP"))
        else:
            yield from self.value(begun) or self.options()

    def value(self, begun: str) -> list[Candidate]:
        """Return the values of the option before, nothing if they cannot be told."""
        if self.last == "-j":
            return [*self.known(targets), *self.chains(users=True)]
        if self.last == "-g":
            return list(self.chains())
        if self.last == "-m":
            return list(self.known(matches))
        if self.last == "-p":
            return [
                Candidate(name) for name in (*("tcp", "udp", "icmp"), *names.protocol_numbers())
            ]
        for extension in self.loaded():
            option = extension.by_name.get(self.last)
            if option is not None and isinstance(option.kind, Choice):
                done = begun.rpartition(",")[0]
                front = f"{done}," if done else ""
                return [Candidate(f"{front}{word}") for word in option.kind.words]
        return []

    def tables(self) -> Iterator[Candidate]:
        """Yield the names of tables."""
        return map(Candidate, ("filter", "nat", "mangle", "raw", "security"))

    def chains(self, *, users: bool = False) -> Iterator[Candidate]:
        """Yield the chains that may be meant: built-in ones, those of the user, or both."""
        held: Mapping[str, Chain] = {}
        if self.ruleset is not None and self.table in self.ruleset:
            held = self.ruleset[self.table].chains
        bases = builtin(self.family, self.backend).get(self.table, ())
        if self.last not in _USER_CHAINS and not users:
            yield from (Candidate(name, "built in") for name in bases)
        if self.last != "-P":
            yield from (Candidate(name) for name in held if name not in bases)

    def known(self, where: object) -> Iterator[Candidate]:
        """Yield the names of the matches, or of the targets."""
        find = matches.find_match if where is matches else targets.find_target
        known = matches.known_names if where is matches else targets.known_names
        for name in dict.fromkeys(known(self.family)):
            extension = find(name, self.family)
            yield Candidate(name, extension.summary if extension else "")

    def options(self) -> Iterator[Candidate]:
        """Yield commands, unless there is one, then options of what is loaded, then all others."""
        given = [word for word in self.words if word in COMMANDS]
        if not given:
            yield from _listed(COMMANDS)
        elif given[0] not in _OF_RULES:
            yield from _listed({name: OPTIONS[name] for name in _LISTING})
            return
        for extension in (*self.loaded()[1:], self.loaded()[0]):
            yield from (Candidate(option.name, option.help) for option in extension.options)
        yield from _listed(OPTIONS)

    def loaded(self) -> list[Extension]:
        """Return the core and what ``-m``, ``-j`` and ``-p`` have loaded."""
        found = [matches.core(self.family)]
        for option, name in zip(self.words, self.words[1:], strict=False):
            extension = None
            if option == "-m":
                extension = matches.find_match(name, self.family)
            elif option == "-j":
                extension = targets.find_target(name, self.family)
            elif option == "-p":
                number = names.protocol_numbers().get(name, -1)
                implied = IMPLIED.get(number, {}).get(self.family, "")
                extension = matches.find_match(implied, self.family)
            if extension is not None:
                found.append(extension.under(self.backend))
        return found


def _listed(about: Mapping[str, str]) -> Iterator[Candidate]:
    return (Candidate(word, said) for word, said in about.items())
