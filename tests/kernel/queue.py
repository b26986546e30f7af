"""Holds packets where a rule ``-j NFQUEUE --queue-num 0`` stands, until they are let go.

So two packets can be under way at once, on purpose: each has met the rules before it, and neither is
confirmed. Sources: include/uapi/linux/netfilter/nfnetlink_queue.h.
"""

from __future__ import annotations

import struct

from tests.kernel.netlink import Netlink, attributes, messages

_PACKET, _VERDICT, _CONFIG = 3 << 8, 3 << 8 | 1, 3 << 8 | 2
_ACK = 4
_BIND = 1
_ACCEPT = 1


class Queue:
    """Queue 0 of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._link = Netlink(namespace)
        command = struct.pack("HHBBH", 8, 1, _BIND, 0, 0)
        mode = struct.pack(">IB", 0, 1)  # NFQNL_COPY_META: nobody reads the packet here
        mode = struct.pack("HH", 9, 2) + mode + bytes(3)
        self._link.request(_CONFIG, _ACK, body=command)
        self._link.request(_CONFIG, _ACK, body=mode)

    def close(self) -> None:
        """Give the socket back; what is still held is dropped."""
        self._link.close()

    def held(self) -> list[int]:
        """Return the numbers of the packets that have come since the last call."""
        self._link.wait(1)
        found = []
        for datagram in self._link.drain():
            for kind, body in messages(datagram):
                if kind == _PACKET:
                    head = dict(attributes(body, 4, len(body)))[1]
                    found.append(int.from_bytes(head[:4], "big"))
        return found

    def release(self, number: int) -> None:
        """Let a packet go on."""
        verdict = struct.pack("HH", 12, 2) + struct.pack(">II", _ACCEPT, number)
        self._link.request(_VERDICT, _ACK, body=verdict)
