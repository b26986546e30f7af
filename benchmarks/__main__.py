"""``make bench``: nb_lib beside the real iptables-legacy-restore, as ratios measured in one run.

Each row says what is measured, both times, their ratio and the limit. The exit status is 1 if a
limit is passed. Without iptables the ratios are left out, and said to be.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

from benchmarks import appends, chains, proxy
from benchmarks.kube import Service, dump
from nb_lib.engine import Host
from nb_lib.packet import tcp
from nb_lib.text import check, parse
from nb_lib.trace import Entered, Missed

ADDRESSES = {"eth0": ["192.168.99.10/24"], "eth1": ["10.20.0.10/24"], "cni0": ["10.244.0.1/16"]}
CLIENT = "10.20.0.200:40000"


def seconds() -> float:
    """Return the processor time that this process and its children have used.

    Processor time, not the clock: both sides run on one core, and neighbours on the machine disturb
    the ratio less.
    """
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def best(work: Callable[[], object], times: int) -> float:
    """Return the shortest of several runs, in seconds; garbage of earlier runs is taken out first."""
    found = []
    for _ in range(times):
        gc.collect()
        start = seconds()
        work()
        found.append(seconds() - start)
    return min(found)


def real(text: str, times: int) -> float | None:
    """Return the seconds that iptables-legacy-restore --test needs, None where it cannot run."""
    command = shutil.which("iptables-legacy-restore")
    if command is None or os.geteuid() != 0:
        return None
    run = ["unshare", "--net", command, "--test"]
    return best(lambda: subprocess.run(run, input=text, text=True, check=True), times)


def host(text: str) -> Host:
    """Return the benchmarks' node with a dump."""
    return Host(parse(text), addresses=ADDRESSES, routes={"default": "eth1 via 10.20.0.200"})


def answer(text: str, service: Service) -> None:
    """From text to what happens to one packet."""
    trace = host(text).receive(tcp(CLIENT, f"{service.address}:{service.port}"), "eth1")
    assert str(trace.packet.dst).startswith("10.244."), trace.fate


def full_check(text: str) -> None:
    """Find every bad rule; none is there."""
    assert not check(parse(text))


def decode(text: str) -> None:
    """Read every rule and keep it."""
    kept = [list(chain.rules) for table in parse(text) for chain in table]
    assert kept


def memory(text: str) -> float:
    """Return the memory that filing adds, as a multiple of the text."""
    tracemalloc.start()
    ruleset = parse(text)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert ruleset["nat"]
    return used / len(text)


def warm(services: int) -> float:
    """Return the milliseconds of a trace to the last of many Services, once the host is warm."""
    text, last = dump(count=services, endpoints=2)
    machine = host(text)
    packets = [
        tcp(f"10.20.0.200:{port}", f"{last.address}:{last.port}") for port in range(40000, 40020)
    ]
    machine.receive(packets[0], "eth1")
    start = time.process_time()
    for packet in packets[1:]:
        machine.receive(packet, "eth1")
    return (time.process_time() - start) / (len(packets) - 1) * 1000


def tried(most: int = 20) -> float:
    """Return the microseconds of a trace through ten chains, fifty rules tried, once the host is warm."""
    machine = Host(
        parse(chains.dump()), addresses=ADDRESSES, routes={"default": "eth1 via 10.20.0.200"}
    )
    packets = [
        tcp(f"192.168.99.1:{port}", "198.51.100.1:443") for port in range(40000, 40000 + most)
    ]
    trace = machine.receive(packets[0], "eth0")
    entered = {(event.table, event.chain) for event in trace.events if isinstance(event, Entered)}
    rules = sum(event.last + 1 - event.first for event in trace.events if isinstance(event, Missed))
    assert (len(entered), rules + len(trace.steps)) == (10, 50 + 8), (
        trace
    )  # eight of the steps are policies
    found = []
    for _ in range(200):
        machine.conntrack.clear()
        start = time.process_time()
        for packet in packets:
            machine.receive(packet, "eth0")
        found.append((time.process_time() - start) / most * 1e6)
    return min(found)


def main() -> int:
    """Measure, print, and return 1 if a limit is passed."""
    failed = 0

    def row(what: str, value: float, limit: float | None, unit: str, note: str = "") -> None:
        nonlocal failed
        over = limit is not None and value > limit
        failed |= over
        bound = f"limit {limit:g}" if limit is not None else ""
        print(
            f"{what:44}{value:9.3f} {unit:8}{bound:12}{'OVER' if over else 'ok' if limit else ''}  {note}",
            flush=True,
        )

    for rules in (1_000, 10_000, 100_000):
        text, last = dump(rules=rules)
        times = 3 if rules == 100_000 else 5
        judge = real(text, times)
        mine = best(lambda: answer(text, last), times)  # noqa: B023 - called at once
        full = best(lambda: full_check(text), times)  # noqa: B023 - called at once
        kept = best(lambda: decode(text), times)  # noqa: B023 - called at once
        beside = f"iptables-legacy-restore --test {judge:.3f} s" if judge else "no iptables here"
        print(f"\n{rules:,} rules, {len(text) / 1e6:.1f} MB, {beside}")
        # A small dump's time is mostly the start of the real program: the limits are for 100,000.
        large = rules == 100_000
        if judge:
            row(
                "text → one packet's way, ratio",
                mine / judge,
                0.25 if large else None,
                "×",
                f"{mine:.3f} s",
            )
            row(
                "every rule checked, ratio",
                full / judge,
                1.2 if large else None,
                "×",
                f"{full:.3f} s",
            )
            row("every rule decoded and kept, ratio", kept / judge, None, "×", f"{kept:.3f} s")
        else:
            row("text → one packet's way", mine, None, "s")
            row("every rule checked", full, None, "s")
            row("every rule decoded and kept", kept, None, "s")
        row("memory added by filing, of the text", memory(text), 2.0, "×")
    print()
    row("trace to the last of 10,000 Services, warm", warm(10_000), 5.0, "ms")
    row("trace through ten chains, 50 rules tried", tried(), 250.0, "µs")
    print()
    for version in proxy.VERSIONS:
        whole, change, held = proxy.measured(version)
        what = f"kube-proxy {version}, 10,000 Services × 2"
        row(f"{what}: all rules", whole, 1.5, "s", "from objects in memory")
        row(f"{what}: one endpoint", change, 50.0, "ms", "changed; the next restore's whole input")
        row(f"{what}: memory", held, 400.0, "MB", "the process at its largest")
    for kind, took in appends.measured().items():
        row(f"1,000 × -A on 10,000 rules, {kind}", took, 0.25, "s")
    return failed


if __name__ == "__main__":
    sys.exit(main())
