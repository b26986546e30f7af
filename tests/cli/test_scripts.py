"""Shell scripts written for the real iptables run against the emulator unchanged.

Each runs twice, with the real programs and with the shim before the others on PATH, both times in a
network namespace of its own: the same output, the same status, the same rules afterwards.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

from nb_lib.cli.programs import STATE, make_shims
from tests.cli.compare import dateless
from tests.cli.play import MULTI
from tests.conftest import find_program
from tests.kernel.real import body

pytestmark = [pytest.mark.kernel, pytest.mark.needs(*MULTI.values(), "bash")]
SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.sh"))
_KINDS = ("", "-save", "-restore")
_NAMES = [f"{base}{kind}" for base in ("iptables", "ip6tables") for kind in _KINDS]


def wrapped(folder: Path, programs: dict[str, Path | str]) -> Path:
    """Make a folder of programs that call others, under those others' own names."""
    folder.mkdir()
    for name, path in programs.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(path))} "$@"\n')
        program.chmod(0o755)
    return folder


def run(script: Path, programs: Path, home: Path) -> dict[str, str | int]:
    """Run a script with these programs first on PATH, and return what it did and left."""
    home.mkdir()
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C",
        "TZ": "UTC",
        STATE: str(home / "host"),
        "XTABLES_LOCKFILE": str(home / "lock"),
    }
    work = home / "work"
    work.mkdir()
    saves = "; ".join(f"echo '= {n}'; {n} -c" for n in _NAMES if n.endswith("-save"))
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    line = f"{shell} {shlex.quote(str(script))} >out 2>err; echo $?; {saves}"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", line],
        cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    status, _, saved = done.stdout.partition("\n")
    return {
        "status": int(status),
        "stdout": dateless((work / "out").read_text()),
        "stderr": dateless((work / "err").read_text()),
        "save": body(saved),
        "save's stderr": done.stderr,
    }


@pytest.fixture(params=["nft", "legacy"])
def both(request, tmp_path) -> tuple[Path, Path]:
    """Return the folder of the real programs and the folder of ours, for one backend."""
    backend = request.param
    shims = tmp_path / "shims"
    make_shims(shims)
    own = {name: name.replace("tables", f"tables-{backend}") for name in _NAMES}
    real = {name: find_program(own[name]) or own[name] for name in _NAMES}
    ours = {name: shims / own[name] for name in _NAMES}
    return wrapped(tmp_path / "real", real), wrapped(tmp_path / "ours", ours)


def difference(real: dict[str, str | int], ours: dict[str, str | int]) -> Iterator[str]:
    """Yield the lines that differ."""
    for what, said in real.items():
        texts = [str(one).splitlines() for one in (said, ours[what])]
        lines = unified_diff(*texts, "real", "nb_lib", n=0, lineterm="")
        yield from (f"{what} {line}" for line in lines)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_does_the_same_with_the_emulator(script, both, tmp_path) -> None:
    real, ours = (
        run(script, programs, tmp_path / name)
        for name, programs in zip(("with-real", "with-ours"), both, strict=True)
    )
    assert ours == real, "\n".join(difference(real, ours))
    assert real["save"].count("\n-A ") + real["save"].count("] -A ") > 10
    assert real["stdout"]


def test_there_are_scripts_and_shells() -> None:
    assert len(SCRIPTS) == 5
    assert all(shutil.which(path.read_text()[2:].split("\n")[0]) for path in SCRIPTS)
