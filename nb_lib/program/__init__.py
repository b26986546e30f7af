"""``python -m nb_lib COMMAND``: the library for people with a shell. One module a command."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from nb_lib.errors import NbError
from nb_lib.program import check, diagnose, diff, format, redact, trace  # noqa: A004 - the command's name
from nb_lib.program.output import Output

COMMANDS: dict[str, ModuleType] = {
    "trace": trace, "check": check, "diagnose": diagnose, "redact": redact, "diff": diff, "format": format,
}  # fmt: skip
DESCRIPTION = """Read what iptables-save prints, and answer questions about it. Nothing leaves this machine,
nothing on it is changed, and no root is needed."""
EPILOG = """start with:
  iptables-save > dump.txt
  python -m nb_lib diagnose dump.txt
  python -m nb_lib trace dump.txt --in eth0 tcp 203.0.113.9 192.0.2.1:22

each command has its own --help, with examples."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status, 2 for input that is wrong."""
    command = parser()
    arguments = command.parse_args(argv)
    if _second_dashes(arguments):
        command.error("-- stands where a word is expected")
    try:
        return int(arguments.run(arguments, Output(arguments)))
    except NbError as error:
        notes = getattr(error, "__notes__", ())
        print("\n".join([*notes, str(error)]), file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _second_dashes(arguments: argparse.Namespace) -> bool:
    """Whether a second ``--`` stands for a word: argparse makes an empty list of it."""
    lists = {"paths", "beside"}
    return any(value in ([], [[]]) for name, value in vars(arguments).items() if name not in lists)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    program = argparse.ArgumentParser(
        "python -m nb_lib", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = program.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name, help=module.HELP, description=module.DESCRIPTION, parents=getattr(module, "PARENTS", []),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add(command)
        command.set_defaults(run=module.run)
    return program
