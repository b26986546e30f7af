"""``format``: a dump as iptables-save would print it."""

from __future__ import annotations

import argparse

from nb_lib.errors import NbError
from nb_lib.program import inputs
from nb_lib.program.output import Output
from nb_lib.text import check, parse, save
from nb_lib.text.restore import restored

HELP = "print a dump in iptables-save's own form"
DESCRIPTION = """Read a dump, restore it into an empty host and print what iptables-save would print there,
without the # lines. Counters are zeroed unless -c is given.

exit status: 0, or 2 for a dump that is wrong; `check` tells more."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    inputs.add_family(parser)
    parser.add_argument("-c", "--counters", action="store_true", help="keep and print counters")
    parser.add_argument("--all", action="store_true", help="report every error, not only the first")
    parser.add_argument("file", nargs="?", default="-", help="the dump; - is standard input")
    parser.set_defaults(json=False, color="never")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the dump."""
    text = inputs.text_of(arguments.file)
    ruleset = parse(text, family=arguments.family or 4, counters=arguments.counters,
                    backend="legacy" if arguments.legacy else "nft")  # fmt: skip
    if errors := check(ruleset, limit=100 if arguments.all else 1):
        raise NbError("\n".join(map(str, errors)))
    counted = restored(ruleset, counters=arguments.counters)
    output.lines(save(counted, counters=arguments.counters).splitlines())
    return 0
