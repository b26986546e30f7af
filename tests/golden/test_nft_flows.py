"""318 connections through real kube-proxy's nftables mode: our chains, endpoint, source against the kernel's.

What the kernel's trace says of each rule that matched, and of each policy, is compared: chain, the rule's
words, verdict. Chance chose the endpoint, so we explore all ways and take those that go as the kernel did.
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
from nb_lib.text import nft, rule_text
from nb_lib.trace import AtHook, Chance, Matched, PolicyApplied, Trace
from tests.golden.test_flows import DATA, LOCAL_PODS
from tests.recordings import nft as rulesets
from tests.recordings import nft_flows

Figure = Callable[..., None]
Step = tuple[str, str, str]  # chain, rule or "policy", verdict

_TRACED = re.compile(
    r"trace id \w+ (ip6? kube-proxy) (\S+) (?:rule (.*) \(verdict (.*)\)|(policy) (\w+).*)"
)


def recorded(flow: dict[str, Any]) -> list[Step]:
    """Return the steps of the kernel's trace."""
    found = []
    for line in flow["trace"]:
        if match := _TRACED.fullmatch(line.rstrip()):
            _, chain, rule, verdict, policy, word = match.groups()
            found.append((chain, policy or rule, word or verdict))
    return found


@cache
def host(folder: str) -> Host:
    """Return the node of the recordings with the rules of one scenario."""
    return Host(
        nft.read_json(rulesets()[f"{folder}/nft-ruleset.json"]),
        addresses=read_addresses(json.loads((DATA / "ip-addr.json").read_text())),
        routes=read_routes([*json.loads((DATA / "ip-route.json").read_text()), *LOCAL_PODS]),
        sysctls={"net.ipv4.conf.all.route_localnet": 1},
    )


def first_packet(flow: dict[str, Any]) -> Packet:
    """Return the SYN or datagram as the kernel's trace shows it."""
    line = flow["trace"][0]
    fields = (r"ip saddr (\S+)", r"ip daddr (\S+)", r"sport (\d+)", r"dport (\d+)", r"ip ttl (\d+)")
    source, target, *numbers = (match[1] for field in fields if (match := re.search(field, line)))
    sport, dport, ttl = map(int, numbers)
    make = tcp if flow["proto"] == "TCP" else udp
    return make(source, target, sport=sport, dport=dport, ttl=ttl)


def steps(trace: Trace) -> list[Step]:
    """Return our steps in the words of the kernel's trace; behind lo the recorder did not look."""
    found = []
    for event in trace.events:
        if isinstance(event, AtHook) and event.hook == "PREROUTING" and not trace.origin:
            break
        if isinstance(event, Matched) and event.place.table == "ip kube-proxy":
            found.append((event.place.chain, rule_text(event.rule), _lower(event.verdict)))
        elif isinstance(event, PolicyApplied) and event.table == "ip kube-proxy":
            found.append((event.chain, "policy", event.verdict.lower()))
    return found


def _lower(verdict: str) -> str:
    how, _, chain = verdict.partition(" ")
    return f"{how.lower()} {chain}".rstrip()


FATES = {"dnat": ("forward", "local"), "no-dnat": ("forward", "local", "reject"), "drop": ("drop",),
         "reject": ("reject",)}  # fmt: skip


def judge(flow: dict[str, Any], machine: Host) -> str:
    """Return an empty string if one of our ways is the recorded one, else what differs."""
    line = flow["trace"][0]
    device = re.search(r' iif "(\S+)"', line)
    ways = machine.explore(first_packet(flow), device[1] if device else "")
    assert sum(t.probability for t in ways) == 1
    same = [t for t in ways if steps(t) == recorded(flow)]
    if not same:
        return f"kernel {recorded(flow)}\n  ours {steps(ways[0])} {ways[0].fate}"
    found = [_result(flow, trace) for trace in same]
    return "" if "" in found else found[0]


def _result(flow: dict[str, Any], trace: Trace) -> str:
    expected = "dnat" if flow["result"] == "ok" else flow["expected_from_rules"].split()[0]
    if trace.fate.kind not in FATES[expected]:
        return f"fate: kernel {flow['result']} {expected}, ours {trace.fate}"
    if flow["endpoint"] is not None:
        arrived = f"{trace.packet.dst}:{trace.packet.dport}"
        if arrived != flow["endpoint"]:
            return f"endpoint: kernel {flow['endpoint']}, ours {arrived}"
        if str(trace.packet.src) != flow["seen_source"].rsplit(":", 1)[0]:
            return f"source: kernel {flow['seen_source']}, ours {trace.packet.src}"
    return ""


def test_flows_take_the_recorded_way(figure: Figure) -> None:
    results: Counter[bool] = Counter()
    wrong = []
    for folder, flow in nft_flows():
        difference = judge(flow, host(folder))
        results[not difference] += 1
        if difference:
            where = f"{folder} {flow['client']} → {flow['dst']}:{flow['port']} {flow['result']}"
            wrong.append(f"{where}\n  {difference}")
    figure(
        "nft-flows",
        results[True],
        results.total(),
        "equal in chains, rules, fate, endpoint, source",
    )
    assert results.total() == 318
    assert not wrong, "\n".join(wrong[:8])


def test_chances_are_equal() -> None:
    """What ``numgen random mod n`` draws has the chance 1/n, in the trace as well."""
    seen = Counter()
    for folder, flow in nft_flows():
        ways = host(folder).explore(first_packet(flow), "eth1")
        for trace in ways:
            for chance in (event for event in trace.events if isinstance(event, Chance)):
                assert chance.probability == trace.probability
                seen[chance.probability.denominator] += 1
    assert seen[2]
    assert seen[3]
