"""A host from the files of one folder, as they were recorded on a machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nb_lib.engine.host import Host
from nb_lib.engine.routing import RouteEntry, read_addresses, read_routes
from nb_lib.errors import HostError
from nb_lib.hooks import BUILTIN
from nb_lib.net import ARP, BRIDGE
from nb_lib.rules import Ruleset
from nb_lib.text import nft, parse
from nb_lib.text.either import parse as read_either
from nb_lib.text.ipset import parse_ipsets
from nb_lib.text.ipvs import parse_ipvs

# What each file of a host's folder holds, and the command that writes it.
FILES = {
    "iptables-save.txt": "iptables-save",
    "ip6tables-save.txt": "ip6tables-save",
    "arptables-save.txt": "arptables-save",
    "ebtables-save.txt": "ebtables-save",
    "nft-ruleset.json": "nft -j list ruleset",
    "nft-ruleset.txt": "nft list ruleset",
    "ip-addr.json": "ip -j addr",
    "ip-route.json": "ip -j route",
    "ip6-route.json": "ip -6 -j route",
    "ipset-save.txt": "ipset save",
    "ipvsadm-Sn.txt": "ipvsadm -Sn",
    "sysctl.txt": "sysctl -a",
}


_RULES = {"iptables-save.txt": 4, "ip6tables-save.txt": 6, "arptables-save.txt": ARP,
          "ebtables-save.txt": BRIDGE}  # fmt: skip

_NFT = ("nft-ruleset.json", "nft-ruleset.txt")  # the first that there is
_NFT_FAMILIES = {4: "ip", 6: "ip6", ARP: "arp", BRIDGE: "bridge"}


def load(path: str | Path, **facts: Any) -> Host:
    """Read a host from a folder with the files named in ``FILES``, or from one dump (of iptables or nft).

    Facts that the folder lacks (addresses, routes, sets, settings) are taken from the nearest of the
    two folders above that has them, so that several dumps of one node share its facts. ``facts`` are
    passed to ``Host`` and replace what the folder says. Raises HostError if there is no dump,
    RulesetError if one cannot be read.
    """
    path = find(path)
    if path.is_file():
        return Host(read_either(_read(path)), **facts)
    rulesets: list[Ruleset | nft.Ruleset] = [
        parse(_read(path / name), family=family)
        for name, family in _RULES.items()
        if (path / name).exists()
    ]
    if listing := next((path / name for name in _NFT if (path / name).exists()), None):
        dumped = {_NFT_FAMILIES[r.family] for r in rulesets if isinstance(r, Ruleset)}
        rulesets.append(_without_iptables(read_either(_read(listing)), dumped))
    if not rulesets:
        raise HostError(f"{path} holds no iptables-save.txt, ip6tables-save.txt or {_NFT[0]}")
    return Host(rulesets, **{**_facts(path), **facts})


def _without_iptables(ruleset: nft.Ruleset, dumped: set[str]) -> nft.Ruleset:
    """Leave out iptables' own tables of the families of which there is a dump: nft lists them as well."""
    own = {*BUILTIN, "broute"}
    kept = (t for t in ruleset if not (t.family in dumped and t.name in own))
    return nft.Ruleset(tuple(kept), ruleset.about)


def find(path: str | Path) -> Path:
    """Return where a path leads. Raises HostError if it leads nowhere.

    Chapters run in ``book/``, people at the root: look in both, and beside the library.
    """
    path = Path(path)
    root = Path(__file__).resolve().parents[2]
    for candidate in (path, Path("..") / path, root / path):
        if candidate.exists():
            return candidate
    raise HostError(f"there is no file or folder {path}")


def facts_of(path: str | Path) -> dict[str, Any]:
    """Return what a folder says of its host besides rules, as ``Host`` takes it. Raises as ``load`` does."""
    return _facts(find(path))


def _facts(path: Path) -> dict[str, Any]:
    """Read what is known of the host besides its rules."""
    found: dict[str, Any] = {}
    if file := _nearest(path, "ip-addr.json"):
        found["addresses"] = read_addresses(_json(file))
    routes: tuple[RouteEntry, ...] = ()
    for name, family in (("ip-route.json", 4), ("ip6-route.json", 6)):
        if file := _nearest(path, name):
            routes += read_routes(_json(file), family)
            found["routes"] = routes
    if file := _nearest(path, "ipset-save.txt"):
        found["ipsets"] = parse_ipsets(_read(file))
    if file := _nearest(path, "ipvsadm-Sn.txt"):
        found["virtual_servers"] = parse_ipvs(_read(file))
    if file := _nearest(path, "sysctl.txt"):
        found["sysctls"] = read_sysctls(_read(file))
    return found


def _nearest(path: Path, name: str) -> Path | None:
    folders = (path, *path.resolve().parents[:2])
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def read_sysctls(text: str) -> dict[str, str]:
    """Read the output of sysctl(8): ``net.ipv4.ip_forward = 1``, one setting a line."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:  # the latter: brackets in brackets in brackets
        raise HostError(f"{path.name}: {error}") from None


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()
