"""What ``-h`` prints: iptables' own help, which ships with nb_lib as a text (help.txt).

Sources: iptables/xshared.c printhelp(), print_extension_helps(), do_parse() (``-p icmp -h`` looks for a match
of that name); the texts were recorded with iptables 1.8.9 (tools/help_texts.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from nb_lib.cli.personality import Personality
from nb_lib.matches import find_match

FILE = Path(__file__).with_name("help.txt")
HEADING = "=== "  # of a section: the names that its text belongs to


def help_text(
    who: Personality, matches: Sequence[str] = (), target: str = "", protocol: str = ""
) -> str:
    """Return what ``iptables … -h`` prints.

    ``matches`` are the names of the matches that were loaded before, in their order and each as often as it
    was; ``target`` is that of the target, or empty; ``protocol`` is what ``-p`` was told, as it was written:
    without any match, one that is called so is shown.
    """
    implied = find_match(protocol.lower(), who.family) if protocol and not matches else None
    names = (implied.name,) if implied else matches
    shown = [("target", target), *(("match", name) for name in names)]
    found = (extension_help(kind, name, who.family) for kind, name in shown)
    return f"{who.version}\n\n{_general(who)}" + "".join("\n" + text for text in found if text)


def extension_help(kind: str, name: str, family: int) -> str:
    """Return what is shown of a ``match`` or ``target``, nothing if iptables 1.8.9 has none of this name."""
    known = texts()
    return known.get(f"{kind} {name}") or known.get(f"{kind} {name}/{family}") or ""


def _general(who: Personality) -> str:
    """Return the usage, commands and options; a line of one family begins with its number."""
    mine, other = (f"{family}>" for family in ((4, 6) if who.family == 4 else (6, 4)))
    lines = texts()["general"].splitlines(keepends=True)
    kept = (line.removeprefix(mine) for line in lines if not line.startswith(other))
    return "".join(kept).replace("{program}", who.program)


@cache
def texts() -> dict[str, str]:
    """Return the texts by their names: ``general``, ``match tcp``, ``target REJECT/6``."""
    _, *parts = re.split(rf"^{HEADING}(.*)\n", FILE.read_text(encoding="ascii"), flags=re.MULTILINE)
    sections = zip(parts[::2], parts[1::2], strict=True)
    return {name: text for names, text in sections for name in names.split(", ")}
