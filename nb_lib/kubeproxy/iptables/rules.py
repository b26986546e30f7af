"""The input of iptables-restore that iptables mode writes, whole or in part, and the commands before it.

Source: pkg/proxy/iptables/proxier.go syncProxyRules(); pkg/util/iptables/iptables.go Monitor().
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nb_lib.hooks import builtin
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era, Jump
from nb_lib.kubeproxy.iptables import classic, modern
from nb_lib.kubeproxy.iptables.site import (
    LARGE,
    MASQUERADE,
    NODE_PORTS,
    SERVICES,
    TO_NODE,
    Block,
    Site,
    lines,
    said,
)  # fmt: skip
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import Key, KubeObject
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.rules import Ruleset
from nb_lib.text import parse

CANARY = "KUBE-PROXY-CANARY"
CANARY_TABLES = ("mangle", "nat", "filter")
NAT_CHAINS = (SERVICES, NODE_PORTS, "KUBE-POSTROUTING", MASQUERADE)
PROGRAMS = {4: "iptables", 6: "ip6tables"}
LAST = said("kubernetes service nodeports; NOTE: this must be the last rule in this chain")


def canaries(family: int = 4) -> Iterator[list[str]]:
    """Yield the commands that make the chains by which a flush is noticed."""
    for table in CANARY_TABLES:
        yield [PROGRAMS[family], "-N", CANARY, "-t", table]


def jumps(era: Era, family: int = 4) -> Iterator[list[str]]:
    """Yield the commands that make chains and the jumps to them; each jump is put before what is there.

    kube-proxy asks with ``-C`` first whether a jump is there.
    """
    program = PROGRAMS[family]
    for jump in era.jumps:
        yield [program, "-N", jump.target, "-t", jump.table]
        yield [program, "-I", jump.source, "-t", jump.table, *jump_words(jump)]
    for table, chain in era.ensured:
        yield [program, "-N", chain, "-t", table]


def prepared(era: Era, family: int = 4) -> Iterator[list[str]]:
    """Yield the commands that a start runs on an empty host, before its first restore."""
    yield from canaries(family)
    yield from jumps(era, family)


def jump_words(jump: Jump) -> list[str]:
    """Return the rule of a jump, as words of a command."""
    new = ["-m", "conntrack", "--ctstate", "NEW"] if jump.new else []
    comment = ["-m", "comment", "--comment", jump.comment] if jump.comment else []
    return [*new, *comment, "-j", jump.target]


def desired(
    objects: Iterable[KubeObject],
    config: Config,
    era: Era,
    family: int = 4,
    existing: Iterable[str] = (),
) -> str:
    """Return a first sync's input for ``iptables-restore --noflush``.

    ``existing`` are the chains that nat holds already: those of services that are gone get deleted.
    """
    return Rules(Tracked(config, era, family, objects)).whole(existing)


def loaded(text: str, era: Era, family: int = 4, backend: str = "nft") -> Ruleset:
    """Return what an empty host holds after ``prepared()`` and a restore of this input."""
    pieces = [piece.partition("\n") for piece in text.split("COMMIT\n") if piece]
    tables = {"*mangle": ""} | {first: rest for first, _, rest in pieces}
    names, dump = builtin(family, backend), ""
    for first, rest in tables.items():
        table = first[1:]
        bases = "".join(f":{chain} ACCEPT [0:0]\n" for chain in names[table])
        jumps = [jump for jump in era.jumps if jump.table == table]
        ours = [CANARY, *(chain for where, chain in era.ensured if where == table)]
        ours += [jump.target for jump in jumps]
        ahead = [f"-A {jump.source} {quoted(jump_words(jump))}" for jump in reversed(jumps)]
        written = rest.splitlines()
        ours += [line[1:].partition(" ")[0] for line in written if line.startswith(":")]
        rules = lines([line for line in written if not line.startswith(":")] + ahead)
        dump += f"{first}\n{bases}{declared(dict.fromkeys(ours))}{rules}COMMIT\n"
    return parse(dump, family=family, backend=backend)


class Rules:
    """The rules of what a proxier tracks; a service is computed again only when it has changed.

    Whoever has written what ``whole()`` or ``partial()`` return says so by ``tracked.synced()``.
    """

    def __init__(self, tracked: Tracked) -> None:
        self.tracked = tracked
        self._write = modern.block if tracked.era.external else classic.block
        self._blocks: dict[PortName, Block] = {}
        self._site: Site | None = None
        self._known = (tracked.node, False)

    def whole(self, existing: Iterable[str] = ()) -> str:
        """Return the input of a sync of everything."""
        return self._input(existing, None)

    def partial(self, existing: Iterable[str] = ()) -> str:
        """Return the input of a sync that rewrites the chains of changed services only (since 1.27)."""
        return self._input(existing, set(self.tracked.changed))

    def chains(self) -> set[str]:
        """Return the services' own chains in nat, as the last sync wanted them."""
        return {chain for block in self._blocks.values() for chain in block.chains}

    def _input(self, existing: Iterable[str], only: set[Key] | None) -> str:
        site = self._computed()
        blocks = self._blocks.values()
        kept = [one for name, one in self._blocks.items() if only is None or name.service in only]
        chains = [chain for block in kept for chain in block.chains]
        stale = self._stale(existing)
        own = {id(block): block.own for block in kept}
        nat = "".join([block.shared + own.get(id(block), "") for block in blocks])
        return "".join((
            "*filter\n", declared(site.era.filter_chains), *_localnet(site),
            *(block.filter for block in blocks), lines(_forward(site)), "COMMIT\n",
            "*nat\n", declared(NAT_CHAINS), declared(chains), declared(stale), lines(_marking(site)),
            nat, lines([f"-X {chain}" for chain in stale]), lines(_to_node_ports(site)), "COMMIT\n",
        ))  # fmt: skip

    def _stale(self, existing: Iterable[str]) -> list[str]:
        """Return those chains of nat that were a service's, and are no more."""
        prefixes = (modern if self.tracked.era.external else classic).PREFIXES
        mine = [chain for chain in existing if chain.startswith(prefixes)]
        kept = self.chains() if mine else set()
        return [chain for chain in mine if chain not in kept]

    def _computed(self) -> Site:
        """Compute what changed; everything, if the node changed or the cluster has become large."""
        tracked = self.tracked
        known = (tracked.node, tracked.endpoints > LARGE)
        if self._site is None or known != self._known:
            node, large = self._known = known
            self._site = Site(tracked.config, tracked.era, tracked.family, node, large=large)
            self._blocks.clear()
        old, self._blocks = self._blocks, {}
        for name, portal in tracked.portals.items():
            block = None if name.service in tracked.changed else old.get(name)
            self._blocks[name] = block or self._write(self._site, portal, tracked.reachable(portal))
        return self._site


def declared(chains: Iterable[str]) -> str:
    """Return the lines that make chains, or empty them."""
    return "".join([f":{chain} - [0:0]\n" for chain in chains])


def quoted(words: Iterable[str]) -> str:
    """Return words as a restore reads them, which knows double quotes only."""
    return " ".join(f'"{word}"' if " " in word else word for word in words)


# ── Rules that no service has part in ───────────────────────────────────────────────


def _localnet(site: Site) -> tuple[str, ...]:
    """Return KUBE-FIREWALL: what keeps others from the node's loopback, once it may be routed (1.30)."""
    if not site.era.external or not site.config.localhost_node_ports(site.family):
        return ()
    rule = (
        f"-A KUBE-FIREWALL {said('block incoming localnet connections')} -d 127.0.0.0/8 "
        "! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
    )
    return declared(["KUBE-FIREWALL"]), f"{rule}\n"


def _forward(site: Site) -> list[str]:
    start = "-A KUBE-FORWARD"
    tracked = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    return [
        f"{start} -m conntrack --ctstate INVALID -j DROP",
        f"{start} {said('kubernetes forwarding rules')} -m mark --mark {site.mark}/{site.mark} -j ACCEPT",
        *(f"{start} {said(comment)} {tracked}" for comment in site.era.forwarded),
    ]


def _marking(site: Site) -> list[str]:
    start, mark = "-A KUBE-POSTROUTING", site.mark
    masquerade = said("kubernetes service traffic requiring SNAT")
    return [
        f"{start} -m mark ! --mark {mark}/{mark} -j RETURN",
        f"{start} -j MARK --xor-mark {mark}",
        f"{start} {masquerade} -j MASQUERADE --random-fully",
        f"-A {MASQUERADE} -j MARK --or-mark {mark}",
    ]


def _to_node_ports(site: Site) -> list[str]:
    """Return the last rules of KUBE-SERVICES. IPv6 has no nodePorts on localhost, and 1.30 says so."""
    start, jump = f"-A {SERVICES} {LAST}", f"-j {NODE_PORTS}"
    closed = site.era.external and not site.config.localhost_node_ports(site.family)
    if site.node_ports is None:
        but = f" ! -d {site.loopback}" if closed else ""
        return [f"{start} {TO_NODE}{but} {jump}"]
    open_at = (ip for ip in site.node_ports if not (closed and ip.is_loopback))
    return [f"{start} -d {ip} {jump}" for ip in open_at]
