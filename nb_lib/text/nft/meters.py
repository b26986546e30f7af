"""Limits, quotas and counters, in a rule or with a name of their own: as text and as JSON.

Sources of nftables 1.0.6: src/statement.c limit_stmt_print(), quota_stmt_print(), src/rule.c
obj_print_data(), src/json.c limit_stmt_json(), obj_print_json().
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nb_lib.text.nft.values import Counter, Limit, Object, Quota

USUAL_BURST = 5  # packets: it is not printed
_UNITS = ("bytes", "kbytes", "mbytes")


def scaled(octets: int) -> tuple[int, str]:
    """Return bytes in the largest unit that leaves nothing over: src/statement.c get_rate()."""
    unit = 0
    while unit < len(_UNITS) - 1 and octets and not octets % 1024:
        octets, unit = octets // 1024, unit + 1
    return octets, _UNITS[unit]


def octets_of(number: int | str, unit: str) -> int:
    """Return what ``scaled`` was given. Raises ValueError for a unit that is none."""
    return int(number) << 10 * _UNITS.index(unit)


# --- text ---


def counter_text(counter: Counter) -> str:
    """Write a counter without its first word."""
    return f"packets {counter.packets} bytes {counter.octets}"


def limit_text(limit: Limit) -> str:
    """Write a limit without its first word."""
    over = "over " if limit.over else ""
    if not limit.octets:
        burst = f" burst {limit.burst} packets" if limit.burst not in (0, USUAL_BURST) else ""
        return f"rate {over}{limit.rate}/{limit.per}{burst}"
    rate, unit = scaled(limit.rate)
    burst = " burst {} {}".format(*scaled(limit.burst)) if limit.burst else ""
    return f"rate {over}{rate} {unit}/{limit.per}{burst}"


def quota_text(quota: Quota) -> str:
    """Write a quota without its first word."""
    used = " used {} {}".format(*scaled(quota.used)) if quota.used else ""
    return "{}{} {}{}".format("over " if quota.over else "", *scaled(quota.octets), used)


def object_lines(found: Object) -> Iterator[str]:
    """Write a counter, a quota or a limit with a name, line by line."""
    yield f"\t{found.kind} {found.name} {{"
    if found.comment:
        yield f'\t\tcomment "{found.comment}"'
    match found.body:
        case Counter():
            yield f"\t\t{counter_text(found.body)}"
        case Limit():
            yield f"\t\t{limit_text(found.body)}"
        case Quota():
            yield f"\t\t{quota_text(found.body)}"
    yield "\t}"


# --- JSON ---


def read_limit(body: Any) -> Limit:
    """Read a limit of JSON; without a unit it counts packets."""
    rate, burst, octets = body["rate"], body["burst"], "rate_unit" in body
    if octets:
        rate, burst = octets_of(rate, body["rate_unit"]), octets_of(burst, body["burst_unit"])
    return Limit(rate, body["per"], burst, octets, body.get("inv", False))


def limit_json(limit: Limit) -> dict[str, Any]:
    """Return a limit as ``nft -j`` writes it."""
    rate, burst, units = limit.rate, limit.burst, {}
    if limit.octets:
        (rate, one), (burst, other) = scaled(rate), scaled(burst)
        units = {"rate_unit": one, "burst_unit": other}
    over = {"inv": True} if limit.over else {}
    return {"rate": rate, "burst": burst, "per": limit.per, **units, **over}


def read_quota(body: Any) -> Quota:
    """Read a quota that stands in a rule."""
    used = octets_of(body["used"], body["used_unit"]) if "used" in body else 0
    return Quota(octets_of(body["val"], body["val_unit"]), body.get("inv", False), used)


def quota_json(quota: Quota) -> dict[str, Any]:
    """Return a quota that stands in a rule as ``nft -j`` writes it."""
    value, unit = scaled(quota.octets)
    used: dict[str, Any] = {}
    if quota.used:
        used = dict(zip(("used", "used_unit"), scaled(quota.used), strict=True))
    over = {"inv": True} if quota.over else {}
    return {"val": value, "val_unit": unit, **over, **used}


def read_object(kind: str, body: Any) -> Object:
    """Read what has a name. Raises KeyError for what is no counter, quota or limit."""
    held: Counter | Quota | Limit
    if kind == "limit":
        held = read_limit(body)
    elif kind == "quota":
        held = Quota(body["bytes"], body["inv"], body["used"])
    else:
        held = Counter(body["packets"], body["bytes"])
    return Object(body["name"], held, body.get("comment", ""), body.get("handle", 0))


def object_json(found: Object, family: str, table: str) -> dict[str, Any]:
    """Return what has a name as ``nft -j`` writes it."""
    match found.body:
        case Counter(packets, octets):
            held: dict[str, Any] = {"packets": packets, "bytes": octets}
        case Quota(octets, over, used):
            held = {"bytes": octets, "used": used, "inv": over}
        case Limit():
            held = limit_json(found.body)
    comment = {"comment": found.comment} if found.comment else {}
    about = {"family": family, "name": found.name, "table": table, "handle": found.handle}
    return {found.kind: {**about, **comment, **held}}
