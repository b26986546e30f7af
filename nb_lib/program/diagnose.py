"""``diagnose``: what is found in a host's rules, with the rules that show it."""

from __future__ import annotations

import argparse

from nb_lib.diagnose import NAMES, NOTE, WARNING, Diagnosis, diagnose
from nb_lib.diagnose.finding import MOST
from nb_lib.errors import visible
from nb_lib.program import inputs
from nb_lib.program.output import CHOICES, Output, counted

HELP = "name what does not do what it says, with the rules that show it"
DESCRIPTION = f"""Look for faults that every firewall collects: rules that no packet can reach, chains that
nobody calls, ports that Docker opens past ufw, DNAT that FORWARD blocks, Services without endpoints …
Few, and always right: each comes with its rules and their lines.

The more is known of the host, the more is found: give what stands
{inputs.BESIDE}.

examples:
  iptables-save | python -m nb_lib diagnose -
  python -m nb_lib diagnose dump.txt addr.json route.json sysctl.txt
  python -m nb_lib diagnose --names

exit status: 0 if there is no warning, 1 if there is, 2 for input that is wrong."""
PARENTS = [CHOICES]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--notes", action="store_true", help="tell what is only worth knowing, too")
    parser.add_argument("--names", action="store_true", help="list what can be found, and stop")
    parser.add_argument(
        "paths", nargs="*", metavar="FILE", help="dumps, what stands beside them, or a folder"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Tell what is found."""
    if arguments.names:
        return _names(output)
    found = diagnose(inputs.texts(arguments.paths or ["-"]))
    warnings = [one for one in found if one.level == WARNING]
    if output.json:
        output.data([as_json(one) for one in found])
        return int(bool(warnings))
    told = found if arguments.notes else warnings
    output.lines(_painted(output, one) for one in told)
    hidden = len(found) - len(told)
    more = f"; --notes tells {counted(hidden, 'note')} more" if hidden else ""
    output.say(counted(len(warnings), "warning") + more)
    return int(bool(warnings))


def _names(output: Output) -> int:
    if output.json:
        output.data(NAMES)
    else:
        wide = max(map(len, NAMES))
        output.lines(
            f"{output.paint(name.ljust(wide), 'bold')}  {what}" for name, what in NAMES.items()
        )
    return 0


def _painted(output: Output, one: Diagnosis) -> str:
    """Return a diagnosis with its name, its evidence and its remedy apart."""
    style = "red" if one.level != NOTE else "cyan"
    lines = [f"{output.paint(one.name, 'bold', style)}: {visible(one.sentence)}"]
    lines += [
        output.paint(f"    {visible(str(evidence))}", "dim") for evidence in one.evidence[:MOST]
    ]
    if len(one.evidence) > MOST:
        lines.append(f"    … and {len(one.evidence) - MOST} more")
    return "\n".join([*lines, output.paint(f"  → {visible(one.remedy)}", "green"), ""])


def as_json(one: Diagnosis) -> dict[str, object]:
    """Return a diagnosis's parts."""
    return {**one._asdict(), "evidence": [evidence._asdict() for evidence in one.evidence]}
