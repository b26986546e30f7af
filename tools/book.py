"""Build the book's HTML, executing what is new since the last time.

jupyter-book's cache knows a chapter by the code in its cells. It cannot see that
nb_lib, the data or a dependency changed, and would then show stale outputs; so
a digest of these decides whether the cache may stay.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
HTML = BUILD / "html"

# What an output can depend on, beside its own cell.
CODE = ("nb_lib", "data", "requirements.txt", "constraints.txt")
# What else shows on a page.
PAGES = ("book", "_config.yml", "public.toml", "tools/book.py")
# Whole configurations, which jupyter-book prints at each start.
NOISE = ("MdParserConfig(", "NbParserConfig(")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
IGNORED = {"_build", "__pycache__", ".ipynb_checkpoints"}


def main() -> None:
    """Build if anything changed, then say where the book is."""
    code, pages = digest(CODE), digest(PAGES)
    executed, built = BUILD / "executed-with.txt", BUILD / "built-from.txt"
    index = HTML / "index.html"
    if says(built, code + pages) and index.is_file():
        print(f"▸ the book is up to date: {index}")
        return
    if not says(executed, code):
        shutil.rmtree(BUILD, ignore_errors=True)
        BUILD.mkdir()
        executed.write_text(code)
    built.unlink(missing_ok=True)
    start = time.monotonic()
    run_jupyter_book()
    built.write_text(code + pages)
    print(f"▸ built in {time.monotonic() - start:.0f} s: {index}")


def run_jupyter_book() -> None:
    """Run jupyter-book with every warning an error; end with its status if it fails."""
    # --all reads and writes every page again: outputs come from the cache, and no page
    # keeps the address of an asset that is gone.
    options: list[str | Path] = ["--config", ROOT / "_config.yml"]
    options += ["-W", "-n", "--keep-going", "--all"]
    command = [Path(sys.executable).with_name("jupyter-book"), "build", BOOK, *options]
    print("▸ chapters → outputs → HTML", flush=True)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # a line is shown when it is written
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as build:
        for line in build.stdout or ():
            if not any(word in line for word in NOISE):
                print(line if sys.stdout.isatty() else COLOUR.sub("", line), end="", flush=True)
    if build.returncode:
        sys.exit(build.returncode)


def says(path: Path, text: str) -> bool:
    """Tell whether a file holds exactly this text."""
    return path.is_file() and path.read_text() == text


def digest(names: tuple[str, ...]) -> str:
    """Return a digest of all files under these paths: their names and contents."""
    whole = hashlib.sha256()
    for name in names:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and not IGNORED & set(path.relative_to(ROOT).parts):
                whole.update(f"{path.relative_to(ROOT)}\0".encode())
                whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest() + "\n"


if __name__ == "__main__":
    main()
