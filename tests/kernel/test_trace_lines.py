"""What xtables-monitor, nft and the kernel's log print of packets, read and put beside nb_lib's traces."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product

import pytest

from nb_lib.engine import Host
from nb_lib.monitor import Told, read_trace
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import nft, parse
from nb_lib.trace import Trace
from tests.engine.router import ADDRESSES, ROUTES
from tests.kernel.compare import SYSCTLS, Played, follow
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import identity
from tests.kernel.play import numbered
from tests.kernel.trial import Trial

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs(
        "nft", "xtables-monitor", "ipset", "iptables-nft-restore", "iptables-legacy-restore"
    ),
]
PATIENCE, REST = 10.0, 0.5  # seconds until a program listens, and until it has printed all
SEEDS = range(1, 8)
ENOUGH = 200  # packets that each program tells of


def told_by(told: Told, traces: dict[int, Trace]) -> Iterator[tuple[Told, Trace]]:
    """Yield our trace of the packet that lines tell of, if it is one that was sent."""
    trace = traces.get(int(told.header.get("ident", 0)))
    if trace is not None:
        yield told, trace


def traced(played: Played) -> dict[int, Trace]:
    """Return nb_lib's traces by the packets' identities; not of fragments, nor of what was answered."""
    found = {}
    for (_, data, seen), (trace, difference) in zip(played.packets, follow(played), strict=False):
        if trace is not None and difference is None and not seen.answers:
            found[identity(data)] = trace
    return found


@contextmanager
def listening(lab: Lab, *command: str) -> Iterator[Callable[[], str]]:
    """Let a program listen in the router; yield what returns all that it has printed.

    It prints to a terminal: into a pipe it would keep its last lines back.
    """
    mine, its = os.openpty()
    heard = len(groups(lab))
    program = subprocess.Popen(
        ["ip", "netns", "exec", lab.router, *command], stdout=its, stderr=subprocess.DEVNULL
    )
    os.close(its)
    pieces: list[bytes] = []
    reader = threading.Thread(target=_read, args=(mine, pieces))
    reader.start()

    def printed() -> str:
        time.sleep(REST)
        program.terminate()
        reader.join()
        return b"".join(pieces).decode().replace("\r\n", "\n")

    try:
        wait_for(lab, heard)
        yield printed
    finally:
        program.kill()
        program.wait()
        reader.join()
        os.close(mine)


def _read(terminal: int, pieces: list[bytes]) -> None:
    with suppress(OSError):  # the program has gone
        while piece := os.read(terminal, 65536):
            pieces.append(piece)


def groups(lab: Lab) -> list[str]:
    """Return netfilter's netlink sockets (12) that have joined a group."""
    sockets = run("cat", "/proc/net/netlink", namespace=lab.router).splitlines()[1:]
    return [words for words in sockets if words.split()[1] == "12" and int(words.split()[3], 16)]


def wait_for(lab: Lab, heard: int) -> None:
    """Wait until one more listens than ``heard``."""
    until = time.monotonic() + PATIENCE
    while len(groups(lab)) <= heard:
        if time.monotonic() > until:
            raise TimeoutError("the program does not listen")
        time.sleep(0.05)


def without_guard(text: str) -> str:
    """Leave out the lab's own table."""
    return "".join(f"{line}\n" for line in text.splitlines() if " guard" not in line)


def compared(told: list[tuple[Told, Trace]]) -> tuple[int, int, int, str]:
    """Return packets that agree, all packets, steps, and the first that differs."""
    wrong = [(one, trace) for one, trace in told if not one.agrees(trace)]
    steps = sum(len(one.steps) for one, _ in told)
    text = "\n\n".join(f"{one.steps}\n{trace.steps}" for one, trace in wrong[:5])
    return len(told) - len(wrong), len(told), steps, text


@pytest.mark.parametrize("family", [4, 6])
def test_nft_monitor_tells_our_steps(family: int, figure) -> None:
    found: list[tuple[Told, Trace]] = []
    with Trial("nft") as trial:
        for seed in SEEDS:
            with listening(trial.lab, "nft", "-a", "monitor", "trace") as printed:
                played = trial.play(seed, family)
                listing = run("nft", "-j", "list", "ruleset", namespace=trial.lab.router)
                text = without_guard(printed())
            traces = traced(played)
            for told in read_trace(text, nft.read_json(listing)):
                found += told_by(_as_iptables(told), traces)
    fine, count, steps, text = compared(found)
    figure(
        f"lines of nft monitor trace, IPv{family}",
        fine,
        count,
        f"packets, {steps:,} steps by handle",
    )
    assert fine == count, text
    assert count >= ENOUGH


def _as_iptables(told: Told) -> Told:
    """Name tables as iptables does: ``filter``, not ``ip filter``."""
    lines = tuple(step._replace(table=step.table.partition(" ")[2]) for step in told.lines)
    return Told(told.program, lines, told.headers)


RULES = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -j TRACE
-A OUTPUT -j TRACE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:MARKS - [0:0]
-A PREROUTING -j MARKS
-A MARKS -p udp -j RETURN
-A MARKS -j MARK --set-xmark 0x7/0xff
-A MARKS -p tcp -m tcp --dport 8000:8009 -j MARK --set-xmark 0x1/0x1
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:TO - [0:0]
-A PREROUTING -p tcp -m tcp --dport 80:89 -j TO
-A TO -p tcp -m comment --comment "to the: web (server)" -j DNAT --to-destination {far}
-A POSTROUTING -o r1 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:IN_r - [0:0]
:web - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i r0 -g IN_r
-A FORWARD -j ACCEPT
-A IN_r -p tcp -j web
-A IN_r -p udp -m udp --dport 50:54 -j DROP
-A IN_r -s {near} -p udp -m udp --dport 55 -j ACCEPT
-A web -p tcp -m tcp --dport 22:24 -j DROP
-A web -m mark --mark 0x7/0xff -j ACCEPT
-A web -p tcp -m tcp --dport 8000:8004
-A web -p tcp -m tcp --dport 8004 -j RETURN
COMMIT
"""
ENDS = {4: ("10.1.0.2", "10.2.0.2", "10.1.0.1"), 6: ("fd00:1::2", "fd00:2::2", "fd00:1::1")}
PORTS = (22, 23, 25, 50, 55, 56, 80, 85, 89, 90, 443, 8000, 8004, 8005)
PAUSE = 0.02  # seconds between packets: xtables-monitor asks the kernel for each rule, and ends if it lags
OURS = 30_000  # the first identity in the log, which has lines of other tests' namespaces as well
BATCH = 16  # packets; their lines are far from filling the kernel's buffer


def sent(family: int) -> Iterator[Packet]:
    """Yield packets of all kinds, each a connection of its own."""
    near, far, router = ENDS[family]
    for number, (dport, dst) in enumerate(product(PORTS * 8, (far, router))):
        make = (tcp, udp, tcp, icmp)[number // 2 % 4]
        ends = {} if make is icmp else {"sport": 2000 + number, "dport": dport}
        more = {"id": number} if make is icmp else ends
        yield make(near, dst, **more)


def test_xtables_monitor_tells_our_steps(figure) -> None:
    """IPv4, and iptables' rules alone: at a rule that it cannot print the program ends (below)."""
    with Lab("nft") as lab:
        rules = fixed(lab, 4)
        with listening(lab, "xtables-monitor", "--trace") as printed:
            traces = exchanged(lab, 4, rules, 1, list(sent(4)))
            told = read_trace(printed(), parse(rules))
        found = [pair for one in told for pair in told_by(one, traces)]
    judge(figure, "lines of xtables-monitor", found, len(traces))
    assert all(step.number for one, _ in found for step in one.lines if step.kind == "rule")


@pytest.mark.parametrize("family", [4, 6])
def test_the_kernels_log_tells_our_steps(family: int, figure) -> None:
    """For a moment the log takes the lines of all network namespaces."""
    found: list[tuple[Told, Trace]] = []
    packets = list(sent(family))
    with Lab("legacy") as lab, logging_of(lab) as lines:
        fixed(lab, family)
        saved = run(
            f"{'iptables' if family == 4 else 'ip6tables'}-legacy-save", namespace=lab.router
        )
        dump = parse(saved, family=family, backend="legacy")
        for at in range(0, len(packets), BATCH):
            traces = exchanged(lab, family, saved, OURS + at, packets[at : at + BATCH])
            found += [pair for one in read_trace(lines(), dump) for pair in told_by(one, traces)]
    judge(figure, f"lines of TRACE in the kernel's log, IPv{family}", found, len(packets))


def fixed(lab: Lab, family: int) -> str:
    """Load the rules, and nothing beside them."""
    near, far, _ = ENDS[family]
    rules = RULES.format(near=near, far=far)
    lab.load(rules, family)
    run("nft", "delete", "table", "inet", "guard", namespace=lab.router)
    return rules


def exchanged(
    lab: Lab, family: int, saved: str, first: int, packets: list[Packet]
) -> dict[int, Trace]:
    """Send packets through the router and through nb_lib's; return the traces by the packets' numbers."""
    rules = parse(saved, family=family, backend=lab.backend)
    host = Host(rules, addresses=ADDRESSES, routes=ROUTES, sysctls=SYSCTLS)
    traces = {}
    for number, packet in enumerate(packets, first):
        data = numbered(packet.data, number)
        lab.inject("c0", data)
        time.sleep(PAUSE)
        traces[number] = host.receive(Packet(data=data), "r0")
    return traces


def judge(figure, what: str, found: list[tuple[Told, Trace]], expected: int) -> None:
    fine, count, steps, text = compared(found)
    figure(what, fine, count, f"packets, {steps:,} steps with their rule's number")
    assert fine == count, text
    assert count >= expected


@contextmanager
def logging_of(lab: Lab) -> Iterator[Callable[[], str]]:
    """Let legacy's TRACE go to the kernel's log; yield what returns the lines that are new."""
    for family, number in (("ipv4", 2), ("ipv6", 10)):
        setting = f"/proc/sys/net/netfilter/nf_log/{number}"
        run("sh", "-c", f"echo nf_log_{family} >{setting}", namespace=lab.router)
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)

    def lines() -> str:
        time.sleep(REST)
        found = []
        with suppress(BlockingIOError):
            while record := os.read(log, 8192):
                found.append(record.decode().partition(";")[2].split("\n")[0])
        return "\n".join(found)

    run("sysctl", "-qw", "net.netfilter.nf_log_all_netns=1")
    try:
        os.lseek(log, 0, os.SEEK_END)
        yield lines
    finally:
        run("sysctl", "-qw", "net.netfilter.nf_log_all_netns=0")
        os.close(log)


def test_xtables_monitor_dies_at_a_port_of_ipv6() -> None:
    """A mistake of iptables 1.8.9, which the chapter tells of: it is to be rewritten when this fails."""
    rules = (
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n"
    )
    with Trial("nft") as trial:
        trial.oracle.load(rules, 6)
        with listening(trial.lab, "xtables-monitor", "--trace") as printed:
            trial.oracle.send([("c0", tcp("[fd00:1::2]:4000", "[fd00:2::2]:80").data)])
            text = printed()
    assert "filter:FORWARD:rule:" in text
    assert "-A FORWARD" not in text
