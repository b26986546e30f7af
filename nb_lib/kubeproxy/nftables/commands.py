"""What one port of a Service adds to the table, as commands of ``nft -f`` in kube-proxy's spelling.

Source: pkg/proxy/nftables/proxier.go syncProxyRules() (1.30); sigs.k8s.io/knftables writes the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nb_lib.kubeproxy.nftables.services import Block
from nb_lib.text import nft
from nb_lib.text.nft.as_text import element_text, expression_text, statement_text
from nb_lib.text.nft.values import Element, Match, Members, Meta, Prefix, Rule, Set, Statement, Vmap

_PLAIN = ("",)


class Piece(NamedTuple):
    """A port's part of an input, and the chains and sets that it makes, by name."""

    text: str
    chains: tuple[str, ...]
    sets: tuple[str, ...]


def written(block: Block, to: str) -> Piece:
    """Return the commands of a port; ``to`` is the family and the table. Chains come first."""
    text = "".join([f"{line}\n" for line in _lines(block, to)])
    names = (tuple([each.name for each in kind]) for kind in (block.chains, block.sets))
    return Piece(text, *names)


def _lines(block: Block, to: str) -> Iterator[str]:
    for chain in block.chains:
        yield f"add chain {to} {chain.name}"
        yield f"flush chain {to} {chain.name}"
    for name, element in block.elements:
        yield f"add element {to} {name} {{ {_element(element)} }}"
    for each in block.sets:
        yield f"add set {to} {each.name} {_declared(each)}"
    for chain in block.chains:
        for rule in chain.rules:
            yield f"add rule {to} {chain.name} {_rule(rule, to.partition(' ')[0])}"


def _declared(each: Set) -> str:
    seconds = (each.timeout or 0) // 1000
    return (
        f"{{ type {' . '.join(each.key)} ; flags {','.join(each.flags)} ; timeout {seconds}s ; }}"
    )


def _element(element: Element) -> str:
    return element_text(element, _PLAIN, _PLAIN)


def _rule(rule: Rule, family: str) -> str:
    """Write a rule; sets of its own are spaced out, and what is dropped is one even with one member."""
    drops = rule.statements[1:] == (_DROP,)
    words = [
        _statement(each, drops=drops) or statement_text(each, family) for each in rule.statements
    ]
    return " ".join([*words, f'comment "{rule.comment}"'] if rule.comment else words)


_DROP = nft.read_rule("drop").statements[0]


def _statement(statement: Statement, *, drops: bool) -> str:
    match statement:
        case Vmap(key, Members(elements)):
            return f"{expression_text(key)} vmap {{ {' , '.join(map(_element, elements))} }}"
        case Match("!=", left, Members(elements)):
            return f"{expression_text(left)} != {{ {' , '.join(map(_element, elements))} }}"
        case Match(operator, Meta("iif"), name):  # without the quotes of a listing
            return f"iif {'' if operator == '==' else operator + ' '}{name}"
        case Match("!=", left, (Prefix() | str()) as right) if drops:
            return f"{expression_text(left)} != {{ {expression_text(right)} }}"
    return ""
