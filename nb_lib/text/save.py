"""From a ``Ruleset`` to the text that iptables-save prints.

Sources: iptables/xshared.c save_rule(), iptables/nft.c nft_rule_save(); iptables-save(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.hooks import BUILTIN, NFT_TABLE_ORDER
from nb_lib.kinds import octets
from nb_lib.options import Use
from nb_lib.rules import Chain, Rule, Ruleset, Table


def rule_text(rule: Rule) -> str:
    """Write a rule in the words of iptables-save, without ``-A CHAIN``."""
    pieces = [use_text(rule.core)] if rule.core.settings else []
    pieces += [_joined("-m", use) for use in rule.matches]
    if rule.jump:
        pieces.append(f"{'-g' if rule.goto else '-j'} {rule.jump}")
    elif rule.target is not None:
        pieces.append(_joined("-j", rule.target))
    return " ".join(pieces)


def use_text(use: Use) -> str:
    """Write the options of one extension: ``--sport 1 ! --dport 80``."""
    extension = use.extension
    if extension.save is not None:
        return extension.save(use)
    if not extension.known:
        return use.raw
    pieces = []
    for option in extension.options:
        setting = use.settings.get(option.name)
        if setting is None or (option.hidden is not None and setting.value == option.hidden):
            continue
        value = option.kind.save(setting.value)
        pieces.append(
            ("! " if setting.inverted else "") + option.name + (f" {value}" if value else "")
        )
    return " ".join(pieces)


def _joined(flag: str, use: Use) -> str:
    text = use_text(use)
    return f"{flag} {use.name} {text}" if text else f"{flag} {use.name}"


def save(ruleset: Ruleset, *, counters: bool = False, order: Iterable[str] | None = None) -> str:
    """Write a whole ruleset, without the ``#`` lines.

    ``counters`` puts ``[packets:bytes]`` before each rule, as ``iptables-save -c`` does. ``order`` names
    the tables in the order wanted; otherwise it is the backend's: fixed for nft, as in ``ruleset``
    for legacy.
    """
    if order is None:
        order = NFT_TABLE_ORDER if ruleset.backend == "nft" else tuple(ruleset.tables)
    return "".join(
        table_text(ruleset[name], counters=counters) for name in order if name in ruleset
    )


def table_text(table: Table, *, counters: bool = False) -> str:
    """Write one table: its chains, built-in ones first, then their rules."""
    chains = ordered(table)
    lines = [f"*{table.name}"]
    lines += [
        f":{c.name} {c.policy or '-'} [{c.counters.packets}:{c.counters.bytes}]" for c in chains
    ]
    for chain in chains:
        for rule in chain.rules:
            count = f"[{rule.counters.packets}:{rule.counters.bytes}] " if counters else ""
            lines.append(f"{count}-A {chain.name} {rule_text(rule)}".rstrip(" "))
    return "\n".join([*lines, "COMMIT", ""])


def ordered(table: Table) -> list[Chain]:
    """Return the chains as iptables-save lists them: built-in in hook order, then the others by name."""
    builtin = BUILTIN.get(table.name, ())
    mine = [table[name] for name in builtin if name in table]
    return mine + sorted((c for c in table if c.name not in builtin), key=lambda c: octets(c.name))
