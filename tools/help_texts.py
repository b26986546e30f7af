"""Record what iptables 1.8.9 prints for -h into nb_lib/cli/help.txt: python -m tools.help_texts.

The programs iptables-nft, iptables-legacy and their ip6 forms must be installed; nothing is changed, and
root is not needed. The file has a section for each text, under a line with the names that it belongs to;
``nb_lib.cli.help`` puts them together again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from difflib import ndiff

from nb_lib.cli.help import FILE, HEADING
from nb_lib.matches import known_names as match_names
from nb_lib.targets import known_names as target_names

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_BACKENDS = ("nft", "legacy")
_NOTE = """\
What iptables 1.8.9 (Debian 12, Linux 6.18) prints for -h: its general part, and the part of each extension.
The words are those of iptables' authors, under the GNU General Public License, version 2 or later
(https://www.netfilter.org/projects/iptables/). tools/help_texts.py recorded them; do not edit them here.
"""


def printed(family: int, backend: str, *words: str) -> str:
    """Return what a program prints for ``words`` and -h, from its usage on."""
    command = [f"{_PROGRAMS[family]}-{backend}", *words, "-h"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="ascii")
    return done.stdout.partition("\n\n")[2]


def general() -> str:
    """Return the part that is always there; lines of one family have its number before them."""
    four, six = (
        printed(family, "nft")
        .replace(_PROGRAMS[family] + " ", "{program} ")
        .splitlines(keepends=True)
        for family in (4, 6)
    )
    marks = {"  ": "", "- ": "4>", "+ ": "6>"}
    return "".join(marks[line[:2]] + line[2:] for line in ndiff(four, six) if line[:2] in marks)


def of_extension(family: int, flag: str, name: str) -> str:
    """Return what is printed of one extension; the two backends must agree."""
    one, other = (
        printed(family, backend, flag, name).removeprefix(printed(family, backend))
        for backend in _BACKENDS
    )
    assert one == other, name
    assert one.startswith("\n"), name
    return one[1:]


def sections() -> Iterator[tuple[str, str]]:
    """Yield the names and the text of each section."""
    yield "general", general()
    for kind, flag, known in (("match", "-m", match_names), ("target", "-j", target_names)):
        texts: dict[str, dict[int, str]] = {}
        for family in (4, 6):
            for name in known(family):
                texts.setdefault(name, {})[family] = of_extension(family, flag, name)
        for name in sorted(texts, key=str.lower):
            of = texts[name]
            if len(set(of.values())) == 1:
                yield f"{kind} {name}", next(iter(of.values()))
            else:
                yield from ((f"{kind} {name}/{family}", text) for family, text in of.items())


def shared(found: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that each text has."""
    names: dict[str, list[str]] = {}
    for name, text in found:
        assert text.endswith("\n"), name
        assert HEADING not in text, name
        names.setdefault(text, []).append(name)
    return names


def main() -> None:
    """Write the file."""
    parts = (f"{HEADING}{', '.join(names)}\n{text}" for text, names in shared(sections()).items())
    FILE.write_text(_NOTE + "".join(parts), encoding="ascii")


if __name__ == "__main__":
    main()
