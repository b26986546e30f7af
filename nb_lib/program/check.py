"""``check``: what iptables-restore would refuse in a dump."""

from __future__ import annotations

import argparse

from nb_lib.errors import RulesetError
from nb_lib.program import inputs
from nb_lib.program.output import CHOICES, Output, counted
from nb_lib.text.mistakes import mistakes

HELP = "say what is wrong in a dump, with line, column and a suggestion"
DESCRIPTION = """Read every rule as iptables-restore and the kernel would, and report all that they would
refuse: unknown options, values out of range, targets in the wrong table, chains that call each other
in a circle …

examples:
  python -m nb_lib check rules.v4
  python -m nb_lib check --json rules.v4 | jq -r '.[] | "\\(.line): \\(.reason)"'

exit status: 0 if nothing is wrong, 1 if something is, 2 if the file cannot be read."""
PARENTS = [CHOICES]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    inputs.add_family(parser)
    parser.add_argument(
        "--most", type=int, default=100, metavar="N", help="errors that are reported (default: 100)"
    )
    parser.add_argument("file", nargs="?", default="-", help="the dump; - is standard input")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Report the errors."""
    text = inputs.text_of(arguments.file)
    errors = mistakes(
        text,
        family=inputs.family(arguments, text),
        backend="legacy" if arguments.legacy else None,
        limit=max(1, arguments.most),
    )
    if output.json:
        output.data([as_json(error) for error in errors])
    else:
        output.lines(_painted(output, error) for error in errors)
        count = counted(len(errors), "mistake") if errors else "no mistakes"
        output.say(f"{arguments.file}: {count}")
    return int(bool(errors))


def _painted(output: Output, error: RulesetError) -> str:
    first, *rest = str(error).split("\n")
    place, colon, reason = first.partition(": ")
    painted = output.paint(place + colon, "bold") + output.paint(reason, "red")
    return "\n".join(
        [painted, *(output.paint(line, "dim") if "hint:" in line else line for line in rest)]
    )


def as_json(error: RulesetError) -> dict[str, object]:
    """Return an error's parts."""
    return {"line": error.lineno, "column": error.col, "token": error.token, "reason": error.reason,
            "hint": error.hint, "text": error.line}  # fmt: skip
