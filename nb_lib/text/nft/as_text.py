"""From values to the text that ``nft list ruleset`` prints.

Sources of nftables 1.0.6: src/rule.c do_list_ruleset(), src/expression.c, src/statement.c; nft(8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from nb_lib.errors import RulesetError
from nb_lib.text.nft.meters import counter_text, limit_text, object_lines, quota_text
from nb_lib.text.nft.values import (
    Binary,
    Chain,
    Concat,
    Counter,
    Ct,
    Element,
    Expression,
    Fib,
    Limit,
    Log,
    Lookup,
    Mangle,
    Match,
    Members,
    Meta,
    Named,
    Nat,
    NoTrack,
    Numgen,
    Object,
    Payload,
    Prefix,
    Quota,
    Range,
    Reject,
    Rule,
    Ruleset,
    Set,
    Several,
    Statement,
    Table,
    Unknown,
    Update,
    Verdict,
    Vmap,
)
from nb_lib.text.nft.words import (
    BARE,
    DEVICE,
    MARK,
    is_flags,
    kind_of,
    kinds_of,
    priority_text,
    span_text,
)

_TCP_FLAGS = Payload("tcp", "flags")
_BINDS = {"<<": 1, ">>": 1, "&": 2, "^": 3, "|": 4}
DEFAULT_REJECT = {"ip": Reject("icmp", "port-unreachable"), "ip6": Reject("icmpv6", "port-unreachable"),
                   "inet": Reject("icmpx", "port-unreachable"),
                   "bridge": Reject("icmpx", "port-unreachable")}  # fmt: skip
_Kinds = tuple[str, ...]


# --- expressions ---


def _leaf(value: int | str, kind: str) -> str:
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if kind == MARK and isinstance(value, int):
        return f"{value:#010x}"
    return f'"{value}"' if kind == DEVICE and not str(value).startswith("@") else str(value)


def expression_text(value: Expression, kinds: _Kinds = ("",)) -> str:
    """Write an expression; ``kinds`` are the types of the values in it."""
    write = _EXPRESSIONS.get(type(value))
    return write(value, kinds) if write else _leaf(value, kinds[0])  # type: ignore[arg-type]


def _concat(value: Concat, kinds: _Kinds) -> str:
    every = (*kinds, *[""] * len(value.parts))
    return " . ".join([expression_text(p, (k,)) for p, k in zip(value.parts, every, strict=False)])


def _range(value: Range, kinds: _Kinds) -> str:
    return f"{expression_text(value.low, kinds)}-{expression_text(value.high, kinds)}"


def _several(value: Several, kinds: _Kinds) -> str:
    return ",".join(_leaf(each, kinds[0]) for each in value.values)


def _ct(value: Ct, _kinds: _Kinds) -> str:
    return f"ct {value.direction} {value.key}" if value.direction else f"ct {value.key}"


def _numgen(value: Numgen, _kinds: _Kinds) -> str:
    offset = f" offset {value.offset}" if value.offset else ""
    return f"numgen {value.mode} mod {value.modulus}{offset}"


def _verdict(value: Verdict, _kinds: _Kinds = ()) -> str:
    return f"{value.kind} {value.target}" if value.target else value.kind


def _members(value: Members, kinds: _Kinds) -> str:
    return f"{{ {', '.join(element_text(each, kinds, kinds) for each in value.elements)} }}"


def _binary(value: Binary, _kinds: _Kinds) -> str:
    kinds = kind_of(value.left)
    left, right = (_operand(value, side, kinds) for side in (value.left, value.right))
    return f"{left} {value.operator} {right}"


def _operand(around: Binary, value: Expression, kinds: _Kinds) -> str:
    text = expression_text(value, kinds)
    inside = isinstance(value, Binary) and _BINDS[around.operator] < _BINDS[value.operator]
    return f"({text})" if inside else text


def _looked_up(key: Expression, data: Expression, kinds: _Kinds) -> str:
    """Write a set or a map of keys of ``key``'s types; ``kinds`` are those of what it gives."""
    if isinstance(data, Members):
        found = (element_text(each, kind_of(key), kinds) for each in data.elements)
        return f"{{ {', '.join(found)} }}"
    return str(data)


def element_text(element: Element, keys: _Kinds, data: _Kinds) -> str:
    """Write an element of a set or a map."""
    parts = [expression_text(element.key, keys)]
    if element.counter:
        parts.append("counter packets {} bytes {}".format(*element.counter))
    if element.timeout is not None:
        parts.append(f"timeout {span_text(element.timeout)}")
    if element.expires is not None:
        parts.append(f"expires {span_text(element.expires)}")
    if element.comment:
        parts.append(f'comment "{element.comment}"')
    if element.data is not None:
        parts += [":", expression_text(element.data, data)]
    return " ".join(parts)


_EXPRESSIONS: Mapping[type, Callable[[Any, _Kinds], str]] = {
    Binary: _binary,
    Concat: _concat,
    Ct: _ct,
    Fib: lambda value, _: f"fib {' . '.join(value.flags)} {value.result}",
    Lookup: lambda value, kinds: (
        f"{expression_text(value.key)} map {_looked_up(value.key, value.data, kinds)}"
    ),
    Members: _members,
    Meta: lambda value, _: value.key if value.key in BARE else f"meta {value.key}",
    Numgen: _numgen,
    Payload: lambda value, _: f"{value.protocol} {value.field}",
    Prefix: lambda value, _: f"{value.address}/{value.length}",
    Range: _range,
    Several: _several,
    Verdict: _verdict,
}


# --- statements ---


def statement_text(statement: Statement, family: str = "ip") -> str:
    """Write a statement. One that is kept as JSON is shown as it is; see ``write_text``."""
    return _STATEMENTS[type(statement)](statement, family)


def _match(match: Match, _family: str) -> str:
    left, right, operator = match.left, match.right, match.operator
    text, kinds, flags, plain = _compared(left)
    if isinstance(left, Binary) and left.left == _TCP_FLAGS:
        unequal = "!= " if operator == "!=" else ""
        return f"tcp flags {unequal}{expression_text(right)} / {expression_text(left.right)}"
    written = not plain or (flags and not isinstance(right, Members))
    if operator == "in" or (operator == "==" and not written):
        return f"{text} {expression_text(right, kinds)}"
    return f"{text} {operator} {expression_text(right, kinds)}"


@lru_cache(maxsize=1024)  # thousands of rules compare the same few things
def _compared(left: Expression) -> tuple[str, _Kinds, bool, bool]:
    """Return what is compared as text, its types, whether it is flags, and whether it is not worked out."""
    return expression_text(left), kind_of(left), is_flags(left), not isinstance(left, Binary)


def _reject(reject: Reject, family: str) -> str:
    if reject == DEFAULT_REJECT.get(family):
        return "reject"
    return f"reject with {reject.kind} {reject.code}".rstrip()


def _nat(nat: Nat, _family: str) -> str:
    target = "" if nat.address is None else expression_text(nat.address)
    if nat.port is not None:
        if ":" in target:
            target = f"[{target}]"
        target += f":{expression_text(nat.port)}"
    words = (nat.kind, nat.family, f"to {target}" if target else "", ",".join(nat.flags))
    return " ".join(filter(None, words))


def _vmap(vmap: Vmap, _family: str) -> str:
    return f"{expression_text(vmap.key)} vmap {_looked_up(vmap.key, vmap.data, ('',))}"


def _mangle(mangle: Mangle, _family: str) -> str:
    value = expression_text(mangle.value, kind_of(mangle.key))
    return f"{expression_text(mangle.key)} set {value}"


def _log(log: Log, _family: str) -> str:
    words = ["log", f'prefix "{log.prefix}"' if log.prefix else ""]
    words.append(f"group {log.group}" if log.group is not None else "")
    words.append(f"level {log.level}" if log.level else "")
    return " ".join(filter(None, words))


def _update(update: Update, _family: str) -> str:
    life = "" if update.timeout is None else f" timeout {span_text(update.timeout)}"
    return f"{update.operation} @{update.name} {{ {expression_text(update.element)}{life} }}"


_STATEMENTS: Mapping[type, Callable[[Any, str], str]] = {
    Counter: lambda counter, _: f"counter {counter_text(counter)}",
    Limit: lambda limit, _: f"limit {limit_text(limit)}",
    Log: _log,
    Mangle: _mangle,
    Match: _match,
    Named: lambda named, _: f'{named.kind} name "{named.name}"',
    Nat: _nat,
    NoTrack: lambda _, __: "notrack",
    Quota: lambda quota, _: f"quota {quota_text(quota)}",
    Reject: _reject,
    Unknown: lambda unknown, _: unknown.raw,
    Update: _update,
    Verdict: lambda verdict, _: _verdict(verdict),
    Vmap: _vmap,
}


def rule_text(rule: Rule, family: str = "ip") -> str:
    """Write a rule as ``nft list`` does, without its handle."""
    words = [statement_text(each, family) for each in rule.statements]
    if rule.comment:
        words.append(f'comment "{rule.comment}"')
    return " ".join(words)


# --- what holds them ---


def _chain(chain: Chain, family: str) -> Iterator[str]:
    yield f"\tchain {chain.name} {{"
    if chain.comment:
        yield f'\t\tcomment "{chain.comment}"'
    if chain.hook:
        priority = priority_text(family, chain.hook, chain.priority)
        device = f' device "{chain.device}"' if chain.device else ""
        yield (
            f"\t\ttype {chain.kind} hook {chain.hook}{device} priority {priority};"
            f" policy {chain.policy};"
        )
    yield from (f"\t\t{rule_text(rule, family)}" for rule in chain.rules)
    yield "\t}"


def set_lines(found: Set) -> Iterator[str]:
    """Write a set or a map, line by line."""
    yield f"\t{'map' if found.data else 'set'} {found.name} {{"
    types = " . ".join(found.key)
    yield f"\t\ttype {types} : {' . '.join(found.data)}" if found.data else f"\t\ttype {types}"
    if found.size is not None:
        yield f"\t\tsize {found.size}"
    if found.flags:
        yield f"\t\tflags {','.join(found.flags)}"
    if found.timeout is not None:
        yield f"\t\ttimeout {span_text(found.timeout)}"
    if found.interval is not None:
        yield f"\t\tgc-interval {span_text(found.interval)}"
    if found.counter:
        yield "\t\tcounter"
    if found.comment:
        yield f'\t\tcomment "{found.comment}"'
    if found.elements:
        yield f"\t\telements = {{ {_elements(found)} }}"
    yield "\t}"


# How many elements stand in a line: src/expression.c calculate_delim().
_PER_LINE = {"ipv4_addr": 2, "ipv6_addr": 1, "ether_addr": 1, "ifname": 1}
_FEW = 5
_BREAK = ",\n\t\t\t     "


def _elements(found: Set) -> str:
    keys, data = kinds_of(found.key), kinds_of(found.data)
    most = 1 if len(found.key) > 1 else _PER_LINE.get(found.key[0], _FEW)
    texts = [element_text(each, keys, data or ("",)) for each in found.elements]
    rows = (", ".join(texts[at : at + most]) for at in range(0, len(texts), most))
    return _BREAK.join(rows)


def _table(table: Table) -> Iterator[str]:
    yield f"table {table.family} {table.name} {{"
    if table.comment:
        yield f'\tcomment "{table.comment}"'
    if table.flags:
        yield f"\tflags {','.join(table.flags)}"
    blocks = [_block(each) for each in table.sets]
    blocks += [list(_chain(chain, table.family)) for chain in table.chains]
    for number, block in enumerate(blocks):
        yield from [""] * bool(number)
        yield from block
    yield "}"


def _block(each: Set | Object | Unknown) -> list[str]:
    if isinstance(each, Unknown):
        return _kept(each)
    return list(set_lines(each) if isinstance(each, Set) else object_lines(each))


def _kept(unknown: Unknown) -> list[str]:
    if unknown.form != "text":
        raise RulesetError(f"{unknown.raw} is kept as JSON: it has no text")
    return unknown.raw.split("\n")


def write_part(thing: Table | Chain | Set | Object | Rule, family: str = "ip") -> str:
    """Write a part of a ruleset in nft's words, as it stands in a listing but for the indentation.

    Raises TypeError for anything else.
    """
    match thing:
        case Table():
            return write_text(Ruleset((thing,)))
        case Chain():
            found = _chain(thing, family)
        case Set():
            found = set_lines(thing)
        case Object():
            found = object_lines(thing)
        case Rule():
            return rule_text(thing, family) + "\n"
        case _:
            raise TypeError(f"no part of a ruleset of nft: {type(thing).__name__}")
    return "".join(f"{line.removeprefix(chr(9))}\n" for line in found)


def write_text(ruleset: Ruleset) -> str:
    """Write what ``nft list ruleset`` prints. Raises RulesetError if some of it is kept as JSON."""
    for table in ruleset:
        for chain in table.chains:
            for each in (s for rule in chain.rules for s in rule.statements):
                if isinstance(each, Unknown):
                    _kept(each)
    return "".join(f"{line}\n" for table in ruleset for line in _table(table))
