"""Packets, whole and damaged: flipped bits, cuts, options, extension headers, fragments, quotes of quotes."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

from nb_lib.headers import ACK, FIN, RST, SYN
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.recordings import packets as recorded

DEVICES = ("eth0", "eth0", "eth1", "lo", "-", "-", "x")
ENDS = {
    4: (
        "10.1.0.2",
        "10.1.0.1",
        "10.2.0.2",
        "10.2.0.255",
        "224.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
    ),
    6: ("fd00:1::2", "fd00:1::1", "fd00:2::2", "ff02::1", "::1", "::", "fe80::1"),
}
PORTS = (0, 1, 9, 53, 80, 80, 40000, 65535)
EXTENSIONS = (0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253)


@cache
def _recorded() -> list[bytes]:
    return [bytes.fromhex(one["pkt"]) for one in recorded()]


def made(pick: Random, family: int) -> bytes:
    """Make a sound packet."""
    src, dst = pick.choice(ENDS[family]), pick.choice(ENDS[family])
    ports = {"sport": pick.choice(PORTS), "dport": pick.choice(PORTS)}
    payload = pick.randbytes(pick.choice((0, 0, 1, 8, 40, 1400)))
    kind = pick.randrange(5)
    if kind == 0:
        flags = pick.choice((SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, 0, 255))
        numbers = {"seq": pick.choice((0, 1, 100, 2**32 - 1)), "ack": pick.choice((0, 101, 2**31))}
        options = pick.randbytes(pick.choice((0, 4, 12, 40)))
        return tcp(src, dst, **ports, **numbers, payload=payload, flags=flags, options=options).data
    if kind == 1:
        return udp(src, dst, **ports, payload=payload).data
    if kind == 2:
        quoted = (
            made(pick, family)[: pick.choice((8, 28, 48, 200))] if pick.random() < 0.7 else payload
        )
        return icmp(src, dst, type=pick.choice((0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 129, 135, 255)),
                    code=pick.randrange(16), payload=quoted).data  # fmt: skip
    return raw(
        src,
        dst,
        pick.choice((0, 2, 4, 6, 17, 33, 41, 47, 50, 51, 58, 103, 132, 136, 255)),
        payload=payload,
    ).data


def flipped(pick: Random, data: bytearray) -> bytearray:
    """Flip a bit, or put a byte of the edge."""
    at = pick.randrange(len(data))
    data[at] = pick.choice((data[at] ^ 1 << pick.randrange(8), 0, 1, 0x7F, 0x80, 0xFF))
    return data


def shortened(pick: Random, data: bytearray) -> bytearray:
    """Cut it off, anywhere."""
    return data[: pick.randrange(len(data) + 1)]


def longer(pick: Random, data: bytearray) -> bytearray:
    """Put something behind it or into it."""
    at = pick.choice((len(data), pick.randrange(len(data) + 1)))
    return data[:at] + pick.randbytes(pick.choice((1, 4, 8, 40, 1500))) + data[at:]


def lengths(pick: Random, data: bytearray) -> bytearray:
    """Let a length say something else."""
    at = pick.choice((0, 2, 4)) if data[0] >> 4 == 4 else pick.choice((4, 41))
    if len(data) > at + 1:
        data[at : at + 2] = struct.pack(
            "!H", pick.choice((0, 1, 19, 20, 40, len(data), 1500, 65535))
        )
    return data


def fragment(pick: Random, data: bytearray) -> bytearray:
    """Make it a fragment."""
    if data[0] >> 4 == 4 and len(data) > 8:
        data[6:8] = struct.pack(
            "!H", pick.choice((0x2000, 0x2001, 1, 0x1FFF, 0x4000, 0x8000, 0xFFFF))
        )
        return data
    return extended(pick, data, 44)


def extended(pick: Random, data: bytearray, kind: int = -1) -> bytearray:
    """Put options or extension headers, sound or not, behind the fixed header."""
    if data[0] >> 4 == 4:
        odd = pick.randbytes(pick.choice((4, 40)))
        options = pick.choice((b"\1" * 4, b"\x94\4\0\0", b"\7\3\4\0", b"\x83\x07\4\1\2\3\4\0", odd))
        data[0] = 0x40 | (5 + len(options) // 4) & 15
        return data[:20] + options + data[20:]
    for _ in range(pick.choice((1, 1, 2, 8, 60))):
        if len(data) < 40:
            return data
        extension = kind if kind >= 0 else pick.choice(EXTENSIONS)
        body = bytes((data[6], pick.choice((0, 0, 0, 1, 255)))) + pick.randbytes(
            pick.choice((6, 6, 6, 14, 0))
        )
        data[6] = extension
        data = data[:40] + body + data[40:]
    return data


DAMAGES = (flipped, flipped, flipped, shortened, longer, lengths, fragment, extended)


def packet(pick: Random, family: int) -> bytes:
    """Return the bytes of a packet, damaged or not."""
    chance = pick.random()
    if chance < 0.02:
        return pick.randbytes(pick.choice((0, 1, 19, 20, 21, 39, 40, 41, 100)))
    data = bytearray(
        pick.choice(_recorded()) if chance < 0.3 and family == 4 else made(pick, family)
    )
    for _ in range(pick.choice((0, 0, 1, 1, 2, 4))):
        if data:
            data = pick.choice(DAMAGES)(pick, data)
    return bytes(data)


def lines(pick: Random, family: int, most: int = 5) -> str:
    """Return a few packets, some of them answers to others, and pauses."""
    found: list[str] = []
    sent: list[bytes] = []
    for _ in range(pick.randint(1, most)):
        if pick.random() < 0.1:
            found.append(f"wait {pick.choice((0, 1, 30, 200, 10**6))}")
        data = packet(pick, family)
        if sent and pick.random() < 0.3:
            data = _answer(pick.choice(sent)) or data
        sent.append(data)
        found.append(f"{pick.choice(DEVICES)} {data.hex()}")
    return "\n".join(found)


def _answer(data: bytes) -> bytes:
    try:
        return Packet(data=data).reply().data
    except Exception:  # noqa: BLE001 - another input's business
        return b""
