"""Missions in the live kernel: the judge's packets go the way that they were judged by.

Each mission's solution is loaded in the lab's router; each requirement's packets are sent there until time
has to pass. Which rules match, where a packet ends, what leaves by which wire: all as the judge saw it. And
every try, good or bad, is typed into the real programs.
"""

from __future__ import annotations

import re
from contextlib import closing
from random import Random

import pytest

from nb_lib.cli import run as command
from nb_lib.cli.terminal import Terminal
from nb_lib.missions import MISSIONS, Stage, rules_of
from nb_lib.packet import Packet
from tests.cli.compare import dateless
from tests.cli.play import MULTI
from tests.cli.test_typed import Typed, real
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import Oracle
from tests.kernel.play import numbered
from tests.missions.tries import RIGHT, WRONG

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft", *MULTI.values(), "sh")]

LISTED = "iptables-save\nip6tables-save"
# The kernel draws for itself: what a chance decides cannot be compared packet by packet.
BY_CHANCE = {("service", "A connection stays"), ("service", "Half of the")}
SEED = 11
FIELDS = ("src", "dst", "sport", "dport", "ttl", "flags", "icmp_type", "payload")


@pytest.fixture(scope="module")
def oracle():
    with Lab("nft") as lab, closing(Oracle(lab)) as made:
        yield made


@pytest.mark.parametrize("name", MISSIONS)
def test_every_try_typed_into_the_real_programs_does_the_same(name, tmp_path) -> None:
    """What they print, their status, and what is loaded afterwards."""
    mission = MISSIONS[name]
    tries = [mission.solution, *RIGHT[name], *(one.lines for one in WRONG[name])]
    for number, lines in enumerate(tries):
        cell = Typed(mission.state, tuple(Terminal(mission.state).run(f"{lines}\n{LISTED}")))
        ours = [
            (one.line, dateless(one.stdout), dateless(one.stderr), one.status) for one in cell.shown
        ]
        assert ours == real(cell, tmp_path / str(number))


def renamed(mission, dump):
    """Write a dump in the names of the lab's devices."""
    for ours, theirs in ((mission.network.inside, "r0"), (mission.network.outside, "r1")):
        dump = re.sub(rf"\b{ours}\b", theirs, dump)
    return dump


def settings(oracle, network, *, back=False):
    """Give the router what the mission's host has, or take it back."""
    for name, value in network.sysctls.items():
        run("sysctl", "-qw", f"{name}={0 if back else value}", namespace=oracle.lab.router)
    for device in ("r0", "r1") if "mtu" in network.facts else ():
        mtu = "1500" if back else str(network.facts["mtu"])
        run("ip", "link", "set", device, "mtu", mtu, namespace=oracle.lab.router)


@pytest.mark.parametrize("name", MISSIONS)
def test_the_judge_s_packets_end_in_the_kernel_as_they_were_judged(oracle, name) -> None:
    mission = MISSIONS[name]
    state, _ = mission.type(mission.solution)
    family = 6 if mission.dump6 else 4
    base = "ip6tables" if family == 6 else "iptables"
    dump = renamed(mission, command(state, [f"{base}-save"]).stdout)
    settings(oracle, mission.network)
    compared = 0
    for want in mission.wants:
        if any(name == one and want.text.startswith(begin) for one, begin in BY_CHANCE):
            continue
        stage = Stage(
            mission.network.host(rules_of(state), SEED), Random(SEED), mission.network.address
        )
        want.scene(stage)
        oracle.load("", family)
        oracle.load(dump, family)
        for number, sent in enumerate(stage.sent, 1):
            if sent.after:
                break
            wire = {mission.network.inside: "c0", mission.network.outside: "s0", "": "local"}[
                sent.by
            ]
            seen = oracle.send([(wire, numbered(sent.trace.sent.data, number))])[0]
            assert told(sent.trace, mission) == told_by(seen), (
                f"{want.text}: {sent.says}\n{sent.trace}"
            )
            compared += 1
    settings(oracle, mission.network, back=True)
    assert compared >= 5


def told(trace, mission):
    """Return the steps, the end, and what left."""
    names = {mission.network.inside: "r0", mission.network.outside: "r1"}
    end = {"forward": f"forward {names.get(trace.fate.device)}", "local": "local"}.get(
        trace.fate.kind, ""
    )
    return list(trace.steps), end, [fields(one) for one in trace.outgoing]


def told_by(seen):
    """Return the same, as the kernel did it."""
    return (
        [tuple(step) for step in seen.steps],
        seen.end,
        [fields(Packet(data=data)) for _, data in seen.out],
    )


def fields(packet):
    return {name: str(getattr(packet, name)) for name in FIELDS}
