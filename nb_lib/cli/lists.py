"""The commands -L and -S: what a table holds, as a list and as commands.

Sources: iptables/iptables.c list_entries(), iptables/nft.c nft_rule_list(), nft_rule_list_save();
iptables(8) COMMANDS.
"""

from __future__ import annotations

from dataclasses import replace

from nb_lib.cli.personality import HIDDEN, NO_NAME
from nb_lib.cli.request import Request
from nb_lib.cli.state import Work
from nb_lib.cli.tables import Style, table_listed
from nb_lib.rules import Chain, Counters, Rule
from nb_lib.text import rule_text


def list_table(work: Work, request: Request) -> str:
    """-L: the table, or a chain of it, as a list. Raise Exit if the chain is not there."""
    _must_exist(work, request)
    work.shown = _chains(work, request)
    return _of_hidden(work, request) + table_listed(
        work.table,
        work.references(),
        Style("n" in request.seen, bool(request.verbose), "x" in request.seen, "0" in request.seen),
        chain=request.chain if request.named else None,
        number=request.number,
    )


def list_rules(work: Work, request: Request) -> str:
    """-S: the same as the commands that make it. Raise Exit if the chain is not there."""
    _must_exist(work, request)
    chains = work.shown = _chains(work, request)
    lines = []
    if not request.number:
        lines = [_chain_line(chain, request.verbose) for chain in chains]
    for chain in chains:
        lines += [_rule_line(chain.name, rule, request.verbose) for rule in chain.rules]
    return _of_hidden(work, request) + "".join(f"{line}\n" for line in lines)


def _chains(work: Work, request: Request) -> list[Chain]:
    """Return the chains to be listed, with the rules that are asked for."""
    if not request.named:
        return work.listed(every=True)
    chain = work.table[request.chain]
    if not request.number:
        return [chain]
    return [replace(chain, rules=chain.rules[request.number - 1 : request.number])]


def _of_hidden(work: Work, request: Request) -> str:
    """Return what is said before a table is listed of which iptables-nft does not know all."""
    return "" if request.named or not work.hidden else HIDDEN.format(table=work.table.name)


def _must_exist(work: Work, request: Request) -> None:
    name = request.chain
    if not request.named or name in work.table:
        return
    if not work.who.nft:
        raise work.who.failed(NO_NAME)
    table = work.table.name
    raise work.who.trouble(f"chain `{name}' in table `{table}' is incompatible, use 'nft' tool.")


def _chain_line(chain: Chain, verbose: int) -> str:
    if not chain.builtin:
        return f"-N {chain.name}"
    return f"-P {chain.name} {chain.policy}{_counted(chain.counters, verbose)}"


def _rule_line(chain: str, rule: Rule, verbose: int) -> str:
    """``-A CHAIN …``, with ``-v`` the counters before the target."""
    if not verbose:
        return f"-A {chain} {rule_text(rule)}".rstrip()
    conditions = rule_text(rule._replace(target=None, jump=""))
    target = rule_text(rule)[len(conditions) :].strip()
    return " ".join(
        filter(None, (f"-A {chain}", conditions, _counted(rule.counters, verbose).strip(), target))
    )


def _counted(counters: Counters, verbose: int) -> str:
    return f" -c {counters.packets} {counters.bytes}" if verbose else ""
