"""A host from the files of one folder, as they were recorded on a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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
from nb_lib.text.parse import family_of

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
_BESIDE = tuple(name for name in FILES if name not in (*_RULES, *_NFT))  # facts, not rules
# How the first line of other texts begins.
_BEGINNINGS = {
    r"\{": _NFT[0], "table ": _NFT[1], "(?:create|add) ": "ipset-save.txt", "-[Aa] -[tuf] ": "ipvsadm-Sn.txt",
    r"[\w./:@-]+ ?= ?": "sysctl.txt",
}  # fmt: skip
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
    return host_of(texts_of(path), **facts)


def texts_of(path: Path) -> dict[str, str]:
    """Return what a folder says of its host, named as in ``FILES``. Raises HostError if there is no dump."""
    texts = {name: _read(path / name) for name in (*_RULES, *_NFT) if (path / name).exists()}
    if not texts:
        raise HostError(f"{path} holds no iptables-save.txt, ip6tables-save.txt or {_NFT[0]}")
    return texts | _beside(path)


def recognise(text: str, name: str = "") -> str:
    """Return the name in ``FILES`` for a text; ``name`` is that of its own file.

    Raises HostError if it is none of these things.
    """
    lines = (line for line in text.lstrip("\ufeff").splitlines() if line.strip())
    first = next((line.strip() for line in lines if not line.startswith("#")), "")
    if not first and name in FILES:  # an empty host's
        return name
    if first.startswith("*") or family_of(text) is not None:
        family = family_of(text) or (6 if "ip6" in name else 4)
        return next(file for file, of in _RULES.items() if of == family)
    if first.startswith("[") and '"addr_info"' in text:
        return "ip-addr.json"
    if first.startswith("["):
        return "ip6-route.json" if re.search(r'"dst": ?"[^"]*:', text) else "ip-route.json"
    found = (file for begin, file in _BEGINNINGS.items() if re.match(begin, first))
    if file := next(found, ""):
        return file
    raise HostError(f"{name or 'this'} is none of what is read here: {', '.join(FILES.values())}")


def host_of(texts: Mapping[str, str], **facts: Any) -> Host:
    """Return the host of some texts, named as in ``FILES``; ``facts`` are passed to ``Host``.

    Raises RulesetError for a dump that cannot be read, HostError for other texts.
    """
    rulesets: list[Ruleset | nft.Ruleset] = [
        parse(texts[name], family=family) for name, family in _RULES.items() if name in texts
    ]
    if listing := next((texts[name] for name in _NFT if name in texts), ""):
        dumped = {_NFT_FAMILIES[r.family] for r in rulesets if isinstance(r, Ruleset)}
        rulesets.append(_without_iptables(read_either(listing), dumped))
    return Host(rulesets, **{**facts_in(texts), **facts})


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
    return facts_in(_beside(find(path)))


def _beside(path: Path) -> dict[str, str]:
    return {name: _read(file) for name in _BESIDE if (file := _nearest(path, name))}


def facts_in(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what some texts, named as in ``FILES``, say of a host besides rules. Raises as ``load`` does."""
    found: dict[str, Any] = {}
    if "ip-addr.json" in texts:
        found["addresses"] = read_addresses(_json(texts, "ip-addr.json"))
    routes: tuple[RouteEntry, ...] = ()
    for name, family in (("ip-route.json", 4), ("ip6-route.json", 6)):
        if name in texts:
            routes += read_routes(_json(texts, name), family)
            found["routes"] = routes
    if "ipset-save.txt" in texts:
        found["ipsets"] = parse_ipsets(texts["ipset-save.txt"])
    if "ipvsadm-Sn.txt" in texts:
        found["virtual_servers"] = parse_ipvs(texts["ipvsadm-Sn.txt"])
    if "sysctl.txt" in texts:
        found["sysctls"] = read_sysctls(texts["sysctl.txt"])
    return found


def _nearest(path: Path, name: str) -> Path | None:
    folders = (path, *path.resolve().parents[:2])
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def read_sysctls(text: str) -> dict[str, str]:
    """Read the output of sysctl(8): ``net.ipv4.ip_forward = 1``, one setting a line."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _json(texts: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(texts[name])
    except (ValueError, RecursionError) as error:  # the latter: brackets in brackets in brackets
        raise HostError(f"{name}: {error}") from None


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()
