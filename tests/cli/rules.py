"""Draws chains and rules: the core's options, matches and a target in any order, right and wrong."""

from __future__ import annotations

import re
from random import Random

from nb_lib.hooks import BUILTIN
from tests.cli import words as w

_HOLE = re.compile(r"\{([a-z ]+)\}")
_FILLINGS = {"state": w.STATES, "comment": w.COMMENTS, "no chain": w.NO_CHAINS}


class Rules:
    """Draws the words of rules for one family."""

    def __init__(self, chance: Random, family: int) -> None:
        self.chance, self.family = chance, family
        self.chains = chance.sample(w.CHAINS, 3)  # few names, so that they meet again
        self.tables = ["filter", self._any_table()]

    def table(self) -> str:
        """Return one of the sequence's two tables, or now and then any."""
        if self.chance.random() < 0.9:
            return self.chance.choice(self.tables)
        return self._any_table()

    def _any_table(self) -> str:
        return self.chance.choices(list(w.TABLES), list(w.TABLES.values()))[0]

    def chain(self, table: str) -> str:
        """Return a chain: built-in, a user's, or one that is missing or cannot be."""
        draw = self.chance.random()
        if draw < 0.55:
            return self.chance.choice(list(BUILTIN[table]))
        return self.own_chain(table) if draw > 0.58 else self.chance.choice(w.NO_CHAINS)

    def own_chain(self, table: str) -> str:
        """Return a user's chain, mostly."""
        draw = self.chance.random()
        if draw < 0.93:
            return self.chance.choice(self.chains)
        return self.chance.choice(w.NO_CHAINS if draw < 0.97 else list(BUILTIN[table]))

    def rule(self, table: str) -> tuple[str, ...]:
        """Return a rule without its chain."""
        draw = self.chance.random()
        if draw < 0.4:
            return self.sound_rule(table)
        if draw < 0.6:
            return self._written(table)
        parts = self._core()
        matches = [
            self._filled(self.chance.choice(w.MATCHES))
            for _ in range(self.chance.choice((0, 0, 0, 1, 1, 2)))
        ]
        own = w.TARGETS.get(table, ())
        target = self._filled(
            self.chance.choice(own if own and self.chance.random() < 0.5 else w.TARGETS[""])
        )
        parts += matches
        if self.chance.random() < 0.15:
            self.chance.shuffle(parts)
        at = self.chance.randrange(len(parts) + 1) if self.chance.random() < 0.1 else len(parts)
        parts.insert(at, target)
        return tuple(word for part in parts for word in part)

    def sound_rule(self, table: str) -> tuple[str, ...]:
        """Return a rule that is right on every machine."""
        protocol = self.chance.choice(("tcp", "udp", "tcp", ""))
        some = ["-p", protocol] if protocol else []
        if self.chance.random() < 0.5:
            some = ["-s", self._one(f"address {self.family}"), *some]
        if protocol and self.chance.random() < 0.7:
            some += ["--dport", self._one("port")]
        if self.chance.random() < 0.3:
            some += ["-m", "comment", "--comment", self.chance.choice(w.COMMENTS[:4])]
        target = self.chance.choice(("ACCEPT", "ACCEPT", "DROP", "RETURN", "LOG", ""))
        return (*some, *(["-j", target] if target and (table, target) != ("nat", "DROP") else []))

    def _written(self, table: str) -> tuple[str, ...]:
        rules = w.written_rules(self.family)
        for _ in range(6):  # of its own table, if luck will have it
            its_table, words = self.chance.choice(rules)
            if its_table == table:
                break
        return words

    def _core(self) -> list[list[str]]:
        """Draw some of the options that every rule may have."""
        parts = []
        if self.chance.random() < 0.45:
            parts.append(self._maybe_negated(["-p", self._good_or_bad("protocol", "no protocol")]))
            if self.chance.random() < 0.6:
                port = self.chance.choice(
                    ("--dport", "--dport", "--sport", "--destination-port", "--dports")
                )
                parts.append(self._maybe_negated([port, self._good_or_bad("port", "no port")]))
        for flag in ("-s", "-d"):
            if self.chance.random() < 0.25:
                many = "addresses" if self.chance.random() < 0.15 else "address"
                address = self._good_or_bad(f"{many} {self.family}", f"no address {self.family}")
                parts.append(self._maybe_negated([flag, address]))
        for flag in ("-i", "-o"):
            if self.chance.random() < 0.15:
                name = self._good_or_bad("interface", "no interface")
                parts.append(self._maybe_negated([flag, name]))
        if self.chance.random() < 0.03:
            parts.append(
                self._maybe_negated([self.chance.choice(("-f", "--fragments", "--fragment"))])
            )
        return parts

    def _maybe_negated(self, words: list[str]) -> list[str]:
        return ["!", *words] if self.chance.random() < 0.12 else words

    def _good_or_bad(self, good: str, bad: str) -> str:
        return self._one(bad if self.chance.random() < 0.08 else good)

    def _one(self, kind: str) -> str:
        return self.chance.choice(w.VALUES[kind])

    def _filled(self, pattern: str) -> list[str]:
        """Return a pattern's words, the holes filled."""
        words = re.findall(r"(?:\{[^}]*\}|[^ {])+", pattern)
        return [
            _HOLE.sub(lambda hole: self._fill(hole[1]), word).replace("''", "") for word in words
        ]

    def _fill(self, kind: str) -> str:
        if kind == "family":
            return str(self.family)
        if kind == "chain":
            return self.chance.choice(self.chains)
        return self.chance.choice(
            _FILLINGS.get(kind) or w.BY_FAMILY[self.family].get(kind) or w.VALUES[kind]
        )
