"""The words of an iptables command line, read as iptables reads them.

A command line mixes commands (``-A INPUT``), options (``-t nat -n``) and the words of a rule; ``Arguments``
goes through them once, in getopt_long(3)'s way, and hands the words of the rule to the grammar that dumps
have as well.

Sources: iptables/xshared.c do_parse(), add_command(), generic_opt_check(); iptables(8); getopt_long(3).
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from itertools import product
from math import prod

from nb_lib.cli.commandline import CommandLine
from nb_lib.cli.personality import Exit, Personality
from nb_lib.cli.request import Finished, Request
from nb_lib.errors import LimitError, RulesetError, suggest
from nb_lib.kinds import IPV6, octets
from nb_lib.matches import find_match
from nb_lib.options import Extension, Option, RefusedError, Setting, Use
from nb_lib.rules import ZERO, Counters, Rule
from nb_lib.strto import strtoul
from nb_lib.targets import find_target, known_names
from nb_lib.text.lexer import Word

MAX_RULES = 65_536  # that one command with lists of addresses may stand for
MAX_NAME = 29  # XT_EXTENSION_MAXNAMELEN
_COMMANDS = "ACDEFILNPRSXZ"
# The options of which somebody asks whether a command takes them, in the order of the complaints, and
# those that each command takes: iptables/xshared.c commands_v_options.
_ASKED = "nsdpjvxio0cf"
_OF_RULES = ("A", "C", "D", "I", "R")  # commands that are followed by a rule
_RULE = "sdpjviof"
_TAKEN = {
    "A": _RULE + "c", "C": _RULE, "D": _RULE, "I": _RULE + "c", "R": _RULE + "c", "L": "nvx0", "P": "vc",
    "S": "v", "F": "v", "Z": "v", "N": "v", "X": "v", "E": "v", "#": "v",
}  # fmt: skip
_NO_INTERFACE = {"PREROUTING": "o", "INPUT": "o", "OUTPUT": "i", "POSTROUTING": "i"}
_CORE = {"p": "-p", "s": "-s", "d": "-d", "i": "-i", "o": "-o", "f": "-f"}
_INTEGER = re.compile(r"\s*[+-]?[0-9]+", re.ASCII)


_NO_DROP = (
    '\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n'
)


Sets = Mapping[str, tuple[str, int]]  # names of ipsets → type, family
_OF_SETS = ("--match-set", "--add-set", "--del-set", "--map-set")


class Arguments(CommandLine):
    """One command line. ``restoring`` is the program's name if it is a line of its input."""

    def __init__(
        self, words: list[Word], personality: Personality, line: str, *,
        sets: Sets, restoring: str = "", table: str = "filter",
    ) -> None:  # fmt: skip
        super().__init__(words, personality, line)
        self.sets, self.restoring, self.table = sets, restoring, table
        self.command, self.chain, self.name, self.rulenum = "", "", "", 0
        self.named_chain, self.seen, self.verbose = False, "", 0
        self.wait_interval = False
        self.jumpto: Word | None = None
        self.protocol = ""  # what -p was told, as it stands there
        self.addresses: dict[str, tuple[Word, bool]] = {}  # -s, -d: what stands there, inverted?
        self.ends: dict[str, list[Setting]] = {}  # the same, read

    # ── Options and commands ────────────────────────────────────────────────────────

    def letter(self, letter: str, word: Word, *, joined: bool = False) -> None:
        """Carry out one option; ``joined``: its value is the next word, whatever that looks like."""
        if letter in _COMMANDS:
            self.add_command(letter, joined=joined)
        elif letter in _CORE:
            self.core_option(letter, word)
        elif letter in "wW":
            self.set_wait(letter, joined=joined)
        elif letter in "jgc":
            self.see("c" if letter == "c" else "j")
            if letter == "c":
                self.set_counters(word)
            else:
                self.load_target(self.value(word), word, goto=letter == "g")
        elif letter in "mtM":
            self.named(letter, self.value(word))
        elif letter in "hV46":
            self.other(letter)
        elif letter != "v" or not self.verbose:
            self.see(letter)
        self.verbose += letter == "v"
        self.inverted = None

    def named(self, letter: str, value: Word) -> None:
        """``-m MATCH``, ``-t TABLE``, ``--modprobe PROGRAM``."""
        if letter == "m":
            self.no_inversion("unexpected ! flag before --match")
            self.load_match(value)
        elif letter == "t":
            self.set_table(value.text)

    def other(self, letter: str) -> None:
        """``-h`` and ``-V``, which end the command; ``-4`` and ``-6``, of which one does."""
        if letter in "hV" or (letter != str(self.family) and self.restoring):
            raise Finished(letter, inverted=self.inverted is not None, rule=self)
        if letter != str(self.family):  # the other family's program gives up without a word
            raise Exit("", "".join(self.warnings) + self.personality.try_help(), 2)

    def core_option(self, letter: str, word: Word) -> None:
        """Read an option of the rule itself; addresses, which may be several, are kept for later."""
        name = _CORE[letter]
        if letter in "sd":
            if letter in self.seen:
                raise self.usage(f"multiple -{letter} flags not allowed")
            self.addresses[name] = (self.value(word), self.inverted is not None)
            self.seen += letter
            return
        self.option(self.every, self.core, self.every.by_name[name], word._replace(text=name))
        if letter == "p" and self.core[name] == Setting(0, inverted=True):
            raise self.usage("rule would never match protocol")
        if letter == "p":
            self.protocol = self.words[self.at - 1].text
        self.seen += letter

    def see(self, letter: str) -> None:
        """Note an option; complain if it was given before, or behind a ``!``."""
        if letter in self.seen:
            raise self.usage(f"multiple -{letter} flags not allowed")
        self.no_inversion(f"cannot have ! before -{letter}")
        self.seen += letter

    def no_inversion(self, said: str) -> None:
        """Complain about a ``!`` that has no meaning here."""
        if self.inverted is not None:
            raise self.usage(said)

    def add_command(self, letter: str, *, joined: bool) -> None:
        """Note a command; only ``-Z`` goes with another, ``-L`` or ``-S``."""
        if letter == "N":
            self.check_name(self.words[self.at].text)
        self.no_inversion("unexpected '!' flag")
        for other in self.command.replace("#", ""):
            if {letter, other} not in ({"L", "Z"}, {"S", "Z"}):
                raise self.usage(f"Cannot use -{letter} with -{other}")
        self.command = {"Z": f"{self.command}Z"}.get(letter, letter + self.command)
        if letter in "ACDINREP" or joined or self.has_word():
            self.chain, self.named_chain = self.next_word(), True
        self.command_words(letter)

    def command_words(self, letter: str) -> None:
        """Read what else a command takes: a number, a new name, a policy."""
        if letter in "DLSZ" and self.has_word():
            self.rulenum = self.rule_number(self.next_word())
            if letter in "DZ":  # a -L before -Z with a number is forgotten
                self.command = f"{letter}#"
        elif letter == "R" and not self.has_word():
            raise self.usage("-R requires a rule number")
        elif letter in "IR":
            self.rulenum = self.rule_number(self.next_word()) if self.has_word() else 1
        elif letter in "EP":
            if not self.has_word():
                needed = (
                    "old-chain-name and new-chain-name" if letter == "E" else "a chain and a policy"
                )
                raise self.usage(f"-{letter} requires {needed}")
            self.name = self.next_word()

    def has_word(self) -> bool:
        """Whether the next word is no option (xs_has_arg())."""
        return self.at < len(self.words) and self.words[self.at].text[:1] not in ("-", "!")

    def next_word(self) -> str:
        """Take the next word."""
        self.at += 1
        return self.words[self.at - 1].text

    def rule_number(self, text: str) -> int:
        """Read the number of a rule, from 1."""
        found = re.fullmatch(r"\s*\+?(0[xX][0-9a-fA-F]+|[0-9]+)", text, re.ASCII)
        number = int(found[1], 16 if found[1][:2] in ("0x", "0X") else 10) if found else 0
        if not 1 <= number <= 0x7FFFFFFF:
            raise self.usage(f"Invalid rule number `{text}'")
        return number

    def check_name(self, name: str) -> None:
        """Complain about a name that no chain can have (xshared.c parse_chain())."""
        if name[:1] == "-" or name[:1] == "!":
            raise self.usage(f"chain name not allowed to start with `{name[0]}'")
        if not name or name == "standard" or find_target(name, self.family) is not None:
            raise self.usage("chain name may not clash with target name")
        if re.search(r"\s", name, re.ASCII):
            raise self.usage(f"Invalid chain name `{name}'")
        self.check_length(name)

    def check_length(self, name: str) -> None:
        """Complain about a chain's name that is too long."""
        if len(octets(name)) >= MAX_NAME:
            raise self.usage(f"chain name `{name}' too long (must be under {MAX_NAME} chars)")

    def set_table(self, name: str) -> None:
        """Note the table."""
        self.no_inversion("unexpected ! flag before --table")
        if self.restoring:
            raise self.usage(f"The -t option cannot be used in {self.restoring}.\n")
        self.table = name

    def set_wait(self, letter: str, *, joined: bool) -> None:
        """``-w [SECONDS]`` and ``-W [MICROSECONDS]``, which has no effect any more."""
        if self.restoring:
            raise self.usage(f"You cannot use `-{letter}' from iptables-restore")
        value = self.next_word() if joined or self.has_word() else ""
        number = bool(_INTEGER.match(value))
        if letter == "W" and not number:
            raise self.usage(f"wait interval {'not numeric' if value else 'value required'}")
        if (value or joined) and not number:
            raise self.usage("wait seconds not numeric")
        if letter == "W":
            self.wait_interval = True
            self.warnings.append("Ignoring deprecated --wait-interval option.\n")
        self.seen += letter

    def load_match(self, word: Word) -> None:
        """Load the match that ``-m`` names; what nobody knows ends the command."""
        if len(octets(word.text)) >= MAX_NAME:
            raise self.usage(f'Invalid match name "{word.text}" ({MAX_NAME - 1} chars max)')
        if find_match(word.text, self.family) is None:
            raise self.no_match(f"there is no match {word.text!r}", word)
        super().load_match(word)

    def load_target(self, word: Word, _option: Word, *, goto: bool) -> None:
        """Note what ``-j`` or ``-g`` names; whether a chain is there shows later."""
        name = word.text
        if not name or len(name) >= MAX_NAME:
            short = "Invalid target name (too short)"
            raise self.usage(
                f"Invalid target name `{name}' ({MAX_NAME - 1} chars max)" if name else short
            )
        if re.search(r"\s", name, re.ASCII):
            raise self.usage(f"Invalid target name `{name}'")
        self.jumpto, self.goto = word, goto
        extension = None if goto else find_target(name, self.family)
        if extension is not None:
            self.target = (extension.under(self.dialect.backend), {}, [], word)

    def parsed(self, extension: Extension, option: Option, taken: list[Word], word: Word) -> object:
        """Return the value of an option's words; an ipset must be there, and of the family."""
        if option.name in _OF_SETS and len(taken) > 1:
            name = taken[0].text
            if name not in self.sets:
                raise self.usage(f"Set {name} doesn't exist.\n")
            family = self.sets[name][1]
            if family not in (0, self.family):
                said = (
                    f"The protocol family of set {name} is IPv{family}, which is not applicable.\n"
                )
                raise self.usage(said)
        return super().parsed(extension, option, taken, word)

    # ── Behind the last word ────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read everything, and complain about what does not go together, in iptables' order."""
        self.take_words()
        jumpto = self.jumpto.text if self.jumpto else ""
        if self.table == "nat" and "DROP" in (jumpto, self.name if "P" in self.command else ""):
            raise self.usage(_NO_DROP)
        if self.wait_interval and "w" not in self.seen:
            raise self.usage("--wait-interval only makes sense with --wait\n")
        self.finish_uses()
        if not self.command:
            raise self.usage("no command specified")
        if self.inverted:
            raise self.usage("nothing appropriate following !")
        self.finish_core()
        self.read_addresses()
        self.check_options()
        self.check_length(self.chain)
        option = _NO_INTERFACE.get(self.chain, "") if self.command[0] in "ACDIR" else ""
        if option and option in self.seen:
            raise self.usage(f"Can't use -{option} with {self.chain}\n")

    def read_addresses(self) -> None:
        """Read ``-s`` and ``-d``, each of which may name several networks."""
        for name, (word, inverted) in sorted(self.addresses.items(), reverse=True):
            parts = word.text.split(",")
            self.ends[name] = [self.address(name, part, inverted) for part in parts]
        several = any(len(found) > 1 for found in self.ends.values())
        if several and any(inverted for _, inverted in self.addresses.values()):
            raise self.usage("! not allowed with multiple source or destination IP addresses")
        if self.command == "R" and several:
            raise self.usage("Replacement rule does not specify a unique address")

    def address(self, name: str, text: str, inverted: bool) -> Setting:
        """Read one network."""
        option = self.every.by_name[name]
        try:
            return Setting(option.kind.parse([text], self.family), inverted)
        except ValueError as error:
            raise self.exit(self.translated(error, Word(text, 1), self.every, option)) from None

    def check_options(self) -> None:
        """Complain about an option that the command does not take."""
        commands = self.command if "#" not in self.command else self.command.replace("D", "")
        for letter in _ASKED:
            if letter in self.seen and not any(letter in _TAKEN[one] for one in commands):
                raise self.usage(f"Illegal option `-{letter}' with this command")

    def request(self) -> Request:
        """Read everything. Raise Exit with what iptables says, or Finished."""
        try:
            self.read()
        except RulesetError as error:
            raise self.exit(error) from None
        return Request(self.command, self.table, self.chain, self.named_chain, self.rulenum, self.name,
                       self.seen, self.verbose, self)  # fmt: skip

    def rules(self, chains: Container[str]) -> list[Rule]:
        """Return the rules that the words stand for: one for each source and destination."""
        rule = self.plain_rule()
        if self.jumpto and not rule.target:
            rule = rule._replace(jump=self.callee(chains), goto=self.goto)
        if prod(map(len, self.ends.values())) > MAX_RULES:
            raise LimitError(f"a command that stands for more than {MAX_RULES:,} rules")
        found = []
        for settings in product(*(self.ends.get(name, [None]) for name in ("-s", "-d"))):
            ends = {n: s for n, s in zip(("-s", "-d"), settings, strict=True) if s is not None}
            core = {**ends, **self.core}
            try:
                core = self.finish(self.every, core, Word("", 1))
            except RulesetError as error:
                raise self.exit(error) from None
            found.append(rule._replace(core=Use(self.every, core)))
        return found

    def plain_rule(self) -> Rule:
        """Return the rule without its addresses, and without the chain that it calls."""
        return Rule(self.family, Use(self.every, self.core), self.uses(), self.target_use(),
                    counters=self.kept() or ZERO)  # fmt: skip

    def kept(self) -> Counters | None:
        """Return the counters that ``-c`` gives; ip6tables-nft forgets a rule's."""
        return None if self.personality.nft and self.family == IPV6 else self.counters

    def number(self, word: Word, which: str) -> int:
        """Read a counter as sscanf(3) does."""
        if not re.match(r"\s*[+-]?[0-9]", word.text, re.ASCII):
            raise self.usage(f"-c {which} counter not numeric")
        return strtoul(word.text, 10)[0]

    def check_rule(self) -> None:
        """Complain about what iptables itself refuses in a rule as a whole."""
        if "#" in self.command or self.command not in _OF_RULES or self.refused:
            return
        rule = self.plain_rule()
        for use in (*rule.matches, *((rule.target,) if rule.target else ())):
            try:
                if use.extension.check is not None:
                    use.extension.check(use, rule)
            except RefusedError as error:
                if not error.kernel:
                    raise self.exit(self.translated(error, Word("", 1), use.extension)) from None

    def callee(self, chains: Container[str]) -> str:
        """Return the chain to which the rule jumps; complain if it is not there."""
        assert self.jumpto is not None
        name = self.jumpto.text
        if name in chains:
            return name
        said = f"Couldn't load target `{name}':No such file or directory\n"
        if self.personality.nft or self.goto:
            nft = self.personality.nft
            said = f"Chain '{name}' does not exist" if nft else f"goto '{name}' is not a chain"
        raise self.usage(said, suggest(name, known_names(self.family)))

    # ── What it says ────────────────────────────────────────────────────────────────

    def exit(self, error: RulesetError) -> Exit:
        """Return what iptables says of an error in the rule; our words are the hint."""
        said = error.said or error.reason
        found = self.usage(said)
        if error.status == 1:
            found.stderr = "".join(self.warnings) + self.personality.trouble(said).stderr
        if error.bare:
            found.stderr = "".join(self.warnings) + f"{said}\n{self.personality.try_help()}"
        found.status, found.hint = error.status, error.hint
        return found
