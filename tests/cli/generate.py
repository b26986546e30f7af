"""Makes sequences of commands from a seed: right ones, near misses and wrong ones.

``sequence(seed, backend, family)`` begins, more often than not, with a restore that leaves chains, rules
and counters; then come commands of every kind, and at last what the programs save.
"""

from __future__ import annotations

import re
from random import Random

from nb_lib.hooks import BUILTIN
from tests.cli import words as w
from tests.cli.damage import damaged
from tests.cli.play import Command
from tests.cli.restores import Restores
from tests.cli.rules import Rules

PROGRAMS = {4: "iptables", 6: "ip6tables"}
_LONG = {
    "-A": "--append", "-I": "--insert", "-D": "--delete", "-R": "--replace", "-C": "--check", "-L": "--list",
    "-S": "--list-rules", "-F": "--flush", "-Z": "--zero", "-N": "--new-chain", "-X": "--delete-chain",
    "-P": "--policy", "-E": "--rename-chain", "-n": "--numeric", "-v": "--verbose", "-x": "--exact",
    "-t": "--table", "-V": "--version", "-h": "--help",
}  # fmt: skip
_WAITS = ("-w", "-w 1", "-w5", "--wait", "--wait=2", "-w x", "-W 100", "-w -W 5")
_HELPED = (
    "-m tcp", "-j REJECT", "-p udp", "-m nosuch", "-j LOG", "-m conntrack", "-j ACCEPT", "-p icmp",
    "-m comment", "-j NOSUCH", "-j SNAT", "-m multiport -j DNAT", "-p tcp -m limit",
)  # fmt: skip
_SHOWN = {"n": 0.5, "v": 0.65, "x": 0.3}
_RESTORE_FLAGS = {
    "-c": 0.6, "--noflush": 0.2, "-n": 0.15, "--test": 0.06, "-t": 0.04, "-v": 0.08, "--counters": 0.1,
    "--verbose": 0.02, "-w": 0.03, "-w 5": 0.01, "-V": 0.01, "-h": 0.01, "-x": 0.01, "nosuchfile": 0.01,
    "-4": 0.01, "-6": 0.01, "-W 5": 0.01, "-M x": 0.01, "extra words": 0.005,
}  # fmt: skip
_KINDS = {
    "append": 22, "insert": 9, "replace": 5, "again": 12, "delete_number": 6, "listing": 36,
    "rules_listed": 17, "flush": 2, "zero": 4, "new": 7, "delete_chain": 4, "rename": 3, "policy": 5,
    "told": 1, "two_commands": 1, "nothing": 1, "save": 4, "restore": 7,
}  # fmt: skip


def sequence(seed: int, backend: str, family: int) -> list[Command]:
    """Return the commands of a seed, a save of either family last."""
    chance = Random(f"{seed} {backend} {family}")
    return Maker(chance, backend, family).sequence()


def _odd(word: str) -> bool:
    """Whether a word is left out: nothing, as a chain's new name, and a dash among short options.

    A chain without a name is none for ``-j``; and which word getopt(3) complains of when it meets a dash
    depends on what was read before.
    """
    return not word or re.match(r"-[a-zA-Z0-9]+-", word) is not None


class Maker:
    """Draws one sequence."""

    def __init__(self, chance: Random, backend: str, family: int) -> None:
        self.chance, self.backend, self.family = chance, backend, family
        self.rules = Rules(chance, family)
        self.restores = Restores(chance, self.rules)
        self.added: list[tuple[str, str, tuple[str, ...]]] = []  # table, chain, rule
        self.files: list[str] = []

    def sequence(self) -> list[Command]:
        """Return the whole sequence."""
        commands = []
        if self.chance.random() < 0.9:
            commands.append(Command((self.program("-restore"), "-c"), self.restores.sound()))
        commands += [self.command() for _ in range(self.chance.randint(6, 24))]
        used = {(PROGRAMS[f], b) for c in commands for f, b in [self.asked(c)]}
        return [*commands, *(Command((f"{p}-{b}-save", "-c")) for p, b in sorted(used))]

    def asked(self, command: Command) -> tuple[int, str]:
        name = command.words[0]
        return 6 if name.startswith("ip6") else 4, "legacy" if "legacy" in name else "nft"

    def program(self, suffix: str = "") -> str:
        """Return a program's name; a few commands are for the other family or the other backend."""
        backend, family = self.backend, self.family
        other = self.chance.random()
        if other < 0.02:
            family = 10 - family
        elif other < 0.03:
            backend = {"nft": "legacy", "legacy": "nft"}[backend]
        plain = backend == "nft" and self.chance.random() < 0.2
        return f"{PROGRAMS[family]}{'' if plain else f'-{backend}'}{suffix}"

    def command(self) -> Command:
        """Return one command, one in eight of them damaged."""
        kinds, weights = zip(*_KINDS.items(), strict=True)
        made = getattr(self, self.chance.choices(kinds, weights)[0])()
        command = made if isinstance(made, Command) else Command(self.line(made))
        if self.chance.random() < 0.12:
            words = damaged(command.words, self.chance)
            command = command if any(map(_odd, words)) else command._replace(words=words)
        return command

    def line(self, words: list[str]) -> tuple[str, ...]:
        """Put a program before the words of iptables itself, and now and then what any command takes."""
        if self.chance.random() < 0.05:
            words = [*words, *self.chance.choice(_WAITS).split()]
        if self.chance.random() < 0.03:
            words = [self.chance.choice(("-4", "-6", "--ipv4", "--ipv6")), *words]
        if self.chance.random() < 0.04:
            at = self.chance.randrange(len(words) + 1)
            words = [
                *words[:at],
                self.chance.choice(("-v", "-v", "-n", "-x", "-vv", "--line-numbers")),
                *words[at:],
            ]
        spelt = [_LONG[o] if o in _LONG and self.chance.random() < 0.15 else o for o in words]
        return (self.program(), *spelt)

    def table(self) -> tuple[str, list[str]]:
        """Return a table and the words that name it."""
        if self.chance.random() < 0.02:
            return "filter", ["-t", self.chance.choice(w.NO_TABLES)]
        table = self.rules.table()
        if table == "filter" and self.chance.random() < 0.8:
            return table, []
        return table, ["-t", table] if self.chance.random() < 0.9 else [f"-t{table}"]

    def place(self, words: list[str], named: list[str]) -> list[str]:
        """Put ``-t TABLE`` before, or now and then behind."""
        return [*named, *words] if self.chance.random() < 0.8 else [*words, *named]

    def number(self) -> str:
        return self.chance.choice(w.NUMBERS if self.chance.random() < 0.85 else w.NO_NUMBERS)

    # ── Commands ────────────────────────────────────────────────────────────────────

    def append(self) -> list[str]:
        table, named = self.table()
        chain, rule = self.rules.chain(table), self.rules.rule(table)
        self.added.append((table, chain, rule))
        return self.place(["-A", chain, *rule, *self.counters()], named)

    def insert(self) -> list[str]:
        table, named = self.table()
        chain, rule = self.rules.chain(table), self.rules.rule(table)
        self.added.append((table, chain, rule))
        number = [self.number()] if self.chance.random() < 0.4 else []
        return self.place(["-I", chain, *number, *rule, *self.counters()], named)

    def replace(self) -> list[str]:
        table, named = self.table()
        number = [self.number()] if self.chance.random() < 0.95 else []
        chain = self.rules.chain(table)
        return self.place(["-R", chain, *number, *self.rules.rule(table), *self.counters()], named)

    def again(self) -> list[str]:
        """Check for, delete or repeat a rule that was added before, or perhaps another."""
        if not self.added or self.chance.random() < 0.2:
            table, named = self.table()
            chain, rule = self.rules.chain(table), self.rules.rule(table)
        else:
            table, chain, rule = self.chance.choice(self.added)
            named = [] if table == "filter" else ["-t", table]
        verb = self.chance.choice(("-C", "-C", "-D", "-D", "-A"))
        return self.place([verb, chain, *rule, *self.counters(0.03)], named)

    def delete_number(self) -> list[str]:
        table, named = self.table()
        return self.place(["-D", self.rules.chain(table), self.number()], named)

    def listing(self) -> list[str]:
        """``-L`` in all its forms."""
        table, named = self.table()
        chain = [self.rules.chain(table)] if self.chance.random() < 0.5 else []
        number = [self.number()] if chain and self.chance.random() < 0.25 else []
        flags = [f for f in ("n", "v", "x", "v") if self.chance.random() < _SHOWN[f]]
        self.chance.shuffle(flags)
        numbers = ["--line-numbers"] if self.chance.random() < 0.25 else []
        if self.chance.random() < 0.5 and flags:
            asked = [f"-{''.join(flags)}L", *chain, *number, *numbers]
        else:
            asked = [*numbers, "-L", *chain, *number, *(f"-{flag}" for flag in flags)]
        zero = ["-Z"] if self.chance.random() < 0.05 else []
        return self.place([*asked, *zero], named)

    def rules_listed(self) -> list[str]:
        """``-S`` in all its forms."""
        table, named = self.table()
        chain = [self.rules.chain(table)] if self.chance.random() < 0.5 else []
        number = [self.number()] if chain and self.chance.random() < 0.25 else []
        verbose = ["-v"] if self.chance.random() < 0.7 else []
        zero = ["-Z"] if self.chance.random() < 0.05 else []
        return self.place([*verbose, "-S", *chain, *number, *zero], named)

    def flush(self) -> list[str]:
        table, named = self.table()
        return self.place(
            ["-F", *([self.rules.chain(table)] if self.chance.random() < 0.8 else [])], named
        )

    def zero(self) -> list[str]:
        table, named = self.table()
        chain = [self.rules.chain(table)] if self.chance.random() < 0.8 else []
        number = [self.number()] if chain and self.chance.random() < 0.5 else []
        return self.place(["-Z", *chain, *number], named)

    def new(self) -> list[str]:
        table, named = self.table()
        return self.place(
            ["-N", *([self.rules.own_chain(table)] if self.chance.random() < 0.97 else [])], named
        )

    def delete_chain(self) -> list[str]:
        table, named = self.table()
        return self.place(
            ["-X", *([self.rules.own_chain(table)] if self.chance.random() < 0.7 else [])], named
        )

    def rename(self) -> list[str]:
        table, named = self.table()
        names = [self.rules.own_chain(table) for _ in range(self.chance.choice((2, 2, 2, 2, 1)))]
        # A chain that is called like a target, or not at all, is taken for something else.
        names = [name if name in w.CHAINS or name.islower() else "renamed" for name in names]
        return self.place(["-E", *names], named)

    def policy(self) -> list[str]:
        table, named = self.table()
        chain = (
            self.chance.choice(list(BUILTIN[table]))
            if self.chance.random() < 0.8
            else self.rules.chain(table)
        )
        return self.place(["-P", chain, self.chance.choice(w.POLICIES), *self.counters(0.1)], named)

    def told(self) -> list[str]:
        """Help and version."""
        if self.chance.random() < 0.3:
            return [self.chance.choice(("-h", "-V", "--help", "--version"))]
        return [*self.chance.choice(_HELPED).split(), "-h"]

    def two_commands(self) -> list[str]:
        return [
            *self.flush(),
            *self.chance.choice((self.zero, self.listing, self.append, self.new))(),
        ]

    def nothing(self) -> list[str]:
        """Options without a command, words without an option."""
        return self.chance.choice((
            [], ["-n"], ["-t", "nat"], ["-p", "tcp", "--dport", "80"], ["INPUT"], ["-j", "ACCEPT"],
            list(self.rules.rule("filter")), ["-A"], ["-t"], ["--append"], ["-vn"], ["help"],
        ))  # fmt: skip

    def counters(self, share: float = 0.15) -> list[str]:
        """``-c PACKETS BYTES``."""
        if self.chance.random() >= share:
            return []
        pick = w.COUNTERS if self.chance.random() < 0.85 else w.NO_COUNTERS
        some = [self.chance.choice(pick), self.chance.choice(w.COUNTERS)]
        flag = self.chance.choice(("-c", "-c", "--set-counters"))
        if self.chance.random() < 0.1:
            return [flag, ",".join(some)]
        return [flag, *some]

    # ── The other programs ──────────────────────────────────────────────────────────

    def save(self) -> Command:
        words = [self.program("-save")]
        if self.chance.random() < 0.5:
            words.append("-c")
        if self.chance.random() < 0.4:
            words += [
                "-t",
                self.rules.table()
                if self.chance.random() < 0.9
                else self.chance.choice(w.NO_TABLES),
            ]
        if self.chance.random() < 0.1:
            self.files.append(self.chance.choice(("saved", "rules.v4")))
            words += ["-f", self.files[-1]]
        if self.chance.random() < 0.04:
            words.append(
                self.chance.choice(
                    ("-V", "-h", "-x", "extra", "--counters", "-d", "-4", "-6", "-f", "-t")
                )
            )
        return Command(tuple(words))

    def restore(self) -> Command:
        words = [self.program("-restore")]
        for flag, share in _RESTORE_FLAGS.items():
            if self.chance.random() < share:
                words += flag.split()
        if self.chance.random() < 0.1:
            words += [
                "-T",
                self.rules.table()
                if self.chance.random() < 0.9
                else self.chance.choice(w.NO_TABLES),
            ]
        if self.files and self.chance.random() < 0.3:
            return Command((*words, self.files[-1]))
        text = (
            self.restores.sound() if self.chance.random() < 0.4 else self.restores.perhaps_broken()
        )
        return Command(tuple(words), text)
