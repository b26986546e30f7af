"""Dumps, whole and damaged: pieces of recorded ones, new ones of known rules, structures that go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from random import Random

from nb_lib.hooks import builtin
from nb_lib.net import ARP, BRIDGE
from nb_lib.text import check, parse
from tests.extensions.judge import Case as Asked
from tests.extensions.recorded import recorded as asked
from tests.fuzz.text import DAMAGES, EDGES, MARKUP, ODD, Damage, damaged
from tests.link.rules import FAMILIES
from tests.link.rules import dumps as link_dumps
from tests.recordings import dumps

_CHAIN = re.compile(r"-A (\S+)|-[jg] (\S+)")
NAMES = [
    "ACCEPT",
    "INPUT",
    "RETURN",
    "x" * 28,
    "x" * 29,
    "x" * 200,
    "-j",
    "!",
    "a b",
    "*",
    ":",
    "☃",
    "\udc80",
    "\0",
    *MARKUP,
]


@cache
def _recorded() -> list[tuple[int, list[str]]]:
    """Return the family and the lines of every table of every recorded dump."""
    found = []
    for name, text in sorted(dumps().items()):
        family = 6 if re.search(r"ip6tables|\.ip6\.", name) else 4
        tables = re.findall(r"^\*.*?^COMMIT", text, re.DOTALL | re.MULTILINE)
        found += [(family, table.split("\n")) for table in tables]
    return found


@cache
def _known() -> dict[tuple[int, str], list[str]]:
    """Return every rule that the real iptables was asked about, by family and table."""
    return _filed(asked())


@cache
def _accepted() -> dict[tuple[int, str], list[str]]:
    """Return those that it took."""
    return _filed([case for case, saved in asked().items() if saved])


def _filed(cases: Iterable[Asked]) -> dict[tuple[int, str], list[str]]:
    found: dict[tuple[int, str], list[str]] = {}
    for case in cases:
        found.setdefault((case.family, case.table), []).append(case.rule)
    return found


@cache
def _link() -> list[tuple[int, str]]:
    return [(family, dump) for name, family in FAMILIES.items() for dump in link_dumps(name)]


def piece(pick: Random) -> tuple[int, str]:
    """Return some neighbouring rules of a recorded table, with the chains that they name."""
    family, lines = pick.choice(_recorded())
    rules = [line for line in lines if "-A " in line]
    at = pick.randrange(max(1, len(rules) - 1))
    window = rules[at : at + pick.choice((1, 3, 10, 30))]
    named = {name for line in window for pair in _CHAIN.findall(line) for name in pair}
    heads = [line for line in lines if line[:1] == ":" and line[1:].partition(" ")[0] in named]
    return family, "\n".join([lines[0], *heads, *window, "COMMIT", ""])


def composed(pick: Random, family: int, most: int = 8) -> str:
    """Return a dump of rules that were never in one: right and wrong ones, of one table."""
    tables = [table for known, table in _known() if known == family]
    table = pick.choice(tables)
    chains = [*builtin(family, "nft")[table], "one", "two"]
    lines = [
        f"-A {pick.choice(chains)} {pick.choice(_known()[family, table])}"
        for _ in range(pick.randint(1, most))
    ]
    calls = [
        f"-A {pick.choice(chains)} {pick.choice(('-j', '-g'))} {pick.choice(('one', 'two'))}"
    ] * pick.randint(0, 2)
    return "\n".join([f"*{table}", ":one - [0:0]", ":two - [0:0]", *lines, *calls, "COMMIT", ""])


@cache
def sound(seed: int, family: int) -> str:
    """Return a dump of several tables of accepted rules, for packets to go through."""
    pick = Random(f"sound {seed}")
    kept = []
    for table in pick.sample(("raw", "mangle", "nat", "filter"), 3):
        chains = [*builtin(family, "nft")[table], "one"]
        rules = pick.sample(_accepted()[family, table], 40)
        lines = [f"-A {pick.choice(chains)} {rule}" for rule in rules]
        fine = [line for line in lines if _fine(table, line, family)]
        kept += [f"*{table}", ":one - [0:0]", *fine, f"-A {chains[0]} -j one", "COMMIT"]
    return "\n".join([*kept, ""])


def _fine(table: str, line: str, family: int) -> bool:
    """Whether it fits its chain, which was not asked."""
    return not check(parse(f"*{table}\n:one - [0:0]\n{line}\nCOMMIT\n", family=family))


# --- structures that go wrong ---


def renamed(pick: Random, text: str) -> str:
    """Call a chain something else, everywhere or once."""
    names = [name for pair in _CHAIN.findall(text) for name in pair if name]
    if not names:
        return text
    return text.replace(pick.choice(names), pick.choice((*NAMES, *names)), pick.choice((-1, 1)))


def looped(pick: Random, text: str) -> str:
    """Let chains call each other."""
    names = [name for pair in _CHAIN.findall(text) for name in pair if name] or ["INPUT"]
    lines = [
        f"-A {pick.choice(names)} {pick.choice(('-j', '-g'))} {pick.choice(names)}"
        for _ in range(3)
    ]
    return text.replace("COMMIT", "\n".join([*lines, "COMMIT"]), 1)


def without(pick: Random, text: str) -> str:
    """Leave out a line that holds the rest together."""
    return text.replace(pick.choice(("COMMIT", "*filter", "*nat", "\n:", "-A ", "\n")), "", 1)


def counted(pick: Random, text: str) -> str:
    """Put strange counters before rules and behind policies."""
    counter = f"[{pick.choice(EDGES)}:{pick.choice(EDGES)}]"
    return pick.choice((text.replace("-A ", f"{counter} -A "), text.replace("[0:0]", counter),
                        text.replace("-A ", f"-c {counter[1:-1].replace(':', ' ')} -A ", 1)))  # fmt: skip


def headed(pick: Random, text: str) -> str:
    """Add a table, one that exists or not, before or behind."""
    name = pick.choice(("filter", "nat", "raw", "mangle", "security", "broute", "", "x", *ODD))
    other = f"*{name}\n:x {pick.choice(('-', 'ACCEPT', 'DROP', 'QUEUE', 'x', ''))} [0:0]\n-A x -j x\nCOMMIT\n"
    return pick.choice((other + text, text + other))


STRUCTURE: tuple[Damage, ...] = (renamed, looped, without, counted, headed)


def vast(pick: Random) -> str:
    """Return a dump that is large or deep in one way."""
    many = pick.choice((1_000, 10_000))
    chains = [f":c{n} - [0:0]" for n in range(many)]
    call = pick.choice(("-j", "-g"))
    deep = [f"-A c{n} {call} c{n + 1}" for n in range(many - 1)]
    body = pick.choice((
        [*chains, f"-A INPUT {call} c0", *deep],
        [*chains, f"-A INPUT {call} c0", *deep, f"-A c{many - 1} {call} c0"],
        [*chains, *(f"-A INPUT {call} c{n}" for n in range(many))],
        [*chains[:20], "-A INPUT -j c0", *(f"-A c{n} -j c{n + 1}" for n in range(19) for _ in range(4))],
        [*["-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT"] * 500],
        ["-A INPUT -j ACCEPT"] * many,
        [f"-A INPUT -s 10.{n >> 8 & 255}.{n & 255}.1 -j ACCEPT" for n in range(many)],
        ["-A INPUT " + "-m comment --comment x " * many],
        ["-A INPUT -m multiport --dports " + ",".join(map(str, range(many))) + " -j ACCEPT"],
        ["-A INPUT -s " + ",".join(f"10.0.{n >> 8 & 255}.{n & 255}" for n in range(many))],
    ))  # fmt: skip
    return "\n".join(["*filter", *body, "COMMIT", ""])


def dump(pick: Random) -> tuple[int, str]:
    """Return a family and a dump, damaged or not."""
    chance = pick.random()
    if chance < 0.0004:
        return 4, vast(pick)
    if chance < 0.1:
        family, text = pick.choice(_link())
    elif chance < 0.5:
        family, text = piece(pick)
    else:
        family = pick.choice((4, 6))
        text = composed(pick, family)
    if pick.random() < 0.03:
        family = pick.choice((4, 6, ARP, BRIDGE))
    return family, damaged(pick, text, (*DAMAGES, *STRUCTURE))
