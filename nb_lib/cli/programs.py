"""iptables and its kin as programs: a host in a file, and a folder of executables that work on it.

The folder (``make_shims``) holds one executable under eighteen names, as xtables-nft-multi does. With it
before the others in PATH, a shell script written for the real programs runs against the emulator.
NB_LIB_STATE names the file that is the host (``nb_lib.cli.store``).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from nb_lib.cli import Result, State, run
from nb_lib.cli.store import LockError, Store
from nb_lib.errors import NbError

STATE = "NB_LIB_STATE"
NAMES = tuple(
    f"{base}{backend}{suffix}"
    for base in ("iptables", "ip6tables")
    for backend in ("", "-nft", "-legacy")
    for suffix in ("", "-save", "-restore")
)
_SHIM = """\
#!/bin/sh
# iptables and its kin, played by nb_lib: the host is the file that {state} names.
exec {python} -I -S -X utf8 -c {code} "$0" "$@"
"""
_CODE = (
    "import sys; sys.path.insert(0, {home!r}); "
    "from nb_lib.cli.programs import main; sys.exit(main(sys.argv[1:]))"
)
_TABLE = re.compile(r"^\*", re.MULTILINE)
_WAIT = re.compile(r"(?:-w|--wait=?)(\d*)", re.ASCII)


def make_shims(folder: Path) -> None:
    """Make a folder of programs that call this Python with this nb_lib."""
    folder.mkdir(parents=True, exist_ok=True)
    code = _CODE.format(home=str(Path(__file__).resolve().parents[2]))
    program = folder / "nb_lib-multi"
    program.write_text(
        _SHIM.format(state=STATE, python=shlex.quote(sys.executable), code=shlex.quote(code))
    )
    program.chmod(0o755)
    for name in NAMES:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(program.name)


def main(words: Sequence[str]) -> int:
    """Run one program on the host in the file; return its exit status.

    ``words`` begin with the path by which it was called. What it says on stderr goes out before what it
    prints, as C's buffers have it when both are one pipe.
    """
    words = [os.path.basename(words[0]), *words[1:]]  # noqa: PTH119 - a name, not a file's
    try:
        store = _store()
        result = perform(store, words)
        for name, text in result.written.items():
            Path(name).write_bytes(_bytes(text))
    except LockError as busy:
        result = Result(State(), stderr=str(busy), status=4)
    except (NbError, OSError) as error:
        result = Result(State(), stderr=f"{words[0]}: {error}\n", status=1)
    sys.stderr.buffer.write(_bytes(result.stderr))
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(_bytes(result.stdout))
        sys.stdout.flush()
    return result.status


def perform(store: Store, words: Sequence[str]) -> Result:
    """Run one program on the host in ``store``, alone on it. Raise LockError, NbError or OSError."""
    now = time.time() + time.localtime().tm_gmtoff  # a save prints the local time
    text = _input(words) if words[0].endswith("-restore") else ""
    legacy = "-legacy" in words[0] and not words[0].endswith("-save")
    if words[0].endswith("-restore"):
        legacy = legacy and _TABLE.search(text) is not None
    with store.xtables_lock(_seconds(words)) if legacy else nullcontext(), store.locked():
        state = store.load()
        result = run(state, words, stdin=text, now=now, read=lambda name: text or _read(name))
        if result.state != state:
            store.write(result.state)
    return result


def _input(words: Sequence[str]) -> str:
    """Return what a restore is to read; a file that cannot be read is left for it to complain of.

    It is read before any lock is taken: what comes down a pipe may be a save, which waits for the lock.
    Whether that is a file, the standard input, or with ``-h`` neither, is asked of a restore on no host.
    """
    named: list[str] = []

    def note(name: str = "") -> str:
        named.append(name)
        return ""

    run(State(), words, stdin=note, read=note)
    if named == [""]:
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    try:
        return _read(named[0]) if named else ""
    except OSError:
        return ""


def _store() -> Store:
    if name := os.environ.get(STATE):
        return Store(Path(name))
    raise NbError(f"{STATE} names no file to keep the host in")


def _seconds(words: Sequence[str]) -> int:
    """Return how long ``-w`` waits for the lock, 0 for ever."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if found := _WAIT.fullmatch(word):
            number = re.match(r"\d*", found[1] or following, re.ASCII)
            return int(number[0] or 0) if number else 0
    return 0


def _read(name: str) -> str:
    return Path(name).read_bytes().decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
