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


class Report:
    """Rows under headings, as they are measured; ``failed`` says whether a limit was passed."""

    def __init__(self) -> None:
        self.failed = False

    def heading(self, text: str) -> None:
        """Begin a group of rows."""
        print(f"\n{text}", flush=True)

    def row(
        self, what: str, value: float, unit: str, limit: float | None = None, note: str = ""
    ) -> None:
        """Print what was measured, its limit if it has one, and whether it is kept."""
        over = limit is not None and value > limit
        self.failed |= over
        bound, verdict = ("", "") if limit is None else (f"≤ {limit:g}", "OVER" if over else "ok")
        line = f"  {what:40}{value:9.3f} {unit:3}{bound:>8}  {verdict:5}{note}"
        print(line.rstrip(), flush=True)


def dumps(report: Report) -> None:
    """Text of three sizes beside iptables-legacy-restore: the limits are ratios, and for the largest."""
    for rules in (1_000, 10_000, 100_000):
        text, last = dump(rules=rules)
        times = 3 if rules == 100_000 else 5
        judge = real(text, times)
        works: dict[str, tuple[Callable[[], object], float | None]] = {
            "text → one packet's way": (lambda: answer(text, last), 0.25),  # noqa: B023 - at once
            "every rule checked": (lambda: full_check(text), 1.2),  # noqa: B023
            "every rule decoded and kept": (lambda: decode(text), None),  # noqa: B023
        }
        beside = (
            f"iptables-legacy-restore --test takes {judge:.3f} s" if judge else "no iptables here"
        )
        report.heading(f"A dump of {rules:,} rules, {len(text) / 1e6:.1f} MB; {beside}")
        for what, (work, limit) in works.items():
            took = best(work, times)
            if judge:  # a small dump's time is mostly the start of the real program
                kept = limit if rules == 100_000 else None
                report.row(f"{what}, ratio", took / judge, "×", kept, f"{took:.3f} s")
            else:
                report.row(what, took, "s")
        report.row("memory added by filing, of the text", memory(text), "×", 2.0)


def proxies(report: Report) -> None:
    """Run kube-proxy's modes from objects in memory."""
    report.heading(
        "kube-proxy, 10,000 Services × 2 endpoints: objects in memory → the input to load"
    )
    for mode, version in proxy.MEASURED:
        cost = proxy.measured(mode, version)
        report.row(f"{mode} {version}: everything", cost.whole, "s", 1.5)
        report.row(f"{mode} {version}: one endpoint changed", cost.change, "ms", 50.0)
        report.row(f"{mode} {version}: memory at the most", cost.memory, "MB", 400.0)


def main() -> int:
    """Measure, print, and return 1 if a limit is passed."""
    report = Report()
    dumps(report)
    report.heading("One packet on a warm host")
    report.row("to the last of 10,000 Services", warm(10_000), "ms", 5.0)
    report.row("through ten chains, 50 rules tried", tried(), "µs", 250.0)
    report.heading("1,000 × iptables -A, each a command, on 10,000 rules")
    for kind, took in appends.measured().items():
        report.row(kind, took, "s", 0.25)
    proxies(report)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
