"""What the table of nftables mode holds whatever the Services are, in nft's own words.

Sources: pkg/proxy/nftables/proxier.go setupNFTables(), nftablesBaseChains, nftablesJumpChains (1.30);
compared with every recorded ruleset.
"""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.kubeproxy.objects import Address
from nb_lib.text import nft

NAME = "kube-proxy"
CLUSTER_IPS, NODE_PORT_IPS = "cluster-ips", "nodeport-ips"
NO_ENDPOINT_SERVICES, NO_ENDPOINT_NODE_PORTS = "no-endpoint-services", "no-endpoint-nodeports"
FIREWALL_IPS, SERVICE_IPS, SERVICE_NODE_PORTS = "firewall-ips", "service-ips", "service-nodeports"
# --iptables-masquerade-bit and --masquerade-all are iptables mode's: 1.30 has no flags for this mode's.
_BIT = 14
MARK, REJECT = "mark-for-masquerade", "reject-chain"

_SETS = (
    (CLUSTER_IPS, "{address}", "Active ClusterIPs"),
    (NODE_PORT_IPS, "{address}", "IPs that accept NodePort traffic"),
    (NO_ENDPOINT_SERVICES, "{address} . inet_proto . inet_service : verdict",
     "vmap to drop or reject packets to services with no endpoints"),
    (NO_ENDPOINT_NODE_PORTS, "inet_proto . inet_service : verdict",
     "vmap to drop or reject packets to service nodeports with no endpoints"),
    (FIREWALL_IPS, "{address} . inet_proto . inet_service : verdict",
     "destinations that are subject to LoadBalancerSourceRanges"),
    (SERVICE_IPS, "{address} . inet_proto . inet_service : verdict",
     "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
    (SERVICE_NODE_PORTS, "inet_proto . inet_service : verdict", "NodePort traffic"),
)  # fmt: skip
_BASES = (
    ("filter-prerouting", "filter", "prerouting", "dstnat - 10", ("firewall-check",)),
    ("filter-input", "filter", "input", "-110",
     ("nodeport-endpoints-check", "service-endpoints-check")),
    ("filter-forward", "filter", "forward", "-110", ("service-endpoints-check", "cluster-ips-check")),
    ("filter-output", "filter", "output", "-110", ("service-endpoints-check", "firewall-check")),
    ("filter-output-post-dnat", "filter", "output", "-90", ("cluster-ips-check",)),
    ("nat-prerouting", "nat", "prerouting", "dstnat", ("services",)),
    ("nat-output", "nat", "output", "-100", ("services",)),
    ("nat-postrouting", "nat", "postrouting", "srcnat", ("masquerading",)),
)  # fmt: skip
_INVALID = "Reject traffic to invalid ports of ClusterIPs"
_PORT = "meta l4proto . th dport"
_CHAINS = (
    ("nodeport-endpoints-check", (f"{{node_ports}} {_PORT} vmap @{NO_ENDPOINT_NODE_PORTS}",)),
    ("service-endpoints-check", (f"{{ip}} daddr . {_PORT} vmap @{NO_ENDPOINT_SERVICES}",)),
    ("firewall-check", (f"{{ip}} daddr . {_PORT} vmap @{FIREWALL_IPS}",)),
    ("services", (f"{{ip}} daddr . {_PORT} vmap @{SERVICE_IPS}",
                  f"{{local}}{{node_ports}} {_PORT} vmap @{SERVICE_NODE_PORTS}")),
    ("masquerading", ("meta mark & {mark} == 0x00000000 return", "meta mark set meta mark ^ {mark}",
                      "masquerade fully-random")),
    ("cluster-ips-check", (f'{{ip}} daddr @{CLUSTER_IPS} reject comment "{_INVALID}"',)),
    (MARK, ("meta mark set meta mark | {mark}",)),
    (REJECT, ('comment "helper for @no-endpoint-services / @no-endpoint-nodeports"', "reject")),
)  # fmt: skip


def table(family: int, node_ports: Iterable[Address] | None) -> nft.Table:
    """Return the table without any Service.

    ``node_ports`` are the addresses on which nodePorts answer, None for all of the node's own but
    loopback's.
    """
    ip = "ip" if family == 4 else "ip6"
    loopback = "127.0.0.0/8" if family == 4 else "::1"
    words = {
        "ip": ip,
        "address": f"ipv{family}_addr",
        "mark": f"{1 << _BIT:#010x}",
        "node_ports": f"{ip} daddr @{NODE_PORT_IPS}",
        "local": "",
    }
    if node_ports is None:
        words |= {"node_ports": f"{ip} daddr != {loopback}", "local": "fib daddr type local "}
    blocks = [
        _block(
            f"{'map' if 'verdict' in kind else 'set'} {name}", f"type {kind}", f'comment "{said}"'
        )
        for name, kind, said in _SETS
        if node_ports is not None or name != NODE_PORT_IPS
    ]
    for name, kind, hook, priority, jumps in _BASES:
        new = "ct state new " if kind == "filter" else ""
        head = f"type {kind} hook {hook} priority {priority}; policy accept;"
        blocks.append(_block(f"chain {name}", head, *(f"{new}jump {chain}" for chain in jumps)))
    blocks += [_block(f"chain {name}", *rules) for name, rules in _CHAINS]
    body = "\n".join(blocks).format_map(words)
    text = f'table {ip} {NAME} {{\n\tcomment "rules for kube-proxy"\n{body}}}\n'
    return nft.read_text(text).tables[0]


def _block(head: str, *lines: str) -> str:
    return "\n".join([f"\t{head} {{{{", *(f"\t\t{line}" for line in lines), "\t}}", ""])
