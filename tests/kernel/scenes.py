"""Records the lines that the page "Which rule dropped my packet?" reads (data/trace/ufw, data/trace/nft).

``python -m tests.kernel.scenes`` (root). A few packets come by eth0 to a host with ufw's rules, once of
iptables-nft and once of legacy, and to one with rules of nft. One of them no rule drops: rp_filter does.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nb_lib.frame import write_frame
from nb_lib.packet import Packet, tcp, udp
from tests.kernel.lab import run
from tests.kernel.monitor import CALLER_MAC, ROUTER_MAC
from tests.kernel.netlink import inside

FOLDER = Path(__file__).parents[2] / "data" / "trace"
UFW, NFT = FOLDER / "ufw", FOLDER / "nft"
ADDRESSES = {"eth0": "192.0.2.10/24", "eth1": "10.20.0.1/24"}
ROUTES = {"default": "eth0 via 192.0.2.254"}
SYSCTLS = {"net.ipv4.conf.eth0.rp_filter": 1}
MONITORS = {
    "xtables-monitor": ("xtables-monitor", "--trace"),
    "nft-monitor-trace": ("nft", "-a", "monitor", "trace"),
    "conntrack-E": ("conntrack", "-E"),
}
_HOST = f"""\
addr add {ADDRESSES["eth0"]} dev eth0
addr add {ADDRESSES["eth1"]} dev eth1
link set eth0 address {ROUTER_MAC} up
link set eth1 up
route add default via 192.0.2.254
"""
_LISTEN, _BETWEEN, _REST = 1.0, 0.1, 1.0  # seconds


def packets() -> list[Packet]:
    """An administrator, a stranger at the database, one who is banned, a source from elsewhere, a query."""
    frame = {"mac_src": CALLER_MAC, "mac_dst": ROUTER_MAC}
    return [
        tcp("203.0.113.50:4010", "192.0.2.10:22", **frame),
        tcp("198.51.100.8:4011", "192.0.2.10:5432", **frame),
        tcp("203.0.113.7:4012", "192.0.2.10:443", **frame),
        tcp("10.20.0.5:4013", "192.0.2.10:443", **frame),
        udp("198.51.100.8:4014", "192.0.2.10:53", **frame),
    ]


@contextmanager
def host() -> Iterator[tuple[str, str]]:
    """Build a host and a namespace around it; yield their names."""
    inner, outer = (f"nb-scene-{os.getpid()}-{side}" for side in "io")
    try:
        for name in (inner, outer):
            run("ip", "netns", "add", name)
        for name in (inner, outer):
            run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", namespace=name)
            run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", namespace=name)
        for device, wire in (("eth0", "w0"), ("eth1", "w1")):
            run("ip", "link", "add", device, "netns", inner, "type", "veth",
                "peer", "name", wire, "netns", outer)  # fmt: skip
            run("ip", "-n", outer, "link", "set", wire, "up", "arp", "off")
        run("ip", "-n", inner, "-b", "-", text=_HOST)
        for setting, value in SYSCTLS.items():
            run("sysctl", "-qw", f"{setting}={value}", namespace=inner)
        yield inner, outer
    finally:
        for name in (inner, outer):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def send(outer: str) -> None:
    """Put the packets on the wire to eth0."""
    with inside(outer), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("w0", 0))
        for packet in packets():
            wire.send(write_frame(packet))
            time.sleep(_BETWEEN)


def watched(inner: str, outer: str, monitors: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what monitors print while the packets come."""
    many = (len(packets()) + 1) * _BETWEEN
    prefix = (
        "ip",
        "netns",
        "exec",
        inner,
        "timeout",
        "-s",
        "INT",
        str(_LISTEN + many + _REST),
        "stdbuf",
        "-oL",
    )
    listening = {
        name: subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, text=True)
        for name, command in monitors.items()
    }
    time.sleep(_LISTEN)
    send(outer)
    return {name: tidy(monitor.communicate()[0]) for name, monitor in listening.items()}


def ufw(backend: str) -> dict[str, str]:
    """Return the rules of ufw's host, what was printed about the packets, and a counter of the kernel's."""
    rules = (FOLDER.parent / "ufw" / "iptables-save.txt").read_text()
    trace = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -i eth0 -j TRACE\nCOMMIT\n"
    with host() as (inner, outer):
        run(f"iptables-{backend}-restore", text=trace + rules, namespace=inner)
        if backend == "legacy":
            return {"legacy-kernel-log": logged(inner, outer)}
        found = watched(inner, outer, MONITORS)
        found["iptables-save"] = run("iptables-nft-save", namespace=inner)
        found["nstat"] = run("nstat", "-asz", "TcpExtIPReversePathFilter", namespace=inner)
        return {name: re.sub(r"(?m)^# .*\n", "", text) if name == "iptables-save" else text
                for name, text in found.items()}  # fmt: skip


def nft() -> dict[str, str]:
    """Return the rules as nft lists them, and what it prints about the packets."""
    with host() as (inner, outer):
        run("nft", "-f", str(NFT / "ruleset.nft"), namespace=inner)
        found = {"nft-ruleset": run("nft", "list", "ruleset", namespace=inner)}
        return found | watched(inner, outer, {"nft-monitor-trace": ("nft", "monitor", "trace")})


def logged(inner: str, outer: str) -> str:
    """Return what legacy's TRACE writes to the kernel's log, which takes all namespaces' for a moment."""
    run("sh", "-c", "echo nf_log_ipv4 >/proc/sys/net/netfilter/nf_log/2", namespace=inner)
    run("sysctl", "-qw", "net.netfilter.nf_log_all_netns=1")
    begin = f"nb_lib begins {os.getpid()}"
    try:
        Path("/dev/kmsg").write_text(begin + "\n", encoding="utf-8")
        send(outer)
        time.sleep(_REST)
    finally:
        run("sysctl", "-qw", "net.netfilter.nf_log_all_netns=0")
    log = run("dmesg").rpartition(begin)[2]
    lines = [line for line in log.splitlines() if "MAC=" + ROUTER_MAC in line]
    return tidy("\n".join(re.sub(r"^\[ *[\d.]+\] ", "", line) for line in lines))


def tidy(text: str) -> str:
    """Take blanks off the ends of lines, and number the traces, whose ids the kernel draws."""
    seen: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return found[1] + seen.setdefault(found[2], f"{len(seen) + 1:08x}")

    text = re.sub(r"(trace id |(?:PACKET|TRACE): \d+ )([0-9a-f]{8})\b", number, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


if __name__ == "__main__":
    for name, text in {**ufw("nft"), **ufw("legacy")}.items():
        (UFW / f"{name}.txt").write_text(text, encoding="utf-8")
    for name, text in nft().items():
        (NFT / f"{name}.txt").write_text(text, encoding="utf-8")
