"""What the book says of iptables-translate (data/translate), and of nft in iptables' own table: it is so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft", "iptables-restore-translate", "unshare")]
DATA = Path(__file__).parents[2] / "data"
FOLDER = DATA / "translate"
NAME = "kube-proxy-1.21.1.nft"
DUMP = DATA / "kube-proxy/nginx-3-endpoints/1.21.1/iptables-save.txt"


def said(*command: str, cwd: Path = FOLDER, text: str = "") -> str:
    """Run a program in a namespace of its own; return all that it says."""
    done = subprocess.run(["unshare", "-n", *command], cwd=cwd, input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)  # fmt: skip
    return done.stdout


def test_the_recorded_translation() -> None:
    lines = said("iptables-restore-translate", "-f", str(DUMP)).splitlines(keepends=True)
    assert (
        "".join(line for line in lines if not line.startswith("# ")) == (FOLDER / NAME).read_text()
    )


def test_nft_refuses_it_for_four_rules_and_takes_it_mended() -> None:
    refused = said("nft", "-c", "-f", NAME)
    assert refused == (FOLDER / "nft-says.txt").read_text()
    assert refused.count("Error") == 4
    mended = (
        (FOLDER / NAME).read_text().replace(" counter dnat to", " meta l4proto tcp counter dnat to")
    )
    assert said("nft", "-c", "-f", "-", text=mended) == ""


def test_the_recorded_lines() -> None:
    for block in (FOLDER / "lines.txt").read_text().split("$ ")[1:]:
        line, _, answer = block.partition("\n")
        assert said("sh", "-c", line) == answer


def test_iptables_lists_a_map_of_verdicts_as_something_else() -> None:
    script = """iptables-nft -A INPUT -j ACCEPT; nft add rule ip filter INPUT tcp dport vmap '{ 22 : drop }'
    iptables-nft -S INPUT; nft add chain ip filter x '{ type filter hook input priority -5; }'
    iptables-nft -S"""
    listed = said("sh", "-c", script)
    assert listed.splitlines()[:3] == ["-P INPUT ACCEPT", "-A INPUT -j ACCEPT", "-A INPUT -p tcp"]
    assert (
        "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them." in listed
    )
