"""From a ``Ruleset`` to the text that iptables-save prints.

Sources: iptables/xshared.c save_rule(), iptables/nft.c nft_rule_save(); iptables-save(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.hooks import HOOKS, NFT_TABLE_ORDER
from nb_lib.kinds import IPV4, octets
from nb_lib.net import ARP, BRIDGE
from nb_lib.options import Use
from nb_lib.rules import Chain, Rule, Ruleset, Table
from nb_lib.text.native import read_back

_LINK = {ARP, BRIDGE}
_ORDER = {hook: place for place, hook in enumerate(HOOKS)}


def rule_text(rule: Rule) -> str:
    """Write a rule in the words of its family's save command, without ``-A CHAIN``."""
    if rule.words:
        return rule.words
    if rule.family == BRIDGE:
        return _bridge_rule(rule)
    if rule.family == ARP:
        return _arp_rule(rule)
    pieces = [use_text(rule.core)] if rule.core.settings else []
    pieces += [_joined("-m", use) for use in read_back(rule.matches)]
    if rule.jump:
        pieces.append(f"{'-g' if rule.goto else '-j'} {rule.jump}")
    elif rule.target is not None:
        pieces.append(_joined("-j", rule.target))
    return " ".join(filter(None, pieces))  # a core of which nothing is printed is no piece


def _bridge_rule(rule: Rule) -> str:
    """Core, matches without -m, and always a target: nft-bridge.c nft_bridge_save_rule()."""
    pieces = [use_text(use) for use in (rule.core, *rule.matches) if use.settings]
    target = f"{rule.target.name} {use_text(rule.target)}" if rule.target else rule.jump
    if rule.target and not rule.target.extension.options:
        target = rule.target.name
    return " ".join([*pieces, f"-j {target or 'CONTINUE'}"])


def _arp_rule(rule: Rule) -> str:
    """The target's name, the core, the target's options: nft-arp.c nft_arp_save_rule()."""
    name = rule.target.name if rule.target else rule.jump
    pieces = [f"-j {name}" if name else "", use_text(rule.core)]
    pieces.append(use_text(rule.target) if rule.target else "")
    return " ".join(filter(None, pieces))


def use_text(use: Use) -> str:
    """Write the options of one extension: ``--sport 1 ! --dport 80``."""
    extension = use.extension
    if extension.save is not None:
        return extension.save(use)
    if not extension.known:
        return use.raw
    pieces = []
    settings = use.settings
    for option in (
        extension.options if len(settings) > 1 else [extension.by_name[name] for name in settings]
    ):
        setting = settings.get(option.name)
        if setting is None or (option.hidden is not None and option.hides(setting)):
            continue
        value = option.kind.save(setting.value)
        spoken = bool(value) or (
            option.kind.arity != 0 and not _LINK.issuperset(extension.families)
        )
        words = [option.name, value] if spoken else [option.name]
        if setting.inverted:
            words.insert(1 if value and BRIDGE in extension.families else 0, "!")
        pieces.append(" ".join(words))
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
        table_text(ruleset[name], counters=counters, family=ruleset.family)
        for name in order
        if name in ruleset
    )


def table_text(table: Table, *, counters: bool = False, family: int = IPV4) -> str:
    """Write one table: its chains, built-in ones first, then their rules."""
    chains = ordered(table)
    link = family in (ARP, BRIDGE)
    lines = [f"*{table.name}", *(_chain_line(chain, family) for chain in chains)]
    for chain in chains:
        for rule in chain.rules:
            count = f"[{rule.counters.packets}:{rule.counters.bytes}] " if counters else ""
            text = rule_text(rule)
            line = f"{count}-A {chain.name} {text}" if text or link else f"{count}-A {chain.name}"
            lines.append(line)
    return "\n".join([*lines, *([""] if link else ["COMMIT", ""])])


def _chain_line(chain: Chain, family: int) -> str:
    """Write ``:CHAIN POLICY``, with counters in iptables' families."""
    if family == BRIDGE:
        return f":{chain.name} {chain.policy or chain.fallback or 'RETURN'}"
    if family == ARP:
        return f":{chain.name} {chain.policy or '-'}"
    counters = f"[{chain.counters.packets}:{chain.counters.bytes}]"
    return f":{chain.name} {chain.policy or '-'} {counters}"


def ordered(table: Table) -> list[Chain]:
    """Return the chains as iptables-save lists them: built-in in hook order, then the others by name."""
    chains = list(table)
    builtin = sorted((c for c in chains if c.builtin), key=lambda c: _ORDER.get(c.name, 0))
    return builtin + sorted((c for c in chains if not c.builtin), key=lambda c: octets(c.name))
