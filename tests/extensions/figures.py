"""How often nb_lib and the real iptables agree on a rule, extension by extension."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from nb_lib.matches import MATCHES
from nb_lib.targets import TARGETS
from tests.extensions import helps
from tests.extensions.compare import ours
from tests.extensions.judge import Case, judge
from tests.extensions.recorded import recorded
from tests.extensions.rules import cases

Figures = dict[str, int]  # asked, accepted_equal, saved_equal
Verdicts = Mapping[Case, tuple[str, ...]]
K = TypeVar("K", bound=Hashable)
_LOADED = re.compile(r"(?:^| )-[mj] (\S+)")


def live(every: int = 1) -> Verdicts:
    """Ask the real iptables of this machine about one of ``every`` so many rules (needs root)."""
    asked = cases(helps.read(), every)
    return {case: said.saved for case, said in zip(asked, judge(asked), strict=True)}


def extensions(case: Case) -> set[str]:
    """Return the registry keys of the extensions that a rule names; ``core`` if it names none."""
    known = {**MATCHES, **TARGETS}
    found = set()
    for name in _LOADED.findall(case.rule):
        own = f"{name}/{case.family}"
        found.add(own if own in known else name)
    return found & known.keys() or {"core"}


def count(verdicts: Verdicts, keys: Callable[[Case], Iterable[K]]) -> dict[K, Figures]:
    """Count for each key of a rule how many were asked, and how many nb_lib sees as iptables did.

    ``accepted_equal``: both accept the rule or both refuse it. ``saved_equal``: both refuse it, or both
    save it in the same words.
    """
    found: dict[K, Figures] = {}
    for case, saved in verdicts.items():
        mine = ours(case)
        for key in keys(case):
            row = found.setdefault(key, {"asked": 0, "accepted_equal": 0, "saved_equal": 0})
            row["asked"] += 1
            row["accepted_equal"] += bool(mine) == bool(saved)
            row["saved_equal"] += mine == saved
    return found


def by_extension(verdicts: Verdicts | None = None) -> dict[str, Figures]:
    """Return the figures of each extension, of both families and backends; of the recording by default."""
    return count(recorded() if verdicts is None else verdicts, extensions)


def table(verdicts: Verdicts) -> str:
    """Return the figures as text: a line for each extension, family and backend."""

    def keys(case: Case) -> list[tuple[str, int, str]]:
        return [(name.partition("/")[0], case.family, case.backend) for name in extensions(case)]

    rows = count(verdicts, keys)
    total = count(verdicts, lambda case: [("all rules", 0, case.backend)])
    lines = [f"{'extension':<12}{'IPv':>4}  {'backend':<9}{'rules':>8}{'equal':>8}{'%':>8}"]
    for (name, family, backend), row in [*sorted(rows.items()), *sorted(total.items())]:
        share = 100 * row["saved_equal"] / row["asked"]
        lines.append(
            f"{name:<12}{family or '':>4}  {backend:<9}"
            f"{row['asked']:>8,}{row['saved_equal']:>8,}{share:>8.2f}"
        )
    return "\n".join(lines)
