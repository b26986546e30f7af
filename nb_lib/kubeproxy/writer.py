"""Which kube-proxy wrote this dump: its mode and version, with the rules that show it.

The clues are what sets the recorded versions apart (``eras``), looked for in rules as iptables-save prints
them. A clue tells which versions can leave it; what all clues leave is the answer. It is an answer among
the versions that were recorded: rules of 1.26 look like 1.30's.

Sources: what kube-proxy 1.20, 1.21, 1.22 and 1.30 wrote; pkg/proxy/iptables/proxier.go, pkg/proxy/ipvs/
ipset.go, pkg/proxy/userspace/proxier.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nb_lib.kubeproxy.eras import ERAS
from nb_lib.kubeproxy.nftables.base import NAME
from nb_lib.rules import Chain, Ruleset
from nb_lib.text import nft, rule_text

_ALL = tuple(ERAS)
_OLD, _NEW = ("1.20", "1.21", "1.22"), ("1.30",)


class Evidence(NamedTuple):
    """A place in the dump and what it tells; ``rule`` is empty if a chain alone, or its absence, does."""

    table: str
    chain: str
    rule: str
    says: str
    versions: tuple[str, ...]

    def __str__(self) -> str:
        where = f"-A {self.chain} {self.rule}" if self.rule else self.chain
        return f"{self.table}: {where}\n    {self.says}: {', '.join(self.versions)}"


class Writer(NamedTuple):
    """Who wrote a dump.

    ``mode`` is ``iptables``, ``ipvs``, ``nftables``, ``userspace``, or empty if no rule is kube-proxy's;
    ``versions`` are those of the recorded ones that can have written it, oldest first. Two versions' rules
    in one dump, as after an upgrade without a clean-up, leave none.
    """

    mode: str
    versions: tuple[str, ...]
    evidence: tuple[Evidence, ...]

    def __str__(self) -> str:
        if not self.mode:
            return "No rule of this dump is kube-proxy's."
        who = " or ".join(self.versions) or "more than one version"
        return "\n".join([f"kube-proxy in {self.mode} mode, {who}", *map(str, self.evidence)])


class _Clue(NamedTuple):
    """A pattern of chains' names, one of their rules' text (empty: the chain itself), and what it tells."""

    table: str
    chain: str
    rule: str
    says: str
    versions: tuple[str, ...]
    absent: bool = False


_MODES = (
    _Clue("nat", "KUBE-PORTALS-(?:CONTAINER|HOST)", "", "userspace mode's portals", _OLD),
    _Clue("nat", "KUBE-LOAD-BALANCER", "", "IPVS mode's fixed chains", _ALL),
    _Clue("nat", "KUBE-SERVICES", "", "iptables mode's services", _ALL),
    _Clue("filter", "KUBE-EXTERNAL-SERVICES", "", "iptables mode's, from outside", _ALL),
)
_NAMES = ("userspace", "ipvs", "iptables", "iptables")
_SHARED = (
    _Clue("filter", "KUBE-FORWARD", "conntrack pod (?:source|destination) rule",
          "two rules, by the pods' range, let connections go on", _OLD),
    _Clue("filter", "KUBE-FORWARD", "forwarding conntrack rule", "one rule lets connections go on", _NEW),
)  # fmt: skip
_CLUES = (
    *_SHARED,
    _Clue("nat", "KUBE-EXT-.*", "", "what comes from outside has a chain KUBE-EXT", _NEW),
    _Clue("nat", "KUBE-XLB-.*", "", "local endpoints of a load balancer have a chain KUBE-XLB", _OLD),
    _Clue("filter", "KUBE-PROXY-FIREWALL", "", "source ranges are kept in filter", _NEW),
    _Clue("nat", "KUBE-MARK-DROP", "", "kube-proxy itself makes no KUBE-MARK-DROP", _NEW, absent=True),
    _Clue("filter", "KUBE-NODEPORTS", "", "health check ports are let in", ("1.21", "1.22", "1.30")),
    _Clue("filter", "KUBE-NODEPORTS", "", "health check ports are not let in", ("1.20",), absent=True),
    _Clue("nat", "KUBE-SERVICES", "cluster IP.* -j KUBE-MARK-MASQ$",
          "a cluster IP is marked in KUBE-SERVICES", ("1.20", "1.21")),
    _Clue("nat", "KUBE-SVC-.*", "cluster IP.* -j KUBE-MARK-MASQ$",
          "a cluster IP is marked in its service's chain", ("1.22", "1.30")),
    _Clue("nat", "KUBE-SERVICES", "external IP.*--physdev-is-in",
          "an external IP asks whether a packet came by a bridge", ("1.20",)),
    _Clue("filter", "KUBE-FIREWALL", "block incoming localnet", "nodePorts on localhost are guarded", _NEW),
)  # fmt: skip


def written_by(ruleset: Ruleset | nft.Ruleset) -> Writer:
    """Return which mode and versions of kube-proxy can have written a ruleset, with the evidence."""
    if isinstance(ruleset, nft.Ruleset):
        evidence = tuple(_in_nft(ruleset))
        return Writer("nftables", _NEW, evidence) if evidence else Writer("", (), ())
    found = ((mode, _found(ruleset, clue)) for mode, clue in zip(_NAMES, _MODES, strict=True))
    mode, first = next(((mode, place) for mode, place in found if place), ("", None))
    if first is None:
        return Writer("", (), ())
    clues = {"iptables": _CLUES, "ipvs": _SHARED}.get(mode, ())
    clued = [first, *filter(None, (_found(ruleset, clue) for clue in clues))]
    versions = tuple(version for version in _ALL if all(version in one.versions for one in clued))
    return Writer(mode, versions, tuple(clued))


def _in_nft(ruleset: nft.Ruleset) -> Iterator[Evidence]:
    """Yield the first rule of nftables mode in each of its tables; only 1.30's were recorded."""
    for table in ruleset:
        chain = table.chain.get("services")
        if table.name == NAME and chain is not None:
            rule = nft.rule_text(chain.rules[0]) if chain.rules else ""
            says = "nftables mode's table, whose map leads to the services"
            yield Evidence(f"{table.family} {table.name}", chain.name, rule, says, _NEW)


def _found(ruleset: Ruleset, clue: _Clue) -> Evidence | None:
    """Return where a clue is, None if it is nowhere."""
    for chain, rule in _places(ruleset, clue):
        if not clue.absent:
            return Evidence(clue.table, chain, rule, clue.says, clue.versions)
        return None
    if not clue.absent or "KUBE-SERVICES" not in _chains(ruleset, clue.table):
        return None  # what is gone altogether was flushed
    return Evidence(clue.table, f"no {clue.chain}", "", clue.says, clue.versions)


def _chains(ruleset: Ruleset, table: str) -> Mapping[str, Chain]:
    return ruleset[table].chains if table in ruleset else {}


def _places(ruleset: Ruleset, clue: _Clue) -> Iterator[tuple[str, str]]:
    name, words = re.compile(clue.chain), re.compile(clue.rule)
    for chain in _chains(ruleset, clue.table).values():
        if not name.fullmatch(chain.name):
            continue
        if not clue.rule:
            yield chain.name, ""
            continue
        yield from _rules(chain, words)


def _rules(chain: Chain, words: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    for rule in chain.rules:
        text = rule_text(rule)
        if words.search(text):
            yield chain.name, text
