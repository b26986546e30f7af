"""428 commands that were recorded with the real iptables: printed, returned and changed the same."""

from __future__ import annotations

import shlex
from typing import Any

from nb_lib.cli import Result, State, run
from tests.kernel.real import body
from tests.recordings import commands

CUT = 400  # the recorder kept so many characters of the help text; test_live asks for the whole


def typed(state: State, line: str, backend: str) -> Result:
    """Run a shell's line; its first word says nothing of the backend."""
    program, *words = shlex.split(line)
    return run(state, (f"{program}-{backend}", *words))


def done(row: dict[str, Any]) -> dict[str, Any]:
    """Run what a row says, and return what its other fields hold."""
    backend, state = row["backend"], State()
    for line in row["setup"]:
        state = typed(state, line, backend).state
    result = typed(state, row["cmd"], backend)
    stdout = result.stdout
    if row["stdout"].endswith("...") and len(row["stdout"]) == CUT + 3:
        stdout = stdout[:CUT] + "..."
    saved = typed(result.state, "iptables", f"{backend}-save")
    return {
        "rc": result.status,
        "stdout": stdout,
        "stderr": result.stderr,
        "save_after": body(saved.stdout).rstrip("\n"),  # as it was recorded
    }


def test_recorded_commands_do_and_say_the_same(figure) -> None:
    rows, wrong = list(commands()), []
    for row in rows:
        ours = done(row)
        differ = [
            f"  {field}\n    real   {row[field]!r}\n    nb_lib {ours[field]!r}"
            for field in ours
            if row[field] != ours[field]
        ]
        if differ:
            wrong.append("\n".join([f"{row['backend']} {row['cmd']}", *differ]))
    figure("recorded commands", len(rows) - len(wrong), len(rows), "as iptables 1.8.9")
    assert not wrong, "\n\n".join(wrong[:20])
