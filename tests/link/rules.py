"""The rules of ebtables.txt and arptables.txt as dumps, and what the real tools made of them.

``recorded.jsonl.xz`` holds a line for each: program, dump, and what was saved after it was restored
(null: refused). Where the two differ on purpose, ``ON_PURPOSE`` says why.
"""

from __future__ import annotations

import io
import json
import lzma
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from nb_lib.net import ARP, BRIDGE

HERE = Path(__file__).parent
FAMILIES = {"ebtables": BRIDGE, "arptables": ARP}
ON_PURPOSE = {
    "--ip-igmp-type 5\n": "the blank behind the number is missing in what ebtables-nft-save prints",
}
_NAT = ("dnat", "snat", "redirect", "arpreply")


def dumps(program: str) -> Iterator[str]:
    """Yield each rule of a list in a dump of its own."""
    for line in (HERE / f"{program}.txt").read_text().splitlines():
        if not line.startswith("#"):
            for rule in expanded(line):
                yield _ebtables(rule) if program == "ebtables" else _arptables(rule)


def expanded(line: str) -> Iterator[str]:
    """Write ``a {b|c}`` out: ``a b``, ``a c``."""
    parts = re.split(r"\{([^{}]*)\}", line)
    choices = [part.split("|") if place % 2 else [part] for place, part in enumerate(parts)]
    for words in product(*choices):
        yield "".join(words)


def _ebtables(rule: str) -> str:
    if rule.startswith("*"):
        return rule.replace("\\n", "\n")
    if not any(word in rule for word in _NAT):
        return f"*filter\n:foo ACCEPT\n-A FORWARD {rule}\n"
    return f"*nat\n-A {'POSTROUTING' if 'snat' in rule else 'PREROUTING'} {rule}\n"


def _arptables(rule: str) -> str:
    if rule.startswith("*"):
        return rule.replace("\\n", "\n")
    chain = "OUTPUT" if "-o " in rule or "CLASSIFY" in rule else "INPUT"
    return f"*filter\n:foo -\n-A {chain} {rule}\n"


def recorded() -> list[tuple[str, str, str | None]]:
    """Return (program, dump, what was saved) of every rule when it was recorded."""
    with lzma.open(HERE / "recorded.jsonl.xz") as file:
        return [tuple(json.loads(line)) for line in io.TextIOWrapper(file)]


def on_purpose(dump: str) -> bool:
    return any(part in dump for part in ON_PURPOSE)
