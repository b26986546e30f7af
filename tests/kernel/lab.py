"""Client — router under test — server, as three network namespaces.

::

    c0 ─── r0  10.1.0.1/24  fd00:1::1/64     the client is 10.1.0.2, fd00:1::2
    s0 ─── r1  10.2.0.1/24  fd00:2::1/64     the server is 10.2.0.2, fd00:2::2, the default route

Client and server have no addresses: packet sockets speak for them, so they never answer by
themselves. The router's neighbours (.2 to .15 and .77 on either side, and what NETMAP makes of them)
are permanent. Its rate limits for ICMP are off, or REJECT's answers would vanish. A guard table at
the very outside of the hooks switches tracing on and drops what would reach a socket, so that nothing
answers but the rules.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
from types import TracebackType
from typing import Self

from nb_lib.hooks import BUILTIN
from tests.kernel.netlink import inside

MAC = {"c0": "02:00:00:00:01:02", "r0": "02:00:00:00:01:01",
       "s0": "02:00:00:00:02:02", "r1": "02:00:00:00:02:01"}  # fmt: skip
EUI64 = "fd00:1::ff:fe00:102"  # the client's address that is made of its Ethernet address
NFT_FAMILY = {4: "ip", 6: "ip6"}
PEER = {"c0": "r0", "s0": "r1"}
SENTINEL = 0xFFFE  # the IP identification of the packet that ends a batch
OURS = 0x4B4F  # the priority by which packets of the injector are known
GUARD = f"""
table inet guard {{
 chain pre {{ type filter hook prerouting priority -1000;
   iifname {{ "r0", "r1" }} meta nftrace set 1;
   ip id {SENTINEL} drop; }}
 chain out {{ type filter hook output priority -1000;
   meta priority {OURS:#x} meta nftrace set 1 accept;
   meta nftrace set 1; }}
 chain inp {{ type filter hook input priority 2147483647;
   drop; }}
 chain post {{ type filter hook postrouting priority 2147483647; accept; }}
}}
"""
# legacy's restore leaves a table alone that the dump does not name
EMPTY = {
    table: f"*{table}\n" + "".join(f":{chain} ACCEPT\n" for chain in chains) + "COMMIT\n"
    for table, chains in BUILTIN.items()
}
_NEIGHBOURS = [*range(2, 16), 77, 0x77, 0x102]  # .1 is the router
_LABS = itertools.count()
_DEVICE_SETTINGS = {
    "net/ipv4/conf/{}/rp_filter": "0",
    "net/ipv4/conf/{}/accept_local": "1",
    "net/ipv4/conf/{}/send_redirects": "0",
    "net/ipv6/conf/{}/accept_dad": "0",
    "net/ipv6/conf/{}/accept_ra": "0",
    "net/ipv6/conf/{}/router_solicitations": "0",
    "net/ipv6/conf/{}/addr_gen_mode": "1",
}
_SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/icmp_ratemask": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv6/auto_flowlabels": "0",  # the router's own packets carry the label 0
    "net/netfilter/nf_conntrack_acct": "1",
}


class Lab:
    """The three namespaces; use it as a context manager, they are removed afterwards."""

    def __init__(self, backend: str = "nft") -> None:
        self.backend = backend
        tag = f"{os.getpid()}-{next(_LABS)}"
        self.client, self.router, self.server = (f"nb-{who}-{tag}" for who in "crs")
        self._wires: dict[str, socket.socket] = {}
        self._raw: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        # On one core a frame is through the router before the next is sent: nothing overtakes.
        self._cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(self._cores)})
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        os.sched_setaffinity(0, self._cores)
        for each in (*self._wires.values(), *self._raw.values()):
            each.close()
        self._remove()

    def _remove(self) -> None:
        for name in (self.client, self.router, self.server):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def _build(self) -> None:
        self._remove()
        for name in (self.client, self.router, self.server):
            run("ip", "netns", "add", name)
        for near, far, name in (("c0", "r0", self.client), ("s0", "r1", self.server)):
            run("ip", "link", "add", near, "netns", name, "address", MAC[near], "type", "veth",
                "peer", "name", far, "netns", self.router, "address", MAC[far])  # fmt: skip
            with inside(name):
                for where in ("all", "default", near):
                    _set(f"net/ipv6/conf/{where}/disable_ipv6", "1")
            run("ip", "-n", name, "link", "set", near, "up", "arp", "off")
        self._set_router()
        self._open_sockets()
        self.guard()

    def _set_router(self) -> None:
        with inside(self.router):
            for path, value in _SETTINGS.items():
                _set(path, value)
            for device in ("all", "default", "r0", "r1"):
                for path, value in _DEVICE_SETTINGS.items():
                    _set(path.format(device), value)
        lines = ["link set lo up"]
        for device, wire, net in (("r0", "c0", 1), ("r1", "s0", 2)):
            lines += [
                f"link set {device} up",
                f"addr add 10.{net}.0.1/24 dev {device}",
                f"addr add fd00:{net}::1/64 dev {device} nodad",
            ]
            for prefix, kind in ((f"10.{net}.0.", "d"), (f"fd00:{net}::", "x")):
                lines += [
                    f"neigh add {prefix}{host:{kind}} lladdr {MAC[wire]} dev {device} nud permanent"
                    for host in _NEIGHBOURS
                    if kind == "x" or host < 256
                ]
            made = EUI64.replace("fd00:1:", f"fd00:{net}:")  # NETMAP turns one into the other
            lines.append(f"neigh add {made} lladdr {MAC[wire]} dev {device} nud permanent")
        lines += ["route add default via 10.2.0.2", "route add default via fd00:2::2"]
        run("ip", "-n", self.router, "-b", "-", text="\n".join(lines) + "\n")

    def _open_sockets(self) -> None:
        for device, name in (("c0", self.client), ("s0", self.server)):
            with inside(name):
                wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                wire.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
                wire.bind((device, 3))
                wire.setblocking(False)
                self._wires[device] = wire
        with inside(self.router):
            for family, kind in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                raw = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, OURS)
                self._raw[family] = raw
            self.devices = dict(socket.if_nameindex())

    def inject(self, wire: str, packet: bytes) -> None:
        """Put a packet on a wire, addressed to the router."""
        kind = "86dd" if packet[0] >> 4 == 6 else "0800"
        frame = bytes.fromhex((MAC[PEER[wire]] + MAC[wire]).replace(":", "") + kind)
        self._wires[wire].send(frame + packet)

    def send(self, packet: bytes) -> None:
        """Let the router itself send a packet."""
        if packet[0] >> 4 == 4:
            self._raw[4].sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        else:
            self._raw[6].sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))

    def left(self) -> list[tuple[str, bytes]]:
        """Return the packets that the router has put on the wires, with the wire."""
        found = []
        for name, wire in self._wires.items():
            while True:
                try:
                    frame, address = wire.recvfrom(65536)
                except BlockingIOError:
                    break
                if address[2] != socket.PACKET_OUTGOING:
                    found.append((name, frame[14:]))
        return found

    def guard(self) -> None:
        """Set up the guard; with it every rule of iptables-nft is gone."""
        run("nft", "-f", "-", text="flush ruleset\n" + GUARD, namespace=self.router)

    def load(self, text: str, family: int) -> str:
        """Replace the router's rules of a family with a dump, by the real iptables-restore.

        Return what was loaded: legacy has a table that no dump names if it ever had it. With the backend
        ``nftables`` the rules are nft's, in a table ``t``, and what nft lists of it is returned. Raises
        RuntimeError with its message if it refuses the dump.
        """
        if self.backend == "nftables":
            self.guard()
            run("nft", "-f", "-", text=text, namespace=self.router)
            table = f"{NFT_FAMILY[family]} t"
            return run("nft", "list", "table", *table.split(), namespace=self.router)
        if self.backend == "nft":
            self.guard()
        else:
            text += "".join(EMPTY[table] for table in EMPTY if f"*{table}\n" not in text)
        command = f"{'iptables' if family == 4 else 'ip6tables'}-{self.backend}-restore"
        run(command, text=text, namespace=self.router)
        return text


def run(*command: str, text: str = "", namespace: str = "") -> str:
    """Run a command, in a namespace if one is named; raise with its message if it fails."""
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    done = subprocess.run(
        [*prefix, *command], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode} {done.stderr}")
    return done.stdout


def _set(path: str, value: str) -> None:
    with open(f"/proc/sys/{path}", "w") as file:  # noqa: PTH123 - the thread's own namespace
        file.write(value)
