"""Every mistake of a dump, also of one whose lines cannot all be filed.

A line that is no line of a dump ends ``parse``. Here it is noted, left out, and the reading begins again.
"""

from __future__ import annotations

from nb_lib.errors import RulesetError
from nb_lib.text.parse import check, parse

MOST_READINGS = 30  # lines that are left out one after the other; then the rest is not looked at


def mistakes(
    text: str, *, family: int | None = None, backend: str | None = None, limit: int = 100
) -> list[RulesetError]:
    """Return what iptables-restore and the kernel would refuse, in the order of the dump, at most ``limit``.

    ``family`` and ``backend`` are as for ``parse``. The errors behind a line that had to be left out may
    follow from it: a chain whose declaration is wrong is missing in its rules.
    """
    found: list[RulesetError] = []
    lines = text.split("\n")
    for _ in range(MOST_READINGS):
        try:
            ruleset = parse("\n".join(lines), family=family, backend=backend)
        except RulesetError as error:
            found.append(error)
            if len(found) >= limit:
                break
            if error.line:
                lines[error.lineno - 1] = ""
            else:  # the dump is cut off
                lines.append("COMMIT")
        else:
            found += check(ruleset, limit=limit)
            break
    return sorted(found, key=lambda error: error.lineno)[:limit]
