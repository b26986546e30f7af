"""What ``data/conntrack`` holds: connections as the real kernel lists them, and a table that is full.

``python -m tests.kernel.connections`` records it anew, as root. The second part lowers the machine's
``nf_conntrack_max`` to 8,000 for a second: there is one setting for all network namespaces.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from contextlib import closing
from pathlib import Path

from nb_lib.engine import Host
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import parse
from nb_lib.trace import Trace
from tests.kernel.lab import PEER, Lab, run
from tests.kernel.queue import Queue

DATA = Path(__file__).resolve().parents[2] / "data" / "conntrack"
MAX = Path("/proc/sys/net/netfilter/nf_conntrack_max")
HELD, MORE = 8000, 500
ADDRESSES = {"r0": "10.1.0.1/24", "r1": "10.2.0.1/24"}
ROUTES = {"default": "r1 via 10.2.0.2"}
Step = tuple[str, Packet]  # the wire that it comes by


def _talk(client: str, server: str, there: str, *flags: str) -> list[Step]:
    """Return TCP packets, the client's and the answers in turn; the server sees the client as ``there``."""
    steps: list[Step] = []
    for at, each in enumerate(flags):
        ends = (client, server) if at % 2 == 0 else (server, there)
        seq, ack = (1000 + (at + 1) // 2, 5000 + at // 2) if at % 2 == 0 else (5000 + at // 2, 1001)
        packet = tcp(*ends, flags=each, seq=seq, ack=0 if each == "SYN" else ack)
        steps.append(("s0" if at % 2 else "c0", packet))
    return steps


QUERY, STREAM = udp("10.1.0.2:5000", "10.2.0.7:53"), udp("10.1.0.2:5001", "10.2.0.8:443")
FIRST: list[Step] = [
    ("c0", STREAM),
    ("s0", udp("10.2.0.8:443", "10.2.0.1:5001")),
    *_talk("10.1.0.2:40000", "10.2.0.2:443", "10.2.0.1:40000", "SYN", "SYN,ACK", "ACK"),
    ("c0", tcp("10.1.0.3:40001", "10.2.0.2:22")),
    ("c0", QUERY),
    ("s0", udp("10.2.0.7:53", "10.2.0.1:5000")),
    ("c0", udp("10.1.0.2:5002", "10.2.0.9:53")),
    ("c0", icmp("10.1.0.2", "10.2.0.2", id=7)),
    ("s0", tcp("10.2.0.9:50000", "10.2.0.1:8080")),
    ("c0", udp("10.1.0.2:5003", "10.2.0.2:9")),
    ("c0", udp("10.1.0.2:5004", "10.2.0.2:4789")),
]
LATER: list[Step] = [("c0", STREAM)]  # three seconds after that


def host() -> Host:
    """Return nb_lib's idea of the router."""
    return Host(parse((DATA / "iptables-save.txt").read_text()), addresses=ADDRESSES, routes=ROUTES)


def play(ours: Host) -> list[Trace]:
    """Let the packets come to nb_lib's router."""
    traces = [ours.receive(packet, PEER[wire]) for wire, packet in FIRST]
    ours.wait(3)
    return traces + [ours.receive(packet, PEER[wire]) for wire, packet in LATER]


def listed(lab: Lab) -> str:
    """Let the packets come to the real router; return what ``conntrack -L`` prints then."""
    lab.load((DATA / "iptables-save.txt").read_text(), 4)
    for wire, packet in FIRST:
        lab.inject(wire, packet.data)
    time.sleep(3)
    for wire, packet in LATER:
        lab.inject(wire, packet.data)
    return run("conntrack", "-L", namespace=lab.router)


def events(lab: Lab) -> str:
    """Let one TCP connection live and be deleted; return what ``conntrack -E`` prints."""
    lab.load((DATA / "iptables-save.txt").read_text(), 4)
    command = ["ip", "netns", "exec", lab.router, "conntrack", "-E", "-p", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as monitor:
        time.sleep(0.5)
        talk = _talk("10.1.0.2:40000", "10.2.0.2:443", "10.2.0.1:40000",
                     "SYN", "SYN,ACK", "ACK", "FIN,ACK", "FIN,ACK", "ACK")  # fmt: skip
        for wire, packet in talk:
            lab.inject(wire, packet.data)
        time.sleep(0.2)
        run("conntrack", "-D", "-p", "tcp", namespace=lab.router)
        time.sleep(0.2)
        monitor.terminate()
        return re.sub(r" portid=\d+", "", monitor.communicate()[0])


def full(*, assured: bool) -> dict[str, object]:
    """Fill a table to its brim, then knock with new connections; count who gets in."""
    before = MAX.read_text()
    with Lab() as lab:
        lab.load("*filter\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n", 4)
        for number in range(HELD):
            _enter(lab, f"10.1.0.{2 + number % 8}:{1024 + number // 8}", assured=assured)
        lab.left()
        passed = 0
        try:
            MAX.write_text(str(HELD))
            for number in range(MORE):
                lab.inject("c0", udp(f"10.1.0.12:{2000 + number}", "10.2.0.3:53").data)
                passed += sum(data[0] >> 4 == 4 for _, data in lab.left())
        finally:
            MAX.write_text(before)
        told = run("conntrack", "-S", namespace=lab.router)
        counted = {
            name: sum(map(int, re.findall(rf"\b{name}=(\d+)", told)))
            for name in ("drop", "early_drop")
        }
    return {"entries": HELD, "assured": assured, "new": MORE, "passed": passed, **counted}


def _enter(lab: Lab, client: str, *, assured: bool) -> None:
    server = "10.2.0.2:53"
    steps = (
        _talk(client, server, client, "SYN", "SYN,ACK", "ACK")
        if assured
        else [("c0", udp(client, server))]
    )
    for wire, packet in steps:
        lab.inject(wire, packet.data)
    if client.endswith("0"):
        lab.left()


CLASHES = ("", "--random-fully")
AT_ONCE, ROUNDS, EPHEMERAL = 200, 20, range(32768, 61000, 2)  # connect() takes even ports first


def clashes(option: str) -> dict[str, object]:
    """Hold the SYNs of 200 clients, each from a port of its own choice, let them go, count the lost."""
    rules = f"*nat\n-A INPUT -p tcp -j SNAT --to-source 10.9.9.9 {option}\nCOMMIT\n"
    hold = "*security\n-A INPUT -m conntrack --ctstate NEW -j NFQUEUE --queue-num 0\nCOMMIT\n"
    draw, lost = random.Random(f"clashes {option}"), []
    with Lab() as lab, closing(Queue(lab.router)) as queue:
        lab.load(rules + hold, 4)
        for number in range(ROUNDS):
            for client in range(AT_ONCE):
                ends = f"10.1.{number + 1}.{client + 20}:{draw.choice(EPHEMERAL)}", "10.1.0.1:80"
                lab.inject("c0", tcp(*ends).data)
            held: list[int] = []
            while len(held) < AT_ONCE:
                held += queue.held()
            for packet in held:
                queue.release(packet)
            lost.append(AT_ONCE - int(run("conntrack", "-C", namespace=lab.router)))
            run("conntrack", "-F", namespace=lab.router)
    return {"option": option, "at_once": AT_ONCE, "lost": lost}


def forgotten() -> dict[str, dict[str, int]]:
    """Count the entries of SNAT and of MASQUERADE that are left after what happens to the device."""
    rules = """*nat
-A POSTROUTING -p tcp -j SNAT --to-source 10.2.0.1
-A POSTROUTING -p udp -j MASQUERADE
COMMIT
"""
    happens = {
        "nothing": [],
        "ip addr add 10.2.0.99/24": ["addr add 10.2.0.99/24 dev r1"],
        "ip addr del 10.2.0.1/24": ["addr del 10.2.0.1/24 dev r1"],
        "ip link set down": ["link set r1 down"],
    }
    found = {}
    for what, commands in happens.items():
        with Lab() as lab:
            lab.load(rules, 4)
            for kind in (tcp, udp):
                for port in range(4000, 4010):
                    lab.inject("c0", kind(f"10.1.0.2:{port}", "10.2.0.2:53").data)
            for command in commands:
                run("ip", "-n", lab.router, *command.split())
            time.sleep(1)
            left = run("conntrack", "-L", namespace=lab.router).splitlines()
        kinds = {"SNAT": "tcp", "MASQUERADE": "udp"}
        found[what] = {
            name: sum(one.startswith(kind) for one in left) for name, kind in kinds.items()
        }
    return found


def record() -> None:
    """Write the folder's files."""
    with Lab() as lab:
        (DATA / "conntrack-L.txt").write_text(listed(lab))
    with Lab() as lab:
        (DATA / "conntrack-E.txt").write_text(events(lab))
    rows = [full(assured=assured) for assured in (False, True)]
    buckets = int(Path("/proc/sys/net/netfilter/nf_conntrack_buckets").read_text())
    _write("table-full", {"buckets": buckets, "runs": rows})
    _write("port-clashes", [clashes(option) for option in CLASHES])
    _write("masquerade-forgets", forgotten())


def _write(name: str, found: object) -> None:
    (DATA / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
