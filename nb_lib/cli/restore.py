"""``iptables-restore``: a whole table at once, or nothing of it. What it reads is ``batch``'s.

Sources: iptables/iptables-restore.c, iptables/xtables-restore.c; iptables-restore(8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nb_lib.cli.batch import Batch, Options
from nb_lib.cli.getopt import NO_BINARY, OTHER, getopt
from nb_lib.cli.personality import Exit, Personality
from nb_lib.cli.state import State

_LONG = {
    "counters": "c", "verbose": "v", "version": "V", "test": "t", "help": "h", "noflush": "n",
    "modprobe": "M", "table": "T", "wait": "w", "wait-interval": "W",
}  # fmt: skip
_HELP = {
    "nft": "[-c] [-v] [-V] [-t] [-h] [-n] [-T table] [-M command] [-4] [-6] [file]",
    "legacy": "[-c] [-v] [-V] [-t] [-h] [-n] [-w secs] [-W usecs] [-T table] [-M command] [file]",
}
_HELP_LONG = {
    "nft": "--table=<TABLE> ]|--modprobe=<command> ]|--ipv4 ]|--ipv6 ]",
    "legacy": "--wait=<seconds>|--table=<TABLE> ]|--modprobe=<command> ]",
}
MAX_INTERVAL = 999_999  # microseconds


def restore(
    state: State,
    program: str,
    given: Sequence[str],
    who: Personality,
    read: Callable[[str], str],
) -> tuple[State, str, str, int]:
    """Return the state afterwards, what was printed on both channels, and the exit status.

    ``read`` returns the text of a file, or with an empty name of the standard input.
    """
    options = _options(program, given, who)
    try:
        text = read(options.file)
    except OSError as error:
        said = f"{options.warning}Can't open {options.file}: {error.strerror}\n"
        raise Exit("", said, 1) from None
    if options.wrong:
        raise Exit("", options.warning + options.wrong, 1)
    restoring = Batch(state, who, options)
    restoring.warned.append(options.warning)
    try:
        restoring.lines(text)
    except Exit as end:
        printed = "".join(restoring.printed) + end.stdout
        return restoring.state, printed, "".join(restoring.warned) + end.stderr, end.status
    return restoring.state, "".join(restoring.printed), "".join(restoring.warned), 0


def _options(program: str, given: Sequence[str], who: Personality) -> Options:
    """Read the options. Raise Exit for wrong ones, and for those that only print."""
    long = _LONG | ({"ipv4": "4", "ipv6": "6"} if who.nft else {})
    seen: set[str] = set()
    files: list[str] = []
    table: str | None = None
    said = ""
    try:
        for letter, value in getopt(program, given, "bcvVthnT:M:w?W?", long):
            said += _spoken(letter, value, who, said)
            if letter == "T":
                table = value or ""
            elif letter == OTHER:
                files.append(value or "")
            seen.add(letter)
    except ValueError as error:
        raise Exit("", f"{said}{error}\n{_try_help(who)}", 1) from None
    if len(files) > 1:
        raise Exit("", f"{said}Unknown arguments found on commandline\n", 1)
    if files == [""]:
        raise Exit("", f"{said}Can't open : No such file or directory\n", 1)
    flags = ("c" in seen, "v" in seen, "t" in seen, "n" not in seen)
    alone = "W" in seen and "w" not in seen and not who.nft
    wrong = "Option --wait-interval requires option --wait\n" if alone else ""
    return Options(*flags, table, "".join(files), said, wrong)


def _spoken(letter: str, value: str | None, who: Personality, said: str) -> str:
    """Return what is said of an option on stderr, ``said`` being there already. Raise Exit."""
    match letter:
        case "b":
            return NO_BINARY
        case "h":
            raise Exit("", said + _help(who), 0)
        case "V":
            raise Exit(f"{who.version}\n", said, 0)
        case "4" | "6":  # known as a word, and never expected
            raise Exit("", said + _try_help(who), 1)
        case "w" | "W" if not who.nft:
            return _waiting(letter, value, who, said)
    return ""


def _try_help(who: Personality) -> str:
    return f"Try `{who.program} -h' for more information.\n"


def _waiting(letter: str, value: str | None, who: Personality, said: str) -> str:
    """Return what legacy says of ``-w`` and ``-W``, which iptables-nft ignores. Raise Exit.

    iptables/xshared.c parse_wait_time(), parse_wait_interval(): sscanf(3) reads no more than it can.
    """
    number = re.match(r"\s*[+-]?(\d+)", value or "", re.ASCII)
    wrong = ""
    if letter == "w" and value is not None and not number:
        wrong = "wait seconds not numeric"
    elif letter == "W" and value is None:
        wrong = "wait interval value required"
    elif letter == "W" and not number:
        wrong = "wait interval not numeric"
    elif letter == "W" and number and int(number[1]) > MAX_INTERVAL:
        wrong = f"too long usec wait {int(number[1])} > {MAX_INTERVAL} usec"
    if wrong:
        end = who.usage(wrong)
        place = "\nError occurred at line: 0\nTry"
        raise Exit("", said + end.stderr.replace("\nTry", place), end.status)
    return "Ignoring deprecated --wait-interval option.\n" if letter == "W" else ""


def _help(who: Personality) -> str:
    long = ["--counters ]", "--verbose ]", "--version]", "--test ]", "--help ]", "--noflush ]"]
    long += _HELP_LONG[who.backend].split("|")
    lines = "".join(f"\t   [ {option}\n" for option in long)
    return f"Usage: {who.program} {_HELP[who.backend]}\n{lines}"
