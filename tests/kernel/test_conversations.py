"""TCP conversations that go wrong, beside the live kernel's conntrack.

Two ends talk; now and then one repeats itself, jumps ahead, acknowledges what was never said, shrinks
its window to nothing, resets. After each segment rules of FORWARD tell what conntrack thinks: the
state, whether the connection is assured, and how long it will live.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from nb_lib.headers import ACK, FIN, PSH, RST, SYN
from nb_lib.packet import Packet, tcp
from tests.engine.router import C6, S6, C, S, put, router
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import Oracle

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

CONVERSATIONS = int(os.environ.get("NB_CONVERSATIONS", "80"))
LENGTH = 40  # segments of one conversation
RULES = """\
*filter
-A FORWARD -m conntrack --ctstate INVALID -j ACCEPT
-A FORWARD -m conntrack --ctstate NEW -j ACCEPT
-A FORWARD -m conntrack --ctstatus ASSURED
-A FORWARD -m conntrack --ctexpire 0:15 -j ACCEPT
-A FORWARD -m conntrack --ctexpire 16:40 -j ACCEPT
-A FORWARD -m conntrack --ctexpire 41:90 -j ACCEPT
-A FORWARD -m conntrack --ctexpire 91:200 -j ACCEPT
-A FORWARD -m conntrack --ctexpire 201:1000 -j ACCEPT
-A FORWARD -m conntrack --ctexpire 1001: -j ACCEPT
COMMIT
"""
PREFIX = "net.netfilter.nf_conntrack_"
DEFAULTS = {"tcp_loose": 1, "tcp_be_liberal": 0, "tcp_ignore_invalid_rst": 0, "tcp_max_retrans": 3}
SETTINGS: list[dict[str, int]] = [{}, {"tcp_loose": 0}, {"tcp_be_liberal": 1},
                                  {"tcp_ignore_invalid_rst": 1}, {"tcp_max_retrans": 1}]  # fmt: skip
JUMPS = (0, 0, 0, 1, -1, 20, -20, 900, -900, 66_000, -66_000, 70_000, -70_000, 2**31, 123_456_789)
WINDOWS = (0, 1, 100, 1000, 65_535)


class End:
    """One end of a conversation: what it has sent, and what it has heard."""

    def __init__(self, pick: random.Random) -> None:
        self.next = pick.choice((0, 5000, 2**32 - 30, pick.getrandbits(32)))
        self.heard = 0
        self.window = pick.choice(WINDOWS[1:])


class Conversation:
    """A client and a server who mostly keep to the rules."""

    def __init__(self, seed: int, family: int) -> None:
        self.pick = random.Random(seed)
        self.addresses = (C, S) if family == 4 else (C6, S6)
        self.ends = (End(self.pick), End(self.pick))
        self.stage = 0

    def segments(self) -> Iterator[tuple[str, Packet]]:
        """Yield segments, each with the wire that it comes by."""
        for number in range(1, LENGTH + 1):
            here, packet = self._segment(number)
            yield ("c0", "s0")[here], packet

    def _segment(self, number: int) -> tuple[int, Packet]:
        pick = self.pick
        here = pick.randrange(2)
        flags, size = (
            pick.choice(
                (ACK, ACK, PSH | ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, SYN, SYN | ACK)
            ),
            0,
        )
        if self.stage < 3 and pick.random() < 0.85:  # the handshake
            here, flags = ((0, SYN), (1, SYN | ACK), (0, ACK))[self.stage]
            self.stage += 1
        elif flags & PSH:
            size = pick.choice((1, 20, 100))
        if flags & (FIN | RST | SYN) and self.stage == 3 and pick.random() < 0.6:
            flags = ACK
        return here, self._make(number, here, flags, size)

    def _make(self, number: int, here: int, flags: int, size: int) -> Packet:
        pick, mine, other = self.pick, self.ends[here], self.ends[1 - here]
        honest = pick.random() < 0.75
        seq = mine.next + (0 if honest else pick.choice(JUMPS))
        ack = mine.heard + (0 if honest or pick.random() < 0.5 else pick.choice(JUMPS))
        if flags == RST and pick.random() < 0.3:
            seq = 0
        if honest:
            mine.next = mine.next + size + bool(flags & SYN) + bool(flags & FIN) & 0xFFFFFFFF
            if pick.random() < 0.9:  # it arrives
                other.heard = mine.next
        if pick.random() < 0.1:
            mine.window = pick.choice(WINDOWS)
        ends = dict(zip(("sport", "dport"), (40000, 80) if here == 0 else (80, 40000), strict=True))
        packet = tcp(
            self.addresses[here], self.addresses[1 - here], **ends, flags=flags, seq=seq & 0xFFFFFFFF,
            ack=ack & 0xFFFFFFFF if flags & ACK else 0, window=mine.window, payload=bytes(size),
            options=self._options(flags, ack), ident=number,
        )  # fmt: skip
        return packet if packet.family == 4 else labelled(packet, number)

    def _options(self, flags: int, ack: int) -> bytes:
        pick, found = self.pick, b""
        if flags & SYN:
            found += b"\x04\x02" * (pick.random() < 0.5)
            found += bytes((1, 3, 3, pick.choice((0, 2, 7, 14, 15)))) * (pick.random() < 0.5)
        elif pick.random() < 0.15:
            left = ack + pick.choice((1, 100, 5000))
            found += b"\x01\x01\x05\x0a" + struct.pack(
                "!II", left & 0xFFFFFFFF, left + 50 & 0xFFFFFFFF
            )
        return found


def labelled(packet: Packet, number: int) -> Packet:
    """Give an IPv6 packet a flow label, by which the oracle knows it."""
    data = bytearray(packet.data)
    data[2:4] = number.to_bytes(2, "big")
    return Packet(data=bytes(data))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live:
        yield live


@pytest.mark.parametrize("changed", SETTINGS, ids=lambda changed: " ".join(changed) or "defaults")
@pytest.mark.parametrize("family", [4, 6])
def test_conntrack_judges_each_segment_as_the_kernel_does(
    oracle: Oracle, family: int, changed: dict[str, int], figure
) -> None:
    settings = {**DEFAULTS, **changed}
    words = [f"{PREFIX}{name}={value}" for name, value in settings.items()]
    run("sysctl", "-qw", *words, namespace=oracle.lab.router)
    sysctls = {PREFIX + name: value for name, value in settings.items()}
    oracle.load(RULES, family)
    wrong, total = [], 0
    for seed in range(CONVERSATIONS):
        oracle.forget()
        host = router(**{f"v{family}": RULES}, sysctls=sysctls)
        batch = list(Conversation(seed, family).segments())
        told = []
        for (wire, packet), seen in zip(
            batch, oracle.send([(w, p.data) for w, p in batch]), strict=True
        ):
            trace = put(host, wire, packet)
            numbers = f"seq {packet.seq} ack {packet.ack} window {packet.window}"
            told.append(f"{wire} {packet} {numbers} +{len(packet.payload)}")
            total += 1
            if list(trace.steps) != seen.steps:
                wrong.append(
                    "\n".join(
                        [f"seed {seed}", *told, f"kernel {seen.steps}", f"ours {trace.steps}"]
                    )
                )
                break
    figure(
        " ".join([f"conversations, IPv{family}", *changed]),
        CONVERSATIONS - len(wrong),
        CONVERSATIONS,
        f"of {total:,} TCP segments",
    )
    assert not wrong, "\n\n".join(wrong[:2])
