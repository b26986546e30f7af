"""What every rule of a sync leans on, worked out once: how this node, family and version write rules.

Sources: pkg/proxy/iptables/proxier.go NewProxier(), syncProxyRules(), appendServiceCommentLocked(),
probability().
"""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.kubeproxy.config import LOOPBACK, Config
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.names import endpoint_hash
from nb_lib.kubeproxy.objects import Address, Node
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.topology import Backend, Backends

LARGE = 1_000  # endpoints, beyond which most comments are left out
SERVICES, NODE_PORTS = "KUBE-SERVICES", "KUBE-NODEPORTS"
EXTERNAL, MASQUERADE = "KUBE-EXTERNAL-SERVICES", "KUBE-MARK-MASQ"
FROM_NODE = "-m addrtype --src-type LOCAL"
TO_NODE = "-m addrtype --dst-type LOCAL"


class Block(NamedTuple):
    """What one port of a Service adds to a restore's input: lines of text, and the chains it needs.

    ``shared`` are nat's rules in the chains of all services, ``own`` those in its own chains. Before
    KUBE-EXT they stand mixed, all in ``shared``.
    """

    filter: str = ""
    chains: tuple[str, ...] = ()
    shared: str = ""
    own: str = ""


class Site:
    """How rules are written for one family on this node.

    ``local`` are the words that match what this node's pods send, ``foreign`` those that match the rest;
    both are empty where that cannot be told. ``node_ports`` are the addresses on which nodePorts answer,
    None for all. In a ``large`` cluster most comments are left out.
    """

    def __init__(
        self, config: Config, era: Era, family: int, node: Node | None, *, large: bool = False
    ) -> None:
        self.config, self.era, self.family, self.large = config, era, family, large
        self.local = " ".join(config.local(family, node))
        self.foreign = f"! {self.local}" if self.local else ""
        self.suffix = {4: "/32", 6: "/128"}[family] if era.masked else ""
        self.mark = f"0x{1 << config.masquerade_bit:08x}"
        self.loopback = LOOPBACK[family]
        self.node_ip = config.node_ip(era, family, node)
        self.node_ports = config.node_port_addresses(family)

    def at(self, portal: Portal, address: Address) -> str:
        """Return the words that match a port at one of its addresses."""
        protocol = portal.protocol
        return f"-m {protocol} -p {protocol} -d {address}{self.suffix} --dport {portal.port}"

    def comment(self, text: str) -> str:
        """Return a comment's words with a blank behind, nothing in a large cluster."""
        return "" if self.large else f"-m comment --comment {text} "

    def drawing(self, portal: Portal, chain: str, found: list[tuple[str, str]]) -> list[str]:
        """Return the rules of a chain that draw an endpoint: who was here before comes first.

        ``found`` holds each endpoint's chain and the comment of its rules, blank included.
        """
        rules = [
            f"-A {chain} {said}{remembered(portal, to)}" for to, said in found if portal.affinity
        ]
        return rules + [
            f"-A {chain} {said}{chance(left)}-j {to}"
            for left, (to, said) in zip(range(len(found), 0, -1), found, strict=True)
        ]

    def endpoint(self, portal: Portal, backend: Backend, chain: str) -> list[str]:
        """Return an endpoint's rules: one for its own calls that come back to it, one for all."""
        start, protocol = f"-A {chain} {self.comment(str(portal.name))}", portal.protocol
        recent = f"-m recent --name {chain} --set " if portal.affinity else ""
        return [
            f"{start}-s {backend.address}{self.suffix} -j {MASQUERADE}",
            f"{start}{recent}-m {protocol} -p {protocol} -j DNAT --to-destination {backend.text}",
        ]


def said(text: str) -> str:
    """Return the words of a comment."""
    return f'-m comment --comment "{text}"'


def by_node_port(portal: Portal) -> str:
    """Return the words that match a port at the node's own addresses."""
    return f"-m {portal.protocol} -p {portal.protocol} --dport {portal.node_port}"


def health(portal: Portal) -> str:
    """Return filter's rule that lets a load balancer ask whether there are endpoints on this node."""
    comment = said(f"{portal.name} health check node port")
    return f"-A {NODE_PORTS} {comment} -m tcp -p tcp --dport {portal.health_port} -j ACCEPT"


def chance(left: int) -> str:
    """Return the words that draw one of so many remaining endpoints, with a blank behind."""
    return f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""


def remembered(portal: Portal, chain: str) -> str:
    """Return the words that find a client which an endpoint served before, and its chain."""
    return f"-m recent --name {chain} --rcheck --seconds {portal.affinity} --reap -j {chain}"


def endpoint_chains(portal: Portal, found: Backends) -> dict[str, str]:
    """Return the chain of each endpoint, by its text."""
    return {one.text: f"KUBE-SEP-{endpoint_hash(portal.name, one.text)}" for one in found}


def lines(rules: list[str]) -> str:
    """Return rules as text."""
    return "\n".join([*rules, ""]) if rules else ""
