"""What conntrack knows of one connection, as frozen facts.

Linux: include/net/netfilter/nf_conntrack.h (struct nf_conn),
include/uapi/linux/netfilter/nf_conntrack_common.h (states and status bits).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

Address = IPv4Address | IPv6Address


class Tuple(NamedTuple):
    """One direction of a connection: who speaks to whom.

    ``sport`` and ``dport`` are ports for TCP, UDP, UDP-Lite and SCTP. For ICMP ``sport``
    is the identifier and ``dport`` is ``type << 8 | code``, as in the kernel's own tuple.
    """

    src: Address
    dst: Address
    protocol: int
    sport: int = 0
    dport: int = 0


class Zone(NamedTuple):
    """A conntrack zone (``-j CT --zone``): connections of different zones do not know each other.

    ``sides`` are the directions for which it counts; in the others it is zone 0.
    Linux: include/net/netfilter/nf_conntrack_zones.h nf_ct_zone_id().
    """

    id: int = 0
    sides: tuple[str, ...] = ("ORIGINAL", "REPLY")

    def of(self, direction: str) -> int:
        """Return the zone's number for ``ORIGINAL`` or ``REPLY``."""
        return self.id if direction in self.sides else 0

    def __str__(self) -> str:
        names: dict[tuple[str, ...], str] = {("ORIGINAL",): "zone-orig", ("REPLY",): "zone-reply"}
        return f"{names.get(self.sides, 'zone')} {self.id}"


NO_ZONE = Zone()


@dataclass(frozen=True)
class Connection:
    """An entry of the conntrack table at one moment; each change makes a new one.

    ``original`` is the first packet's tuple, ``reply`` the tuple that an answer must have:
    they mirror each other unless the connection is translated. ``status`` holds the kernel's
    bits by name: SEEN_REPLY, ASSURED, CONFIRMED, EXPECTED, SNAT, DNAT, and TEMPLATE for what ``-j CT``
    attaches to a packet that conntrack has still to see. Times are seconds on the
    host's clock.
    """

    id: int
    original: Tuple
    reply: Tuple
    status: frozenset[str] = frozenset()
    state: str = ""  # the protocol's own: SYN_SENT, ESTABLISHED … for TCP
    mark: int = 0
    created: float = 0.0
    expires: float = 0.0
    packets: tuple[int, int] = (0, 0)
    bytes: tuple[int, int] = (0, 0)
    helper: str = ""
    zone: Zone = NO_ZONE
    master: int | None = None  # id of the connection that expected this one
    proto: object = field(
        default=None, compare=False
    )  # TCP's windows, SCTP's tags: engine/tcp.py, sctp.py
    labels: int = 0

    @property
    def is_template(self) -> bool:
        """Whether it is no connection yet: it has neither counters nor labels."""
        return "TEMPLATE" in self.status


class Tracked(NamedTuple):
    """What a packet carries of its connection: ``skb->_nfct`` and ``ctinfo``.

    ``state`` is NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED; ``direction`` is ``ORIGINAL`` or
    ``REPLY``; ``connection`` is None for INVALID and UNTRACKED packets.
    """

    state: str
    direction: str = "ORIGINAL"
    connection: Connection | None = None
