"""sctp: ports and chunks of SCTP.

Linux: net/netfilter/xt_sctp.c sctp_mt(), match_packet().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds, ports
from nb_lib.headers import SCTP as _SCTP
from nb_lib.matches.tcpudp import ONLY_ONE, port_options, with_ports
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Outcome,
    RefusedError,
    Use,
    miss,
)
from nb_lib.packet import Packet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNKS = {
    "DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT_ACK": 5, "ABORT": 6,
    "SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11,
    "ECN_ECNE": 12, "ECN_CWR": 13, "SHUTDOWN_COMPLETE": 14, "I_DATA": 64, "RE_CONFIG": 130,
    "PAD": 132, "ASCONF": 193, "ASCONF_ACK": 128, "FORWARD_TSN": 192, "I_FORWARD_TSN": 194,
}  # fmt: skip
# Letters of the flags of a chunk, from bit 7 to bit 0 ('-': no flag there).
_FLAGS = {
    "DATA": "----IUBE",
    "I_DATA": "----IUBE",
    "ABORT": "-------T",
    "SHUTDOWN_COMPLETE": "-------T",
}
_HEADER = 12


class Chunk(NamedTuple):
    """A type of chunk; of its flags those in ``mask`` must equal ``flags``."""

    name: str
    flags: int = 0
    mask: int = 0


class ChunkTypes(NamedTuple):
    """``all``, ``any`` or ``only`` of some chunks."""

    how: str
    chunks: tuple[Chunk, ...]


class _ChunkKind(kinds.Word):
    """``all|any|only CHUNK[:FLAGS][,…]``; flags in upper case are set, in lower case not set."""

    arity = 2
    metavar = "(all|any|only) chunk[:flags][,…]"

    def parse(self, words: Sequence[str], _family: int) -> ChunkTypes:
        how, names = words[0].lower(), words[1]
        if how not in ("all", "any", "only"):
            said = 'Match type has to be one of "ALL", "ANY" or "ONLY"'
            raise RefusedError(f"{words[0]!r} is not one of all, any, only", said)
        if names.upper() in ("ALL", "NONE"):
            chunks = [Chunk(name) for name in _CHUNKS] if names.upper() == "ALL" else []
        else:
            chunks = [_chunk(part) for part in names.split(",")]
        order = sorted(chunks, key=lambda chunk: _CHUNKS[chunk.name])
        return ChunkTypes(how, tuple(order))

    def save(self, value: Any) -> str:
        names = ",".join(map(_chunk_text, value.chunks)) or "NONE"
        if len(value.chunks) == len(_CHUNKS):
            names = "ALL"
        return f"{value.how} {names}"

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the chunks, or (numeric) the numbers of their types."""
        if not numeric or not 0 < len(value.chunks) < len(_CHUNKS):
            return self.save(value)
        return f"{value.how} {','.join(map(_chunk_number, value.chunks))}"


def _chunk_number(chunk: Chunk) -> str:
    name, colon, flags = _chunk_text(chunk).partition(":")
    return f"0x{_CHUNKS[name]:04X}{colon}{flags}"


def _chunk(word: str) -> Chunk:
    name, _, letters = word.partition(":")
    if name.upper() not in _CHUNKS:
        raise RefusedError(f"{name!r} is not a type of chunk", f"Unknown sctp chunk `{name}'")
    places = _FLAGS.get(name.upper(), "--------")
    flags = mask = 0
    for letter in letters:
        at = places.find(letter.upper())
        if letter == "-" or at < 0:
            said = f"Invalid flags for chunk type {_CHUNKS[name.upper()]}"
            raise RefusedError(f"{letter!r} is not a flag of {name}", said)
        mask |= 0x80 >> at
        flags |= 0x80 >> at if letter.isupper() else 0
    return Chunk(name.upper(), flags, mask)


def _chunk_text(chunk: Chunk) -> str:
    places = _FLAGS.get(chunk.name, "")
    shown = [letter if chunk.flags & 0x80 >> at else letter.lower()
             for at, letter in enumerate(places) if chunk.mask & 0x80 >> at]  # fmt: skip
    return chunk.name + (":" + "".join(shown) if shown else "")


def _chunks(packet: Packet) -> Iterator[tuple[int, int]]:
    """Yield (type, flags) of each chunk of an SCTP packet."""
    data, at = packet.data, packet.header_end + _HEADER
    while at + 4 <= len(data):
        size = data[at + 2] << 8 | data[at + 3]
        if size < 4:
            return
        yield data[at], data[at + 1]
        at += (size + 3) & ~3


def _match_chunks(wanted: ChunkTypes, packet: Packet) -> bool:
    """Compare a packet's chunks with the rule's. Linux: xt_sctp.c match_packet()."""
    rules = {_CHUNKS[chunk.name]: chunk for chunk in wanted.chunks}
    missing = set(rules)
    for kind, flags in _chunks(packet):
        rule = rules.get(kind)
        fits = rule is not None and flags & rule.mask == rule.flags
        if wanted.how == "any" and fits:
            return True
        if wanted.how == "only" and not fits:
            return False
        if wanted.how == "all" and fits:
            missing.discard(kind)
    return wanted.how == "only" or (wanted.how == "all" and not missing)


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    if packet.protocol != _SCTP:
        return miss("protocol", packet.protocol_name)
    if packet.fragment_offset:
        return miss("a later fragment has no ports")
    if (
        packet.sport is None
        or packet.dport is None
        or len(packet.data) < packet.header_end + _HEADER
    ):
        return Answer(Outcome.HOTDROP)
    for name, port in (("--sport", packet.sport), ("--dport", packet.dport)):
        setting = use.settings.get(name)
        if setting and (setting.value.low <= port <= setting.value.high) is setting.inverted:
            return miss(name, (port, port))
    setting = use.settings.get("--chunk-types")
    if setting and _match_chunks(setting.value, packet) is setting.inverted:
        return miss("--chunk-types")
    return HIT


SCTP = Extension(
    "sctp",
    (
        *port_options(ports.PortRange("sctp")),
        Option("--chunk-types", _ChunkKind(), invertible=True, label="chunks", listed="{! }{value}",
               says={"two": "{option} requires two args"},
               help="all, any or only the named chunks are in the packet"),
    ),
    protocols=("sctp",), test=_test, check=ports.needs_protocol("sctp", "sctp"),
    says=ONLY_ONE, listed=with_ports(" sctp"),
    summary="ports and chunks of SCTP",
    source="net/netfilter/xt_sctp.c sctp_mt(); iptables-extensions(8) sctp",
)  # fmt: skip
