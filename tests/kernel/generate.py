"""Random rulesets from a seed: chains, jumps, gotos, policies, and the words of every extension.

Chains call and goto one another downwards, so there are no loops. A seed names a ruleset on every
machine and for ever, as long as this file and words.py stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from nb_lib.hooks import BUILTIN
from tests.kernel.words import MATCHES, PROTOCOLS, TARGETS, Words, fill

NETS = {
    4: ("10.1.0.0/24", "10.2.0.0/16", "10.1.0.2", "10.2.0.1", "0.0.0.1/0.0.0.255", "203.0.113.0/25"),
    6: ("fd00:1::/64", "fd00:2::2", "fd00::/16", "2001:db8::/33"),
}  # fmt: skip
DEVICES = ("r0", "r1", "r+", "lo")


class Rules:
    """Makes one ruleset. ``refused`` are words that this kernel does not take."""

    def __init__(self, seed: int, family: int, refused: frozenset[str] = frozenset()) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.family = family
        # Now and then nothing makes the kernel track connections: then nobody puts fragments together.
        self.tables = list(BUILTIN)
        if self.random.random() < 0.2:
            self.tables.remove("nat")
            refused |= {
                words.text
                for name in _TRACKING
                for words in (*MATCHES.get(name, ()), *TARGETS.get(name, ()))
            }
        self.refused = refused
        self.names = 0

    def dump(self) -> str:
        """Return a dump with one to five tables."""
        pick = self.random
        tables = [
            t for t in self.tables if pick.random() < (0.9 if t in ("filter", "nat") else 0.4)
        ]
        return "".join(self._table(table) for table in tables or ["filter"])

    def _table(self, table: str) -> str:
        pick = self.random
        users = [f"U{n}" for n in range(pick.randint(0, 3))]
        lines = [f"*{table}"]
        for chain in BUILTIN[table]:
            droppable = table not in ("nat", "raw") and pick.random() < 0.15
            lines.append(f":{chain} {'DROP' if droppable else 'ACCEPT'} [0:0]")
        lines += [f":{user} - [0:0]" for user in users]
        for chain in BUILTIN[table]:
            lines += [self._rule(table, chain, chain, users) for _ in range(pick.randint(0, 5))]
        for number, user in enumerate(users):
            below = users[number + 1 :]
            lines += [self._rule(table, user, "", below) for _ in range(pick.randint(0, 4))]
        return "\n".join([*lines, "COMMIT", ""])

    def _rule(self, table: str, chain: str, hook: str, below: list[str]) -> str:
        pick = self.random
        protocol = pick.choice(PROTOCOLS[self.family])
        words = [f"-A {chain}", *self._core(hook), f"-p {protocol}" if protocol else ""]
        fitting = self._fitting(MATCHES, protocol, hook, table)
        names = pick.sample(fitting, pick.choice((0, 0, 1, 1, 1, 2)))
        if protocol and pick.random() < 0.6:
            names.insert(0, _OWN.get(protocol, "multiport"))
        # A chance comes last: what a match behind it remembers would depend on a draw that nobody sees.
        names.sort(key="statistic".__eq__)
        target = self._target(protocol, hook, table, below)
        words += [
            self._words(MATCHES[name], protocol, hook, table) for name in dict.fromkeys(names)
        ]
        words.append(target)
        return " ".join(filter(None, words))

    def _core(self, hook: str) -> Iterator[str]:
        pick = self.random

        def negated() -> str:
            return "! " if pick.random() < 0.25 else ""

        if pick.random() < 0.2:
            yield f"{negated()}-s {pick.choice(NETS[self.family])}"
        if pick.random() < 0.2:
            yield f"{negated()}-d {pick.choice(NETS[self.family])}"
        # A user chain may be called from anywhere, and -o is no test for PREROUTING.
        if hook in ("PREROUTING", "INPUT", "FORWARD") and pick.random() < 0.25:
            yield f"{negated()}-i {pick.choice(DEVICES)}"
        if hook in ("POSTROUTING", "OUTPUT", "FORWARD") and pick.random() < 0.25:
            yield f"{negated()}-o {pick.choice(DEVICES)}"
        if self.family == 4 and pick.random() < 0.03:
            yield f"{negated()}-f"

    def _words(self, rows: tuple[Words, ...], protocol: str, hook: str, table: str) -> str:
        """Return one way to say it that fits here, or nothing."""
        fitting = [
            row for row in rows if row.fit(self.family, protocol, hook, table)
            if row.text not in self.refused
        ]  # fmt: skip
        if not fitting:
            return ""
        self.names += 1
        return fill(self.random.choice(fitting).text, self.random, f"{self.seed}x{self.names}")

    def _target(self, protocol: str, hook: str, table: str, below: list[str]) -> str:
        pick = self.random
        if below and pick.random() < 0.3:
            return f"{pick.choice(('-j', '-j', '-g'))} {pick.choice(below)}"
        kinds = self._fitting(TARGETS, protocol, hook, table)
        if pick.random() < 0.4:
            kinds = _COMMON
        elif table == "nat" and pick.random() < 0.7:
            kinds = _NAT
        elif protocol == "tcp" and pick.random() < 0.5:
            kinds = [kind for kind in kinds if kind in _TCP] or kinds
        return self._words(TARGETS[pick.choice(kinds)], protocol, hook, table)

    def _fitting(self, table_of_words: Mapping[str, tuple[Words, ...]], *where: str) -> list[str]:
        """Return the extensions that have something to say in this place."""
        return sorted(
            name
            for name, rows in table_of_words.items()
            if any(row.fit(self.family, *where) and row.text not in self.refused for row in rows)
        )


_OWN = {"tcp": "tcp", "udp": "udp", "sctp": "sctp", "dccp": "dccp", "icmp": "icmp", "ipv6-icmp": "icmp6",
        "ah": "ah", "esp": "esp", "mh": "mh"}  # fmt: skip
_TRACKING = ("state", "conntrack", "connmark", "connbytes", "connlabel", "helper", "CONNMARK", "CT",
             "SYNPROXY", "CONNSECMARK", "NOTRACK")  # fmt: skip
_COMMON = ["ACCEPT", "RETURN", "DROP", "", "LOG", "REJECT", "MARK"]
_TCP = ["ECN", "SYNPROXY", "TCPMSS", "TCPOPTSTRIP", "TPROXY"]  # few rules can hold them
_NAT = ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"]
