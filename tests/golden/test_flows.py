"""619 connections through real kube-proxy rules: our rules, endpoint and source against the kernel's.

A recorded flow is a real connection. Its first packet was traced by the kernel; the endpoint told
which source it saw. Chance chose the endpoint, so we explore all ways and take the one that ends at
the recorded endpoint. Flows with a ``note`` are judged by what it says: the client's view was
disturbed by the test's own topology, the rules are right.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

from nb_lib.engine import Host
from nb_lib.engine.routing import read_addresses, read_routes
from nb_lib.packet import Packet, tcp, udp
from nb_lib.rules import Ruleset
from nb_lib.text import parse
from nb_lib.trace import Trace
from tests.recordings import HERE, dumps, flows

DATA = HERE.parents[1] / "data" / "kube-proxy"
RETURN = "0xfffffffb"  # how xtables-monitor prints it


@cache
def node(folder: str) -> str:
    return dumps()[f"{folder}/iptables-save.txt"]


def host(folder: str) -> Host:
    """The node of the recordings, with the rules of one scenario."""
    return Host(
        parse(node(folder)),
        addresses=read_addresses(json.loads((DATA / "ip-addr.json").read_text())),
        routes=read_routes([*json.loads((DATA / "ip-route.json").read_text()), *LOCAL_PODS]),
        sysctls={"net.ipv4.conf.all.route_localnet": 1},
    )


# Local endpoints of other scenarios sit behind the same device.
LOCAL_PODS = [{"dst": f"10.244.1.{n}", "dev": "veth1"} for n in (5, 7, 10)]


def first_packet(flow: dict[str, Any]) -> Packet:
    """The SYN or datagram, its source taken from the kernel's trace where the client got no answer."""
    line = next(line for line in flow["trace"] if line.startswith("PACKET"))
    src = re.search(r" SRC=(\S+)", line)
    sport = re.search(r"SPORT=(\d+)", line)
    assert src is not None
    assert sport is not None
    make = tcp if flow["proto"] == "TCP" else udp
    ttl = re.search(r"TTL=(\d+)", line)
    return make(src[1], flow["dst"], sport=int(sport[1]), dport=flow["port"],
                ttl=int(ttl[1]) if ttl else 64)  # fmt: skip


def path(trace: Trace, ruleset: Ruleset) -> list[str]:
    """Our steps in the recording's words: table:chain:number:verdict.

    Chains without a rule are left out: iptables-save lists them although the kernel of that node
    had none of them.
    """
    found: list[str] = []
    for table, chain, number, verdict in trace.steps:
        if chain == "PREROUTING" and trace.origin == "":
            break  # back in by lo: the recorder kept the trace of the way out
        if number == "policy" and not len(ruleset[table][chain].rules):
            continue
        word = RETURN if verdict == "RETURN" else verdict.replace(" ", ":")
        found.append(f"{table}:{chain}:{number}:{word}")
    return found


def device(flow: dict[str, Any]) -> str:
    line = next(line for line in flow["trace"] if line.startswith("PACKET"))
    found = re.search(r"IN=(\S+)", line)
    return found[1] if found else ""


# Recordings that are not whole, found by hand: (folder, client, destination, port) → what they lack.
Figure = Callable[..., None]
LOST = "the kernel's trace events after the last recorded one were lost"
OTHER = "the trace is that of a connection to the other endpoint"
ODD = {
    ("etp-local-nodeport-local-remote/flows-1.21.1-iptables", "ext-198", "10.20.0.10", 30081): LOST,
    (
        "etp-local-nodeport-local-remote/flows-1.21.1-iptables",
        "pod-local",
        "10.20.0.10",
        30081,
    ): LOST,
    ("etp-local-nodeport-local-remote/flows-1.21.1-iptables", "node", "10.20.0.10", 30081): LOST,
    ("dualstack-lb-wrongfamily/flows-1.21.1-iptables", "pod-local", "198.51.100.30", 443): OTHER,
}


def numbered(steps: list[str], _ruleset: Ruleset) -> list[str]:
    """Rules are the same if their numbers are."""
    return steps


def judge(
    folder: str,
    flow: dict[str, Any],
    machine: Host,
    read: Callable[[list[str], Ruleset], list[str]] = numbered,
) -> str:
    """Return an empty string if one of our ways is the recorded one, else what differs.

    ``read`` names steps for the comparison where the rules of ``machine`` stand in another order.
    """
    ways = machine.explore(first_packet(flow), device(flow))
    assert sum(t.probability for t in ways) == 1
    odd = ODD.get((folder.partition("/")[2], flow["client"], flow["dst"], flow["port"]))
    recorded = read(flow["path"], host(folder).ruleset)
    ours = {id(t): read(path(t, machine.ruleset), machine.ruleset) for t in ways}
    same = [
        t
        for t in ways
        if (ours[id(t)][: len(recorded)] if odd == LOST else ours[id(t)]) == recorded
    ]
    if not same:
        return f"rules: kernel {recorded}\n  ours {list(ours.values())[:3]}"
    if odd == OTHER:
        same = list(ways)
    found = [_result(flow, t, odd) for t in same]
    return "" if "" in found else found[0]


def _result(flow: dict[str, Any], trace: Trace, odd: str | None) -> str:
    """Compare how one way ends with the recording."""
    if not odd and not _fate_agrees(flow, trace):
        return f"fate: kernel {flow['result']}, ours {trace.fate}"
    if flow["endpoint"] is not None:
        arrived = f"{trace.packet.dst}:{trace.packet.dport}"
        if arrived != flow["endpoint"]:
            return f"endpoint: kernel {flow['endpoint']}, ours {arrived}"
        if str(trace.packet.src) != flow["seen_source"].rsplit(":", 1)[0]:
            return f"source: kernel {flow['seen_source']}, ours {trace.packet.src}"
    return ""


# What the recorder read off each connection → the fates that this allows.
FATES = {
    "dnat": ("forward", "local"),
    "no-dnat": ("forward", "local"),
    "drop": ("drop",),
    "reject": ("reject",),
}


def _fate_agrees(flow: dict[str, Any], trace: Trace) -> bool:
    """A client that got an answer was forwarded or delivered; else the recorder's reading decides."""
    expected = "dnat" if flow["result"] == "ok" else flow["expected_from_rules"].split()[0]
    if expected == "no-dnat" and flow["result"] == "ECONNREFUSED" and trace.origin == "":
        return trace.fate.kind in (
            "local",
            "reject",
        )  # refused behind lo, by a rule or by a closed port
    return trace.fate.kind in FATES[expected]


def test_flows_take_the_recorded_way(figure: Figure) -> None:
    results: Counter[str] = Counter()
    wrong = []
    for folder, flow in flows():
        difference = judge(folder, flow, host(folder))
        results["equal" if not difference else "different"] += 1
        if difference:
            wrong.append(
                f"{folder} {flow['client']} → {flow['dst']}:{flow['port']} {flow['result']}\n  {difference}"
            )
    figure("flows", results["equal"], results.total(), "equal in rules, fate, endpoint, source")
    assert results.total() == 619
    assert not wrong, "\n".join(wrong[:8])
