"""A host with a bridge, three stations on its ports, and what the kernel does with their frames.

::

    q0 ─── p0 ┐
    q1 ─── p1 ┤ br0  10.3.0.1/24  fd00:3::1/64        A, B, C are 10.3.0.10, .11, .12 behind p0, p1, p2
    q2 ─── p2 ┘

The stations have no addresses: packet sockets speak for them. The host knows them all (``ip neigh``),
its default route leads to B. A guard traces what comes by the ports and what we send, and drops what
would reach a socket, so that nothing answers but ARP. A frame is through the bridge when the call
that sends it returns (one core, no queue on the way), so frames need no marks to be told apart.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import NamedTuple, Self

from nb_lib.net import ARP, BRIDGE
from tests.kernel.lab import run
from tests.kernel.netlink import TRACE_GROUP, Netlink, inside, trace_events

OWN = "02:00:00:00:0c:00"
STATIONS = {"p0": "02:00:00:00:0a:00", "p1": "02:00:00:00:0b:00", "p2": "02:00:00:00:0d:00"}
PORTS = {"p0": "02:00:00:00:01:00", "p1": "02:00:00:00:01:01", "p2": "02:00:00:00:01:02"}
ADDRESSES = {"p0": ("10.3.0.10", "fd00:3::10"), "p1": ("10.3.0.11", "fd00:3::11"),
             "p2": ("10.3.0.12", "fd00:3::12")}  # fmt: skip
OURS = 0x4B4F
GUARD = """
table bridge guard {
 chain pre { type filter hook prerouting priority -1000; meta nftrace set 1; }
 chain inp { type filter hook input priority -1000; meta nftrace set 1; }
}
table arp guard {
 chain out { type filter hook output priority -1000; meta nftrace set 1; }
}
table inet guard {
 chain out { type filter hook output priority -1000;
   icmpv6 type { 133, 135, 136, 143 } accept; meta nftrace set 1; }
 chain inp { type filter hook input priority 2147483647; drop; }
}
"""
_SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/accept_local": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/icmp_ratemask": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
_NAMES = {BRIDGE: "bridge ", ARP: "arp ", 2: "", 10: ""}  # by netfilter's numbers of families
_SOL_PACKET, _AUXDATA, _VLAN_VALID = 263, 8, 1 << 4
_MLD = b"\x3a\0\5\2"  # the hop-by-hop header before the host's own multicast reports

Step = tuple[str, str, int, str]


class Seen(NamedTuple):
    """What the kernel did with one frame: the rules that matched, and what left each port."""

    steps: list[Step]
    out: list[tuple[str, bytes]]


class BridgeLab:
    """The two namespaces; use it as a context manager, they are removed afterwards."""

    forgets = True  # connections, after each frame

    def __init__(self) -> None:
        tag = os.getpid()
        self.host, self.outside = f"nb-bh-{tag}", f"nb-bx-{tag}"
        self.wires: dict[str, socket.socket] = {}
        self._raw: dict[int, socket.socket] = {}
        self._stack = ExitStack()
        self._handles: dict[tuple[int, str, str, int], int] = {}

    def __enter__(self) -> Self:
        self._cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(self._cores)})
        self._stack.callback(os.sched_setaffinity, 0, self._cores)
        for name in (self.host, self.outside):
            self._stack.callback(_delete, name)
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._stack.close()

    def _build(self) -> None:
        for name in (self.host, self.outside):
            _delete(name)
            run("ip", "netns", "add", name)
        with inside(self.outside):
            _set("net/ipv6/conf/all/disable_ipv6", "1")
            _set("net/ipv6/conf/default/disable_ipv6", "1")
        with inside(self.host):
            _set("net/ipv6/conf/default/addr_gen_mode", "1")
            for path, value in _SETTINGS.items():
                _set(path, value)
        lines = ["link set lo up", f"link add br0 address {OWN} type bridge mcast_snooping 0"]
        for port, mac in PORTS.items():
            wire = f"q{port[1:]}"
            run("ip", "link", "add", wire, "netns", self.outside, "address", STATIONS[port], "type",
                "veth", "peer", "name", port, "netns", self.host, "address", mac)  # fmt: skip
            run("ip", "-n", self.outside, "link", "set", wire, "up", "arp", "off")
            lines += [f"link set {port} master br0", f"link set {port} up"]
        lines += ["link set br0 up", "addr add 10.3.0.1/24 dev br0"]
        lines += ["addr add fd00:3::1/64 dev br0 nodad", "route add default via 10.3.0.11"]
        lines += ["route add default via fd00:3::11", "route add 224.0.0.0/4 dev br0"]
        for port, addresses in ADDRESSES.items():
            lines += [
                f"neigh add {a} lladdr {STATIONS[port]} dev br0 nud permanent" for a in addresses
            ]
        run("ip", "-n", self.host, "-b", "-", text="\n".join(lines) + "\n")
        time.sleep(1.5)  # ports forward only after their carrier has been noticed
        self._open()

    def _open(self) -> None:
        with inside(self.outside):
            for port in PORTS:
                wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                wire.setsockopt(_SOL_PACKET, _AUXDATA, 1)
                wire.bind((f"q{port[1:]}", 3))
                wire.setblocking(False)
                self.wires[port] = self._stack.enter_context(wire)
        with inside(self.host):
            self.index = socket.if_nametoindex("br0")
            for family, kind in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                raw = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, OURS)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                self._raw[family] = self._stack.enter_context(raw)
            self._raw[4].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            self._raw[6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        self._trace, self._ask = Netlink(self.host, TRACE_GROUP), Netlink(self.host)
        self._stack.callback(self._trace.close)
        self._stack.callback(self._ask.close)

    def load(self, dumps: dict[str, str], *, calls: int) -> None:
        """Replace all rules; ``dumps`` maps a program (``ebtables`` …) to a dump."""
        with inside(self.host):
            for word in ("iptables", "ip6tables", "arptables"):
                _set(f"net/bridge/bridge-nf-call-{word}", str(calls))
        run("nft", "-f", "-", text="flush ruleset\n" + GUARD, namespace=self.host)
        for program, dump in dumps.items():
            run(f"{program}-nft-restore", text=dump, namespace=self.host)
        self._handles = {
            (family, *place): number
            for family in _NAMES
            for place, number in self._ask.handles(family).items()
        }
        self._drain()

    def inject(self, port: str, frame: bytes) -> Seen:
        """Let the station behind a port send a frame."""
        self.wires[port].send(frame)
        return self._seen()

    def send(self, packet: bytes) -> Seen:
        """Let the host itself send an IP packet."""
        with suppress(OSError):  # what a rule drops on its way out is told to the sender
            if packet[0] >> 4 == 4:
                self._raw[4].sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
            else:
                where = socket.inet_ntop(socket.AF_INET6, packet[24:40])
                self._raw[6].sendto(packet, (where, 0, 0, self.index if packet[24] == 0xFF else 0))
        return self._seen()

    def _seen(self) -> Seen:
        steps = self._steps()
        out = [(port, frame) for port in PORTS for frame in self._frames(port)]
        if self.forgets:
            self._ask.flush_conntrack()
        return Seen(steps, out)

    def _drain(self) -> None:
        list(self._trace.drain())
        for port in PORTS:
            self._frames(port)
        self._ask.flush_conntrack()

    def _steps(self) -> list[Step]:
        found: list[Step] = []
        for datagram in self._trace.drain():
            for event in trace_events(datagram):
                table = _NAMES.get(event.family, "?") + event.table
                if event.table == "guard" or event.kind == "return":
                    continue
                if event.kind == "policy":
                    found.append((table, event.chain, 0, event.verdict))
                    continue
                place = (event.family, event.table, event.chain, event.handle)
                if place in self._handles:
                    verdict = f"{event.verdict} {event.target}".strip()
                    found.append((table, event.chain, self._handles[place], verdict))
        return found

    def _frames(self, port: str) -> list[bytes]:
        found = []
        while True:
            try:
                frame, beside, _, address = self.wires[port].recvmsg(65536, 256)
            except BlockingIOError:
                return found
            if address[2] == socket.PACKET_OUTGOING or frame[54:58] == _MLD:
                continue
            for _, _, data in beside:
                status, _, _, _, _, tag, kind = struct.unpack_from("IIIHHHH", data)
                if status & _VLAN_VALID:
                    frame = frame[:12] + struct.pack(">HH", kind, tag) + frame[12:]
            found.append(frame)


def _delete(namespace: str) -> None:
    subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def _set(path: str, value: str) -> None:
    with open(f"/proc/sys/{path}", "w") as file:  # noqa: PTH123 - the thread's own namespace
        file.write(value)
