"""What ``conntrack -L`` prints, read back into a table of connections.

The listing does not tell TCP's windows; the kernel lets everything pass in a connection that it did not see
from its beginning, and so does this: both ends are ``liberal``.

Sources: libnetfilter_conntrack, src/conntrack/snprintf_default.c; net/netfilter/nf_conntrack_standalone.c
ct_seq_show() (``/proc/net/nf_conntrack`` has ``ipv4 2`` before it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb_lib.connection import Connection, Tuple, Zone
from nb_lib.engine.conntrack import Conntrack
from nb_lib.engine.window import Side, Window
from nb_lib.errors import RulesetError
from nb_lib.headers import ICMP, ICMPV6, TCP
from nb_lib.net import parse_address

# ``tcp 6 431999 ESTABLISHED src=…``; the seconds are missing where a listing leaves them out.
LINE = re.compile(
    r"(?:ipv[46] +\d+ +)?[a-z-]+ +(\d+) +(?:(\d+) +)?(?:([A-Z][A-Z0-9_]*) +)?(?=src=)"
)
_ORDER = ("src", "dst", "sport", "dport", "type", "code", "id")
_PICKED_UP = Window((Side(liberal=True), Side(liberal=True)))


def enter(table: Conntrack, text: str, now: float) -> int:
    """Enter the connections of a listing into a table; return how many.

    Raises RulesetError for a line that is no entry.
    """
    count = 0
    for lineno, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith(("conntrack v", "#")):
            continue
        count += table.insert(_connection(line.strip(), lineno, table.new_id(), now)) is not None
    return count


def _connection(line: str, lineno: int, number: int, now: float) -> Connection:
    begin = LINE.match(line)
    if begin is None:
        raise _wrong("protocol, seconds and src= are expected", line, lineno)
    protocol, rest = int(begin[1]), line[begin.end() :]
    try:
        original, reply = (_tuple(dict(pairs), protocol) for pairs in _halves(rest))
        return Connection(
            number, original, reply, frozenset(_status(rest, original, reply)), begin[3] or "",
            mark=_number(rest, "mark"), created=now - 60, expires=now + int(begin[2] or 600),
            zone=Zone(_number(rest, "zone")), proto=_PICKED_UP if protocol == TCP else None,
        )  # fmt: skip
    except KeyError as missing:
        raise _wrong(f"{missing} is missing", line, lineno) from None
    except ValueError as reason:
        raise _wrong(str(reason), line, lineno) from None


def _wrong(reason: str, line: str, lineno: int) -> RulesetError:
    told = f"no entry as conntrack -L prints it: {reason}"
    return RulesetError(told, lineno=lineno, col=1, line=line)


def _halves(text: str) -> Iterator[list[tuple[str, str]]]:
    """Yield the pairs ``name=value`` of both directions: each begins with ``src``."""
    pairs = re.findall(r"\b([a-z]+)=(\S+)", text)
    starts = [at for at, (name, _) in enumerate(pairs) if name == "src"]
    if len(starts) != 2:
        raise ValueError("two directions are expected, each with src=")
    for begin, end in ((starts[0], starts[1]), (starts[1], len(pairs))):
        # what stands behind the ports (packets, mark, id …) is not of the tuple
        own = [pair for pair in pairs[begin:end] if pair[0] in _ORDER]
        yield own[:5]


def _tuple(fields: dict[str, str], protocol: int) -> Tuple:
    src, dst = parse_address(fields["src"]), parse_address(fields["dst"])
    if protocol in (ICMP, ICMPV6):
        kind = int(fields["type"]) << 8 | int(fields["code"])
        return Tuple(src, dst, protocol, int(fields["id"]), kind)
    return Tuple(src, dst, protocol, int(fields.get("sport", 0)), int(fields.get("dport", 0)))


def _status(text: str, original: Tuple, reply: Tuple) -> Iterator[str]:
    """Yield the kernel's bits: what brackets tell, and what both directions tell of NAT."""
    yield from ("CONFIRMED", "SRC_NAT_DONE", "DST_NAT_DONE")
    if "[UNREPLIED]" not in text:
        yield "SEEN_REPLY"
    if "[ASSURED]" in text:
        yield "ASSURED"
    echo = original.protocol in (ICMP, ICMPV6)  # a reply's type is another by itself
    if (reply.src, None if echo else reply.sport) != (
        original.dst,
        None if echo else original.dport,
    ):
        yield "DNAT"
    if (reply.dst, reply.sport if echo else reply.dport) != (original.src, original.sport):
        yield "SNAT"


def _number(text: str, name: str) -> int:
    found = re.search(rf"\b{name}=(\d+)", text)
    return int(found[1]) if found else 0
