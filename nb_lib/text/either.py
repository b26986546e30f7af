"""Rulesets of either language: iptables-save's, or nft's as text or as JSON."""

from __future__ import annotations

import io
from typing import Any

from nb_lib.rules import Ruleset
from nb_lib.text import nft
from nb_lib.text.parse import parse as parse_iptables
from nb_lib.text.save import save as save_iptables


def parse(text: str, **options: Any) -> Any:
    """Read what ``iptables-save``, ``nft list ruleset`` or ``nft -j list ruleset`` printed.

    ``options`` are those of ``nb_lib.text.parse``: ``family`` (4 or 6), ``backend``. A listing of nft has
    none and becomes a ``nb_lib.text.nft.Ruleset``. Raises RulesetError with line and column.
    """
    told = (line.split() for line in io.StringIO(text) if not line.startswith("#"))
    first = next(filter(None, told), [""])
    if first[0].startswith("{"):
        return nft.read_json(text)
    if first[0] == "table" and first[-1] == "{":
        return nft.read_text(text)
    return parse_iptables(text, **options)


def save(thing: Any, **options: Any) -> str:
    """Write a ruleset as ``iptables-save`` prints it; one of nft, or a part of it, as ``nft list`` does.

    ``options`` are those of ``nb_lib.text.save``, for iptables' rulesets: ``counters``, ``order``. Raises
    TypeError for anything else: iptables-save knows no part of a ruleset.
    """
    if isinstance(thing, Ruleset):
        return save_iptables(thing, **options)
    return nft.write_text(thing) if isinstance(thing, nft.Ruleset) else nft.write_part(thing)
