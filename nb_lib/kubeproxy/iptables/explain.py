"""Backwards through a hash: which Service, and which endpoint, a chain of kube-proxy's stands for.

A hash cannot be undone, but recomputed: candidates come from objects, or from what a dump itself says in
its comments (``prod/web:http cluster IP``) and its DNAT rules. What does not recompute is not named.

Source: pkg/proxy/iptables/proxier.go portProtoHash(), servicePortEndpointChainName().
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple, overload

from nb_lib.kubeproxy.names import PortName, Target, endpoint_hash, service_hash
from nb_lib.kubeproxy.objects import PROTOCOLS, EndpointSlice, Key, KubeObject, Service
from nb_lib.rules import Ruleset
from nb_lib.text import save

KINDS = {
    "SVC": "draws one of its endpoints",
    "SVL": "draws one of its endpoints on this node",
    "EXT": "takes what comes from outside",
    "XLB": "takes what comes from outside, for endpoints on this node",
    "FW": "lets in who may use its load balancer",
    "SEP": "leads to one endpoint",
}
_HASHED = re.compile(f"KUBE-({'|'.join(KINDS)})-([A-Z2-7]{{16}})")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*(?::[A-Za-z0-9.-]+)?")
_RULE = re.compile(r"-A (\S+) ")
_JUMP = re.compile(r"-[jg] (\S+)")
_DNAT = re.compile(r"-j DNAT --to-destination (\S+)")
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')
MOST_TRIES = 1_000_000  # hashes that are computed for chains that nothing calls
WELL_KNOWN = ("default/kubernetes:https", "kube-system/kube-dns:dns", "kube-system/kube-dns:dns-tcp",
              "kube-system/kube-dns:metrics", "kube-system/metrics-server:https")  # fmt: skip


class Explained(NamedTuple):
    """What a chain's name stands for; ``missing`` says why it is unknown."""

    chain: str
    service: PortName | None = None
    target: Target | None = None
    missing: str = ""

    def __str__(self) -> str:
        if self.service is None:
            return f"{self.chain}: unknown; {self.missing}"
        kind = KINDS[_parts(self.chain)[0]]
        target = f" {self.target}" if self.target else ""
        return f"{self.chain}: {self.service} ({self.service.protocol}), {kind}{target}"


class Candidates(NamedTuple):
    """What may stand behind a hash: ``services`` and ``endpoints`` by theirs; ``origin`` says whose they are.

    Of a dump: ``targets`` are the endpoints in a chain's DNAT rules, ``callers`` the chains that call it;
    for one that nothing calls, so many Services are tried as ``tries`` says.
    """

    origin: str
    services: Mapping[str, PortName]
    endpoints: Mapping[str, tuple[PortName, str]] = {}
    targets: Mapping[str, Sequence[str]] = {}
    callers: Mapping[str, Sequence[str]] = {}
    tries: int = 0


@overload
def explain(what: str, objects: Iterable[KubeObject] | Ruleset | None = None) -> Explained: ...
@overload
def explain(what: Ruleset, objects: Iterable[KubeObject] | None = None) -> dict[str, Explained]: ...
def explain(
    what: str | Ruleset, objects: Iterable[KubeObject] | Ruleset | None = None
) -> Explained | dict[str, Explained]:
    """Say what a chain's name stands for: one name, or every hashed chain of a ruleset.

    For a name, ``objects`` are Kubernetes objects or a ruleset that holds the chain; without them only a
    few names that every cluster has are tried. A ruleset's own comments and rules are tried if there are
    no objects. Returns an Explained, or a dict of them by chain.
    """
    if isinstance(objects, Ruleset):
        found = of_dump(save(objects))
    elif objects is not None:
        found = of_objects(objects)
    elif isinstance(what, Ruleset):
        found = of_dump(save(what))
    else:
        named = (name for text in WELL_KNOWN for name in _ports(text))
        found = Candidates("names that every cluster has", _hashed(named))
    if isinstance(what, str):
        return _explained(what, found)
    names = [chain.name for table in what for chain in table if _HASHED.fullmatch(chain.name)]
    return {name: _explained(name, found) for name in names}


def _explained(chain: str, found: Candidates) -> Explained:
    if not _HASHED.fullmatch(chain):
        return Explained(chain, missing="its name holds no hash of kube-proxy's")
    kind, hashed = _parts(chain)
    if kind != "SEP":
        service = found.services.get(hashed)
        missing = "" if service else f"none of {found.origin} has this hash"
        return Explained(chain, service, missing=missing)
    if hashed in found.endpoints:
        service, target = found.endpoints[hashed]
        return Explained(chain, service, _target(target))
    for target in found.targets.get(chain, ()):
        for name in _likely(chain, found):
            if endpoint_hash(name, target) == hashed:
                return Explained(chain, name, _target(target))
    if found.endpoints or chain in found.targets:
        return Explained(chain, missing=f"no endpoint of {found.origin} has this hash")
    reason = "no DNAT rule says which endpoint, and no objects were given"
    return Explained(chain, missing=reason)


def _likely(chain: str, found: Candidates) -> list[PortName]:
    """Return the Services that an endpoint's chain may be of: those whose chains call it, or else all."""
    return _calling(chain, found) or [*islice(found.services.values(), found.tries)]


def _calling(chain: str, found: Candidates) -> list[PortName]:
    named = (found.services.get(_parts(caller)[1]) for caller in found.callers.get(chain, ()))
    return [name for name in named if name]


def _parts(chain: str) -> tuple[str, str]:
    _, kind, hashed = chain.split("-")
    return kind, hashed


# ── Candidates ──────────────────────────────────────────────────────────────────────


def of_objects(objects: Iterable[KubeObject]) -> Candidates:
    """Return every port of some Services, and every endpoint of their slices."""
    held = list(objects)
    names = [
        PortName(one.key, port.name, port.protocol)
        for one in held
        if isinstance(one, Service)
        for port in one.ports
    ]
    pairs = (
        (PortName(one.service, port.name, port.protocol), str(Target(endpoint.address, port.port)))
        for one in held
        if isinstance(one, EndpointSlice)
        for port in one.ports
        for endpoint in one.endpoints
    )
    endpoints = {endpoint_hash(*pair): pair for pair in pairs}
    return Candidates("the objects", _hashed(names), endpoints)


def of_dump(text: str) -> Candidates:
    """Return what a dump says itself: names in comments, endpoints in DNAT rules, who calls whom."""
    named: dict[str, None] = {}
    targets: dict[str, list[str]] = {}
    callers: dict[str, list[str]] = {}
    for line in text.splitlines():
        rule = _RULE.match(line)
        if rule is None:
            continue
        if comment := _COMMENT.search(line):
            named.update(dict.fromkeys(_NAME.findall(comment[1] or comment[2] or "")))
        if dnat := _DNAT.search(line):
            targets.setdefault(rule[1], []).append(dnat[1])
        elif (jump := _JUMP.search(line)) and _HASHED.fullmatch(rule[1]):
            callers.setdefault(jump[1], []).append(rule[1])
    names = (name for one in named for name in _ports(one))
    found = Candidates("the dump's comments", _hashed(names), {}, targets, callers)
    orphans = sum(not _calling(chain, found) for chain in targets if _HASHED.fullmatch(chain))
    return found._replace(tries=MOST_TRIES // max(1, orphans))


def _hashed(names: Iterable[PortName]) -> dict[str, PortName]:
    return {service_hash(name): name for name in names}


def _ports(text: str) -> Iterator[PortName]:
    """Yield what ``prod/web:http`` may name: a comment does not say the protocol."""
    key, _, port = text.partition(":")
    space, _, name = key.partition("/")
    for protocol in PROTOCOLS:
        yield PortName(Key(space, name), port, protocol)


def _target(text: str) -> Target:
    address, _, port = text.rpartition(":")
    return Target(ip_address(address.strip("[]")), int(port))
