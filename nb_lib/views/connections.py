"""The connection table, as ``conntrack -L`` prints it and as a pandas table.

A connection knows at which second of its host's clock it expires, not what that clock says now:
lines leave the seconds out that ``conntrack -L`` prints, the table has a column ``expires``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib.connection import Connection, Tuple
from nb_lib.engine.conntrack import Conntrack
from nb_lib.headers import ICMP, ICMPV6, PROTOCOL_NAMES
from nb_lib.packet import endpoint

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 120  # connections that are listed one by one
COLUMNS = ["protocol", "state", "src", "dst", "reply src", "reply dst", "status", "mark", "expires"]


def conntrack_text(table: Conntrack) -> str:
    """List the connections, one a line, in the words of ``conntrack -L``."""
    listed = [one for one in table if "NAT_CLASH" not in one.status]  # found by its answers alone
    lines = [_line(connection) for connection in listed[:MOST]]
    if len(listed) > MOST:
        lines.append(f"… and {len(listed) - MOST:,} more connections")
    return "\n".join(lines) or "No connections."


def conntrack_frame(table: Conntrack) -> DataFrame:
    """Return the connections, one a row."""
    import pandas as pd

    frame = pd.DataFrame([_row(connection) for connection in table], columns=COLUMNS)
    return frame.set_axis(pd.Index([c.id for c in table], name="id", dtype="int64"))


def conntrack_bundle(table: Conntrack) -> dict[str, Any]:
    """Return the lines, and where pandas is installed the table too."""
    plain = {"text/plain": conntrack_text(table)}
    try:
        return {**plain, "text/html": conntrack_frame(table).to_html(max_rows=60, notebook=True)}
    except ImportError:
        return plain


def state_of(connection: Connection) -> str:
    """Say in a word how far a connection has come: its protocol's state, else what conntrack noted."""
    if connection.state:
        return connection.state
    if "NAT_CLASH" in connection.status:
        return "NAT_CLASH"
    if "ASSURED" in connection.status:
        return "ASSURED"
    return "replied" if "SEEN_REPLY" in connection.status else "UNREPLIED"


def _line(connection: Connection) -> str:
    """Write one connection: __snprintf_conntrack_default() of libnetfilter_conntrack."""
    c, number = connection, connection.original.protocol
    zone = f"{c.zone}".replace(" ", "=") if c.zone.id else ""
    words = [
        f"{_protocol(c):<8} {number}",
        c.state,
        _tuple(c.original),
        zone if c.zone.sides == ("ORIGINAL",) else "",
        "" if "SEEN_REPLY" in c.status else "[UNREPLIED]",
        _tuple(c.reply),
        zone if c.zone.sides == ("REPLY",) else "",
        "[ASSURED]" if "ASSURED" in c.status else "",
        f"mark={c.mark}",
        zone if len(c.zone.sides) > 1 else "",
    ]
    return " ".join(filter(None, words))


def _tuple(t: Tuple) -> str:
    text = f"src={t.src} dst={t.dst}"
    if t.protocol in (ICMP, ICMPV6):  # dport holds type and code: connection.py
        return f"{text} type={t.dport >> 8} code={t.dport & 255} id={t.sport}"
    return f"{text} sport={t.sport} dport={t.dport}" if t.sport or t.dport else text


def _row(connection: Connection) -> tuple[Any, ...]:
    c = connection
    ends = [end for t in (c.original, c.reply) for end in _ends(t)]
    told = [bit for bit in ("SEEN_REPLY", "ASSURED", "EXPECTED", "SNAT", "DNAT") if bit in c.status]
    return (_protocol(c), c.state, *ends, " ".join(told), f"{c.mark:#x}", c.expires)


def _ends(t: Tuple) -> tuple[str, str]:
    if t.protocol in (ICMP, ICMPV6):
        return str(t.src), str(t.dst)
    return endpoint(t.src, t.sport), endpoint(t.dst, t.dport)


def _protocol(connection: Connection) -> str:
    number = connection.original.protocol
    return PROTOCOL_NAMES.get(number, "unknown")
