"""The engine beside the live kernel: random rulesets, random packets, step by step.

NB_ORACLE_RULESETS sets how many rulesets are tried, NB_ORACLE_SEED where they begin.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from nb_lib.engine import Host
from nb_lib.packet import Packet
from nb_lib.text import parse
from nb_lib.trace import Trace
from tests.kernel.generate import Rules, packets
from tests.kernel.lab import PEER, Lab
from tests.kernel.oracle import Oracle, Seen

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

RULESETS = int(os.environ.get("NB_ORACLE_RULESETS", "120"))
SEED = int(os.environ.get("NB_ORACLE_SEED", "1"))
BATCH = 50
WIRE = {device: wire for wire, device in PEER.items()}


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live:
        yield live


def router(dump: str, family: int) -> Host:
    """The lab's router, as nb_lib knows it."""
    return Host(
        parse(dump, family=family, backend="nft"),
        addresses={"r0": ["10.1.0.1/24", "fd00:1::1/64"], "r1": ["10.2.0.1/24", "fd00:2::1/64"]},
        routes={"default": "r1 via 10.2.0.2", "::/0": "r1 via fd00:2::2"},
        sysctls={"net.ipv4.conf.all.accept_local": 1},
    )


def ours(host: Host, device: str, packet: Packet) -> Trace:
    return host.send(packet) if device == "local" else host.receive(packet, PEER[device])


def difference(trace: Trace, seen: Seen) -> str:
    """Say what differs between our trace and what the kernel did, or nothing."""
    mine = list(trace.steps)
    end = str(trace.fate) if trace.fate.kind in ("forward", "local") else ""
    out = [(WIRE[trace.fate.device], trace.packet.data)] if end.startswith("forward") else []
    if mine == seen.steps and end == seen.end and same_bytes(trace, out, seen.out):
        return ""
    lines = [f"fate {trace.fate} | kernel {seen.end or 'gone'} errno {seen.error}"]
    for place in range(max(len(mine), len(seen.steps))):
        pair = [steps[place] if place < len(steps) else None for steps in (mine, seen.steps)]
        lines.append(f"  {'=' if pair[0] == pair[1] else '≠'} {pair[0]} | {pair[1]}")
    if out != seen.out:
        lines += [f"  bytes {[(w, p.hex()) for w, p in found]}" for found in (out, seen.out)]
    return "\n".join(lines)


def same_bytes(
    trace: Trace, ours: list[tuple[str, bytes]], theirs: list[tuple[str, bytes]]
) -> bool:
    """Compare what left; a source port that had to move out of the way is drawn, so any will do."""
    moved = trace.sent.sport not in (trace.packet.sport, None) and "SNAT" in status(trace)
    if moved and len(ours) == len(theirs) == 1:
        ours, theirs = ([(w, Packet(data=p).change(sport=1).data) for w, p in found]
                        for found in (ours, theirs))  # fmt: skip
    return ours == theirs


def status(trace: Trace) -> frozenset[str]:
    """The status bits of the packet's connection."""
    return trace.connection.status if trace.connection else frozenset()


@pytest.mark.parametrize("family", [4, 6])
def test_the_engine_does_as_the_kernel(
    oracle: Oracle, family: int, figure: Callable[..., None]
) -> None:
    total, wrong = 0, []
    for seed in range(SEED, SEED + RULESETS):
        dump = Rules(seed, family).dump()
        oracle.load(dump, family)
        batch = packets(seed, family, BATCH)
        host = router(dump, family)
        for (device, packet), seen in zip(
            batch, oracle.send([(d, p.data) for d, p in batch]), strict=True
        ):
            total += 1
            trace = ours(host, device, packet)
            differs = difference(trace, seen)
            if differs:
                wrong.append(f"seed {seed} {device} {packet}\n{differs}\n{dump}\n{trace}")
    figure(
        f"random packets, IPv{family}",
        total - len(wrong),
        total,
        f"over {RULESETS} rulesets, seed {SEED}",
    )
    assert not wrong, "\n\n".join(wrong[:3])
