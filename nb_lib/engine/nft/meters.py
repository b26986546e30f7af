"""What counts and measures in nft's rules: counters, quotas, limits; their states are the host's memory.

A meter of a rule's own is known by its place, one with a name by its table and name, whoever asks it.
Linux: net/netfilter/nft_limit.c nft_limit_eval(), nft_quota.c nft_overquota(), nft_counter.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_lib.engine.nft.kinds import UnknownWordError
from nb_lib.text.nft.meters import USUAL_BURST, limit_text, quota_text
from nb_lib.text.nft.values import Counter, Limit, Named, Object, Quota

if TYPE_CHECKING:
    from nb_lib.engine.context import Meeting

Key = tuple[Any, ...]
_MEMORY = "nft meter"
_SECOND = 1_000_000_000  # nanoseconds, in which the kernel measures
_SPANS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


def of_table(table: str, kind: str, name: str) -> Key:
    """Return under what a host remembers a meter with a name."""
    return _MEMORY, table, kind, name


def measure(
    meter: Counter | Limit | Quota | Named,
    table: str,
    objects: Mapping[tuple[str, str], Object],
    length: int,
    meeting: Meeting,
) -> str:
    """Let a packet of ``length`` bytes pass a meter; return why its rule ends here, empty if it does not."""
    key: Key = (_MEMORY, *meeting.place, meeting.part)
    if isinstance(meter, Named):
        held = objects.get((meter.kind, meter.name))
        if held is None:
            raise UnknownWordError(f'the {meter.kind} "{meter.name}"')
        key, meter = of_table(table, meter.kind, meter.name), held.body
    match meter:
        case Counter(packets, octets):
            seen = meeting.recall(key, (packets, octets))
            meeting.remember(key, (seen[0] + 1, seen[1] + length))
            return ""
        case Quota(octets, over, used):
            used = meeting.recall(key, used) + length
            meeting.remember(key, used)
            # Since Linux 6.16; before, a quota was over with its last byte.
            return "" if (used > octets) is over else f"{used} bytes: not quota {quota_text(meter)}"
    kept = _spend(meter, key, length, meeting)
    return "" if kept is not meter.over else f"not limit {limit_text(meter)} now"


def _spend(limit: Limit, key: Key, length: int, meeting: Meeting) -> bool:
    """Take a packet's time from the bucket; tell whether there was enough."""
    span, rate, burst = _SPANS[limit.per] * _SECOND, limit.rate, limit.burst
    if limit.octets:
        cost, full = span * length // rate, span * (rate + burst) // rate
    else:
        cost, full = span // rate, span // rate * (burst or USUAL_BURST)
    now = round(meeting.now * _SECOND)
    tokens, last = meeting.recall(key, (full, now))
    tokens = min(full, tokens + now - last)
    enough = bool(tokens >= cost)
    meeting.remember(key, (tokens - cost if enough else tokens, now))
    return enough


def counted(found: Object, table: str, memory: Mapping[Key, Any]) -> Object:
    """Return an object with a name as nft would list it now."""
    state = memory.get(of_table(table, found.kind, found.name))
    match found.body:
        case Counter() if state is not None:
            return replace(found, body=Counter(*state))
        case Quota() if state is not None:
            return replace(found, body=replace(found.body, used=state))
    return found
