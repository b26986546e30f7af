"""What a command reads: dumps, what stands beside them, whole folders, or standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from nb_lib.engine.load import FILES, recognise, texts_of
from nb_lib.errors import NbError
from nb_lib.text.parse import family_of

BESIDE = (
    "beside a dump: ip -j addr, ip -j route, ipset save, sysctl -a; they are told by what they hold"
)


def text_of(name: str) -> str:
    """Return a file's text, of standard input for ``-``."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    return data.decode("utf-8", "surrogateescape")


def texts(names: Iterable[str]) -> dict[str, str]:
    """Return the texts of files, and of all that folders hold, named as in ``engine.load.FILES``.

    Raises NbError for two files of one sort.
    """
    found: dict[str, str] = {}
    for name in names:
        if name != "-" and Path(name).is_dir():
            more = texts_of(Path(name))
        else:
            text = text_of(name)
            more = {recognise(text, Path(name).name): text}
        if twice := next((one for one in more if one in found), ""):
            raise NbError(f"{name}: there is one output of `{FILES[twice]}` already")
        found |= more
    return found


def add_family(parser: argparse.ArgumentParser) -> None:
    """Add what says how a single dump is to be read."""
    parser.add_argument(
        "-6", dest="family", action="store_const", const=6, default=None,
        help="it is IPv6 (otherwise its first line says so, and it is IPv4 without one)",
    )  # fmt: skip
    parser.add_argument("--legacy", action="store_true", help="it is of iptables-legacy")


def family(arguments: argparse.Namespace, text: str) -> int:
    """Return the family of a dump: what was asked for, what it says, or IPv4."""
    return int(arguments.family or family_of(text) or 4)
