"""Calls followed one by one tell what a look at the whole table tells; test_live.py asks the kernel."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from benchmarks.kube import dump
from nb_lib.cli.calls import Calls
from nb_lib.cli.run import run
from nb_lib.cli.state import State

USERS = [f"u{n}" for n in range(7)]
TARGETS = (
    "ACCEPT",
    "MASQUERADE",
    "DNAT --to-destination 10.0.0.1",
    "SNAT --to-source 10.0.0.2",
    "REDIRECT",
)
RULES = 4_000
LIMIT = 4.0  # seconds of processor time: one look at the whole table a rule took ten times that


def lines(pick: random.Random) -> Iterator[str]:
    """Yield a table's lines: calls up and down, targets in wrong places, rules and chains that go again."""
    yield from ("*nat", *(f":{user} - [0:0]" for user in USERS))
    bases = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
    for _ in range(pick.randint(5, 40)):
        chain = pick.choice((*bases, *USERS))
        down = chain not in USERS or pick.random() < 0.1
        below = USERS if down else USERS[USERS.index(chain) + 1 :]
        target = pick.choice((*below, *below, *TARGETS)) if below else pick.choice(TARGETS)
        how = "-g" if target in USERS and pick.random() < 0.2 else "-j"
        yield f"-A {chain} {'-p udp ' * (pick.random() < 0.3)}{how} {target}"
        if pick.random() < 0.1:
            yield pick.choice(
                (f"-F {chain}", f"-D {chain} 1", f"-A {chain} -s 1.1.1.1,2.2.2.2 {how} {target}")
            )
    yield "COMMIT"


def long(pick: random.Random) -> Iterator[str]:
    """Yield a table whose chains call each other in a row, linked in any order."""
    count = pick.randint(12, 18)
    links = [("FORWARD" if n == 0 else f"c{n}", f"c{n + 1}") for n in range(count)]
    pick.shuffle(links)
    yield from ("*filter", *(f":c{n + 1} - [0:0]" for n in range(count)))
    yield from (f"-A {caller} -j {callee}" for caller, callee in links)
    yield "COMMIT"


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("seed", range(60))
def test_the_same_is_refused(monkeypatch, backend: str, seed: int) -> None:
    pick = random.Random(seed)
    text = "".join(f"{line}\n" for line in (long if seed % 6 == 0 else lines)(pick))
    quick = run(State(), [f"iptables-{backend}-restore"], stdin=text)
    monkeypatch.setattr(Calls, "admit", lambda *_: False)
    whole = run(State(), [f"iptables-{backend}-restore"], stdin=text)
    assert (quick.status, quick.stderr) == (whole.status, whole.stderr)
    saved = [run(done.state, [f"iptables-{backend}-save"]).stdout for done in (quick, whole)]
    assert saved[0] == saved[1]


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_large_dump_is_restored_in_seconds(backend: str) -> None:
    text, _ = dump(rules=RULES)
    start = time.process_time()
    assert run(State(), [f"iptables-{backend}-restore"], stdin=text).status == 0
    assert time.process_time() - start < LIMIT
