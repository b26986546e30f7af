"""Protocols other than TCP beside the live kernel's conntrack: SCTP, UDP, UDP-Lite, GRE, ICMP and the rest.

Two ends talk, mostly by their protocol's rules; after each packet rules of FORWARD tell what
conntrack thinks of it: the state, whether the connection is assured, how long it will live.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from nb_lib.headers import DCCP, GRE, ICMP_ERRORS, SCTP, UDPLITE, checksum, crc32c, pseudo_header
from nb_lib.packet import Packet, icmp, raw, udp
from tests.engine.router import C6, R6, S6, C, R, S, put, router
from tests.kernel.lab import Lab
from tests.kernel.oracle import Oracle
from tests.kernel.test_conversations import labelled

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

TALKS = int(os.environ.get("NB_TALKS", "150"))
LENGTH = 25
LIVES = ("0:1", "2:5", "6:11", "12:31", "60:125", "126:185", "186:215", "400:610")
RULES = """\
*raw
-A PREROUTING -m mark --mark 1 -j ACCEPT
COMMIT
*nat
-A PREROUTING -d {gate} -p sctp --dport 9 -j DNAT --to-destination {server}:11
-A PREROUTING -d {gate} -j DNAT --to-destination {bare}
-A POSTROUTING -p sctp --dport 11 -j MASQUERADE
-A POSTROUTING -p 33 -j MASQUERADE
COMMIT
*filter
-A FORWARD -m conntrack --ctstate INVALID -j ACCEPT
-A FORWARD -m conntrack --ctstate UNTRACKED -j ACCEPT
-A FORWARD -m conntrack --ctstate NEW
-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT
-A FORWARD -m conntrack --ctstatus ASSURED
-A FORWARD -m conntrack --ctdir REPLY
{lives}
COMMIT
"""


def rules(family: int) -> str:
    gate, bare = (R, S) if family == 4 else (R6, S6)
    server = bare if family == 4 else f"[{bare}]"
    lives = "\n".join(f"-A FORWARD -m conntrack --ctexpire {span} -j ACCEPT" for span in LIVES)
    return RULES.format(gate=gate, bare=bare, server=server, lives=lives)


class Talk:
    """Two ends of one protocol, and the packets that they send."""

    def __init__(self, seed: int, family: int) -> None:
        self.pick = random.Random(f"{seed} {family}")
        self.family = family
        self.number = 0
        self.ends = (C, S) if family == 4 else (C6, S6)
        self.gate = R if family == 4 else R6
        self.tags = [self.pick.randrange(1, 9), self.pick.randrange(1, 9)]
        self.stage = 0
        self.translated = self.pick.random() < 0.2
        self.said: list[Packet] = []
        kinds: tuple[Callable[[int], Packet], ...] = (
            self.sctp, self.sctp, self.sctp, self.udplite, self.gre, self.udp, self.other, self.icmp,
        )  # fmt: skip
        self.kinds = (pick_one := self.pick.choice(kinds), pick_one, pick_one, self.icmp)

    def packets(self) -> Iterator[tuple[str, Packet]]:
        """Yield packets, each with the wire that it comes by."""
        for self.number in range(1, LENGTH + 1):
            here = self.pick.randrange(2)
            made = self.pick.choice(self.kinds)
            if made == self.sctp and self.stage < 4 and self.pick.random() < 0.7:
                here = self.stage % 2
            packet = made(here)
            if self.pick.random() < 0.04:
                packet = Packet(data=packet.data[:-1] + bytes([packet.data[-1] ^ 255]))
            self.said.append(packet)
            yield ("c0", "s0")[here], packet if self.family == 4 else labelled(packet, self.number)

    def raw(self, here: int, protocol: int, payload: bytes) -> Packet:
        src, dst = self.ends[here], self.ends[1 - here]
        if here == 0 and self.translated:
            dst = self.gate
        return raw(src, dst, protocol, payload=payload, ident=self.number)

    def ports(self, here: int) -> bytes:
        ports = (40000).to_bytes(2, "big"), (9).to_bytes(2, "big")
        return b"".join(ports if here == 0 else ports[::-1])

    # --- SCTP ---

    def sctp(self, here: int) -> Packet:
        pick = self.pick
        script = ((1,), (2,), (10,), (11,))
        if self.stage < 4 and pick.random() < 0.8:
            kinds = script[self.stage]
            self.stage += 1
        else:
            kinds = tuple(pick.choice((0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 8, 9, 10, 11, 14, 130))
                          for _ in range(pick.choice((1, 1, 1, 1, 2, 3))))  # fmt: skip
        tag = 0 if 1 in kinds else self.tags[1 - here]
        if pick.random() < 0.12:
            tag = pick.choice((0, 1, 5, self.tags[here]))
        body = b"".join(self._chunk(kind, here) for kind in kinds)
        head = self.ports(here) + tag.to_bytes(4, "big")
        return self.raw(here, SCTP, head + crc32c(head + bytes(4) + body) + body)

    def _chunk(self, kind: int, here: int) -> bytes:
        pick = self.pick
        body = bytes(pick.choice((0, 4, 5, 16)))
        if kind in (1, 2):
            if pick.random() < 0.1:
                self.tags[here] = pick.randrange(1, 9)
            body = self.tags[here].to_bytes(4, "big") + bytes(12 if pick.random() < 0.95 else 4)
        size = 4 + len(body) if pick.random() < 0.97 else pick.choice((0, 1, 2000))
        flags = pick.choice((0, 0, 0, 1)) if kind in (6, 14) else 0
        return bytes((kind, flags)) + size.to_bytes(2, "big") + body + bytes(-len(body) % 4)

    # --- those without states ---

    def udp(self, here: int) -> Packet:
        src, dst = self.ends[here], self.ends[1 - here]
        sport, dport = (40000, 9) if here == 0 else (9, 40000)
        made = udp(src, dst, sport=sport, dport=dport, payload=b"x" * 9, ident=self.number)
        if self.pick.random() < 0.3:
            data, at = bytearray(made.data), made.header_end
            what, value = self.pick.choice(((4, 7), (4, 12), (4, 99), (6, 0), (4, 17)))
            data[at + what : at + what + 2] = value.to_bytes(2, "big")
            return Packet(data=bytes(data))
        return made

    def udplite(self, here: int) -> Packet:
        pick, body = self.pick, self.pick.randbytes(13)
        covered = pick.choice((0, 0, 8, 15, 21, 21, 7, 22, 1))
        head = self.ports(here) + covered.to_bytes(2, "big")
        whole = self.raw(here, UDPLITE, head + bytes(2) + body)
        text = (head + bytes(2) + body)[: covered or 21]
        total = checksum(pseudo_header(whole.src, whole.dst, UDPLITE, 21) + text)
        if pick.random() < 0.1:
            total = 0
        return Packet(data=whole.data[:-15] + total.to_bytes(2, "big") + body)

    def gre(self, here: int) -> Packet:
        pick = self.pick
        flags, kind = pick.choice(
            ((0, 0x0800), (0x2000, 0x0800), (0x2001, 0x880B), (0x2001, 0x880B), (1, 1))
        )
        call = pick.choice((3, 3, 4))
        body = b"".join(v.to_bytes(2, "big") for v in (flags, kind, 4, call))
        return self.raw(here, GRE, (body + bytes(8))[: pick.choice((16, 16, 16, 6, 3))])

    def other(self, here: int) -> Packet:
        protocol = self.pick.choice((2, 50, 51, 200, DCCP, DCCP))
        ports = self.ports(here)
        if self.pick.random() < 0.3:
            ports = bytes(4)
        if protocol == 51:
            return self.raw(here, 200, ports)
        kind = self.pick.choice((0, 1, 2, 3, 5, 7)) << 1
        return self.raw(here, protocol, ports + bytes((4, 0, 0, 0, kind, 0, 0, 0)) + bytes(12))

    # --- ICMP ---

    def icmp(self, here: int) -> Packet:
        pick = self.pick
        src, dst = self.ends[here], self.ends[1 - here]
        errors = sorted(ICMP_ERRORS[self.family])
        if self.said and pick.random() < 0.5:
            return self._error(pick.choice(errors), src, dst)
        asked = (
            (8, 0, 8, 0, 13, 14, 15, 16, 17, 18, 9, 10, 5, 6, 19, 40)
            if self.family == 4
            else (
                128,
                129,
                128,
                129,
                139,
                140,
                130,
                131,
                132,
                133,
                134,
                135,
                136,
                137,
                143,
                127,
                144,
                100,
            )
        )
        return icmp(src, dst, type=pick.choice(asked), code=pick.choice((0, 0, 0, 1)),
                    id=pick.choice((1, 1, 2)), ident=self.number, payload=b"p" * 40)  # fmt: skip

    def _error(self, kind: int, src: str, dst: str) -> Packet:
        pick = self.pick
        quoted = pick.choice(self.said).data
        if pick.random() < 0.1:
            quoted = quoted[: pick.choice((19, 20, 24, 27, 28, 39, 40, 47, 48))]
        src = pick.choice((src, src, "10.2.0.99" if self.family == 4 else "fd00:2::99"))
        dst = pick.choice((dst, dst, dst, "10.1.0.77" if self.family == 4 else "fd00:1::77"))
        return icmp(src, dst, type=kind, rest=bytes(4), payload=quoted, ident=self.number)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live:
        yield live


@pytest.mark.parametrize("family", [4, 6])
def test_conntrack_judges_each_packet_as_the_kernel_does(
    oracle: Oracle, family: int, figure
) -> None:
    text = rules(family)
    oracle.load(text, family)
    wrong, total = [], 0
    for seed in range(TALKS):
        oracle.forget()
        host = router(**{f"v{family}": text})
        batch = list(Talk(seed, family).packets())
        told = []
        answers = oracle.send([(wire, packet.data) for wire, packet in batch])
        for (wire, packet), seen in zip(batch, answers, strict=True):
            trace = put(host, wire, packet)
            told.append(f"{wire} {packet} {packet.data[packet.header_end :].hex()}")
            total += 1
            left = [packet.data for packet in trace.outgoing]
            if list(trace.steps) != seen.steps or left != [data for _, data in seen.out]:
                lines = [f"seed {seed}", *told, f"kernel {seen.steps}", f"ours {trace.steps}"]
                wrong.append("\n".join(lines))
                break
    figure(f"talks, IPv{family}", TALKS - len(wrong), TALKS, f"of {total:,} packets")
    assert not wrong, "\n\n".join(wrong[:2])
