"""The help texts of iptables' extensions: which extensions there are, and which options they name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

Helps = Mapping[str, list[str]]  # "-m tcp 4" → options that the help text names, in its order
FOLDERS = (
    "/usr/lib/x86_64-linux-gnu/xtables",
    "/usr/lib/aarch64-linux-gnu/xtables",
    "/usr/lib/xtables",
)
_FAMILIES = {"xt": (4, 6), "ipt": (4,), "ip6t": (6,)}
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
# Parts of iptables itself, which no rule names.
_INTERNAL = ("standard", "NAT")


def read() -> Helps:
    """Ask the real iptables for help with each extension that is installed."""
    helps = {}
    for name, family in sorted(set(_installed())):
        flag = "-j" if name[0].isupper() else "-m"
        told = subprocess.run(
            [_PROGRAMS[family], flag, name, "--help"], capture_output=True, text=True, check=False
        )
        if told.returncode == 0:
            own = told.stdout.partition("print package version.")[2]
            options = re.findall(r"(?<![\w-])--[a-zA-Z0-9][\w-]*", own)
            helps[f"{flag} {name} {family}"] = list(dict.fromkeys(options))
    return helps


def _installed() -> Iterator[tuple[str, int]]:
    """Yield name and family of each extension's library; one may have both families and not know one."""
    folder = next(Path(folder) for folder in FOLDERS if Path(folder).is_dir())
    for library in folder.glob("lib*.so"):
        kind, _, name = library.stem.removeprefix("lib").partition("_")
        if name not in _INTERNAL:
            yield from ((name, family) for family in _FAMILIES.get(kind, ()))
