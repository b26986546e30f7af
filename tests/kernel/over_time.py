"""Time passes: what the kernel's rules count while packets come at measured times, and what ours count.

A worker for test_over_time.py. It builds a lab, loads one chain for each kind of match, and sends
the chains' packets at irregular times, all mixed; after each packet it reads the rules' counters. It
prints as JSON, for each packet: its chain, what it was, and the rules that counted it, the kernel's and
ours. When the machine is busy the kernel's clock may be late, and nobody can tell: a chain in which
something differs is tried again, and what differs then again is a difference.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import heapq
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from nb_lib.engine import Host
from nb_lib.matches.limit import HZ
from nb_lib.packet import Packet
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets
from nb_lib.trace import Matched
from tests.kernel.lab import PEER, Lab, run
from tests.kernel.netlink import inside
from tests.kernel.timed_rules import Chain, Step, chains

SYSCTLS = {
    "net.netfilter.nf_conntrack_udp_timeout": 2,
    "net.netfilter.nf_conntrack_udp_timeout_stream": 4,
    "net.netfilter.nf_conntrack_tcp_timeout_close": 1,
}
_COUNTER = re.compile(r"\[(\d+):\d+\] -A (\S+) ")
AGAIN = 2  # times
Counted = list[str]  # CHAIN:NUMBER of each rule that counted a packet


class Row(NamedTuple):
    """One packet, and the rules that counted it."""

    chain: str
    packet: str
    kernel: Counted
    ours: Counted


class Clock:
    """The clock that the kernel's matches read: it stands still between two ticks."""

    TICK = 1 / HZ
    COARSE = 5  # CLOCK_REALTIME_COARSE: moves with the ticks

    def __init__(self) -> None:
        found = []
        coarse = time.clock_gettime_ns(self.COARSE)
        while len(found) < 25:
            if (now := time.clock_gettime_ns(self.COARSE)) != coarse:
                found.append(time.time() % self.TICK)
                coarse = now
        # Ticks come late sometimes: the middle one did not.
        self.phase = sorted(found)[len(found) // 2]

    def instants(self, before: float, after: float) -> list[float]:
        """Return when a packet may have met its rules, which was between two looks at the clock.

        Ours counts fractions of a tick as well, and the kernel's seconds may end one tick late.
        """
        first, last = before - self.phase, after - self.phase
        ticks = range(int(first * HZ) - 1, int(last * HZ) + 1)
        return [last, first, *((tick + 0.01) / HZ for tick in reversed(ticks))]


class Wires:
    """Ears on both wires: when the router put something on one."""

    STAMP = 35  # SO_TIMESTAMPNS: the kernel's own clock

    def __init__(self, lab: Lab) -> None:
        self._sockets = []
        for namespace, device in ((lab.client, "c0"), (lab.server, "s0")):
            with inside(namespace):
                ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            ear.setsockopt(socket.SOL_SOCKET, self.STAMP, 1)
            ear.bind((device, 3))
            ear.setblocking(False)
            self._sockets.append(ear)

    def last(self) -> float:
        """Return when the last frame came, 0 if none has come since."""
        found = 0.0
        for ear in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    _, ancillary, _, source = ear.recvmsg(65536, 64)
                    if source[2] != socket.PACKET_OUTGOING:
                        seconds, parts = struct.unpack("qq", ancillary[0][2])
                        found = max(found, seconds + parts / 1e9)
        return found


class Router:
    """The lab's router with its rules, and nb_lib's idea of it."""

    def __init__(self, lab: Lab, backend: str, family: int, loaded: list[Chain]) -> None:
        self.lab = lab
        self.programs = f"ip{'6' * (family == 6)}tables-{backend}"
        sets = "".join(f"{line}\n" for chain in loaded for line in chain.sets)
        dump = _dump(loaded)
        run("ipset", "restore", text=sets, namespace=lab.router)
        run(f"{self.programs}-restore", text=dump, namespace=lab.router)
        with inside(lab.router):
            for name, value in SYSCTLS.items():
                Path("/proc/sys", *name.split(".")).write_text(str(value))
        self.host = Host(
            parse(dump, family=family, backend=backend),
            addresses={
                "r0": ["10.1.0.1/24", "fd00:1::1/64"],
                "r1": ["10.2.0.1/24", "fd00:2::1/64"],
            },
            sysctls=SYSCTLS,
            ipsets=parse_ipsets(sets),
            facts={"minutes_west": minutes_west()},
        )
        self.names = {chain.port: chain.name for chain in loaded}
        self.clock, self.wires = Clock(), Wires(lab)
        self._before = self._counters()

    def put(self, wire: str, packet: Packet) -> Row:
        """Send a packet and compare who counted it."""
        before = time.time()
        self.lab.inject(wire, packet.data)
        after = time.time()
        if left := self.wires.last():  # else it lies in a queue: the clock has to do
            after = left
        instants = self.clock.instants(before, after)
        kernel = self._counted()
        ours = self._ours(wire, packet, instants, kernel)
        chain = self.names.get(packet.dport) or self.names[packet.sport]
        return Row(chain, f"{wire} {packet} of {packet.length}", kernel, ours)

    def _counters(self) -> dict[str, int]:
        with inside(self.lab.router):
            saved = subprocess.run([f"{self.programs}-save", "-c", "-t", "filter"], capture_output=True,
                                   text=True, check=True).stdout  # fmt: skip
        found: dict[str, int] = {}
        numbers: dict[str, int] = {}
        for packets, chain in _COUNTER.findall(saved):
            numbers[chain] = numbers.get(chain, 0) + 1
            found[f"{chain}:{numbers[chain]}"] = int(packets)
        return found

    def _counted(self) -> Counted:
        before, self._before = self._before, self._counters()
        return [rule for rule, count in self._before.items() if count > before[rule]]

    def _ours(self, wire: str, packet: Packet, instants: list[float], kernel: Counted) -> Counted:
        """Return the rules that match, at the instant that agrees with the kernel if one does."""
        tries = []
        for now in instants:
            host = copy.copy(self.host)
            host.state = self.host.state.fork()
            host.state.now = now
            trace = host.receive(packet, PEER[wire])
            ours = [
                f"{e.place.chain}:{e.place.number}" for e in trace.events if isinstance(e, Matched)
            ]
            tries.append((host, ours))
            if ours == kernel:
                break
        self.host, ours = tries[-1] if tries[-1][1] == kernel else tries[0]
        return ours


def _dump(loaded: list[Chain]) -> str:
    lines = ["*filter", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"]
    lines += [f":{chain.name} -" for chain in loaded]
    lines += [
        f"-A FORWARD -p {protocol} -m multiport --ports {chain.port} -j {chain.name}"
        for chain in loaded
        for protocol in ("tcp", "udp")
    ]
    lines += [f"-A {chain.name} {rule}" for chain in loaded for rule in chain.rules]
    return "\n".join([*lines, "COMMIT", ""])


def minutes_west() -> int:
    """Return the kernel's time zone, which `--kerneltz` asks for: gettimeofday(2)."""
    zone = (ctypes.c_int * 2)()
    ctypes.CDLL(None).gettimeofday(None, zone)
    return zone[0]


def mixed(loaded: list[Chain], family: int) -> Iterator[Step]:
    """Yield the packets of all chains in the order of their times; ``nap`` counts from the start."""
    ways = [chain.packets(Random(f"{chain.name} {family}"), family) for chain in loaded]

    def timed(way: Iterator[Step]) -> Iterator[Step]:
        at = 0.0
        for step in way:
            at += step.nap
            yield step._replace(nap=at)

    return heapq.merge(*map(timed, ways), key=lambda step: step.nap)


def compare(backend: str, family: int, names: set[str]) -> list[Row]:
    """Send the packets of some chains, or of all; return a row a packet."""
    while (
        time.time() % 86_400 > 86_400 - 20
    ):  # a day that ends meanwhile would turn the rules around
        time.sleep(1)
    with Lab() as lab:
        loaded = [c for c in chains(family, int(time.time())) if c.name in names or not names]
        router = Router(lab, backend, family, loaded)
        start, rows = time.monotonic(), []
        for step in mixed(loaded, family):
            time.sleep(max(0.0, start + step.nap - time.monotonic()))
            rows.append(router.put(step.wire, step.packet))
    return rows


def patiently(backend: str, family: int) -> list[Row]:
    """Compare; try the chains again in which something differs."""
    rows = compare(backend, family, set())
    for _ in range(AGAIN):
        differ = {row.chain for row in rows if row.kernel != row.ours}
        if not differ:
            break
        rows = [row for row in rows if row.chain not in differ] + compare(backend, family, differ)
    return rows


if __name__ == "__main__":
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(
        0, {cores[int(sys.argv[3]) % len(cores)]}
    )  # the lab takes one core for itself
    json.dump(patiently(sys.argv[1], int(sys.argv[2])), sys.stdout)
