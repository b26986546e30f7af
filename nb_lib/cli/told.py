"""What ``-V`` and ``-h`` print."""

from __future__ import annotations

from nb_lib.cli.arguments import Finished
from nb_lib.cli.personality import VERSION, Personality


def told(finished: Finished, who: Personality) -> str:
    """Return the text."""
    if finished.letter == "V":
        label = who.version.rpartition(" ")[2]
        return f"Not {VERSION} {label} ;-)\n" if finished.inverted else f"{who.version}\n"
    return ""
