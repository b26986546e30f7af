"""What iptables says of every rule of tests/extensions, and how it lists those that it takes.

``python -m tests.cli --record`` asks the real iptables and writes said.jsonl.xz: for each case of
``tests.extensions.recorded`` and in its order one line, [status, stderr] of ``-A c RULE``, for an
accepted rule followed by how ``-L c -n`` and ``-L c -v`` show it, and by what calling the chain gave if
the case has a caller. ``python -m tests.cli --said`` prints the figures.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from nb_lib.cli import State, run
from nb_lib.text.lexer import words
from tests.cli.play import SETS, Command, play_all
from tests.extensions.figures import extensions
from tests.extensions.judge import Case
from tests.extensions.recorded import recorded

FILE = Path(__file__).with_name("said.jsonl.xz")
# What still differs, and why: a pattern of rules → a reason.
REMAINING: dict[str, str] = {}
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_AT_ONCE = 50  # rules judged in one namespace


class Said(NamedTuple):
    """What was said of one rule, and how it is listed with ``-n`` and with ``-v``."""

    status: int
    stderr: str
    numeric: str = ""
    verbose: str = ""
    call: tuple[int, str] = (0, "")  # status and stderr of the call from a built-in chain


def asked(every: int = 1) -> list[Case]:
    """Return one of ``every`` so many cases; those over a stand-in have no program to type at."""
    return [case for case in recorded() if case.backend != "stand-in"][::every]


@cache
def heard() -> dict[Case, Said]:
    """Return what was recorded."""
    lines = lzma.decompress(FILE.read_bytes()).decode().splitlines()
    rows = (json.loads(line) for line in lines)
    return {case: _read(*row) for case, row in zip(asked(), rows, strict=True)}


def _read(status: int, stderr: str, *rest: Any) -> Said:
    numeric, verbose, call = (*rest, *("", "", (0, ""))[len(rest) :])
    return Said(status, stderr, numeric, verbose, tuple(call))


def record() -> None:
    """Ask the real iptables about every case, and write what it says."""
    lines = []
    for said in ask(asked()):
        row = list(said) if said.status == 0 else [said.status, said.stderr]
        while len(row) > 2 and row[-1] in ("", (0, "")):
            row.pop()
        lines.append(json.dumps(row, ensure_ascii=False))
    FILE.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))


def commands(case: Case) -> list[Command]:
    """Return what is typed for one case, in a table in which the chain c is there and empty."""
    program = (f"{_PROGRAMS[case.family]}-{case.backend}", "-t", case.table)
    typed = [
        ("-A", "c", *(word.text for word in words(case.rule))),
        ("-L", "c", "-n"),
        ("-L", "c", "-v"),
        *([("-A", case.caller, "-j", "c"), ("-F", case.caller)] if case.caller else []),
        ("-F", "c"),
    ]
    return [Command((*program, *line)) for line in typed]


def ask(cases: Sequence[Case]) -> Iterator[Said]:
    """Yield what the real programs of this machine say of each case (root)."""
    parts = [cases[at : at + _AT_ONCE] for at in range(0, len(cases), _AT_ONCE)]
    for part, (_, played) in zip(
        parts, play_all(map(_sequence, parts), prepared=True), strict=True
    ):
        results = iter(played.said[_prelude(part) :])
        for case in part:
            added, numeric, verbose, *call = [next(results) for _ in commands(case)]
            if added.status:
                yield Said(added.status, added.stderr)
            else:
                called = (call[0].status, call[0].stderr) if case.caller else (0, "")
                yield Said(0, added.stderr, _rules(numeric.stdout), _rules(verbose.stdout), called)


def _places(cases: Iterable[Case]) -> list[tuple[str, str]]:
    return sorted({(f"{_PROGRAMS[c.family]}-{c.backend}", c.table) for c in cases})


def _prelude(cases: Sequence[Case]) -> int:
    return len(_places(cases))


def _sequence(cases: Sequence[Case]) -> list[Command]:
    made = [Command((program, "-t", table, "-N", "c")) for program, table in _places(cases)]
    return [*made, *(command for case in cases for command in commands(case))]


def _rules(listing: str) -> str:
    """Return the lines of a chain's rules, below its name and the heads of the columns."""
    return "".join(listing.splitlines(keepends=True)[2:])


# ── nb_lib ──────────────────────────────────────────────────────────────────────────


@cache
def _state(program: str, table: str) -> State:
    return run(State(sets=dict(SETS)), (program, "-t", table, "-N", "c")).state


def ours(case: Case) -> Said:
    """Return what nb_lib says of a case."""
    add, numeric, verbose, *call = (command.words for command in commands(case))
    added = run(_state(add[0], case.table), add)
    if added.status:
        return Said(added.status, added.stderr)
    listings = [_rules(run(added.state, line).stdout) for line in (numeric, verbose)]
    called = run(added.state, call[0]) if case.caller else None
    return Said(0, added.stderr, *listings, (called.status, called.stderr) if called else (0, ""))


def _survived(case: Case) -> Said:
    try:
        return ours(case)
    except Exception as error:  # noqa: BLE001 - whatever it is, it differs
        return Said(-1, repr(error))


def reason(case: Case) -> str:
    """Return why a rule is known to differ, or an empty string."""
    words = f"{case.backend} {case.family} {case.table} {case.rule}"
    return next((why for pattern, why in REMAINING.items() if re.search(pattern, words)), "")


class Row(NamedTuple):
    """How many rules there are, and of how many nb_lib says and shows the same."""

    rules: int
    said: int
    listed: int
    accepted: int


def figures(
    said: Mapping[Case, Said],
) -> tuple[dict[tuple[str, str], Row], dict[Case, str]]:
    """Return the figures by extension and backend, and what differs."""
    rows: dict[tuple[str, str], Row] = {}
    wrong = {}
    for case, real in said.items():
        mine = _survived(case)
        same = (mine.status, mine.stderr, mine.call) == (real.status, real.stderr, real.call)
        shown = (mine.numeric, mine.verbose) == (real.numeric, real.verbose)
        accepted = real.status == 0
        for name in sorted({name.partition("/")[0] for name in extensions(case)} | {"all rules"}):
            row = rows.get((name, case.backend), Row(0, 0, 0, 0))
            rows[name, case.backend] = Row(
                row.rules + 1,
                row.said + same,
                row.listed + (accepted and shown),
                row.accepted + accepted,
            )
        if not (same and shown):
            place = f"{case.table}:{case.caller}" if case.caller else case.table
            words = f"{case.backend} {case.family} {place} {case.rule}"
            wrong[case] = f"{words}\n  real   {real}\n  nb_lib {mine}"
    return rows, wrong


def table(rows: dict[tuple[str, str], Row]) -> str:
    """Return the figures as text."""
    lines = [
        f"{'extension':<12}{'backend':<9}{'rules':>7}{'said':>7}{'%':>8}{'taken':>8}{'listed':>8}{'%':>8}"
    ]
    for (name, backend), row in sorted(rows.items()):
        lines.append(
            f"{name:<12}{backend:<9}{row.rules:>7,}{row.said:>7,}{_share(row.said, row.rules)}"
            f"{row.accepted:>8,}{row.listed:>8,}{_share(row.listed, row.accepted)}"
        )
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:>8.2f}" if whole else " " * 8
