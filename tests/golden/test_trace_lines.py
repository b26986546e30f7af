"""The kernel's own lines about one packet, which chapter 1 shows, beside our steps (data/trace)."""

from __future__ import annotations

import pytest

from nb_lib.engine import Host
from nb_lib.rules import Ruleset
from nb_lib.text import parse, rule_text
from nb_lib.trace import Trace
from tests.kernel.monitor import FOLDER, LOG, RULES, SYN, steps


def followed(backend: str) -> tuple[Trace, Ruleset]:
    """nb_lib's way of the recorded packet through the recorded rules."""
    rules = parse(RULES.read_text(), backend=backend)
    addresses = {"eth0": "192.0.2.1/24", "eth1": "10.0.0.1/24"}
    host = Host(rules, addresses=addresses, routes={"default": "eth0 via 192.0.2.254"})
    return host.receive(SYN, "eth0"), rules


def recorded(program: str) -> list[tuple[str, ...]]:
    return steps(program, (FOLDER / f"{program}.txt").read_text())


def in_words(program: str, trace: Trace, rules: Ruleset) -> list[tuple[str, ...]]:
    """Our steps as a program tells them."""
    found: list[tuple[str, ...]] = []
    for table, chain, number, verdict in trace.steps:
        policy = number == "policy"
        all_rules = rules[table][chain].rules
        if program == "xtables-monitor":
            text = "" if policy else f"-A {chain} {rule_text(all_rules[int(number) - 1])}"
            found.append((table, chain, verdict.replace(" ", ":"), text))
        elif program == LOG:
            found.append((table, chain, str(len(all_rules) + 1 if policy else number)))
        else:
            word, *to = verdict.split()
            found.append(
                (table, chain, "policy" if policy else "rule", " ".join([word.lower(), *to]))
            )
    # Legacy's log begins behind the rule that switches it on.
    return found[1:] if program == LOG else found


@pytest.mark.parametrize(
    ("program", "backend"),
    [("xtables-monitor", "nft"), ("nft-monitor-trace", "nft"), (LOG, "legacy")],
)
def test_our_steps_are_the_kernels_lines(program, backend) -> None:
    theirs = recorded(program)
    assert len(theirs) >= 5
    assert in_words(program, *followed(backend)) == theirs


def test_the_packet_leaves_as_the_last_line_says() -> None:
    last = [line for line in (FOLDER / f"{LOG}.txt").read_text().splitlines() if line][-1]
    told = dict(word.split("=") for word in last.split() if "=" in word)
    packet = followed("legacy")[0].packet
    assert (told["OUT"], told["SRC"], told["DST"], told["TTL"], told["DPT"]) == (
        packet.out_iface, str(packet.src), str(packet.dst), str(packet.ttl), str(packet.dport),
    )  # fmt: skip
