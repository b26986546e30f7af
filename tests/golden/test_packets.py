"""3,000 packets that the Linux kernel routed: our steps, fate and bytes against its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from nb_lib.engine import Host
from nb_lib.packet import Packet
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets
from nb_lib.trace import Trace
from tests.recordings import archive, packets

PEERS = {"c0": "r0", "s0": "r1"}  # the wire's end outside → the router's device


def router(ruleset: str) -> Host:
    """The host of the recordings with one of its rulesets; see recordings/ORIGIN.md."""
    text = archive("dumps.tar.xz")[f"dumps/{ruleset}.txt"].decode()
    text = re.sub(r"\beth0\b", "r1", re.sub(r"\beth1\b", "r0", text))
    sets = archive("dumps.tar.xz")["dumps/fail2ban.ipset.txt"].decode()
    return Host(
        parse(text, backend="nft"),
        addresses={"r0": ["10.1.0.1/24"], "r1": ["10.2.0.1/24"]},
        routes={"default": "r1 via 10.2.0.2"},
        sysctls={"net.ipv4.conf.all.accept_local": 1},
        ipsets=parse_ipsets(sets),
    )


def ours(host: Host, record: dict[str, Any]) -> Trace:
    packet = Packet(data=bytes.fromhex(record["pkt"]), link="HOST")
    device = PEERS.get(record["dev"])
    return host.receive(packet, device) if device else host.send(packet)


def differences(trace: Trace, record: dict[str, Any]) -> list[str]:
    """Name what differs: steps, fate, bytes."""
    found = []
    if [list(step) for step in trace.steps] != record["steps"]:
        found.append("steps")
    if str(trace.fate) != record["fate"]:
        found.append("fate")
    left = trace.fate.kind == "forward"
    out = [[{"r0": "c0", "r1": "s0"}[trace.fate.device], trace.packet.data.hex()]] if left else []
    if out != record["out"]:
        found.append("bytes")
    return found


@dataclass
class Result:
    """How many packets of a ruleset agree, and the first few that do not."""

    total: int = 0
    equal: int = 0
    wrong: list[str] = field(default_factory=list)


def compare() -> dict[str, Result]:
    """Send every packet through a host of its ruleset, in order: conntrack remembers, as it did there."""
    hosts: dict[str, Host] = {}
    results: dict[str, Result] = {}
    for record in packets():
        name = record["ruleset"]
        host = hosts.setdefault(name, router(name))
        result = results.setdefault(name, Result())
        trace = ours(host, record)
        differs = differences(trace, record)
        result.total += 1
        result.equal += not differs
        if differs:
            result.wrong.append(
                f"{name} {record['dev']} {trace.sent}: {differs}\n"
                f"  kernel {record['fate']} {record['steps']}\n"
                f"  ours   {trace.fate} {[list(s) for s in trace.steps]}"
            )
    return results


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return compare()


def test_packets_go_as_the_kernel_sent_them(
    results: dict[str, Result], figure: Callable[..., None]
) -> None:
    total = sum(r.total for r in results.values())
    equal = sum(r.equal for r in results.values())
    figure("packets", equal, total, "equal in steps, fate and bytes")
    wrong = [w for r in results.values() for w in r.wrong]
    assert total == 3000
    assert equal == total, Counter(w.split()[0] for w in wrong).most_common() and "\n".join(
        wrong[:5]
    )
