"""What ``-V`` and ``-h`` print."""

from __future__ import annotations

from nb_lib.cli.help import help_text
from nb_lib.cli.personality import VERSION, Personality
from nb_lib.cli.request import Finished


def told(finished: Finished, who: Personality) -> str:
    """Return the text."""
    if finished.letter == "V":
        label = who.version.rpartition(" ")[2]
        return f"Not {VERSION} {label} ;-)\n" if finished.inverted else f"{who.version}\n"
    rule = finished.rule
    target = rule.target[0].name if rule.target else ""
    return help_text(who, [match.name for match, *_ in rule.matches], target, rule.protocol)
