"""Random conversations: generators that yield (device, packet) and are sent what the kernel made of it.

Reality drives: the far end answers the packet that really arrived, with the addresses and ports that it
arrived with. So a translation is tested on the way back as well, whatever port the kernel chose.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from nb_lib.headers import ACK, FIN, PSH, RST, SYN
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.kernel.lab import EUI64
from tests.kernel.oracle import Seen

HOSTS = {
    4: {"c0": ("10.1.0.2", "10.1.0.77"), "s0": ("10.2.0.2", "203.0.113.7"),
        "local": ("10.1.0.1", "10.2.0.1")},
    6: {"c0": ("fd00:1::2", "fd00:1::77", EUI64), "s0": ("fd00:2::2", "2001:db8::7"),
        "local": ("fd00:1::1", "fd00:2::1")},
}  # fmt: skip
AIMS = {
    4: {"c0": ("10.2.0.2", "10.2.0.2", "10.1.0.1", "10.2.0.1", "203.0.113.9"),
        "s0": ("10.1.0.2", "10.1.0.77", "10.2.0.1", "10.1.0.1", "10.2.0.1"),
        "local": ("10.1.0.2", "10.2.0.2", "10.1.0.1", "10.2.0.1", "203.0.113.9")},
    6: {"c0": ("fd00:2::2", "fd00:2::2", "fd00:1::1", "fd00:2::1", "2001:db8::9"),
        "s0": ("fd00:1::2", "fd00:1::77", "fd00:2::1", "fd00:1::1", "fd00:2::1"),
        "local": ("fd00:1::2", "fd00:2::2", "fd00:1::1", "fd00:2::1", "2001:db8::9")},
}  # fmt: skip
PORTS = (22, 53, 80, 443, 1024, 8080, 30000)
SPORTS = (40000, 40000, 40001, 600, 80)  # a few, so that translated ones clash
FLAGS = (SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, PSH | ACK, FIN, SYN | FIN, ACK | 32, 0)
PAYLOADS = (b"", b"", b"x", b"x" * 13, b"x" * 200, b"GET / HTTP/1.1", b"say Hello")

Sent = tuple[str, Packet]
Flow = Generator[Sent, Seen, None]


class End(NamedTuple):
    """Where packets come from, and between which addresses and ports they go."""

    device: str
    src: str
    dst: str
    sport: int
    dport: int


def other(got: Sent) -> End:
    """Return the end that a packet reached: it answers what it sees."""
    device, packet = got
    return End(device, str(packet.dst), str(packet.src), packet.dport or 0, packet.sport or 0)


def flows(seed: int, family: int, count: int) -> list[Flow]:
    """Return conversations, each with its own luck: the same whatever the others do."""
    pick = random.Random(seed)
    return [_flow(random.Random(pick.getrandbits(32)), family) for _ in range(count)]


def _flow(pick: random.Random, family: int) -> Flow:
    device = pick.choice(("c0", "c0", "s0", "local"))
    end = End(device, pick.choice(HOSTS[family][device]), pick.choice(AIMS[family][device]),
              pick.choice(SPORTS), pick.choice(PORTS))  # fmt: skip
    return pick.choice(KINDS if family == 4 else KINDS_V6)(pick, end)


def _head(pick: random.Random) -> dict[str, Any]:
    return {
        "ttl": pick.choice((64, 64, 64, 5, 128)),
        "tos": pick.choice((0, 0, 0x10, 0x08, 0x28, 2)),
    }


def arrived(sent: Sent, seen: Seen) -> Sent | None:
    """Return the packet as it reached its receiver, and where that sits; None if it did not."""
    if seen.out:
        return seen.out[0][0], Packet(data=seen.out[0][1])
    header, transport = seen.delivered
    if seen.end == "local" and len(header + transport) >= 40 and not sent[1].extensions:
        got = Packet(data=header + transport)
        # A raw socket would send from 127.0.0.1 to anywhere, which no other can.
        if got.src.is_loopback or not (
            got.dst.is_loopback or str(got.src) in HOSTS[got.family]["local"]
        ):
            return "local", got
    return None


# --- TCP ---


def tcp_talk(pick: random.Random, near: End) -> Flow:
    """A handshake, some data both ways, an end; now and then something goes wrong."""
    head, seqs = _head(pick), [pick.getrandbits(32), pick.getrandbits(32)]
    far: End | None = None  # as it sees the near end's last packet that reached it
    for side, wanted in _script(pick):
        end = far if side else near
        if end is None:
            return
        body = pick.choice(PAYLOADS) if wanted & PSH else b""
        seq, flags = _mishap(pick, seqs[side], wanted)
        ack = seqs[1 - side] if flags & ACK else 0
        packet = tcp(
            end.src, end.dst, sport=end.sport, dport=end.dport, flags=flags, seq=seq, ack=ack,
            payload=body, window=pick.choice((65535, 500)), options=_options(pick, flags),
            **({} if side else head),
        )  # fmt: skip
        size = len(body) + bool(flags & SYN) + bool(flags & FIN)
        seqs[side] = seqs[side] + size & 0xFFFFFFFF
        got = arrived((end.device, packet), (yield end.device, packet))
        if got is None:
            if pick.random() < 0.4:
                return
            continue
        if not side:
            far = other(got)
        if pick.random() < 0.08:
            yield from icmp_error(pick, got)


def _script(pick: random.Random) -> list[tuple[int, int]]:
    talk = [(0, SYN), (1, SYN | ACK), (0, ACK)]
    talk += [(pick.randrange(2), PSH | ACK) for _ in range(pick.randint(0, 4))]
    ends = (
        [(0, FIN | ACK), (1, ACK), (1, FIN | ACK), (0, ACK)],
        [(1, FIN | ACK), (0, FIN | ACK), (1, ACK)],
        [(pick.randrange(2), RST)],
        [],
    )
    talk += pick.choice(ends)
    if pick.random() < 0.3:
        talk += [(0, SYN), (1, pick.choice((SYN | ACK, RST | ACK)))]
    if pick.random() < 0.2:
        talk = talk[pick.randint(1, 3) :]  # the beginning was before the rules
    return talk


def _mishap(pick: random.Random, seq: int, flags: int) -> tuple[int, int]:
    luck = pick.random()
    if luck < 0.05:
        return (seq + pick.choice((-70_000, 70_000, 1, -1))) & 0xFFFFFFFF, flags
    if luck < 0.1:
        return seq, pick.choice(FLAGS)
    return seq, flags


def _options(pick: random.Random, flags: int) -> bytes:
    if not flags & SYN:
        return b"\x01\x01\x08\x0a" + bytes(8) if pick.random() < 0.1 else b""
    mss = b"\x02\x04" + struct.pack("!H", pick.choice((536, 1400, 1460, 8960)))
    parts = (mss, b"\x04\x02", b"\x03\x03\x07", b"\x01")
    return b"".join(part for part in parts if pick.random() < 0.5)


# --- others ---


def udp_talk(pick: random.Random, near: End) -> Flow:
    """Datagrams both ways."""
    head, far = _head(pick), None
    for _ in range(pick.randint(1, 5)):
        back = far is not None and pick.random() < 0.5
        end = far if back else near
        packet = udp(
            end.src,
            end.dst,
            sport=end.sport,
            dport=end.dport,
            payload=pick.choice(PAYLOADS),
            **head,
        )
        got = arrived((end.device, packet), (yield end.device, packet))
        if got and not back:
            far = other(got)
            if pick.random() < 0.2:
                yield from icmp_error(pick, got)


def ping(pick: random.Random, end: End) -> Flow:
    """Echo requests and their replies; now and then a reply that nobody asked for, or a redirect."""
    number, head = pick.choice((1, 2, end.sport)), _head(pick)
    for count in range(pick.randint(1, 3)):
        sent = (
            end.device,
            icmp(end.src, end.dst, id=number, seq=count, payload=pick.choice(PAYLOADS), **head),
        )
        there = arrived(sent, (yield sent))
        if there and pick.random() < 0.7:
            yield there[0], there[1].reply(payload=b"")
    if pick.random() < 0.3:
        kind = pick.choice((0, 5, 9, 13, 3, 11) if _v4(end) else (129, 137, 1, 3, 144))
        yield end.device, icmp(end.src, end.dst, type=kind, id=number + 9, **head)


def icmp_error(pick: random.Random, got: Sent) -> Flow:
    """An error about a packet that arrived: from its receiver, or from a router on the way there."""
    device, about = got
    v4 = about.family == 4
    speaker = str(about.dst)
    if device == "s0" and pick.random() < 0.4:
        speaker = "203.0.113.200" if v4 else "2001:db8::200"
    kinds = ((3, 3), (3, 1), (3, 13), (11, 0), (12, 0)) if v4 else ((1, 4), (1, 1), (3, 0), (4, 0))
    kind, code = pick.choice(kinds)
    quote = about.data[: about.header_end + pick.choice((8, 20, 60))]
    yield device, icmp(speaker, about.src, type=kind, code=code, rest=bytes(4), payload=quote)


def sctp_talk(pick: random.Random, near: End) -> Flow:
    """INIT and what follows it."""
    tags = pick.getrandbits(32) or 1, pick.getrandbits(32) or 1
    init = struct.pack("!IIHHI", tags[0], 1500, 1, 1, 1)
    init_ack = struct.pack("!IIHHI", tags[1], 1500, 1, 1, 1)
    script = [(0, 0, 1, init), (1, tags[0], 2, init_ack), (0, tags[1], 10, b"cook"), (1, tags[0], 11, b""),
              (0, tags[1], 0, struct.pack("!IHHI", 1, 0, 0, 0) + b"data"), (1, tags[0], 3, bytes(12)),
              (0, tags[1], 7, bytes(4)), (1, tags[0], 8, b""), (0, tags[1], 14, b"")]  # fmt: skip
    far = None
    for side, tag, kind, body in script[: pick.randint(1, 9)]:
        end = far if side else near
        if end is None:
            return
        if pick.random() < 0.1:
            packet = sctp(end, *pick.choice(((tag, 6), (tag ^ 1, 0), (tag, 1), (tag, 9))), body)
        else:
            packet = sctp(end, tag, kind, body)
        got = arrived((end.device, packet), (yield end.device, packet))
        if got and not side:
            far = other(got)


def sctp(end: End, tag: int, kind: int, body: bytes) -> Packet:
    """Make an SCTP packet of one chunk, with its CRC32c (RFC 9260)."""
    padding = b"\0" * (-len(body) % 4)
    chunk = struct.pack("!BBH", kind, 3 if kind == 0 else 0, 4 + len(body)) + body + padding
    segment = struct.pack("!HHI", end.sport, end.dport, tag) + bytes(4) + chunk
    whole = segment[:8] + struct.pack("<I", crc32c(segment)) + chunk
    return raw(end.src, end.dst, 132, payload=whole)


def crc32c(data: bytes) -> int:
    """Return the Castagnoli CRC of ``data``."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return ~crc & 0xFFFFFFFF


def odd(pick: random.Random, end: End) -> Flow:
    """Other protocols, and the same again; headers that are cut off or wrong."""
    make = pick.choice(ODD)
    first = make(pick, end)
    for _ in range(pick.randint(1, 3)):
        there = arrived((end.device, first), (yield end.device, first))
        if there and pick.random() < 0.5 and first.protocol not in (1, 6, 17, 58):
            got = there[1]
            back = raw(got.dst, got.src, first.protocol, payload=got.data[got.header_end :])
            yield there[0], back


def _v4(end: End) -> bool:
    return "." in end.src


def _esp(pick: random.Random, end: End) -> Packet:
    spi = struct.pack("!II", pick.choice((100, 255, 256, 300)), 1)
    return raw(end.src, end.dst, 50, payload=spi + bytes(16), **_head(pick))


def _ah(pick: random.Random, end: End) -> Packet:
    header = struct.pack("!BBHII", 17, 4, 0, pick.choice((100, 256, 300)), 1) + bytes(12)
    return raw(
        end.src,
        end.dst,
        51,
        payload=header + udp(end.src, end.dst, sport=1, dport=2).payload,
        **_head(pick),
    )


def _ports_only(protocol: int, size: int) -> Callable[[random.Random, End], Packet]:
    def make(pick: random.Random, end: End) -> Packet:
        body = struct.pack("!HHHH", end.sport, end.dport, size, 0) + bytes(size - 8)
        return raw(end.src, end.dst, protocol, payload=body, **_head(pick))

    return make


def _dccp(pick: random.Random, end: End) -> Packet:
    kind = pick.choice((0, 1, 2, 3, 7))
    body = struct.pack("!HHBBHBBHI", end.sport, end.dport, 6, 0, 0, kind << 1 | 1, 0, 0, 1) + bytes(
        8
    )
    return raw(end.src, end.dst, 33, payload=body, **_head(pick))


def _mobility(pick: random.Random, end: End) -> Packet:
    if _v4(end):
        return raw(
            end.src, end.dst, 47, payload=struct.pack("!HH", 0, 0x800) + bytes(20), **_head(pick)
        )
    return raw(
        end.src,
        end.dst,
        135,
        payload=struct.pack("!BBBBH", 59, 0, pick.choice((0, 1, 3, 5, 7)), 0, 0) + bytes(2),
    )


def _cut_off(pick: random.Random, end: End) -> Packet:
    whole = tcp(end.src, end.dst, sport=end.sport, dport=end.dport)
    return raw(end.src, end.dst, pick.choice((6, 17, 1 if _v4(end) else 58)),
               payload=whole.data[whole.header_end :][: pick.choice((0, 3, 4, 7, 12, 19))])  # fmt: skip


def _wrong_checksum(pick: random.Random, end: End) -> Packet:
    packet = udp(end.src, end.dst, sport=end.sport, dport=end.dport, payload=b"x", **_head(pick))
    data = bytearray(packet.data)
    data[packet.header_end + 6] ^= 0x55
    return Packet(data=bytes(data))


def _headers(pick: random.Random, end: End) -> Packet:
    """A datagram behind IPv6 extension headers, or behind IPv4 options."""
    inner = udp(end.src, end.dst, sport=end.sport, dport=end.dport, payload=b"x")
    if _v4(end):
        return _with_options(inner, pick.choice((b"\x01\x01\x01\x00", b"\x94\x04\x00\x00")))
    body, following = inner.data[40:], 17
    for kind in pick.choice(
        ((60,), (0,), (43,), (60, 0), (44,), (44, 60), (60, 43, 0), (60, 60))
    ):  # from the inside out
        body = _extension(pick, kind, following) + body
        following = kind
    return raw(end.src, end.dst, following, payload=body)


def _extension(pick: random.Random, kind: int, following: int) -> bytes:
    if kind == 44:  # a datagram in one fragment
        return bytes((following, 0, 0, 0)) + struct.pack("!I", pick.choice((7, 500, 70000)))
    if kind == 43:
        return bytes((following, 0, pick.choice((2, 4, 7)), 0)) + bytes(4)
    options = pick.choice((b"\x01\x04" + bytes(4), b"\x05\x02\0\0\x01\0", b"\x1e\x0c" + bytes(12)))
    return bytes((following, (len(options) + 2) // 8 - 1)) + options


def _with_options(packet: Packet, options: bytes) -> Packet:
    """Return an IPv4 packet with options, which a multiple of four bytes hold."""
    data = bytearray(packet.data[:20] + options + packet.data[20:])
    data[0] = 0x45 + len(options) // 4
    data[2:4] = len(data).to_bytes(2, "big")
    return Packet(data=bytes(data))


def _alone(make: Callable[[random.Random, End], Packet]) -> Callable[[random.Random, End], Flow]:
    """Return a flow of packets that ``make`` makes."""

    def flow(pick: random.Random, end: End) -> Flow:
        for _ in range(pick.randint(1, 3)):
            yield end.device, make(pick, end)

    return flow


ODD: tuple[Callable[[random.Random, End], Packet], ...] = (
    _esp, _ah, _ports_only(136, 8), _ports_only(136, 20), _dccp, _mobility, _cut_off, _wrong_checksum,
    _headers, _headers, _headers, _headers,
)  # fmt: skip
KINDS: tuple[Callable[[random.Random, End], Flow], ...] = (
    tcp_talk, tcp_talk, tcp_talk, tcp_talk, udp_talk, udp_talk, udp_talk, ping, ping, sctp_talk, odd, odd,
)  # fmt: skip
# IPv6 has headers of its own to be tried.
KINDS_V6 = (*KINDS, _alone(_headers), _alone(_headers))
