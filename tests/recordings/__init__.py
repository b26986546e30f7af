"""The recordings that tests compare with; see ORIGIN.md."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@cache
def archive(name: str) -> dict[str, bytes]:
    """Return the files of an archive by name; those that are compressed inside are unpacked."""
    with tarfile.open(HERE / name) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    return {
        n.removesuffix(".xz"): lzma.decompress(d) if n.endswith(".xz") else d
        for n, d in files.items()
    }


@cache
def dumps() -> dict[str, str]:
    """Return every recorded dump of iptables-save and ip6tables-save, by name."""
    found = {n: d.decode() for n, d in archive("dumps.tar.xz").items()}
    return {n: t for n, t in found.items() if "ipset" not in n and ".nft." not in n}


def ipsets(name: str) -> str:
    """Return the ``ipset save`` that a dump leans on, or an empty string."""
    folder = name.split("/")[1]
    if name.startswith("ipvs/"):
        return (HERE / "ipsets" / f"{folder}.txt").read_text()
    return (
        archive("dumps.tar.xz")["dumps/fail2ban.ipset.txt"].decode()
        if folder == "fail2ban.txt"
        else ""
    )


def packets() -> Iterator[dict[str, Any]]:
    """Yield the 3,000 recorded packets, in the order in which they were sent."""
    with lzma.open(HERE / "packets.jsonl.xz") as file:
        for line in io.TextIOWrapper(file, encoding="utf-8"):
            yield json.loads(line)


def commands() -> Iterator[dict[str, Any]]:
    """Yield the recorded commands: backend, setup, cmd, rc, stdout, stderr, save_after."""
    with lzma.open(HERE / "commands.jsonl.xz") as file:
        for line in io.TextIOWrapper(file, encoding="utf-8"):
            yield json.loads(line)


def flows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the recorded connections through kube-proxy's rules, each with its folder's name."""
    for name, data in sorted(archive("flows.tar.xz").items()):
        held = json.loads(data)
        for flow in held if isinstance(held, list) else held["flows"]:
            yield name.rpartition("/")[0], flow


@cache
def nft() -> dict[str, str]:
    """Return the recorded nft rulesets, as JSON and as text, by name."""
    return {n: d.decode() for n, d in archive("nft.tar.xz").items() if "nft-ruleset" in n}


def nft_flows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the recorded connections through nftables mode, each with its folder's name."""
    for name, data in sorted(archive("nft.tar.xz").items()):
        if name.endswith("flows.json"):
            for flow in json.loads(data):
                yield name.rpartition("/")[0], flow
