"""Which words this kernel refuses: it may lack an extension, or a kind of set."""

from __future__ import annotations

import random
import re
import subprocess

from nb_lib.hooks import BUILTIN
from tests.kernel.lab import Lab, run
from tests.kernel.words import IPSETS, MATCHES, TARGETS, Words, fill

MAX_REFUSED = 60  # more than that is no missing module but a mistake of ours


def refused(lab: Lab, family: int) -> dict[str, str]:
    """Return the words that iptables-restore does not take here, each with what it said.

    All words are loaded at once; the line that is complained of is taken out, and again.
    """
    pick = random.Random(0)
    rows = [row for table in (MATCHES, TARGETS) for rows in table.values() for row in rows]
    rows = [row for row in rows if row.family in (0, family)]
    lines = {_line(row, pick, number): row for number, row in enumerate(rows)}
    program = "iptables-nft-restore" if family == 4 else "ip6tables-nft-restore"
    found: dict[str, str] = {}
    for _ in range(MAX_REFUSED):
        dump = _dump(lines)
        command = ["ip", "netns", "exec", lab.router, program]
        done = subprocess.run(command, input=dump, capture_output=True, text=True, check=False)
        if not done.returncode:
            lab.guard()
            return found
        number = re.search(r"line:? (\d+)|line (\d+)", done.stderr)
        if number is None:
            break
        line = dump.splitlines()[int(number[1] or number[2]) - 1]
        key = next(key for key in lines if key[1] == line)
        found[lines.pop(key).text] = " ".join(done.stderr.split())
    raise RuntimeError(f"the words do not load: {done.stderr}\n{dump}")


def _line(row: Words, pick: random.Random, number: int) -> tuple[str, str]:
    """Return (table, rule) where the row may stand."""
    for table in row.tables.split() or ["mangle"]:
        for hook in BUILTIN[table]:
            if not row.hooks or hook in row.hooks.split():
                protocol = f"-p {row.protocol.split()[0]} " if row.protocol else ""
                return (
                    table,
                    f"-A {hook} {protocol}{fill(row.text, pick, f'probe{number}')}".rstrip(),
                )
    raise ValueError(f"no chain can hold {row}")


def _dump(lines: dict[tuple[str, str], Words]) -> str:
    tables = dict.fromkeys(table for table, _ in lines)
    return "".join(
        "\n".join([f"*{table}", *(line for where, line in lines if where == table), "COMMIT", ""])
        for table in tables
    )


def make_sets(lab: Lab) -> str:
    """Make the sets that this kernel can hold; return the dump of those."""
    made = []
    for block in re.split(r"(?m)^(?=create )", IPSETS):
        if not block:
            continue
        try:
            run("ipset", "restore", text=block, namespace=lab.router)
        except RuntimeError:
            continue
        made.append(block)
    return "".join(made)
