"""What the chapters type: the real programs, on a host with the same rules, print the same and exit alike.

A chapter is followed cell by cell. For each ``%%iptables`` cell a network namespace gets the rules and
counters that the cell found, and a shell types its lines.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest

from nb_lib.cli import State, run
from nb_lib.cli.machine import machine
from nb_lib.cli.personality import Personality
from nb_lib.cli.terminal import Shown
from nb_lib.errors import NbError
from nb_lib.magics import Machines
from tests.cli.compare import dateless
from tests.cli.play import MULTI
from tests.conftest import find_program

pytestmark = [pytest.mark.kernel, pytest.mark.needs(*MULTI.values(), "sh")]
BOOK = Path(__file__).parents[2] / "book"
MAGIC = "%%iptables"
CHAPTERS = [p for p in sorted(BOOK.glob("*.ipynb")) if MAGIC in p.read_text(encoding="utf-8")]


class Typed(NamedTuple):
    """A cell: the host before it, and what nb_lib showed of its lines."""

    before: State
    shown: tuple[Shown, ...]


def typed(chapter: Path) -> Iterator[Typed]:
    """Run a chapter; yield its cells that type commands."""
    names: dict[str, Any] = {}
    machines = Machines(names)
    for cell in nbformat.read(chapter, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        if cell.source.startswith(MAGIC):
            head, _, body = cell.source.partition("\n")
            name = head.removeprefix(MAGIC).strip()
            before = machine(names.get(name, State()))
            yield Typed(before, tuple(machines.cell(name, body).shown))
        else:
            source = "\n".join(line for line in cell.source.splitlines() if line[:1] != "%")
            announced = "raises-exception" in cell.metadata.get("tags", [])
            with contextlib.suppress(*[NbError] * announced):
                exec(source, names)  # noqa: S102 - the book's own cells


def script(cell: Typed) -> Iterator[str]:
    """Yield the lines of a shell script: load what was there, type, keep what came of each line."""
    for family, backend in reversed(cell.before.rulesets):
        program = f"{Personality(family, backend).base}-{backend}"
        dump = run(cell.before, [f"{program}-save", "-c"]).stdout
        yield f"{program}-restore -c <<'END OF DUMP'\n{dump}END OF DUMP"
    for number, entry in enumerate(cell.shown):
        yield f"{{ {entry.line}\n}} >{number}.out 2>{number}.err; echo $? >{number}.status"


def programs(folder: Path) -> Path:
    """Make a folder in which iptables is iptables-nft, under its own name, as Debian links it."""
    folder.mkdir(parents=True)
    for base, kind in product(("iptables", "ip6tables"), ("", "-save", "-restore")):
        (folder / f"{base}{kind}").symlink_to(find_program(MULTI["nft"]) or "")
    return folder


def real(cell: Typed, folder: Path) -> list[tuple[str, str, str, int]]:
    """Type a cell's lines with the real programs; return line, stdout, stderr and status of each."""
    path = f"{programs(folder / 'programs')}:{os.environ['PATH']}"
    subprocess.run(
        ["unshare", "--net", "sh", "-c", "\n".join(script(cell))],
        cwd=folder, check=True, timeout=60,
        env={"PATH": path, "LC_ALL": "C", "TZ": "UTC", "XTABLES_LOCKFILE": str(folder / "lock")},
    )  # fmt: skip
    return [
        (
            entry.line,
            dateless((folder / f"{n}.out").read_text()),
            dateless((folder / f"{n}.err").read_text()),
            int((folder / f"{n}.status").read_text()),
        )
        for n, entry in enumerate(cell.shown)
    ]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_real_programs_answer_as_the_chapter_shows(chapter, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(BOOK)
    lines = 0
    for number, cell in enumerate(typed(chapter)):
        ours = [
            (one.line, dateless(one.stdout), dateless(one.stderr), one.status) for one in cell.shown
        ]
        assert ours == real(cell, tmp_path / str(number))
        lines += len(ours)
    assert lines >= 5
