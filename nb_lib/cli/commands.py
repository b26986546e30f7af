"""What each command does to a table.

Sources: iptables/iptables.c do_command4(), iptables/xtables.c do_commandx(), iptables/nft.c,
libiptc/libiptc.c; iptables(8) COMMANDS. Where the two backends differ, the real programs were asked.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import replace

from nb_lib.cli.edited import Rules, editable
from nb_lib.cli.kernel import NOT_CALLED, VERDICTS, refusal
from nb_lib.cli.listing import rule_listed
from nb_lib.cli.lists import list_rules, list_table
from nb_lib.cli.personality import (
    BAD_POLICY,
    BAD_RULE,
    BUSY,
    INVALID,
    NO_FILE,
    NO_NAME,
    Exit,
)
from nb_lib.cli.request import Request
from nb_lib.cli.state import Work
from nb_lib.kinds import octets
from nb_lib.rules import ZERO, Chain, Rule
from nb_lib.text import rule_text

MAX_LABEL, MAX_KEPT = 31, 29  # legacy, octets: ipt_chainlabel in libiptc.h, XT_FUNCTION_MAXNAMELEN


def perform(work: Work, request: Request) -> str:
    """Carry a command out on ``work``; return what it prints. Raise Exit if it fails."""
    return _COMMANDS[request.command](work, request)


# ── Rules ───────────────────────────────────────────────────────────────────────────


def _rules(work: Work, request: Request) -> list[Rule]:
    return request.rule.rules(work.user_chains())


def _append(work: Work, request: Request) -> str:
    rules = _rules(work, request)
    chain = _opened(work, request, rules)
    end = len(chain.rules)
    return _changed(work, request, rules, slice(end, end))


def _insert(work: Work, request: Request) -> str:
    rules = _rules(work, request)
    at = request.number - 1
    if at > len(_opened(work, request, rules).rules):
        raise _with(_early(work, rules, request), work.who.failed("Index of insertion too big"))
    return _changed(work, request, rules, slice(at, at))


def _replace(work: Work, request: Request) -> str:
    rules = _rules(work, request)
    at = request.number - 1
    if request.chain not in work.table or request.chain in work.absent:
        raise _with(_early(work, rules, request), work.who.failed(NO_NAME))
    if at >= len(work.table[request.chain].rules):
        raise _with(_early(work, rules, request), work.who.failed("Index of replacement too big"))
    return _changed(work, request, rules, slice(at, at + 1))


def _opened(work: Work, request: Request, rules: list[Rule]) -> Chain:
    """Return the chain for a new rule; -A of both backends prints the rule before it looks for it."""
    if request.chain not in work.table:
        early = request.command == "A" or not work.who.nft
        raise _with(_shown(rules, request) if early else "", work.who.failed(NO_NAME))
    return work.opened(request.chain)


_OPERATIONS = {"A": "RULE_APPEND", "I": "RULE_INSERT", "R": "RULE_REPLACE"}


def _changed(work: Work, request: Request, rules: list[Rule], place: slice) -> str:
    """Exchange the rules at ``place``, if the kernel takes the new ones."""
    chain = work.table[request.chain]
    what = f"rule in chain {chain.name}"
    behind = 0 < place.start == place.stop == len(chain.rules)  # iptables-nft appends then
    operation = _OPERATIONS["A" if behind else request.command]
    if not work.who.nft and any(rule.jump in work.names for rule in rules):
        raise _with(_shown(rules, request), work.who.failed(INVALID, NOT_CALLED))
    if refused := request.rule.refused:
        work.refuse(operation, refused.kernel, what, hint=str(refused))
        return ""
    # Several rules are inserted one by one, each at the same place.
    placed = rules[::-1] if request.command == "I" else rules

    def changed() -> Chain:  # done last: what the rules call is known by then, and handed on
        return replace(chain, rules=editable(chain.rules).edit(place.start, place.stop, placed))

    printed = _shown(rules, request)
    if no := refusal(work, chain.name, rules, changed):
        for _ in rules:  # a restore goes on, and names each of them
            work.refuse(operation, no.said, what, printed, hint=no.why)
        return printed
    work.put(changed())
    return printed


def _shown(rules: list[Rule], request: Request) -> str:
    """Return what ``-v`` prints of rules that come or go."""
    if not request.verbose or request.rule.refused:
        return ""
    return "".join(rule_listed(rule) + "\n" for rule in rules)


def _early(work: Work, rules: list[Rule], request: Request) -> str:
    """The same where legacy prints the rules before it has looked for their place."""
    return "" if work.who.nft else _shown(rules, request)


def _delete(work: Work, request: Request) -> str:
    rules = _rules(work, request)
    chain = work.table.chains.get(request.chain)
    for done, rule in enumerate(rules):
        at = _find(chain.rules, rule) if chain and not request.rule.refused else -1
        if chain is None or at < 0:
            raise _with(_until(work, rules, done, request), _missing(work, rule, chain))
        chain = replace(chain, rules=editable(chain.rules).edit(at, at + 1))
    assert chain is not None
    work.put(chain)
    return _shown(rules, request)


def _delete_number(work: Work, request: Request) -> str:
    chain = work.found(request.chain)
    at = request.number - 1
    if at >= len(chain.rules):
        raise work.who.failed("Index of deletion too big")
    work.put(replace(chain, rules=editable(chain.rules).edit(at, at + 1)))
    return ""


def _check(work: Work, request: Request) -> str:
    rules = _rules(work, request)
    chain = work.table.chains.get(request.chain)
    for done, rule in enumerate(rules):
        if chain is None or request.rule.refused or _find(chain.rules, rule) < 0:
            raise _with(_until(work, rules, done, request), _missing(work, rule, chain))
    return _shown(rules, request)


def _until(work: Work, rules: list[Rule], done: int, request: Request) -> str:
    """Return what is printed of rules of which one is missing: legacy prints that one too."""
    return _shown(rules[: done if work.who.nft else done + 1], request)


def _missing(work: Work, rule: Rule, chain: Chain | None) -> Exit:
    """Return the end of a command whose rule is not there; legacy looks for its target last."""
    if rule.jump in work.names and chain and not work.who.nft:
        return work.who.failed(INVALID)
    named = rule.jump or (rule.target and rule.target.name not in VERDICTS)
    return work.who.failed(NO_NAME if named and chain and not work.who.nft else BAD_RULE)


def _find(rules: Iterable[Rule], wanted: Rule) -> int:
    """Return the place of the first rule that says the same, -1 if there is none."""
    text = rule_text(wanted)
    return next((at for at, rule in enumerate(rules) if rule_text(rule) == text), -1)


def _with(printed: str, end: Exit) -> Exit:
    end.stdout = printed
    return end


# ── Chains ──────────────────────────────────────────────────────────────────────────


def _new(work: Work, request: Request) -> str:
    if request.chain in work.table:
        raise work.who.failed("Chain already exists")
    if request.chain in work.hidden:
        work.refuse("CHAIN_USER_ADD", "File exists", f"chain {request.chain}")
    work.put(Chain(request.chain))
    return ""


def _remove(work: Work, request: Request) -> str:
    """-X: without a chain all user chains, and under nft built-in ones that are not needed."""
    if request.named:
        if request.chain not in work.table and not work.who.nft:
            raise _with(_deleting(request.chain, request), work.who.failed(NO_NAME))
        return _removed(work, work.found(request.chain), request)
    printed, end = "", None
    sort = request.verbose or not work.who.nft
    for chain in work.listed() if sort else work.made_order():
        try:
            printed += "" if chain.builtin else _removed(work, chain, request)
        except Exit as failure:
            printed += failure.stdout
            end = end if end and work.who.nft else failure
    if end is not None:  # both go on; iptables-legacy says what was wrong with the last one
        raise _with(printed, end)
    if work.who.nft:
        for chain in work.listed():
            if chain.builtin and not chain.rules and work.as_before(chain).policy == "ACCEPT":
                work.forget(chain.name)
    return printed


def _deleting(name: str, request: Request) -> str:
    return f"Deleting chain `{name}'\n" if request.verbose else ""


def _removed(work: Work, chain: Chain, request: Request) -> str:
    silent = chain.builtin and work.who.nft
    printed = "" if silent else _deleting(chain.name, request)
    busy = chain.name in work.references()
    hint = "rules jump to it: delete those first" if busy else "it has rules: -F empties it"
    if work.who.nft:
        if chain.builtin and chain.policy != "ACCEPT":
            raise _with(printed, work.who.failed("Directory not empty"))
        if busy or chain.rules:
            work.refuse("CHAIN_DEL", BUSY, f"chain {chain.name}", printed, hint=hint)
    elif chain.builtin:
        raise _with(printed, work.who.failed(INVALID))
    elif busy or chain.rules:
        reason = "Too many links" if busy else "Directory not empty"
        raise _with(printed, work.who.failed(reason, hint))
    work.remove(chain.name)
    return printed


def _flush(work: Work, request: Request) -> str:
    if request.named and request.chain not in work.table and request.verbose and not work.who.nft:
        raise _with(f"Flushing chain `{request.chain}'\n", work.who.failed(NO_NAME))
    if not request.named and not request.verbose and not work.knows_table():
        return ""
    every = bool(request.verbose) and work.who.nft  # to name them all, it makes them all
    chains = [work.opened(request.chain)] if request.named else work.listed(every=every)
    for chain in chains:
        if request.named or chain.rules or every:
            work.put(replace(chain, rules=()))
    shown = chains if request.verbose else []
    return "".join(f"Flushing chain `{chain.name}'\n" for chain in shown)


def _rename(work: Work, request: Request) -> str:
    if request.name in work.table or (not work.who.nft and request.name in VERDICTS):
        raise work.who.failed("File exists")
    chain = work.found(request.chain)
    if not work.who.nft:
        if chain.builtin:
            raise work.who.failed(NO_NAME)
        if len(octets(request.name)) > MAX_LABEL:
            raise work.who.failed(INVALID)
    if work.who.nft and work.deferred is not None:
        if not work.was_there(chain.name) or chain.name in work.declared:
            work.refuse("CHAIN_RENAME", NO_FILE, f"chain {request.name}")
        work.renames.append((chain.name, request.name))  # the rest of the batch does not know it
    else:
        work.rename(chain, request.name if work.who.nft else request.name[:MAX_KEPT])
    return ""


def _policy(work: Work, request: Request) -> str:
    chain = work.table.chains.get(request.chain)
    bad_chain = chain is None or not chain.builtin
    bad_policy = request.name not in ("ACCEPT", "DROP")
    if bad_policy and (work.who.nft or not bad_chain):
        raise work.who.failed(BAD_POLICY)
    if chain is None or bad_chain:
        raise work.who.failed("Bad built-in chain name")
    counters = request.rule.counters if not work.who.nft else None
    work.counted.add(chain.name)
    work.put(replace(chain, policy=request.name, counters=counters or ZERO))
    return ""


# ── Counters ──────────────────────────────────────────────────────────────


def _zero(work: Work, request: Request, *, every: bool = False) -> str:
    """-Z; ``every``: with built-in chains that iptables-nft has only shown so far."""
    chains = work.listed(every=every)
    if request.named and request.chain not in work.table and request.verbose and not work.who.nft:
        raise _with(f"Zeroing chain `{request.chain}'\n", work.who.failed(NO_NAME))
    if request.named:
        chains = [work.opened(request.chain) if every else work.found(request.chain)]
    for chain in chains:
        if work.who.nft or chain.name not in work.counted:  # what a restore of legacy has set stays
            work.put(work.as_before(_zeroed(chain, work.newly_counted(chain))))
    shown = chains if request.verbose else []
    return "".join(f"Zeroing chain `{chain.name}'\n" for chain in shown)


def _zeroed(chain: Chain, kept: Container[int]) -> Chain:
    """Return a chain without its counters, but for those of rules whose id is in ``kept``."""
    if all(rule.counters == ZERO for rule in chain.rules):
        return replace(chain, counters=ZERO)
    rules = tuple(
        rule if id(rule) in kept else rule._replace(counters=ZERO) for rule in chain.rules
    )
    return replace(chain, rules=Rules(rules), counters=ZERO)


def _zero_number(work: Work, request: Request) -> str:
    at = request.number - 1
    if work.who.nft and (request.chain not in work.table or request.chain in work.absent):
        # The errno of its last look for a chain: it asks for these in the order of their names.
        last = max((*work.names, request.chain), key=octets)
        there = work.made and last in work.table and last not in work.absent
        raise work.who.failed("Incompatible with this kernel" if there else BAD_RULE)
    chain = work.found(request.chain)
    if at >= len(chain.rules):
        if work.who.nft:  # it says nothing
            return ""
        raise work.who.failed("Index of counter too big")
    rule = chain.rules[at]._replace(counters=ZERO)
    work.put(replace(chain, rules=editable(chain.rules).edit(at, at + 1, [rule])))
    return ""


def _list_and_zero(work: Work, request: Request) -> str:
    """-L -Z and -S -Z: what is shown is what was counted before."""
    show = list_table if "L" in request.command else list_rules
    printed = show(work, request)
    if request.command.endswith("#"):
        return printed + _zero_number(work, request)
    made = work.made or not work.who.nft
    printed += _zero(work, request, every=True)
    if not made:
        first = request.chain if request.named else work.names[0]
        work.refuse("CHAIN_ZERO", NO_FILE, f"chain {first}", printed)
    return printed


_Command = Callable[[Work, Request], str]
_COMMANDS: dict[str, _Command] = {
    "A": _append,
    "I": _insert,
    "R": _replace,
    "D": _delete,
    "D#": _delete_number,
    "C": _check,
    "N": _new,
    "X": _remove,
    "F": _flush,
    "E": _rename,
    "P": _policy,
    "Z": _zero,
    "Z#": _zero_number,
    "L": list_table,
    "S": list_rules,
    "LZ": _list_and_zero,
    "LZ#": _list_and_zero,
    "SZ": _list_and_zero,
    "SZ#": _list_and_zero,
}
