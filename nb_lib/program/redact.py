"""``redact``: dumps that may be shown, with the same meaning."""

from __future__ import annotations

import argparse
from pathlib import Path

from nb_lib.errors import NbError
from nb_lib.program import inputs
from nb_lib.program.output import CHOICES, Output
from nb_lib.redact import Redacted, redact
from nb_lib.redact.proof import proof

HELP = "exchange addresses, names and comments, and keep the meaning"
DESCRIPTION = """Make a dump that can be shared: addresses, Ethernet addresses, interfaces, chains, sets and
comments become others, by a key. Networks stay networks of their size and class, what belongs together
stays together, and conventions (KUBE-SVC-…, DOCKER-USER, eth0) stay readable. Packets are sent through
both to show that the meaning is kept. The same key makes the same of the same; keep it to yourself, it
undoes everything.

Files of one host belong into one command: they are redacted together.

examples:
  python -m nb_lib redact dump.txt > shared.txt
  python -m nb_lib redact --key-file secret --out shared/ dump.txt addr.json route.json

What cannot be redacted (u32, bpf, a text that string searches for, masks that are no prefix) is named, and
nothing is printed; --anyway prints it as it is.

exit status: 0; 1 if something cannot be redacted or a packet takes another way; 2 for input that is
wrong."""
PARENTS = [CHOICES]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key", default="", help="any text; without a key one is drawn and told")
    key.add_argument("--key-file", metavar="FILE", help="the key is the first line of this file")
    parser.add_argument("--out", metavar="FOLDER", help="write the files here, by their own names")
    parser.add_argument(
        "--anyway", action="store_true", help="print what could not be redacted as well"
    )
    parser.add_argument("--prove", type=int, default=50, metavar="N",
                        help="send N packets through both (default: 50 for each dump; 0: none)")  # fmt: skip
    parser.add_argument(
        "paths", nargs="*", metavar="FILE", help="dumps, what stands beside them, or a folder"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write the redacted files, and say on stderr what is to be known of them."""
    files = _files(arguments.paths or ["-"])
    if len(files) > 1 and not (arguments.out or output.json):
        raise NbError(f"{len(files)} files: --out FOLDER says where they go (or --json)")
    done = redact(files, _key(arguments))
    if not (arguments.key or arguments.key_file):
        output.say(f"the key, which undoes it: {done.redactor.key}")
    for name, left in done.left.items():
        for one in left:
            output.say(f"{name}: cannot be redacted: {one}")
    if not done.whole and not arguments.anyway:
        output.say("nothing was printed; --anyway prints it as it is")
        return 1
    kept = proof(files, done, count=arguments.prove) if arguments.prove > 0 else None
    if kept:
        output.say(str(kept))
    _write(arguments, output, done)
    return int(not done.whole or bool(kept and kept.differences))


def _files(names: list[str]) -> dict[str, str]:
    """Return the files' texts by the names that they are written under again."""
    found: dict[str, str] = {}
    for name in names:
        path = Path(name)
        more = (
            inputs.texts([name])
            if name != "-" and path.is_dir()
            else {path.name: inputs.text_of(name)}
        )
        if twice := next((one for one in more if one in found), ""):
            raise NbError(f"two files are called {twice}")
        found |= more
    return found


def _key(arguments: argparse.Namespace) -> str:
    if not arguments.key_file:
        return str(arguments.key)
    lines = inputs.text_of(arguments.key_file).split("\n")
    if not lines[0].strip():
        raise NbError(f"{arguments.key_file}: its first line is empty, and would be the key")
    return lines[0].strip()


def _write(arguments: argparse.Namespace, output: Output, done: Redacted) -> None:
    if arguments.out:
        folder = Path(arguments.out)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in done.files.items():
            (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    elif output.json:
        left = {name: [one._asdict() for one in some] for name, some in done.left.items()}
        output.data({"files": done.files, "left": left})
    else:
        output.lines("".join(done.files.values()).splitlines())
