"""Pseudonyms of words and of interfaces."""

from __future__ import annotations

import random
import re
from ipaddress import ip_address

import pytest

from nb_lib.addresses import fits
from nb_lib.redact.redactor import Redactor
from nb_lib.redact.spelling import Speller

SPELLERS = [Speller(f"key {number}".encode()) for number in range(6)]


@pytest.mark.parametrize(
    "word", ["KUBE", "accept", "DOCKER", "ufw", "f2b", "sshd", "443", "65535", "LOG"]
)
def test_what_everybody_says_stays(word: str) -> None:
    assert {speller.word(word) for speller in SPELLERS} == {word}


@pytest.mark.parametrize(
    "word", ["berlin", "ACME", "web7", "Müller", "办公室", "a1b2c3d4e5f60", "65536", "x9"]
)
def test_a_name_becomes_another_of_its_shape(word: str) -> None:
    found = {speller.word(word) for speller in SPELLERS}
    assert word not in found or len(word) < 3
    for one in found:
        assert len(one.encode()) == len(word.encode())
        assert [c.isdecimal() for c in one] == [c.isdecimal() for c in word]
        assert [c.isupper() for c in one if c.isascii()] == [
            c.isupper() for c in word if c.isascii()
        ]


def test_two_words_never_become_one() -> None:
    letters = "abcdefghij"
    words = {a + b + c for a in letters for b in letters for c in letters}
    for speller in SPELLERS:
        assert len({speller.word(word) for word in words}) == len(words)


def test_a_hash_stays_a_hash_and_its_beginning_the_beginning() -> None:
    whole, cut = "05ff4e395350745c6f58ec8b", "05ff4e395350745c6f58e"  # CNI-… and CNI-DN-…
    for speller in SPELLERS:
        found = speller.word(whole)
        assert re.fullmatch("[0-9a-f]{24}", found)
        assert found.startswith(speller.word(cut))
        assert found != whole


KINDS = ("eth0", "lo", "docker0", "cni0", "virbr0", "ens192", "enp3s0f1", "bond0.100", "kube-ipvs0", "wg0",
         "nodelocaldns", "flannel.1", "eth+", "br-+")  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_device_that_says_only_its_kind_stays(name: str) -> None:
    assert {speller.device(name) for speller in SPELLERS} == {name}


@pytest.mark.parametrize(("name", "form"), [
    ("veth1a2b3c4", r"veth[0-9][a-f][0-9][a-f][0-9][a-f][0-9]"), ("br-0123456789ab", r"br-[0-9a-f]{12}"),
    ("cali12345abcdef", r"cali[0-9]{5}[a-f]{6}"), ("wg-berlin", r"wg-[a-z]{6}"),
    ("acme-dmz", r"[a-z]{4}-[a-z]{3}"), ("eth0:acme", r"eth0:[a-z]{4}"),
])  # fmt: skip
def test_another_device_keeps_its_kind(name: str, form: str) -> None:
    found = {speller.device(name) for speller in SPELLERS}
    assert found != {name}
    assert all(re.fullmatch(form, one) for one in found)


def test_a_pattern_fits_what_it_fitted() -> None:
    draw = random.Random(5)
    kinds = ("eth", "veth", "cali", "br-", "wg-", "acme", "e", "enp3s", "", "do", "Corp_", "v")
    names = [
        draw.choice(kinds) + "".join(draw.choices("ab019-.xyzXY", k=draw.randrange(1, 6)))
        for _ in range(400)
    ]
    patterns = [name[: draw.randrange(len(name))] + "+" for name in names]
    for speller in SPELLERS:
        assert len({speller.device(name) for name in names}) == len(set(names))
        for pattern in patterns[:60]:
            other = speller.device(pattern)
            assert [fits(speller.device(n), other) for n in names] == [
                fits(n, pattern) for n in names
            ]


def test_a_comment_is_read_for_what_it_names() -> None:
    redactor = Redactor("k")
    text = "allow Berlin 10.1.2.3/24, 52:54:00:12:34:56, fd00:1::7: prod/web:http -> 10.1.2.3:80, v1.2.3"
    found = redactor.text(text)
    address = redactor.addresses.address
    assert str(address(ip_address("10.1.2.3"))) + "/24, " in found
    assert redactor.addresses.mac("52:54:00:12:34:56") in found
    assert str(address(ip_address("fd00:1::7"))) in found
    assert found.startswith("allow ")
    assert f"{redactor.name('prod/web:http')} -> " in found
    assert not re.search("Berlin|10\\.1\\.2\\.3|prod/|52:54:00:12", found)
    assert found.endswith("v1.2.3".replace("v1", redactor.name("v1")))


def test_the_same_key_gives_the_same_names_and_no_key_another_each_time() -> None:
    assert Redactor("k").name("acme") == Redactor("k").name("acme")
    assert Redactor().key != Redactor().key
    assert len(Redactor().key) >= 32


def test_a_name_of_any_length_costs_no_more_than_its_letters() -> None:
    """What stands in JSON may be anything; the work for a name grows with its length, not its square."""
    long = "a" * 200_000
    found = Speller(b"k").device(long)
    assert len(found) == len(long)
    assert found.startswith(Speller(b"k").device(long[:30]))
