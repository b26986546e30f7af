"""Reads the TRACE lines of legacy iptables, which the kernel sends through nfnetlink_log.

They are silent in a network namespace until something binds nfnetlink_log for the family there. A
line names the rule's number, which is all that is needed: what it does, the rule itself says.
Sources: include/uapi/linux/netfilter/nfnetlink_log.h; net/ipv4/netfilter/ip_tables.c trace_packet().
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kernel.netlink import Netlink, attributes, messages

_CONFIG, _PACKET = 4 << 8 | 1, 4 << 8
_ACK = 4
_BIND, _FAMILY_BIND = 1, 3  # NFULNL_CFG_CMD_BIND, _PF_BIND
_PREFIX, _PAYLOAD = 10, 9
_COPY = 96  # bytes of each packet: the headers


@dataclass(frozen=True, slots=True)
class TraceLine:
    """``TRACE: filter:INPUT:rule:3`` and the packet's first bytes."""

    table: str
    chain: str
    kind: str  # rule, return or policy; not to be trusted for rules that match everything
    number: int
    packet: bytes


class TraceLog:
    """Listens to TRACE in one namespace."""

    def __init__(self, namespace: str) -> None:
        self._link = Netlink(namespace)
        for family in (2, 10):
            self._link.request(_CONFIG, _ACK, family, _attribute(1, bytes([_FAMILY_BIND])))
        self._link.request(_CONFIG, _ACK, 0, _attribute(1, bytes([_BIND])))
        mode = struct.pack(">IBB", _COPY, 2, 0)
        each = _attribute(2, mode) + _attribute(3, struct.pack(">I", 1 << 17))
        each += _attribute(5, struct.pack(">I", 1))  # one packet a message: nothing waits
        self._link.request(_CONFIG, _ACK, 0, each)

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()

    def lines(self) -> Iterator[TraceLine]:
        """Yield the lines that wait."""
        for datagram in self._link.drain():
            for kind, body in messages(datagram):
                if kind != _PACKET:
                    continue
                held = dict(attributes(body, 4, len(body)))
                prefix = held.get(_PREFIX, b"").rstrip(b"\0 ").decode()
                if prefix.startswith("TRACE: "):
                    table, chain, how, number = prefix[7:].split(":")
                    yield TraceLine(table, chain, how, int(number), held[_PAYLOAD])


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("HH", length, kind) + payload + b"\0" * (-length % 4)
