"""Fragments beside the live kernel: held, put together, refused, and cut up again.

Datagrams come in pieces, in order or not, some repeated, overlapping or missing, to the router, through
it, and from it; all packets of one datagram share an identity, so what the kernel did with them all
is compared at once: the steps in their order, the end, and the bytes that left.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from zlib import crc32

import pytest

from nb_lib.engine.fragment import cut
from nb_lib.headers import FRAGMENT, checksum
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.engine.router import C6, R6, S6, T6, WIRES, C, R, S, T, put, router
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import Oracle, Seen, together

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

DATAGRAMS = int(os.environ.get("NB_FRAGMENTS", "400"))
PLAIN = """\
*mangle
-A PREROUTING {later}
-A PREROUTING -p udp --dport 9
-A PREROUTING -p tcp --dport 80 -j TOS --set-tos 0x10
-A POSTROUTING -p udp --sport 4000:4200
-A POSTROUTING {later}
COMMIT
*filter
-A INPUT -p udp --dport 9
-A INPUT {later}
-A INPUT -m length --length 0:600
-A FORWARD -p tcp --dport 80
-A FORWARD {later}
-A FORWARD -m length --length 0:600
-A OUTPUT {later} -j DROP
-A OUTPUT -p udp --dport 9
COMMIT
"""
TRACKED = """\
*raw
-A PREROUTING {later}
-A OUTPUT {later}
-A PREROUTING -p udp --dport 12 -j CT --notrack
COMMIT
*nat
-A PREROUTING -p udp --dport 7 -j DNAT --to-destination {server}
-A POSTROUTING -p tcp --dport 80 -j MASQUERADE
COMMIT
*security
-A INPUT -m conntrack --ctstate INVALID
-A FORWARD -m conntrack --ctstate INVALID
-A FORWARD -m conntrack --ctstate NEW
COMMIT
"""
WAYS = ("in order", "in order", "backwards", "shuffled", "shuffled", "swapped", "twice", "missing",
        "overlap", "odd", "ecn", "late")  # fmt: skip
ROOM = ("net.ipv4.ipfrag_high_thresh", "net.ipv6.ip6frag_high_thresh",
        "net.netfilter.nf_conntrack_frag6_high_thresh")  # fmt: skip
LATER = {4: "-f", 6: "-m frag --fragid 0:4294967295"}
ENDS = {4: (C, R, S, T), 6: (C6, R6, S6, T6)}


def rules(family: int, *, tracked: bool) -> str:
    server = S if family == 4 else f"[{S6}]"
    return (TRACKED * tracked + PLAIN).format(later=LATER[family], server=server)


class Datagram:
    """One datagram of an identity, and the fragments that come of it, each with its wire."""

    def __init__(self, number: int, family: int) -> None:
        self.pick = random.Random(f"{number} {family}")
        self.number = number
        c, r, s, t = ENDS[family]
        self.wire, src, dst = self.pick.choice(
            (("c0", c, s), ("c0", c, r), ("s0", s, c), ("", t, s), ("", r, r))
        )
        self.whole = self._whole(src, dst)
        self.sent = [(self.wire, part) for part in self._order(self._pieces())]

    def _whole(self, src: str, dst: str) -> Packet:
        pick = self.pick
        size = pick.choice((40, 80, 400, 1400, 1600, 3000, 5000))
        common = {"ident": self.number, "ttl": pick.choice((64, 64, 2)), "tos": pick.choice((0, 0, 2)),
                  "payload": pick.randbytes(size)}  # fmt: skip
        port = pick.choice((7, 9, 11, 12))
        packet = pick.choice((
            lambda: udp(src, dst, sport=4000 + self.number, dport=port, **common),
            lambda: udp(src, dst, sport=4000 + self.number, dport=port, **common),
            lambda: tcp(src, dst, sport=4000 + self.number, dport=80, **common),
            lambda: icmp(src, dst, id=self.number, **common),
            lambda: raw(src, dst, 50, **common),
        ))()  # fmt: skip
        return packet if packet.family == 4 else self._labelled(packet)

    def _labelled(self, packet: Packet) -> Packet:
        data = bytearray(packet.data)
        data[2:4] = self.number.to_bytes(2, "big")
        if self.pick.random() < 0.2:  # options that each fragment repeats
            data[40:40] = bytes((data[6], 0, 1, 4, 0, 0, 0, 0))
            data[6] = 0
            data[4:6] = (len(data) - 40).to_bytes(2, "big")
        return Packet(data=bytes(data))

    def _pieces(self) -> list[Packet]:
        pick, whole = self.pick, self.whole
        head = 20 if whole.family == 4 else 48 + (8 if whole.data[6] == 0 else 0)
        room = pick.choice((24, 48, 64, 504, 1000, 1400, 1480)) & ~7
        if whole.length / room > 60:
            room = 504
        if whole.length <= head + room:
            room = 24
        room = min(room, 1500 - head & ~7)
        if whole.family == 4:
            return self._pieces4(room)
        return list(_cut6_at(whole, room, 7000 + self.number))

    def _pieces4(self, room: int) -> list[Packet]:
        flags = self.pick.choice((0, 0, 0, 1))
        parts = list(cut(self.whole, 20 + room, None, int))
        return [_field4(p, _place(p) | 0x4000) if flags else p for p in parts]

    def _order(self, parts: list[Packet]) -> list[Packet]:
        """Disturb what the whole was cut into."""
        pick = self.pick
        place = pick.randrange(len(parts))
        self.way = pick.choice(WAYS)
        match self.way:
            case "backwards":
                parts.reverse()
            case "shuffled":
                pick.shuffle(parts)
            case "swapped":
                parts[:2] = parts[1::-1]
            case "twice":
                parts.insert(place, pick.choice(parts))
            case "missing":
                del parts[place]
            case "overlap":
                parts.insert(pick.randrange(len(parts) + 1), self._moved(parts[place]))
            case "odd":
                parts[place] = self._shorter(parts[place])
            case "ecn":
                parts[place] = self._congested(parts[place])
            case "late":
                parts.append(pick.choice(parts))
        return parts

    def _moved(self, part: Packet) -> Packet:
        return _moved(part, self.pick.choice((-16, -8, 8, 16)))

    def _shorter(self, part: Packet) -> Packet:
        end = max(len(part.data) - self.pick.choice((1, 3, 8)), part.header_end + 1)
        data = bytearray(part.data[:end])
        place = 2 if part.family == 4 else 4
        data[place : place + 2] = (len(data) - (0 if part.family == 4 else 40)).to_bytes(2, "big")
        return _mended(data)

    def _congested(self, part: Packet) -> Packet:
        return part.change(tos=part.tos | self.pick.choice((1, 2, 3)))


def _place(part: Packet) -> int:
    return part.data[6] << 8 | part.data[7]


def _field4(part: Packet, place: int) -> Packet:
    data = bytearray(part.data)
    data[6:8] = place.to_bytes(2, "big")
    return _mended(data)


def _mended(data: bytearray) -> Packet:
    if data[0] >> 4 == 4:
        data[10:12] = b"\0\0"
        data[10:12] = checksum(bytes(data[:20])).to_bytes(2, "big")
    return Packet(data=bytes(data))


def _moved(part: Packet, by: int) -> Packet:
    data = bytearray(part.data)
    at = 6 if part.family == 4 else next(a for k, a in part.extensions if k == FRAGMENT) + 2
    units = by // 8 if part.family == 4 else by
    value = data[at] << 8 | data[at + 1]
    data[at : at + 2] = max(value + units, value & (0xE000 if part.family == 4 else 7)).to_bytes(
        2, "big"
    )
    return _mended(data)


def _cut6_at(whole: Packet, room: int, ident: int) -> Iterator[Packet]:
    """Cut an IPv6 packet behind its hop-by-hop options."""
    end = 40 + (8 if whole.data[6] == 0 else 0)
    head, body = bytearray(whole.data[:end]), whole.data[end:]
    pointer = 40 if end > 40 else 6
    following, head[pointer] = head[pointer], FRAGMENT
    for at in range(0, len(body), room):
        part = body[at : at + room]
        more = at + room < len(body)
        head[4:6] = (end - 40 + 8 + len(part)).to_bytes(2, "big")
        mine = bytes((following, 0)) + (at | more).to_bytes(2, "big") + ident.to_bytes(4, "big")
        yield Packet(data=bytes(head) + mine + part)


def unnamed(packet: bytes) -> bytes:
    """Blank the identification that the kernel draws for fragments of IPv6."""
    found = Packet(data=packet)
    for kind, at in found.extensions:
        if kind == FRAGMENT:
            return packet[: at + 4] + bytes(4) + packet[at + 8 :]
    return packet


def ours(host, datagram: Datagram) -> Seen:
    seen = Seen()
    for wire, part in datagram.sent:
        trace = put(host, wire, part)
        seen.steps += trace.steps
        seen.out += [(WIRES[trace.fate.device], unnamed(p.data)) for p in trace.outgoing]
        if trace.fate.kind in ("forward", "local"):
            seen.end = str(trace.fate)
    return seen


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live:
        # What is never complete stays for half a minute; let there be room for it.
        settings = [f"{name}={256 << 20}" for name in ROOM]
        run("sysctl", "-qw", *settings, namespace=lab.router)
        yield live


@pytest.mark.parametrize("tracked", [False, True], ids=["alone", "tracked"])
@pytest.mark.parametrize("family", [4, 6])
def test_fragments_go_the_kernels_way(oracle: Oracle, family: int, tracked: bool, figure) -> None:
    text = rules(family, tracked=tracked)
    oracle.load(text, family)
    wrong, pieces = [], 0
    for number in range(1, DATAGRAMS + 1):
        datagram = Datagram(number, family)
        mine = ours(router(**{f"v{family}": text}), datagram)
        seen = together(oracle.send([(wire or "local", part.data) for wire, part in datagram.sent]))
        oracle.forget()
        seen.out = [(wire, unnamed(packet)) for wire, packet in seen.out]
        pieces += len(datagram.sent)
        if (mine.steps, mine.end, mine.out) != (seen.steps, seen.end, seen.out):
            wrong.append(explain(datagram, mine, seen))
    about = f"datagrams in {pieces:,} pieces"
    name = f"fragments, IPv{family}, {'tracked' if tracked else 'alone'}"
    figure(name, DATAGRAMS - len(wrong), DATAGRAMS, about)
    assert not wrong, "\n\n".join(wrong[:3])


def explain(datagram: Datagram, mine: Seen, seen: Seen) -> str:
    """Show a datagram's pieces, and what differs."""
    lines = [f"datagram {datagram.number}, {datagram.way}: {datagram.whole}"]
    lines += [f"  {wire or 'local'} {sketch(part.data)}" for wire, part in datagram.sent]
    for who, found in (("ours", mine), ("kernel", seen)):
        lines.append(f"{who}: {found.end or 'gone'} errno {found.error}")
        lines += [f"  {step}" for step in found.steps]
        lines += [f"  out {wire} {sketch(packet)}" for wire, packet in found.out]
    return "\n".join(lines)


def sketch(packet: bytes) -> str:
    found = Packet(data=packet)
    more = "+" if found.more_fragments else ""
    df = " DF" if found.dont_fragment else ""
    place = f"{found.fragment_offset}:{found.length - found.header_end}"
    return f"{place}{more}{df} tos {found.tos} ttl {found.ttl} {crc32(packet):x}"
