"""``nft -j list ruleset``: tables, sets, chains and rules, from JSON to values and back.

Grammar: libnftables-json(5). A set that does not write back as it was is kept as ``Unknown``. nftables
1.0.6 leaves the comments of tables and chains and the flag ``dynamic`` out of its JSON, and so does the
writer.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from nb_lib.errors import RulesetError
from nb_lib.text.nft.as_json import (
    element,
    element_json,
    kept,
    milliseconds,
    present,
    read_statement,
    seconds,
    single,
    statement_json,
    words,
)
from nb_lib.text.nft.meters import object_json, read_object
from nb_lib.text.nft.sound import sound
from nb_lib.text.nft.values import Chain, Object, Rule, Ruleset, Set, Table, Unknown


def _set(body: Any) -> Set:
    statements = body.get("stmt", ())
    data = body.get("map", "")
    return Set(
        body["name"],
        words(body["type"]),
        tuple(data.split(" . ")) if data else (),
        tuple(map(element, body.get("elem", ()))),
        words(body.get("flags")),
        body.get("size"),
        milliseconds(body.get("timeout")),
        milliseconds(body.get("gc-interval")),
        bool(statements),
        body.get("comment", ""),
        body.get("handle", 0),
    )


def _set_json(found: Set, table: Table) -> Any:
    flags = [flag for flag in found.flags if flag != "dynamic"]
    body = present(
        family=table.family,
        name=found.name,
        table=table.name,
        type=found.key[0] if len(found.key) == 1 else list(found.key),
        handle=found.handle,
        comment=found.comment or None,
        map=" . ".join(found.data) or None,
        size=found.size,
        flags=flags or None,
        timeout=seconds(found.timeout),
        gc_interval=seconds(found.interval),
        elem=[element_json(each) for each in found.elements] or None,
        stmt=[{"counter": None}] if found.counter else None,
    )
    return {"map" if found.data else "set": body}


def _chain(body: Any) -> Chain:
    return Chain(
        body["name"], (), body.get("type", ""), body.get("hook", ""), body.get("prio", 0),
        body.get("policy", ""), body.get("comment", ""), body.get("dev", ""), body.get("handle", 0),
    )  # fmt: skip


def _chain_json(chain: Chain, table: Table) -> Any:
    body = {"family": table.family, "table": table.name, "name": chain.name, "handle": chain.handle}
    if chain.hook:
        body |= {"type": chain.kind, "hook": chain.hook, "prio": chain.priority}
        body |= {"policy": chain.policy}
    if chain.device:
        body["dev"] = chain.device
    return {"chain": body}


def _rule_json(rule: Rule, chain: Chain, table: Table) -> Any:
    body = {"family": table.family, "table": table.name, "chain": chain.name, "handle": rule.handle}
    if rule.comment:
        body["comment"] = rule.comment
    return {"rule": {**body, "expr": [statement_json(each) for each in rule.statements]}}


class _Filing:
    """Files the objects of a listing under their tables and chains."""

    def __init__(self) -> None:
        self.about = ""
        self.tables: dict[tuple[str, str], Any] = {}
        self.sets: dict[tuple[str, str], list[Set | Object | Unknown]] = {}
        self.chains: dict[tuple[str, str], dict[str, Chain]] = {}
        self.rules: dict[tuple[str, str, str], list[Rule]] = {}

    def take(self, kind: str, body: Any) -> None:
        if kind == "metainfo":
            self.about = json.dumps(body)
            return
        if kind == "table":
            key = body["family"], body["name"]
            self.tables[key], self.sets[key], self.chains[key] = body, [], {}
            return
        key = body["family"], body["table"]
        if kind == "chain":
            self.chains[key][body["name"]] = _chain(body)
        elif kind == "rule":
            statements = tuple(map(read_statement, body["expr"]))
            rule = Rule(statements, body.get("comment", ""), body.get("handle", 0))
            self.rules.setdefault((*key, body["chain"]), []).append(rule)
        else:
            self.sets[key].append(self._part(kind, body, key))

    def _part(self, kind: str, body: Any, key: tuple[str, str]) -> Set | Object | Unknown:
        given = {kind: body}
        try:
            found = _set(body) if kind in ("set", "map") else read_object(kind, body)
            sound(found)
            if _part_json(found, Table(*key)) == given:
                return found
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            pass
        return Unknown("json", json.dumps(given, sort_keys=True))

    def done(self) -> Ruleset:
        for table in (found := Ruleset(tuple(map(self._table, self.tables)), self.about)):
            sound(replace(table, sets=(), chains=()))
            for chain in table.chains:
                sound(replace(chain, rules=()))
                for rule in chain.rules:
                    sound(replace(rule, statements=()))
        return found

    def _table(self, key: tuple[str, str]) -> Table:
        body = self.tables[key]
        chains = tuple(
            replace(chain, rules=tuple(self.rules.get((*key, chain.name), ())))
            for chain in self.chains[key].values()
        )
        return Table(*key, tuple(self.sets[key]), chains, words(body.get("flags")),
                     body.get("comment", ""), body.get("handle", 0))  # fmt: skip


def read_json(text: str) -> Ruleset:
    """Read the output of ``nft -j list ruleset``. Raises RulesetError if it is none."""
    filing = _Filing()
    try:
        for each in json.loads(text)["nftables"]:
            filing.take(*single(each))
        return filing.done()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = f"this is no output of `nft -j list ruleset`: {type(error).__name__} {error}"
        raise RulesetError(reason) from None


def _part_json(each: Set | Object | Unknown, table: Table) -> Any:
    match each:
        case Unknown():
            return kept(each)
        case Set():
            return _set_json(each, table)
        case Object():
            return object_json(each, table.family, table.name)


def objects(ruleset: Ruleset) -> list[Any]:
    """Return what ``nft -j list ruleset`` lists: a mapping of one name each, in its order."""
    found: list[Any] = [{"metainfo": json.loads(ruleset.about)}] if ruleset.about else []
    for table in ruleset:
        body = {"family": table.family, "name": table.name, "handle": table.handle}
        flags: Any = table.flags[0] if len(table.flags) == 1 else list(table.flags)
        found.append({"table": {**body, **({"flags": flags} if flags else {})}})
        found += [_part_json(each, table) for each in table.sets]
        found += [_chain_json(chain, table) for chain in table.chains]
        found += [_rule_json(rule, c, table) for c in table.chains for rule in c.rules]
    return found


def write_json(ruleset: Ruleset) -> str:
    """Write what ``nft -j list ruleset`` prints. Raises RulesetError if some of it is kept as text."""
    return json.dumps({"nftables": objects(ruleset)})
