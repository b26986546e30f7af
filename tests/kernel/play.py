"""Lets conversations happen in the lab, and notes what the kernel did."""

from __future__ import annotations

import os
import time

from nb_lib.headers import checksum
from nb_lib.packet import Packet
from tests.kernel.compare import Played
from tests.kernel.flows import Flow
from tests.kernel.oracle import Oracle


def play(oracle: Oracle, dump: str, family: int, flows: list[Flow], ipsets: str = "") -> Played:
    """Load the rules and run the conversations side by side, a packet of each in every round."""
    dump = oracle.load(dump, family)
    played = _begin(oracle, dump, family, ipsets)
    waiting = [(flow, first) for flow in flows if (first := next(flow, None)) is not None]
    while waiting:
        batch = []
        for _, (device, packet) in waiting:
            number = len(played.packets) + len(batch) + 1
            batch.append((device, numbered(packet.data, number)))
        answers = oracle.send(batch)
        played.packets += [(d, p, seen) for (d, p), seen in zip(batch, answers, strict=True)]
        going = []
        for (flow, _), seen in zip(waiting, answers, strict=True):
            try:
                going.append((flow, flow.send(seen)))
            except StopIteration:
                continue
        waiting = going
    return played


def replay(oracle: Oracle, played: Played, dump: str, packets: list[tuple[str, bytes]]) -> Played:
    """Send the packets of another run again, one after the other, to perhaps other rules.

    What a match remembers by a name would outlive rules that are exchanged in one go: they leave first.
    """
    oracle.load("", played.family)
    dump = oracle.load(dump, played.family)
    again = _begin(oracle, dump, played.family, played.ipsets)
    for device, packet in packets:
        again.packets.append((device, packet, oracle.send([(device, packet)])[0]))
    return again


def _begin(oracle: Oracle, dump: str, family: int, ipsets: str) -> Played:
    cpu = min(os.sched_getaffinity(0))
    return Played(family, oracle.lab.backend, dump, ipsets, cpu, time.time())


def numbered(packet: bytes, number: int) -> bytes:
    """Give a packet the identity by which the oracle knows it."""
    data = bytearray(packet)
    if data[0] >> 4 == 6:
        label = int.from_bytes(data[1:4], "big") & ~0xFFFFF | number
        data[1:4] = label.to_bytes(3, "big")
        return bytes(data)
    data[4:6] = number.to_bytes(2, "big")
    data[10:12] = b"\0\0"
    data[10:12] = checksum(data[: Packet(data=packet).header_end]).to_bytes(2, "big")
    return bytes(data)
