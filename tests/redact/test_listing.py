"""Listings of nft redacted, as text and as JSON."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from nb_lib.kubeproxy.names import digest
from nb_lib.redact import redact
from nb_lib.redact.proof import proof
from nb_lib.text import nft
from tests.redact.hosts import files, listings

LISTING = (Path(__file__).parent / "listing.txt").read_text()


def test_nothing_of_the_owner_is_left_and_the_rest_is() -> None:
    done = redact({"l": LISTING}, "k")
    text, name, device = done.files["l"], done.redactor.name, done.redactor.device
    assert done.whole
    assert not re.search(r"(?i)acme|203\.0\.113\.99|198\.51\.100\.77|52:54:00:ac:3e:01|ac3e", text)
    for words in (
        f"table inet {name('acme')} {{", "0x00000077 accept",
        f'iifname "{device("acme")}*" ip saddr @{name("blocked")} ',
        f'counter name "{name("acme-hits")}" ', f"jump {name('acme-web')}\n",
        f'"{device("acme0")}" . 80 comment ',
        '"eth0" . 22 : drop', "type ifname . inet_service : verdict", "priority dstnat; policy accept;",
    ):  # fmt: skip
        assert words in text
    assert nft.write_text(nft.read_text(text)) == text
    assert len(text.split("\n")) == len(LISTING.split("\n"))


def test_json_says_the_same_as_text() -> None:
    json = nft.write_json(nft.read_text(LISTING))
    one, other = redact({"l": LISTING}, "k").files["l"], redact({"l": json}, "k").files["l"]
    assert nft.write_json(nft.read_text(one)) == nft.write_json(nft.read_json(other))


def test_a_range_and_its_order_stay() -> None:
    for key in ("a", "b", "c", "d"):
        text = redact({"l": LISTING}, key).files["l"]
        low, high = map(ip_address, re.findall(r"(10[.\d]+)-(10[.\d]+)", text)[0])
        assert low < high


@pytest.mark.parametrize(("rule", "named"), [
    ("ip saddr & 255.0.0.255 == 10.0.0.1 accept", "a comparison of an address's bits"),
    ("tcp dport 22 quux accept", "quux accept"),
])  # fmt: skip
def test_what_cannot_be_exchanged_is_named(rule: str, named: str) -> None:
    text = f"table ip t {{\n\tchain c {{\n\t\t{rule}\n\t}}\n}}\n"
    done = redact({"l": text}, "k")
    assert [one.text for one in done.left["l"]] == [named]
    assert str(done.left["l"][0]).startswith(f"{named}: ")


@pytest.mark.parametrize("folder", listings())
def test_packets_take_the_same_way_through_listings(folder: str) -> None:
    before = files(folder)
    done = redact(before, "k")
    assert done.whole
    found = proof(before, done, count=40, seed=len(folder))
    assert found.packets == 40 * (1 + ("table ip6 " in before["nft-ruleset.txt"]))
    assert found.differences == ()


def test_kube_proxys_names_are_those_of_the_new_services() -> None:
    """The hash in a chain's name is that of the name behind it, before and after."""
    (folder,) = [one for one in listings() if "eight" in one]
    before = files(folder)
    text = redact(before, "k").files["nft-ruleset.txt"]
    for one in (before["nft-ruleset.txt"], text):
        names = re.findall(r"chain (?:service|external|endpoint)-([A-Z2-7]{8})-(\S+) \{", one)
        assert len(names) > 15
        assert all(digest(base, 8) == hashed for hashed, base in names)
    assert not re.search("prod/|/cache|mail", text)
