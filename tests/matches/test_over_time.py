"""Matches that remember: rates, lists, counts, chance."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nb_lib.connection import Connection, Tracked, Tuple
from nb_lib.matches import MATCHES
from nb_lib.matches.statistic import simplest
from nb_lib.net import parse_address
from nb_lib.packet import Packet, tcp, udp
from tests.extensions.world import World, meet
from tests.matches.test_meaning import OVER_TIME

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def replies(rule: str, events: list[tuple[float, Packet]], world: World | None = None) -> str:
    """Send packets at their seconds; write ``+`` for a hit, ``-`` for a miss."""
    world, signs = world or World(), ""
    start = world.now
    for second, packet in events:
        world.now = start + second
        signs += "+" if meet(rule, packet, world) == "hit" else "-"
    return signs


def every(step: float, count: int, source: str = A) -> list[tuple[float, Packet]]:
    return [(n * step, udp(f"{source}:4000", f"{B}:53")) for n in range(count)]


ROWS = {
    # A full bucket of three, then one token a second.
    "limit": ("-m limit --limit 1/s --limit-burst 3", every(0.25, 12), "+++-+---+---"),
    "limit, by the hour": ("-m limit --limit 3/hour --limit-burst 1", every(600, 5), "+-+-+"),
    "limit, seven at once": ("-m limit --limit 1/min", every(0, 7), "+++++--"),
    "hashlimit": (
        "-m hashlimit --hashlimit-upto 1/s --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name x",
        every(0, 3) + every(0, 3, C), "++-++-"),
    "hashlimit, one bucket": (
        "-m hashlimit --hashlimit-upto 1/s --hashlimit-burst 2 --hashlimit-name x",
        every(0, 2) + every(0, 2, C), "++--"),
    "hashlimit, negated": (
        "-m hashlimit --hashlimit-above 1/s --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name x",
        every(0, 4), "--++"),
    # 28 bytes are two chunks of 16; 512 bytes a second are 33 chunks with the kernel's rounding.
    "hashlimit, bytes": (
        "-m hashlimit --hashlimit-upto 512b/s --hashlimit-mode srcip --hashlimit-name x",
        every(0, 18), "+" * 16 + "--"),
    "recent, three within a minute": (
        "-m recent --update --seconds 60 --hitcount 3 --name s", every(1, 3), "---"),
    "recent, never set": ("-m recent --rcheck --name s", every(1, 3), "---"),
    "recent, set": ("-m recent --set --name s", every(1, 3), "+++"),
    "recent, negated": ("-m recent ! --rcheck --name s", every(1, 2), "++"),
    "statistic, every third": ("-m statistic --mode nth --every 3 --packet 0", every(0, 7), "+--+--+"),
    "statistic, from the third": ("-m statistic --mode nth --every 3 --packet 2", every(0, 7), "--+--+-"),
    "statistic, negated": ("-m statistic --mode nth ! --every 3 --packet 0", every(0, 7), "-++-++-"),
    # Each packet has 28 bytes: a hundred hold three.
    "quota": ("-m quota --quota 100", every(0, 5), "+++--"),
    "quota, negated": ("-m quota ! --quota 100", every(0, 5), "---++"),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "events", "signs"), ROWS.values(), ids=ROWS)
def test_packets_one_after_the_other(rule, events, signs) -> None:
    assert replies(rule, events) == signs


def test_legacy_counts_a_limit_in_jiffies() -> None:
    rule = "-m limit --limit 1/s --limit-burst 3"
    assert replies(rule, every(0.25, 12), World(backend="legacy")) == "+++-+---+---"


def test_two_rules_share_a_recent_list_by_its_name() -> None:
    world = World()
    packet = tcp(f"{A}:1", f"{B}:22")
    for _ in range(3):
        meet("-m recent --set --name SSH", packet, world)
    assert meet("-m recent --rcheck --seconds 60 --hitcount 3 --name SSH", packet, world) == "hit"
    assert (
        meet("-m recent --rcheck --seconds 60 --hitcount 4 --name SSH", packet, world)
        == "not listed"
    )
    assert meet("-m recent --rcheck --name OTHER", packet, world) == "not listed"
    world.now += 61
    assert meet("-m recent --rcheck --seconds 60 --name SSH", packet, world) == "not listed"
    assert meet("-m recent --rcheck --name SSH", packet, world) == "hit"
    assert meet("-m recent --remove --name SSH", packet, world) == "hit"
    assert meet("-m recent --rcheck --name SSH", packet, world) == "not listed"


def test_recent_compares_the_ttl_when_told() -> None:
    world = World()
    meet("-m recent --set --name T", tcp(f"{A}:1", f"{B}:22", ttl=64), world)
    assert (
        meet("-m recent --rcheck --rttl --name T", tcp(f"{A}:1", f"{B}:22", ttl=63), world)
        == "not listed"
    )
    assert meet("-m recent --rcheck --name T", tcp(f"{A}:1", f"{B}:22", ttl=63), world) == "hit"


def test_a_recent_list_holds_a_hundred_addresses() -> None:
    world = World()
    for n in range(101):
        meet("-m recent --set --name L", tcp(f"10.1.0.{n}:1", f"{B}:22"), world)
    assert meet("-m recent --rcheck --name L", tcp("10.1.0.0:1", f"{B}:22"), world) == "not listed"
    assert meet("-m recent --rcheck --name L", tcp("10.1.0.1:1", f"{B}:22"), world) == "hit"


def open_connections(count: int) -> World:
    """A host with some connections from 10.0.0.1 to port 80."""
    a, b = parse_address(A), parse_address(B)
    entries = [
        Connection(n, Tuple(a, b, 6, 1000 + n, 80), Tuple(b, a, 6, 80, 1000 + n))
        for n in range(count)
    ]
    return World(entries=tuple(entries))


def test_connlimit_counts_what_it_has_seen_and_conntrack_still_holds() -> None:
    world = open_connections(3)
    for number, entry in enumerate(world.entries):
        packet = tcp(f"{A}:{1000 + number}", f"{B}:80", ct=Tracked("NEW", "ORIGINAL", entry))
        answer = meet("-m connlimit --connlimit-above 2", packet, world)
        assert answer == ("hit" if number == 2 else f"connections above {number + 1} ≠ 2")
    packet = tcp(f"{A}:1000", f"{B}:80", ct=Tracked("ESTABLISHED", "ORIGINAL", world.entries[0]))
    assert meet("-m connlimit ! --connlimit-above 2", packet, world) == "connections at most 3 ≠ 2"
    # What ended is forgotten on the way to the packet's own: here the first of three.
    packet = tcp(f"{A}:1002", f"{B}:80", ct=Tracked("ESTABLISHED", "ORIGINAL", world.entries[2]))
    world.entries = world.entries[1:]
    assert meet("-m connlimit --connlimit-upto 2", packet, world) == "hit"


@pytest.mark.parametrize(("text", "fraction"), [
    ("0.33333333349", Fraction(1, 3)), ("0.50000000000", Fraction(1, 2)), ("0.20000000019", Fraction(1, 5)),
    ("0.14285714272", Fraction(1, 7)), ("0.25", Fraction(1, 4)), ("0.66666666651", Fraction(2, 3)),
    ("0.05", Fraction(1, 20)), ("0.001", Fraction(1, 1000)), ("0.999", Fraction(999, 1000)),
])  # fmt: skip
def test_a_probability_is_the_fraction_that_people_mean(text, fraction) -> None:
    world = World()
    assert (
        meet(f"-m statistic --mode random --probability {text}", udp(f"{A}:1", f"{B}:2"), world)
        == "hit"
    )
    assert world.chances == [fraction]


def test_one_of_n_endpoints_is_exact_for_every_n_that_kube_proxy_writes() -> None:
    for n in range(1, 1001):
        stored = round(float(f"{1 / n:.10f}") * 2**31)
        assert simplest(stored) == Fraction(1, n)


def test_certain_chances_are_not_drawn() -> None:
    world = World(luck=False)
    packet = udp(f"{A}:1", f"{B}:2")
    assert meet("-m statistic --mode random --probability 1", packet, world) == "hit"
    assert meet("-m statistic --mode random --probability 0", packet, world) == "not drawn at 0"
    assert world.chances == []


def test_chance_can_fail_and_be_negated() -> None:
    packet = udp(f"{A}:1", f"{B}:2")
    assert (
        meet("-m statistic --mode random --probability 0.5", packet, World(luck=False))
        == "not drawn at 1/2"
    )
    assert (
        meet("-m statistic --mode random ! --probability 0.5", packet, World(luck=False)) == "hit"
    )
    assert (
        meet("-m statistic --mode random ! --probability 0.5", packet, World())
        == "drawn at 1/2, and the rule says !"
    )


def test_every_match_that_remembers_has_its_rows() -> None:
    tested = {name.partition(",")[0] for name in ROWS} | {"connlimit"}
    assert tested == set(OVER_TIME)
    assert set(OVER_TIME) <= set(MATCHES)
