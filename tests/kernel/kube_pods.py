"""A node with its pods, each in a network namespace of its own, and a client beyond the node.

A thread may live in a namespace of its own: what it opens, and what it starts, is there. So a namespace is a
thread that does what it is told. The node is the namespace that this is imported in::

    outside 192.168.99.200 ── eth0 192.168.99.10 node 10.244.1.1 ── a veth for each pod ── 10.244.1.5 …
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NODE, OUTSIDE, GATEWAY, PORT = "192.168.99.10", "192.168.99.200", "10.244.1.1", 8080
PATIENCE = 3  # seconds, on a machine that does much else
CLOSED = "closed"  # by the other side, without an answer
_NEW_NET = 0x4000_0000  # CLONE_NEWNET
_LIBC = ctypes.CDLL(None, use_errno=True)
Found = TypeVar("Found")


def sh(line: str) -> None:
    """Run a command where the calling thread is."""
    subprocess.run(line.split(), check=True)


class Namespace:
    """A network namespace with a veth to the node: ``outer`` is its name there, inside it is eth0."""

    def __init__(self, outer: str) -> None:
        self.thread = ThreadPoolExecutor(1)
        path = self.do(self._enter)
        sh(f"ip link add {outer} type veth peer name eth0 netns {path}")
        sh(f"ip link set {outer} up")
        for device in ("lo", "eth0"):
            self.do(sh, f"ip link set {device} up")

    def do(self, what: Callable[..., Found], *given: object) -> Found:
        """Do something inside, and return what comes of it."""
        return self.thread.submit(what, *given).result()

    def _enter(self) -> str:
        if _LIBC.unshare(_NEW_NET):
            raise OSError(ctypes.get_errno(), "no new network namespace")
        self.held = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        return f"/proc/{os.getpid()}/fd/{self.held}"


class Pod(Namespace):
    """A namespace with a pod's address, as a point-to-point CNI plugin makes it."""

    def __init__(self, address: str) -> None:
        self.address = address
        outer = f"veth{address.rpartition('.')[2]}"
        super().__init__(outer)
        sh(f"ip addr add {GATEWAY}/32 dev {outer}")
        sh(f"ip route add {address} dev {outer}")
        for line in (f"ip addr add {address}/32 dev eth0", f"ip route add {GATEWAY} dev eth0 scope link",
                     f"ip route add default via {GATEWAY}"):  # fmt: skip
            self.do(sh, line)

    def serve(self) -> None:
        """Answer at PORT, TCP and UDP: who this is, and whom it sees."""
        server = self.do(socket.create_server, (self.address, PORT))
        datagrams = self.do(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((self.address, PORT))
        for work, held in ((self._accept, server), (self._echo, datagrams)):
            threading.Thread(target=work, args=(held,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        while True:
            taken, _ = server.accept()
            threading.Thread(target=self._answer, args=(taken,), daemon=True).start()

    def _answer(self, taken: socket.socket) -> None:
        with taken:
            while taken.recv(64):
                taken.sendall(f"{self.address} {taken.getpeername()[0]}".encode())

    def _echo(self, held: socket.socket) -> None:
        while True:
            _, client = held.recvfrom(64)
            held.sendto(f"{self.address} {client[0]}".encode(), client)


def node() -> Namespace:
    """Make this namespace a node that forwards; return the client beyond it."""
    sh("ip link set lo up")
    outside = Namespace("eth0")
    sh(f"ip addr add {NODE}/24 dev eth0")
    sh(f"ip route add default via {OUTSIDE}")
    outside.do(sh, f"ip addr add {OUTSIDE}/24 dev eth0")
    outside.do(sh, f"ip route add default via {NODE}")
    sh("sysctl -qw net.ipv4.ip_forward=1")
    return outside


# --- calls, from wherever the calling thread is ---


def call(address: str, port: int) -> str:
    """Return who answers and whom it sees, or what happens instead."""
    try:
        with socket.create_connection((address, port), timeout=PATIENCE) as made:
            return ask(made)
    except (ConnectionResetError, BrokenPipeError):
        return CLOSED
    except OSError as error:
        return type(error).__name__


def ask(made: socket.socket) -> str:
    """Ask over a connection."""
    made.sendall(b"?")
    return made.recv(64).decode() or CLOSED


def open_udp(address: str, port: int) -> socket.socket:
    """Return a socket of one client: conntrack knows it by its port."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((address, port))
    made.settimeout(PATIENCE)
    return made


def ask_udp(made: socket.socket) -> str:
    """Ask by a datagram."""
    try:
        return ask(made)
    except OSError as error:
        return type(error).__name__
