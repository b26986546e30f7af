"""The words of a rule and of a chain, cut for pictures: clauses, short names, Service names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nb_lib.rules import Chain, Rule
from nb_lib.text import rule_text
from nb_lib.views.svg import elide

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\S+')
_HASHED = re.compile(r"^((?:KUBE|CNI|LIBVIRT|NETAVARK)-(?:[A-Z]+-)?)([A-Z0-9]{16}|[0-9a-f]{16,})$")
_NFT = re.compile(
    r"^((?:service|local|external|firewall|endpoint|affinity)-)([A-Z2-7]{8})-"
    r"([\w.-]+/[\w.-]+)/(?:tcp|udp|sctp)/([\w.-]*?)(?:__.*)?$"
)
_SERVICE = re.compile(r"^([\w.-]+/[\w.-]+(?::[\w.-]*)?)(?: |$)")
_IMPLIED = ("tcp", "udp", "sctp", "icmp", "icmp6")


class Clause(NamedTuple):
    """A piece of a rule that belongs together: ``! -s 10.0.0.0/8``, ``--dport 80``, ``-j X``."""

    text: str
    option: str  # the option's name, ``-s`` or ``--dport``


def clauses(rule: Rule) -> tuple[Clause, ...]:
    """Cut a rule, in the words of iptables-save, at its options; a rule of nft at each word."""
    if rule.words:
        return tuple(Clause(short(word), "") for word in _TOKEN.findall(rule.words))
    pieces: list[list[str]] = []
    for token in _TOKEN.findall(rule_text(rule)):
        starts = token == "!" or (token.startswith("-") and len(token) > 1)
        if starts and not (pieces and pieces[-1] == ["!"]):
            pieces.append([token])
        elif pieces:
            pieces[-1].append(token)
        else:
            pieces = [[token]]
    return tuple(Clause(" ".join(p), p[1] if p[0] == "!" and p[1:] else p[0]) for p in pieces)


def brief(rule: Rule) -> tuple[Clause, ...]:
    """Return a rule's clauses without its comment, and without a ``-m`` that ``-p`` implies."""
    found = clauses(rule)
    if rule.words:
        return tuple(c for n, c in enumerate(found) if not _said(found[max(0, n - 1) : n + 1]))
    protocol = next((c.text.split()[-1] for c in found if c.option == "-p"), "")
    return tuple(c for c in found if not _needless(c, protocol))


def comment(rule: Rule) -> str:
    """Return the rule's comment, or an empty string."""
    for use in rule.matches:
        if use.name == "comment":
            return str(use.value("--comment", ""))
    return ""


def service(rule: Rule) -> str:
    """Return the Service that kube-proxy names in the rule's comment: ``default/nginx:http``.

    In nftables mode it stands in the name of the chain that an element leads to.
    """
    if rule.words:
        return _named(rule.jump)
    found = _SERVICE.match(comment(rule))
    return found[1].rstrip(":") if found else ""


def services(chain: Chain, callers: Iterable[Rule] = ()) -> str:
    """Return the one Service that a chain with a hash for a name serves, or an empty string."""
    if name := _named(chain.name):
        return name
    if short(chain.name) == chain.name:
        return ""
    for rule in (*chain.rules[:2], *callers):
        if name := service(rule):
            return name
    return ""


def short(name: str) -> str:
    """Cut a hash in a chain's name: ``KUBE-SVC-2CMXP7HKUVJN7L6M`` → ``KUBE-SVC-2CMX…``.

    A name of nftables mode loses the Service behind its hash as well, and its set keeps the ``@``.
    """
    if found := _NFT.match(name.removeprefix("@")):
        return f"{'@' * name.startswith('@')}{found[1]}{found[2][:4]}…"
    found = _HASHED.match(name)
    return f"{found[1]}{found[2][:4]}…" if found else name


def held(name: str) -> str:
    """Return what a chain holds, or what a set of nft does, whose name begins with ``@``."""
    return "element" if name.startswith("@") else "rule"


def shape(name: str) -> str:
    """Return what is left of a chain's name without its hash: ``KUBE-SEP-``, or an empty string."""
    found = _NFT.match(name.removeprefix("@")) or _HASHED.match(name)
    return f"{'@' * name.startswith('@')}{found[1]}" if found else ""


def _named(name: str) -> str:
    """Return the Service in a name of nftables mode: ``prod/web:http``."""
    found = _NFT.match(name.removeprefix("@"))
    return ":".join(filter(None, (found[3], found[4]))) if found else ""


def _said(pair: Sequence[Clause]) -> bool:
    """Tell whether the last of two words is ``comment``, or the text behind it."""
    return pair[-1].text == "comment" or (pair[0].text == "comment" and pair[-1].text[0] == '"')


def lines(parts: Iterable[Clause], width: int) -> list[str]:
    """Set clauses in lines of at most ``width`` letters, breaking between clauses only."""
    rows: list[str] = []
    for part in parts:
        text = elide(_short_jump(part), width + 8)
        if rows and len(rows[-1]) + 1 + len(text) <= width:
            rows[-1] += " " + text
        else:
            rows.append(text)
    return rows or ["(every packet)"]


def _short_jump(part: Clause) -> str:
    if part.option in ("-j", "-g"):
        flag, _, name = part.text.partition(" ")
        return f"{flag} {short(name)}"
    return part.text


def _needless(clause: Clause, protocol: str) -> bool:
    if clause.option == "--comment" or clause.text == "-m comment":
        return True
    return clause.option == "-m" and clause.text[3:] in _IMPLIED and clause.text[3:] == protocol
