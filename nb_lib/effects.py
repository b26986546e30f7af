"""What a target may ask of the engine besides a verdict.

A target extension only looks at one packet; translation, answers and tracking need the whole host.
So it describes what it wants, and the engine (``engine/nat.py``, ``engine/reject.py``,
``engine/conntrack.py``) carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from nb_lib.connection import NO_ZONE, Address, Zone

if TYPE_CHECKING:
    from nb_lib.packet import Packet


class Nat(NamedTuple):
    """Translate the connection's source or destination.

    ``low`` and ``high`` bound the addresses (None: keep the address), ``port_low`` and
    ``port_high`` the ports (None: keep the port if it is free). ``of_interface`` takes the address
    of the outgoing interface instead (MASQUERADE), ``to_local`` that of the incoming one
    (REDIRECT). ``netmap`` keeps the host bits under this mask.
    Linux: struct nf_nat_range2, net/netfilter/nf_nat_core.c.
    """

    side: Literal["src", "dst"]
    low: Address | None = None
    high: Address | None = None
    port_low: int | None = None
    port_high: int | None = None
    random: bool = False
    random_fully: bool = False
    persistent: bool = False
    of_interface: bool = False
    to_local: bool = False
    netmap: int | None = None
    port_base: int | None = None


class Reject(NamedTuple):
    """Answer the sender and drop the packet; ``how`` is ``--reject-with``'s word."""

    how: str


class NoTrack(NamedTuple):
    """Do not track this packet."""


class Redirect(NamedTuple):
    """Send a frame to another Ethernet address; an empty one stands for the bridge's own."""

    mac: str


class Respond(NamedTuple):
    """Send ``message``: out by the port that a frame came in by, or as an answer to a packet."""

    message: Packet


class Track(NamedTuple):
    """Attach a template for the connection to come (``-j CT``)."""

    helper: str = ""
    zone: Zone = NO_ZONE


class ConnMark(NamedTuple):
    """Set the connection's mark."""

    mark: int


class Note(NamedTuple):
    """Something to tell that changes nothing: a log line, a trace flag."""

    text: str


class Copy(NamedTuple):
    """Send a copy of the packet to a neighbour, by a device if one is named; go on with the packet."""

    gateway: Address
    device: str = ""


class SetMember(NamedTuple):
    """Add the packet's fields to an ipset, or delete them.

    ``timeout`` is in seconds, 0: for ever, None: the set's own; ``exist`` renews a member's.
    """

    name: str
    fields: tuple[str, ...]
    add: bool
    timeout: int | None = None
    exist: bool = False
