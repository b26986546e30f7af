"""Routes that ask for a mark, beside the live kernel: forwarded, sent, and the check of the source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from nb_lib.packet import Packet, udp
from tests.engine.router import C, R, S, T, put, router
from tests.kernel.lab import Lab, run
from tests.kernel.oracle import Oracle

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft", "iptables-nft-restore")]

STRANGER = "10.9.9.9"
RULES = """\
*mangle
-A PREROUTING -p udp --dport 9 -j MARK --set-xmark 0x1/0x1
-A PREROUTING -p udp --dport 10 -j MARK --set-xmark 0x2/0x2
-A PREROUTING -p udp --dport 11 -j MARK --set-xmark 0x3/0x3
-A PREROUTING -p udp --dport 12 -j MARK --set-xmark 0x4/0x4
-A OUTPUT -p udp --dport 9 -j MARK --set-xmark 0x1/0x1
-A POSTROUTING
COMMIT
*filter
-A FORWARD
-A INPUT
COMMIT
"""
# Bit 1 leads back to the client's side, whatever the other bits are.
ROUTES = {
    "default": f"r1 via {S}",
    "default fwmark 0x1/0x1": "r0 via 10.1.0.77",
    "local default fwmark 0x4/0x4": "lo",
}
SETTINGS = [(rp, valid) for rp in (0, 1, 2) for valid in (0, 1)]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live:
        run("ip", "rule", "add", "fwmark", "0x1/0x1", "lookup", "7", namespace=lab.router)
        run("ip", "route", "add", "default", "via", "10.1.0.77", "dev", "r0", "table", "7",
            namespace=lab.router)  # fmt: skip
        run("ip", "rule", "add", "fwmark", "0x4/0x4", "lookup", "8", namespace=lab.router)
        run(
            "ip",
            "route",
            "add",
            "local",
            "default",
            "dev",
            "lo",
            "table",
            "8",
            namespace=lab.router,
        )
        yield live


def batch() -> list[tuple[str, Packet]]:
    """Return packets of a neighbour and a stranger, marked and not, passing through and sent."""
    ways = [("c0", C, S), ("c0", STRANGER, S), ("c0", STRANGER, R), ("c0", C, "203.0.113.9"),
            ("s0", STRANGER, C), ("s0", S, T), ("local", T, "203.0.113.9"), ("local", R, S)]  # fmt: skip
    sent = [(wire, src, dst, port) for wire, src, dst in ways for port in (8, 9, 10, 11, 12)]
    return [
        (wire, udp(src, dst, sport=1, dport=port, ident=number))
        for number, (wire, src, dst, port) in enumerate(sent, 1)
    ]


@pytest.mark.parametrize(("rp_filter", "src_valid_mark"), SETTINGS)
def test_marked_packets_go_their_way(
    oracle: Oracle, rp_filter: int, src_valid_mark: int, figure
) -> None:
    oracle.load(RULES)
    settings = {
        f"net.ipv4.conf.{device}.{name}": value
        for device in ("r0", "r1")
        for name, value in (("rp_filter", rp_filter), ("src_valid_mark", src_valid_mark))
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    run("sysctl", "-qw", *words, namespace=oracle.lab.router)
    machine = router(RULES, sysctls=settings, routes=ROUTES)
    wrong = []
    sent = batch()
    for (wire, packet), seen in zip(
        sent, oracle.send([(wire, packet.data) for wire, packet in sent]), strict=True
    ):
        trace = put(machine, wire.replace("local", ""), packet)
        left = [one.data for one in trace.outgoing]
        if list(trace.steps) != seen.steps or left != [data for _, data in seen.out]:
            wrong.append(f"{wire} {packet}\n{trace}\nkernel {seen.steps} {seen.out}")
    figure("routes for marks", len(sent) - len(wrong), len(sent), f"rp_filter={rp_filter}")
    assert not wrong, "\n\n".join(wrong[:4])
