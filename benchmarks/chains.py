"""A router's ruleset of ten chains, in which a forwarded packet tries fifty rules."""

from __future__ import annotations

from collections.abc import Iterator

# The chains that a forwarded packet meets, and two that they call; five rules each.
CHAINS = (
    ("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING"), ("mangle", "FORWARD"),
    ("filter", "FORWARD"), ("filter", "users"), ("security", "FORWARD"), ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"), ("filter", "services"),
)  # fmt: skip
MISSES = (
    "-s 172.16.{n}.0/24 -j RETURN",
    "-p udp -m udp --dport 5{n} -j RETURN",
    "-p tcp -m tcp --dport 1{n}:2{n} -m conntrack --ctstate NEW -j RETURN",
    "-p tcp -m mark --mark 0x1{n}/0xff -j ACCEPT",
    '-d 192.0.2.{n}/32 -p tcp -m comment --comment "rule {n}" -m tcp --dport 80 -j RETURN',
)
CALLS = {("filter", "FORWARD"): "users", ("filter", "users"): "services"}


def dump() -> str:
    """Return the ruleset: every rule misses, but for those that call the next chain."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for table in ("raw", "mangle", "nat", "filter", "security"):
        yield f"*{table}"
        yield from (
            f":{chain} - [0:0]" for known, chain in CHAINS if known == table and chain.islower()
        )
        for n, (known, chain) in enumerate(CHAINS):
            if known == table:
                called = CALLS.get((table, chain))
                rules = [f"-A {chain} {rule.format(n=n)}" for rule in MISSES]
                yield from rules[: 4 if called else 5]
                if called:
                    yield f"-A {chain} -p tcp -j {called}"
        yield "COMMIT"
