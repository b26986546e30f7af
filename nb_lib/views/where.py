"""Where things may stand: tables at their hooks, targets in their tables, and which targets end a walk.

Everything is read from the tables that the engine and the command read: ``nb_lib.hooks`` and the registry of
targets. Source: iptables(8) TABLES, iptables-extensions(8) TARGET EXTENSIONS.
"""

from __future__ import annotations

from nb_lib import hooks
from nb_lib.engine import Host
from nb_lib.net import FAMILY_NAMES
from nb_lib.packet import tcp
from nb_lib.targets import find_target, known_names
from nb_lib.text import check, parse
from nb_lib.views.sheet import Sheet

# What a target needs beside its name: the options that it cannot do without.
ARGUMENTS = {
    "AUDIT": "--type accept", "CHECKSUM": "--checksum-fill", "CLASSIFY": "--set-class 1:1",
    "CONNMARK": "--save-mark", "CONNSECMARK": "--save", "CT": "--notrack",
    "DNAT": "--to-destination 10.0.0.80",
    "DSCP": "--set-dscp 0", "ECN": "--ecn-tcp-remove",
    "HMARK": "--hmark-tuple src --hmark-mod 8 --hmark-rnd 1",
    "IDLETIMER": "--timeout 60 --label idle", "LED": "--led-trigger-id lamp", "MARK": "--set-mark 1",
    "NETMAP": "--to 10.0.1.0/24", "RATEEST": "--rateest-name r --rateest-interval 250ms --rateest-ewmalog 1s",
    "SECMARK": "--selctx system_u:object_r:httpd_packet_t:s0", "SET": "--add-set seen src",
    "SNAT": "--to-source 192.0.2.7", "TCPMSS": "--set-mss 1400", "TCPOPTSTRIP": "--strip-options timestamp",
    "TEE": "--gateway 10.0.0.9", "TOS": "--set-tos 0x10", "TPROXY": "--on-port 8080", "TTL": "--ttl-set 64",
    "REJECT": "--reject-with tcp-reset",
}  # fmt: skip


def stops_sheet(family: int = 4, backend: str = "nft") -> Sheet:
    """Return what stands at each hook of a family, with its priority; the first row is asked first."""
    held = {hook: hooks.stops(hook, backend, family) for hook in hooks.HOOKS}
    if len(hooks.builtin(family, backend)) == 1:  # ARP: only the hooks that have a chain
        held = {hook: held[hook] for hook in hooks.builtin(family, backend)["filter"]}
    rows = sorted({(s.priority, s.table or s.function) for found in held.values() for s in found})
    cells = [
        [
            name,
            *(
                _priority(priority) if _held(found, priority, name) else "–"
                for found in held.values()
            ),
        ]
        for priority, name in rows
    ]
    caption = f"{FAMILY_NAMES[family]}: what is asked at each hook, with its priority"
    return Sheet(["", *held], cells, caption)


def _held(found: tuple[hooks.Stop, ...], priority: int, name: str) -> bool:
    return any((s.priority, s.table or s.function) == (priority, name) for s in found)


def _priority(priority: int) -> str:
    return "last" if priority == hooks.CONFIRM else str(priority).replace("-", "−")


def places(words: str, family: int = 4, backend: str = "nft") -> tuple[tuple[str, str], ...]:
    """Return the (table, chain) pairs in which a rule may stand: ``-p tcp -j REJECT`` in three of filter."""
    return tuple(
        (table, chain)
        for table, chains in hooks.builtin(family, backend).items()
        for chain in chains
        if not check(parse(f"*{table}\n-A {chain} {words}\nCOMMIT\n", family=family, backend=backend))
    )  # fmt: skip


def example(name: str) -> str:
    """Return a rule for a target, with what it cannot do without."""
    return f"-p tcp -j {name} {ARGUMENTS.get(name, '')}".rstrip()


def targets_sheet(family: int = 4) -> Sheet:
    """Return for each table the targets that stand there and in no other, and for which chains."""
    rows = []
    for table, chains in hooks.builtin(family).items():
        own = [
            (name, found)
            for name in known_names(family)
            if (found := find_target(name, family)) is not None and found.tables == (table,)
        ]
        names = [f"{n} ({', '.join(f.hooks)})" if f.hooks else n for n, f in own]
        rows.append([table, " ".join(chains), ", ".join(names)])
    return Sheet(
        ["table", "chains", "targets of this table alone"],
        rows,
        "Targets that are bound to a table",
    )


def verdict(name: str) -> str:
    """Return what netfilter hears from a target that a TCP packet meets; empty if this kernel has it not."""
    standing = [(t, c) for t, c in places(example(name)) if c != "OUTPUT"]
    table, chain = standing[0]
    rules = parse(f"*{table}\n-A {chain} {example(name)}\nCOMMIT\n")
    host = Host(rules, addresses={"eth0": "192.0.2.1/24", "eth1": "10.0.0.1/24"}, routes={"default": "eth0"},
                facts={"socket": "transparent"})  # fmt: skip
    passing = chain in ("FORWARD", "POSTROUTING")
    packet = tcp("10.0.0.5:4000", "203.0.113.9:80" if passing else "10.0.0.1:80")
    trace = host.receive(packet, "eth1")
    return trace.steps[0][3] if trace.fate.kind != "undecided" else ""


def endings_sheet() -> Sheet:
    """Return the targets by what netfilter hears from them, and whether the walk through the table ends."""
    found: dict[str, list[str]] = {}
    for name in known_names(4):
        found.setdefault(verdict(name), []).append(name)
    rows = [[word, _ENDS[word], ", ".join(names)] for word, names in found.items() if word]
    caption = "What netfilter hears from a target, and whether the walk through the table ends"
    return Sheet(["verdict", "the walk", "targets"], sorted(rows, key=lambda row: row[1]), caption)


_ENDS = {
    "ACCEPT": "ends: the next table is asked",
    "DROP": "ends: no later table sees the packet",
    "QUEUE": "ends: a program decides",
    "STOLEN": "ends: the target keeps the packet",
    "RETURN": "goes back to the caller, or to the policy",
    "CONTINUE": "goes on with the next rule",
}
