"""1,000 rules appended one by one, each a command of its own, to a ruleset of 10,000 rules."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

from benchmarks.kube import dump
from nb_lib.cli import iptables
from nb_lib.rules import Ruleset
from nb_lib.text import parse

COMMANDS, RULES = 1_000, 10_000


def flat() -> Ruleset:
    """Return a ruleset of one long chain, with a user chain beside it."""
    rules = "".join(
        f"-A INPUT -s 10.{n >> 8}.{n & 255}.0/24 -p tcp -m tcp --dport {n} -j ACCEPT\n"
        for n in range(RULES)
    )
    return parse(f"*filter\n:INPUT DROP [0:0]\n:web - [0:0]\n{rules}COMMIT\n")


def lines(table: str, chain: str, target: str) -> Iterator[str]:
    """Yield the commands."""
    for n in range(COMMANDS):
        match = f"-s 192.168.{n >> 8}.{n & 255} -p tcp --dport {n} -m conntrack --ctstate NEW"
        yield f"-t {table} -A {chain} {match} -j {target}"


def append(ruleset: Ruleset, table: str, chain: str, target: str) -> float:
    """Return the seconds of processor time that the commands take."""
    commands = list(lines(table, chain, target))
    done = iptables(ruleset, "-V")
    gc.collect()
    start = time.process_time()
    for command in commands:
        done = iptables(done, command)
    took = time.process_time() - start
    assert len(done.ruleset[table][chain].rules) == len(ruleset[table][chain].rules) + COMMANDS
    return took


def measured() -> dict[str, float]:
    """Return the seconds of each kind of ruleset and rule, the best of three."""
    one, many = flat(), parse(dump(rules=RULES)[0])
    kinds = {
        "one chain, ACCEPT": (one, "filter", "INPUT", "ACCEPT"),
        "one chain, a jump": (one, "filter", "INPUT", "web"),
        "kube-proxy's nat, ACCEPT": (many, "nat", "PREROUTING", "ACCEPT"),
    }
    return {name: min(append(*kind) for _ in range(3)) for name, kind in kinds.items()}
