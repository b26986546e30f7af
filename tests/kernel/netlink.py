"""Just enough netlink to watch nf_tables: rule handles, trace events, conntrack's flush.

Sources: include/uapi/linux/netlink.h, linux/netfilter/nf_tables.h, nfnetlink_conntrack.h. A socket
stays in the network namespace in which it was opened, so one process drives several hosts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_NF_TABLES, _CONNTRACK = 10 << 8, 1 << 8
_GET_RULE, _TRACE = _NF_TABLES | 7, _NF_TABLES | 17
TRACE_GROUP = 9

_CT_STATES = {1: "INVALID", 2: "ESTABLISHED", 4: "RELATED", 8: "NEW", 64: "UNTRACKED"}
_VERDICTS = {0: "DROP", 1: "ACCEPT", 2: "STOLEN", 3: "QUEUE", -1: "CONTINUE", -2: "BREAK",
             -3: "JUMP", -4: "GOTO", -5: "RETURN"}  # fmt: skip
_KINDS = {1: "policy", 2: "return", 3: "rule"}


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Run the calling thread in a network namespace."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(there)
        os.close(home)


def _setns(fd: int) -> None:
    if _LIBC.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of the attributes in ``data[start:end]``."""
    while start + 4 <= end:
        length, kind = struct.unpack_from("HH", data, start)
        if length < 4:
            return
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += (length + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, body) of the messages in one datagram; the body begins behind struct nlmsghdr."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("IH", data, at)
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


class Netlink:
    """A netfilter netlink socket in one namespace."""

    def __init__(self, namespace: str, *groups: int) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind((0, 0))
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._sequence = 0
        self.lost = 0

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def request(
        self, kind: int, flags: int, family: int = 0, body: bytes = b"", group: int = 0
    ) -> list[bytes]:
        """Send a request with attributes ``body``; return the answers' bodies behind nfgenmsg."""
        self._sequence += 1
        head = struct.pack("IHHII", 20 + len(body), kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(head + struct.pack(">BBH", family, 0, group) + body)
        found: list[bytes] = []
        while True:
            for answer, told in messages(self._socket.recv(1 << 20)):
                if answer == _ERROR:
                    code = struct.unpack_from("i", told)[0]
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return found
                if answer == _DONE:
                    return found
                found.append(told[4:])

    def wait(self, seconds: float) -> bool:
        """Sleep until a datagram waits, so that a busy core has time to make one; tell whether one does."""
        return bool(select.select([self._socket], [], [], max(0.0, seconds))[0])

    def drain(self) -> Iterator[bytes]:
        """Yield every datagram that waits; count those that the kernel could not queue."""
        while True:
            try:
                yield self._socket.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost += 1

    def handles(self, family: int) -> dict[tuple[str, str, int], int]:
        """Return (table, chain, handle) → the rule's number in its chain, from 1."""
        numbers: dict[tuple[str, str], int] = {}
        found = {}
        for body in self.request(_GET_RULE, _DUMP, family):
            held = dict(attributes(body, 0, len(body)))
            place = (_text(held[1]), _text(held[2]))
            numbers[place] = numbers.get(place, 0) + 1
            found[*place, int.from_bytes(held[3], "big")] = numbers[place]
        return found

    def flush_conntrack(self) -> None:
        """Forget all connections of the namespace."""
        self.request(_CONNTRACK | 2, _ACK)


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One NFT_MSG_TRACE: what the kernel says about a packet in a chain."""

    id: bytes  # tells packets apart that are in the kernel at once; used again afterwards
    family: int
    table: str
    chain: str
    kind: str  # rule, policy or return
    verdict: str
    handle: int
    target: str  # the chain of a jump
    header: bytes  # the network header, in the first event of a base chain
    transport: bytes  # the first 20 bytes of the transport header, there too
    out: int  # index of the outgoing device
    ct: str  # conntrack's state and direction, "NEW/original"; empty if the kernel says nothing


def trace_events(datagram: bytes) -> Iterator[TraceEvent]:
    """Yield the trace events of a datagram."""
    for kind, body in messages(datagram):
        if kind != _TRACE:
            continue
        held = dict(attributes(body, 4, len(body)))
        verdict = dict(attributes(held.get(5, b""), 0, len(held.get(5, b""))))
        code = _signed(verdict[1]) if 1 in verdict else _signed(held[16]) if 16 in held else None
        yield TraceEvent(
            held[6], body[0], _text(held[1]), _text(held.get(2, b"\0")), _KINDS[_signed(held[4])],
            _VERDICTS.get(code, "") if code is not None else "", int.from_bytes(held.get(3, b""), "big"),
            _text(verdict.get(2, b"\0")), held.get(8, b""), held.get(9, b""),
            _signed(held[12]) if 12 in held else 0, _conntrack(held),
        )  # fmt: skip


def _conntrack(held: dict[int, bytes]) -> str:
    """NFTA_TRACE_CT_STATE and CT_DIRECTION, which kernels before 6.16 do not send."""
    if 21 not in held:
        return ""
    state = _CT_STATES.get(_signed(held[21]), "?")
    return f"{state}/{'reply' if held[19][-1] else 'original'}" if 19 in held else state


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()


def _signed(data: bytes) -> int:
    value: int = struct.unpack(">i", data)[0]
    return value
