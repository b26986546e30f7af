"""Records how three programs tell the kernel's trace of one packet, for chapter 1 of the book.

``python -m tests.kernel.monitor`` (root) writes data/trace/*.txt anew. One SYN comes by eth0 to a router
that publishes 10.0.0.80 as its own port 80; ``nft monitor trace`` and ``xtables-monitor --trace`` tell what
iptables-nft's rules did, the kernel's log what iptables-legacy's did.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nb_lib.frame import write_frame
from nb_lib.packet import tcp
from tests.kernel.lab import run
from tests.kernel.netlink import inside

FOLDER = Path(__file__).parents[2] / "data" / "trace"
RULES = FOLDER / "iptables-save.txt"
MONITORS = {
    "nft-monitor-trace": ("nft", "monitor", "trace"),
    "xtables-monitor": ("xtables-monitor", "--trace"),
}
LOG = "legacy-kernel-log"
ROUTER_MAC, CALLER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:fe"
SYN = tcp("198.51.100.7:50000", "192.0.2.1:80", mac_src=CALLER_MAC, mac_dst=ROUTER_MAC)
_LISTEN, _MOST = 1.0, 3.0  # seconds until a monitor listens, and until its lines have come
_ROUTER = f"""\
addr add 192.0.2.1/24 dev eth0
addr add 10.0.0.1/24 dev eth1
link set eth0 address {ROUTER_MAC} up
link set eth1 up
route add default via 192.0.2.254
neigh add 10.0.0.80 lladdr 02:00:00:00:00:80 dev eth1 nud permanent
"""


@contextmanager
def router() -> Iterator[tuple[str, str]]:
    """Build a router and a namespace around it; yield their names."""
    inner, outer = (f"nb-trace-{os.getpid()}-{side}" for side in "ro")
    try:
        for name in (inner, outer):
            run("ip", "netns", "add", name)
        for device, wire in (("eth0", "w0"), ("eth1", "w1")):
            run("ip", "link", "add", device, "netns", inner, "type", "veth",
                "peer", "name", wire, "netns", outer)  # fmt: skip
            run("ip", "-n", outer, "link", "set", wire, "up")
        run("ip", "-n", inner, "-b", "-", text=_ROUTER)
        run("sysctl", "-qw", "net.ipv4.ip_forward=1", namespace=inner)
        yield inner, outer
    finally:
        for name in (inner, outer):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def send(outer: str) -> None:
    """Put the SYN on the wire to eth0."""
    with inside(outer), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("w0", 0))
        wire.send(write_frame(SYN))


def monitored() -> dict[str, str]:
    """Return what both monitors print."""
    with router() as (inner, outer):
        run("iptables-nft-restore", text=RULES.read_text(), namespace=inner)
        prefix = ("ip", "netns", "exec", inner, "timeout", str(_LISTEN + _MOST))
        listening = {
            name: subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, text=True)
            for name, command in MONITORS.items()
        }
        time.sleep(_LISTEN)
        send(outer)
        return {name: tidy(monitor.communicate()[0]) for name, monitor in listening.items()}


def logged() -> str:
    """Return the kernel's log of legacy's rules.

    For a moment the log takes the lines of all network namespaces, which only the first may allow.
    """
    with router() as (inner, outer):
        run("iptables-legacy-restore", text=RULES.read_text(), namespace=inner)
        run("sh", "-c", "echo nf_log_ipv4 >/proc/sys/net/netfilter/nf_log/2", namespace=inner)
        run("sysctl", "-qw", "net.netfilter.nf_log_all_netns=1")
        try:
            send(outer)
            time.sleep(_LISTEN)
        finally:
            run("sysctl", "-qw", "net.netfilter.nf_log_all_netns=0")
        lines = [line for line in run("dmesg").splitlines() if str(SYN.src) in line]
    # A log remembers: the last lines from the first table on are those of this packet.
    first = max(at for at, line in enumerate(lines) if "TRACE: raw:PREROUTING" in line)
    return tidy("\n".join(re.sub(r"^\[ *[\d.]+\] ", "", line) for line in lines[first:]))


def tidy(text: str) -> str:
    """Take blanks off the ends of lines, and give the trace, whose number is drawn, the number 1."""
    text = re.sub(r"(trace id|(?:PACKET|TRACE): 2) [0-9a-f]+\b", r"\1 00000001", text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def steps(program: str, text: str) -> list[tuple[str, ...]]:
    """Return the steps that a program's lines tell, each as far as it tells it.

    ``xtables-monitor``: (table, chain, verdict, the rule as iptables-save prints it or nothing);
    ``nft-monitor-trace``: (table, chain, "rule" or "policy", verdict);
    ``legacy-kernel-log``: (table, chain, number), the policy having the number after the last rule.
    """
    return [tuple(groups) for groups in re.findall(_LINES[program], text, re.MULTILINE)]


_LINES = {
    "xtables-monitor": r"TRACE: \S+ \S+ (\w+):(\w+):(?:rule:0x\w+|policy):([A-Z]+(?::\w+)?)"
    r"(?: +-4 -t \w+ (-A .*))?$",
    "nft-monitor-trace": r"^trace id \S+ ip (\w+) (\w+) (rule|policy) (?:.*\(verdict )?([\w ]+)\)?$",
    LOG: r"^TRACE: (\w+):(\w+):(?:rule|policy|return):(\d+) ",
}


if __name__ == "__main__":
    for name, text in {**monitored(), LOG: logged()}.items():
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
