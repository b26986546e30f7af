"""What a protocol's state machine makes of one more packet of a connection."""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.connection import Connection


class Followed(NamedTuple):
    """What one more packet does to a connection.

    ``verdict``: ``accept``; ``ignore``: it passes and nothing is learned, not even that the connection lives;
    ``invalid``; ``reopen``: forget the connection and look again; ``kill``: forget it behind this packet.
    """

    verdict: str
    connection: Connection
    note: str = ""
