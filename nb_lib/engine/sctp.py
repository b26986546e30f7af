"""The life of an SCTP association as conntrack sees it.

Theory: a packet holds chunks, and each chunk moves the association's state by a table; DATA, SACK and
unknown chunks do not. A packet must carry the verification tag that the other end chose (in INIT,
INIT ACK or by a first HEARTBEAT), except where the chunk has a rule of its own. What goes wrong
at one chunk makes the packet INVALID, but what the chunks before it did stays done.
Linux: net/netfilter/nf_conntrack_proto_sctp.c sctp_conntracks[], do_basic_checks(), sctp_new(),
nf_conntrack_sctp_packet(). RFC 9260 8.4, 8.5; RFC 4960.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from nb_lib.connection import Connection
from nb_lib.engine.followed import Followed
from nb_lib.frozen import changed
from nb_lib.packet import Packet

(DATA, INIT, INIT_ACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO,
 COOKIE_ACK, SHUTDOWN_COMPLETE) = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14)  # fmt: skip
NONE, CLOSED, ESTABLISHED, INVALID = "NONE", "CLOSED", "ESTABLISHED", "INVALID"
STATES = (NONE, CLOSED, "COOKIE_WAIT", "COOKIE_ECHOED", ESTABLISHED, "SHUTDOWN_SENT", "SHUTDOWN_RECD",
          "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT")  # fmt: skip
_SHORT = dict(zip(("NO", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS", "iv"), (*STATES, INVALID),
                  strict=True))  # fmt: skip
#                          now: NO CL CW CE ES SS SR SA HS
_NEXT = {
    ("ORIGINAL", INIT):              "CL CL CW CE ES CL CL SA CW",
    ("ORIGINAL", INIT_ACK):          "CL CL CW CE ES SS SR SA CL",
    ("ORIGINAL", ABORT):             "CL CL CL CL CL CL CL CL CL",
    ("ORIGINAL", SHUTDOWN):          "CL CL CW CE SS SS SR SA CL",
    ("ORIGINAL", SHUTDOWN_ACK):      "SA CL CW CE ES SA SA SA SA",
    ("ORIGINAL", ERROR):             "CL CL CW CE ES SS SR SA CL",
    ("ORIGINAL", COOKIE_ECHO):       "CL CL CE CE ES SS SR SA CL",
    ("ORIGINAL", COOKIE_ACK):        "CL CL CW ES ES SS SR SA CL",
    ("ORIGINAL", SHUTDOWN_COMPLETE): "CL CL CW CE ES SS SR CL CL",
    ("ORIGINAL", HEARTBEAT):         "HS CL CW CE ES SS SR SA HS",
    ("ORIGINAL", HEARTBEAT_ACK):     "CL CL CW CE ES SS SR SA HS",
    ("REPLY", INIT):                 "iv CL CW CE ES SS SR SA iv",
    ("REPLY", INIT_ACK):             "iv CW CW CE ES SS SR SA iv",
    ("REPLY", ABORT):                "iv CL CL CL CL CL CL CL iv",
    ("REPLY", SHUTDOWN):             "iv CL CW CE SR SS SR SA iv",
    ("REPLY", SHUTDOWN_ACK):         "iv CL CW CE ES SA SA SA iv",
    ("REPLY", ERROR):                "iv CL CW CL ES SS SR SA iv",
    ("REPLY", COOKIE_ECHO):          "iv CL CE CE ES SS SR SA iv",
    ("REPLY", COOKIE_ACK):           "iv CL CW ES ES SS SR SA iv",
    ("REPLY", SHUTDOWN_COMPLETE):    "iv CL CW CE ES SS SR CL iv",
    ("REPLY", HEARTBEAT):            "iv CL CW CE ES SS SR SA HS",
    ("REPLY", HEARTBEAT_ACK):        "iv CL CW CE ES SS SR SA ES",
}  # fmt: skip
NEXT = {
    key: dict(zip(STATES, (_SHORT[s] for s in row.split()), strict=True))
    for key, row in _NEXT.items()
}
DIRECTIONS = ("ORIGINAL", "REPLY")
# These have a rule of their own for the verification tag.
_OWN_RULE = frozenset({INIT, SHUTDOWN_COMPLETE, COOKIE_ECHO, ABORT, SHUTDOWN_ACK, HEARTBEAT,
                       HEARTBEAT_ACK})  # fmt: skip
_ALONE = frozenset({INIT, INIT_ACK, SHUTDOWN_COMPLETE})
_FIRST = frozenset({COOKIE_ACK, COOKIE_ECHO})
_OPENS_NOTHING = frozenset({ABORT, SHUTDOWN_COMPLETE, COOKIE_ACK})


class Tags(NamedTuple):
    """What is remembered of an association: struct ip_ct_sctp.

    ``vtag``: the tag that packets of each direction must carry, 0 while unknown; ``init``: which end sent
    INIT; ``astray``: the direction in which a HEARTBEAT had a wrong tag, or None.
    """

    vtag: tuple[int, int] = (0, 0)
    init: tuple[bool, bool] = (False, False)
    astray: int | None = None

    def tag(self, direction: int, value: int) -> Tags:
        """Return the tags with another one for a direction."""
        return self._replace(vtag=_put(self.vtag, direction, value))


class Chunk(NamedTuple):
    """One chunk: its type, its flags, and the number behind its head (INIT's tag), None if cut off."""

    kind: int
    flags: int
    word: int | None


def _put(pair: tuple[int, int], place: int, value: int) -> tuple[int, int]:
    return (value, pair[1]) if place == 0 else (pair[0], value)


def chunks(packet: Packet) -> tuple[Chunk, ...] | None:
    """Return the chunks of a packet; None if they may not stand together, or there are none."""
    data, at = packet.data, packet.header_end + 12
    end = min(packet.length, len(data))
    found: list[Chunk] = []
    alone = False
    while at + 4 <= end:
        kind, size = data[at], data[at + 2] << 8 | data[at + 3]
        alone = alone or kind in _ALONE
        if not size or (found and (alone or kind in _FIRST)):
            return None
        # The tag is part of a header of 16 bytes that must be there in full.
        word = int.from_bytes(data[at + 4 : at + 8], "big") if at + 20 <= end else None
        found.append(Chunk(kind, data[at + 1], word))
        at += size + 3 & ~3
    return tuple(found) or None


def opening(
    connection: Connection, packet: Packet, now: float, timeouts: Mapping[str, int]
) -> Followed:
    """Return the connection that a packet opens: sctp_new()."""
    found = chunks(packet)
    kinds = {chunk.kind for chunk in found or ()}
    if found is None or kinds & _OPENS_NOTHING:
        return Followed("invalid", connection, "its chunks open no association")
    tags, vtag = Tags(), _vtag(packet)
    for chunk in found:
        if (NONE if chunk.kind not in _KINDS else NEXT["ORIGINAL", chunk.kind][NONE]) == NONE:
            return Followed("invalid", connection, "its chunks open no association")
        if chunk.kind == INIT:
            if vtag or chunk.word is None:
                return Followed("invalid", connection, "an INIT with a verification tag")
            tags = tags.tag(1, chunk.word)
        elif chunk.kind in (HEARTBEAT, SHUTDOWN_ACK):
            # A SHUTDOWN ACK out of the blue is answered with its own tag.
            tags = tags.tag(0 if chunk.kind == HEARTBEAT else 1, vtag)
    fresh = changed(connection, state=NONE, proto=tags)
    return _Meeting(fresh, packet, found, 0).run(now, timeouts)


_KINDS = frozenset(kind for _, kind in NEXT)


def follow(connection: Connection, packet: Packet, direction: str, now: float,
           timeouts: Mapping[str, int]) -> Followed:  # fmt: skip
    """Return the connection after one more packet: nf_conntrack_sctp_packet()."""
    found = chunks(packet)
    if found is None:
        return Followed("invalid", connection, "its chunks may not stand together")
    return _Meeting(connection, packet, found, DIRECTIONS.index(direction)).run(now, timeouts)


def _vtag(packet: Packet) -> int:
    at = packet.header_end
    return int.from_bytes(packet.data[at + 4 : at + 8], "big")


class _Meeting:
    """A packet meets an association, chunk by chunk."""

    def __init__(
        self, connection: Connection, packet: Packet, found: tuple[Chunk, ...], here: int
    ) -> None:
        self.connection = connection
        tags = connection.proto
        assert isinstance(tags, Tags)
        self.tags = tags
        self.state = connection.state
        self.status = connection.status
        self.chunks = found
        self.kinds = {chunk.kind for chunk in found}
        self.here = here
        self.vtag = _vtag(packet)
        self.ignore = False  # the packet is no sign of life

    @property
    def wanted(self) -> int:
        """The tag that a packet of this direction must carry."""
        return self.tags.vtag[self.here]

    def run(self, now: float, timeouts: Mapping[str, int]) -> Followed:
        """Meet all chunks."""
        if not self.kinds & _OWN_RULE and self.vtag != self.wanted:
            return Followed("invalid", self.connection, "a wrong verification tag")
        new = NONE
        for chunk in self.chunks:
            verdict = self._tag(chunk)
            if verdict == "skip":
                continue
            if verdict:
                return self._end("invalid", verdict)
            old, new = self.state, self._next(chunk)
            if new == INVALID:
                return self._end("invalid", f"an association in {old} has no place for it")
            if not self._learn(chunk, old, new):
                return self._end("invalid", "a wrong initiate tag")
            self.state = new
            if new == ESTABLISHED != old:
                self.status |= {"ASSURED"}
        done = self._end("ignore" if self.ignore else "accept")
        if self.ignore:
            return done
        name = CLOSED if new == NONE else new
        expires = now + timeouts[f"sctp_timeout_{name.lower()}"]
        return done._replace(connection=replace(done.connection, expires=expires))

    def _end(self, verdict: str, note: str = "") -> Followed:
        after = changed(self.connection, state=self.state, proto=self.tags, status=self.status)
        return Followed(verdict, after, note)

    def _next(self, chunk: Chunk) -> str:
        row = NEXT.get((DIRECTIONS[self.here], chunk.kind))
        return self.state if row is None else row[self.state]

    def _tag(self, chunk: Chunk) -> str:
        """Return what is wrong with the verification tag, ``skip`` for a chunk that does not count."""
        here, kind = self.here, chunk.kind
        if kind == INIT:
            return "an INIT with a verification tag" if self.vtag else ""
        if kind in (ABORT, SHUTDOWN_COMPLETE):
            whose = 1 - here if chunk.flags & 1 else here
            return "a wrong verification tag" if self.vtag != self.tags.vtag[whose] else ""
        if kind == COOKIE_ECHO:
            return "a wrong verification tag" if self.vtag != self.wanted else ""
        if kind == COOKIE_ACK:
            self.tags = self.tags._replace(init=(False, False))
        if kind in (HEARTBEAT, HEARTBEAT_ACK):
            return self._heartbeat(kind)
        return ""

    def _heartbeat(self, kind: int) -> str:
        """A path may have another tag, if heartbeats both ways agree on it."""
        here = self.here
        if not self.wanted:
            self.tags = self.tags.tag(here, self.vtag)
        elif self.vtag == self.wanted:
            self.tags = self.tags._replace(astray=None)
        elif DATA in self.kinds or self.ignore:
            return "a wrong verification tag"
        elif kind == HEARTBEAT:
            self.tags, self.ignore = self.tags._replace(astray=here), True
            return "skip"
        elif self.tags.astray in (None, here):
            return "a wrong verification tag"
        else:
            self.tags = self.tags.tag(here, self.vtag).tag(1 - here, 0)._replace(astray=None)
        return ""

    def _learn(self, chunk: Chunk, old: str, new: str) -> bool:
        """Note the tag that an INIT or INIT ACK gives to the other direction; tell whether it may."""
        if chunk.kind not in (INIT, INIT_ACK):
            return True
        if chunk.word is None:
            return False
        here, there, init = self.here, 1 - self.here, self.tags.init
        known = self.tags.vtag[there]
        if chunk.kind == INIT_ACK:
            if known != chunk.word and ((not init[there] and known) or all(init)):
                return False
        elif "CONFIRMED" not in self.status or known != chunk.word:  # not a repetition
            init = (False, False) if all(init) else init
            init = (True, init[1]) if here == 0 else (init[0], True)
        if chunk.kind == INIT and old == new == CLOSED and "CONFIRMED" in self.status:
            self.ignore = True
        self.tags = self.tags.tag(there, chunk.word)._replace(init=init)
        return True
