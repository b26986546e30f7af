"""The tree of addresses under a key: what begins alike begins alike, and what must stay stays."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest

from nb_lib.net import parse_net
from nb_lib.redact.addresses import Addresses
from nb_lib.redact.tree import Tree

KEYS = [f"key {number}".encode() for number in range(8)]


@pytest.mark.parametrize("key", KEYS)
def test_a_small_tree_is_a_permutation(key: bytes) -> None:
    tree = Tree(key, 8)
    found = [tree.map(value) for value in range(256)]
    assert sorted(found) == list(range(256))


def test_keys_differ() -> None:
    assert len({tuple(Tree(key, 8).map(value) for value in range(256)) for key in KEYS}) == len(
        KEYS
    )


@pytest.mark.parametrize("bits", [32, 128, 48])
def test_two_values_share_as_many_bits_as_before(bits: int) -> None:
    draw = random.Random(7)
    tree = Tree(b"k", bits)
    for _ in range(300):
        one = draw.getrandbits(bits)
        shared = draw.randrange(bits)  # the first bit that differs
        other = one ^ 1 << bits - 1 - shared ^ draw.getrandbits(bits - 1 - shared)
        assert bits - (tree.map(one) ^ tree.map(other)).bit_length() == shared


def test_what_is_held_moves_with_its_prefix_alone() -> None:
    tree = Tree(b"k", 32)
    tree.hold(0x0A010000, 16)
    moved = {tree.map(0x0A010000 + low) - low for low in (0, 1, 77, 0xFFFF)}
    assert len(moved) == 1


def test_what_is_kept_stays_on_its_way() -> None:
    tree = Tree(b"k", 32)
    tree.keep(0x0A010203, 8)
    assert tree.map(0x0A010203) & 0xFFFFFF == 0x010203


SAME = ("127.0.0.1", "127.8.9.10", "0.0.0.0", "255.255.255.255", "169.254.169.254", "224.0.0.1",
        "239.255.255.250", "::", "::1", "ff02::1", "ff02::fb", "ff02::1:2")  # fmt: skip
CLASSES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.2.0/24",
           "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
           "fd00::/8", "fe80::/64", "ff02::/16", "ff15::/16", "2001:db8::/32", "2002::/16", "2000::/3",
           "64:ff9b::/96", "::ffff:0:0/96")  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("text", SAME)
def test_what_everybody_knows_stays(key: bytes, text: str) -> None:
    assert Addresses(key).address(ip_address(text)) == ip_address(text)


@pytest.mark.parametrize("text", CLASSES)
def test_an_address_stays_in_its_class(text: str) -> None:
    net = ip_network(text)
    draw = random.Random(text)
    for key in KEYS:
        addresses = Addresses(key)
        for _ in range(20):
            inside = net[draw.randrange(net.num_addresses)]
            assert addresses.address(inside) in net


def test_public_addresses_do_not_become_special_ones() -> None:
    draw = random.Random(3)
    special = [ip_network(text) for text in CLASSES if ":" not in text] + [
        ip_network("127.0.0.0/8")
    ]
    for key in KEYS:
        addresses = Addresses(key)
        for _ in range(300):
            address = ip_address(draw.getrandbits(32))
            before = [address in net for net in special]
            assert [addresses.address(address) in net for net in special] == before


def test_most_addresses_change() -> None:
    draw = random.Random(3)
    addresses = Addresses(b"k")
    some = [ip_address(0x0A000000 | draw.getrandbits(24)) for _ in range(500)]
    assert sum(addresses.address(one) == one for one in some) < 5


@pytest.mark.parametrize(
    "text", ["10.20.0.0/16", "10.20.30.0/24", "203.0.113.64/26", "fd00:99::/64"]
)
def test_a_network_that_is_named_keeps_its_ends(text: str) -> None:
    net = ip_network(text)
    for key in KEYS:
        addresses = Addresses(key)
        addresses.learn(parse_net(text, net.version))
        moved = ip_network(str(addresses.net(parse_net(text, net.version))))
        for at in (0, 1, -1, -2):
            assert addresses.address(net[at]) == moved[at]


RANGES = [("10.0.0.5", "10.0.0.9"), ("10.0.0.127", "10.0.0.128"), ("10.0.3.250", "10.0.9.3"),
          ("192.168.1.1", "192.168.1.1"), ("9.255.255.250", "10.0.0.7")]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_a_range_is_a_range_again(low: str, high: str) -> None:
    one, other = int(ip_address(low)), int(ip_address(high))
    near = [ip_address(number) for number in range(one - 300, other + 300)][:3000]
    for key in KEYS:
        addresses = Addresses(key)
        addresses.learn_range(ip_address(low), ip_address(high))
        ends = addresses.address(ip_address(low)), addresses.address(ip_address(high))
        for address in near:
            inside = one <= int(address) <= other
            assert (ends[0] <= addresses.address(address) <= ends[1]) is inside


def test_ethernet_addresses_stay_what_they_are() -> None:
    for key in KEYS:
        addresses = Addresses(key)
        for same in (
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:fb",
            "00:00:00:00:00:00",
            "33:33:00:00:00:01",
        ):
            assert addresses.mac(same) == same
        for one in ("02:42:ac:11:00:02", "52:54:00:12:34:56", "00:1b:21:aa:bb:cc"):
            other = addresses.mac(one)
            assert other != one
            assert int(other[:2], 16) & 3 == int(one[:2], 16) & 3  # local or global, one or a group
    assert addresses.mac("00:1B:21:AA:BB:CC") == addresses.mac("00:1b:21:aa:bb:cc").upper()
