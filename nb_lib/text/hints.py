"""What to suggest where a rule names something that is not there."""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.errors import suggest
from nb_lib.matches import find_match
from nb_lib.matches import known_names as match_names
from nb_lib.options import Extension
from nb_lib.targets import find_target
from nb_lib.targets import known_names as target_names


def option_hint(text: str, family: int, known: Iterable[Extension], *, protocol: bool) -> str:
    """Suggest an option near to ``text`` of the extensions that are known, or the one that has it.

    ``protocol``: the rule names one already.
    """
    for name in ("tcp", "udp", "icmp" if family == 4 else "icmp6", "sctp"):
        match = find_match(name, family)
        if match is not None and text in match.by_name and not protocol:
            spelt = "ipv6-icmp" if name == "icmp6" else name
            return f"{text} comes with -p {spelt}: put it before"
    near = suggest(text, list(dict.fromkeys(option for of in known for option in of.by_name)))
    if near:
        return near
    for name in match_names(family):
        match = find_match(name, family)
        if match is not None and text in match.by_name:
            return f"{text} belongs to -m {name}: put -m {name} before it"
    for name in target_names(family):
        target = find_target(name, family)
        if target is not None and text in target.by_name:
            return f"{text} belongs to -j {name}: put -j {name} before it"
    return ""
