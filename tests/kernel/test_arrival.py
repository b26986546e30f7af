"""Headers that should not be, beside the live kernel: dropped before a hook, after it, or not at all."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from nb_lib.headers import checksum
from nb_lib.packet import Packet, udp
from tests.engine.router import C6, R6, S6, C, R, S, put, router
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import Oracle
from tests.kernel.test_conversations import labelled

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

PACKETS = int(os.environ.get("NB_ARRIVALS", "400"))
RULES = "*raw\n-A PREROUTING\nCOMMIT\n*filter\n-A FORWARD\n-A INPUT\nCOMMIT\n"
ODD = {4: ("127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.9", "224.0.0.1", "10.1.0.255",
           "240.0.0.1", "0.1.2.3", R),
       6: ("::1", "::", "ff02::1", "ff01::1", "ff00::1", "ff05::2", "ff02::9", "::ffff:10.2.0.2", "fe80::7",
           R6)}  # fmt: skip
ENDS = {4: (C, R, S), 6: (C6, R6, S6)}
FORWARDING = [{}, {"net.ipv4.conf.r0.forwarding": 0}, {"net.ipv4.conf.r1.forwarding": 0}]
DEFAULTS = {"net.ipv4.conf.r0.forwarding": 1, "net.ipv4.conf.r1.forwarding": 1}


def packet(number: int, family: int) -> tuple[str, Packet]:
    """Return a packet of which one or two things are odd."""
    pick = random.Random(f"{number} {family}")
    c, r, s = ENDS[family]
    src, dst = c, pick.choice((r, s))
    if pick.random() < 0.5:
        src = pick.choice((src, *ODD[family]))
        dst = pick.choice((dst, *ODD[family]))
    made = udp(
        src, dst, sport=1, dport=9, payload=bytes(20), ident=number, ttl=pick.choice((64, 64, 1, 0))
    )
    data = bytearray((made if family == 4 else labelled(made, number)).data)
    if pick.random() < 0.4:
        place = 2 if family == 4 else 4
        length = int.from_bytes(data[place : place + 2], "big") + pick.choice((-40, -20, -1, 1, 9))
        data[place : place + 2] = max(length, 0).to_bytes(2, "big")
    if pick.random() < 0.2:
        data += bytes(7)
    if family == 4:
        data[10:12] = bytes(2)
        total = checksum(data[:20]) ^ (pick.random() < 0.2)
        data[10:12] = total.to_bytes(2, "big")
    return "c0", Packet(data=bytes(data))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live:
        yield live


@pytest.mark.parametrize("family", [4, 6])
def test_odd_headers_go_as_far_as_in_the_kernel(oracle: Oracle, family: int, figure) -> None:
    wrong = []
    for changed in FORWARDING:
        settings = {**DEFAULTS, **changed}
        words = [f"{name}={value}" for name, value in settings.items()]
        run("sysctl", "-qw", *words, namespace=oracle.lab.router)
        oracle.load(RULES, family)
        host = router(**{f"v{family}": RULES}, sysctls=settings)
        batch = [packet(number, family) for number in range(1, PACKETS + 1)]
        for (wire, sent), seen in zip(
            batch, oracle.send([(w, p.data) for w, p in batch]), strict=True
        ):
            trace = put(host, wire, sent)
            left = [one.data for one in trace.outgoing]
            if list(trace.steps) != seen.steps or left != [data for _, data in seen.out]:
                wrong.append(
                    f"{changed} {sent} {sent.data.hex()}\n{trace}\nkernel {seen.steps} {seen.out}"
                )
    total = PACKETS * len(FORWARDING)
    figure(f"odd headers, IPv{family}", total - len(wrong), total)
    assert not wrong, "\n\n".join(wrong[:4])
