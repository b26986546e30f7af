"""nft, as far as kube-proxy and a reader of its table need it: ``-f -``, ``list``, single commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from nb_lib.errors import RulesetError
from nb_lib.kubeproxy.commands import Done
from nb_lib.text import nft

ABOUT = {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}
_MISSING = "Error: No such file or directory\n"
_LISTS = {"chains": "chain", "sets": "set", "maps": "map", "tables": "table"}


def run(held: nft.Ruleset, words: Sequence[str]) -> tuple[Done, nft.Ruleset]:
    """Run ``nft`` with some words; those of a command may stand in one or in several of them."""
    options = [word for word in words if word.startswith("-") and len(word) > 1]
    command = " ".join(word for word in words if word not in options).split()
    if "--version" in options:
        return Done(0, f"nftables v{ABOUT['version']} ({ABOUT['release_name']})\n"), held
    if unknown := set(options) - {"-j", "--json", "-c", "--check"}:
        return Done(1, "", f"Error: nft {min(unknown)} is not known here\n"), held
    if command[:1] == ["list"]:
        return _listed(held, command[1:], as_json="-j" in options or "--json" in options), held
    return load(held, " ".join(command), "", check="-c" in options or "--check" in options)


def load(
    held: nft.Ruleset, text: str, name: str = "/dev/stdin", *, check: bool = False
) -> tuple[Done, nft.Ruleset]:
    """Run an input, all of it or nothing; ``check``: nothing in any case."""
    try:
        after = nft.apply(held, text)
    except RulesetError as error:
        end = error.col + max(1, len(error.token)) - 1
        where = f"{name}:{error.lineno}:{error.col}-{end}: " if name else ""
        marks = " " * (error.col - 1) + "^" * (end - error.col + 1)
        return Done(1, "", f"{where}Error: {error.reason}\n{error.line}\n{marks}\n"), held
    return Done(0), held if check else after


def _listed(held: nft.Ruleset, words: list[str], *, as_json: bool) -> Done:
    """Print what ``list`` names: everything, a table, or all things of one kind in a family."""
    kind, *which = words or [""]
    tables = held.tables
    if kind == "table":
        tables = tuple(t for t in tables if [t.family, t.name] == which)
        if not tables:
            return Done(1, "", _MISSING)
    elif kind in _LISTS:
        tables = tuple(t for t in tables if not which or [t.family] == which)
    elif kind != "ruleset":
        return Done(1, "", f"Error: nft list {kind} is not known here\n")
    if not as_json and kind in _LISTS:
        return Done(1, "", f"Error: nft list {kind} is known here with -j alone\n")
    if not as_json:
        return Done(0, nft.write_text(nft.Ruleset(tables)))
    if kind not in _LISTS:
        return Done(0, nft.write_json(nft.Ruleset(tables, json.dumps(ABOUT))) + "\n")
    found = nft.Ruleset(tuple(_only(kind, table) for table in tables), json.dumps(ABOUT))
    wanted = {"metainfo", _LISTS[kind]}
    listed = [one for one in nft.objects(found) if next(iter(one)) in wanted]
    return Done(0, json.dumps({"nftables": listed}) + "\n")


def _only(kind: str, table: nft.Table) -> nft.Table:
    """Leave out what is not listed, of which there may be much."""
    chains = (replace(chain, rules=()) for chain in table.chains if kind == "chains")
    return replace(table, chains=tuple(chains), sets=table.sets if kind in ("sets", "maps") else ())
