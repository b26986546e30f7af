"""What nftables mode writes whatever the Services are: the commands of ``nft -f``, and the table they make.

Sources: pkg/proxy/nftables/proxier.go setupNFTables(), nftablesBaseChains, nftablesJumpChains (1.30);
compared with every recorded input and ruleset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from nb_lib.kubeproxy.objects import Address
from nb_lib.text import nft

NAME = "kube-proxy"
CLUSTER_IPS, NODE_PORT_IPS = "cluster-ips", "nodeport-ips"
NO_ENDPOINT_SERVICES, NO_ENDPOINT_NODE_PORTS = "no-endpoint-services", "no-endpoint-nodeports"
FIREWALL_IPS, SERVICE_IPS, SERVICE_NODE_PORTS = "firewall-ips", "service-ips", "service-nodeports"
# --iptables-masquerade-bit and --masquerade-all are iptables mode's: 1.30 has no flags for this mode's.
_BIT = 14
MARK, REJECT = "mark-for-masquerade", "reject-chain"

_BASES = (
    ("filter-prerouting", "filter", "prerouting", -110),
    ("filter-input", "filter", "input", -110),
    ("filter-forward", "filter", "forward", -110),
    ("filter-output", "filter", "output", -110),
    ("filter-output-post-dnat", "filter", "output", -90),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
)
_JUMPS = (
    ("nodeport-endpoints-check", "ct state new ", ("filter-input",)),
    ("service-endpoints-check", "ct state new ",
     ("filter-input", "filter-forward", "filter-output")),
    ("firewall-check", "ct state new ", ("filter-prerouting", "filter-output")),
    ("services", "", ("nat-output", "nat-prerouting")),
    ("masquerading", "", ("nat-postrouting",)),
    ("cluster-ips-check", "ct state new ", ("filter-forward", "filter-output-post-dnat")),
)  # fmt: skip
_INVALID = "Reject traffic to invalid ports of ClusterIPs"
_TO_PORT = "inet_proto . inet_service : verdict"
_PORT = "meta l4proto . th dport"
# "to" stands for the family and the table's name.
_MARKING = f"""\
add chain {{to}} {MARK}
flush chain {{to}} {MARK}
add rule {{to}} {MARK} mark set mark or {{mark}}
add rule {{to}} masquerading mark and {{mark}} == 0 return
add rule {{to}} masquerading mark set mark xor {{mark}}
add rule {{to}} masquerading masquerade fully-random
add set {{to}} {CLUSTER_IPS} {{{{ type {{address}} ; comment "Active ClusterIPs" ; }}}}
add rule {{to}} cluster-ips-check {{ip}} daddr @{CLUSTER_IPS} reject comment "{_INVALID}"
add set {{to}} {NODE_PORT_IPS} {{{{ type {{address}} ; comment "IPs that accept NodePort traffic" ; }}}}
"""
_LOOKING = f"""\
add map {{to}} {NO_ENDPOINT_SERVICES} {{{{ type {{address}} . {_TO_PORT} ; \
comment "vmap to drop or reject packets to services with no endpoints" ; }}}}
add map {{to}} {NO_ENDPOINT_NODE_PORTS} {{{{ type {_TO_PORT} ; \
comment "vmap to drop or reject packets to service nodeports with no endpoints" ; }}}}
add chain {{to}} {REJECT} {{{{ \
comment "helper for @{NO_ENDPOINT_SERVICES} / @{NO_ENDPOINT_NODE_PORTS}" ; }}}}
flush chain {{to}} {REJECT}
add rule {{to}} {REJECT} reject
add rule {{to}} service-endpoints-check {{ip}} daddr . {_PORT} vmap @{NO_ENDPOINT_SERVICES}
add rule {{to}} nodeport-endpoints-check {{node_ports}} {_PORT} vmap @{NO_ENDPOINT_NODE_PORTS}
add map {{to}} {FIREWALL_IPS} {{{{ type {{address}} . {_TO_PORT} ; \
comment "destinations that are subject to LoadBalancerSourceRanges" ; }}}}
add rule {{to}} firewall-check {{ip}} daddr . {_PORT} vmap @{FIREWALL_IPS}
add map {{to}} {SERVICE_IPS} {{{{ type {{address}} . {_TO_PORT} ; \
comment "ClusterIP, ExternalIP and LoadBalancer IP traffic" ; }}}}
add map {{to}} {SERVICE_NODE_PORTS} {{{{ type {_TO_PORT} ; comment "NodePort traffic" ; }}}}
add rule {{to}} services {{ip}} daddr . {_PORT} vmap @{SERVICE_IPS}
add rule {{to}} services {{local}}{{node_ports}} {_PORT} vmap @{SERVICE_NODE_PORTS}
flush set {{to}} {CLUSTER_IPS}
flush map {{to}} {FIREWALL_IPS}
flush map {{to}} {NO_ENDPOINT_SERVICES}
flush map {{to}} {NO_ENDPOINT_NODE_PORTS}
flush map {{to}} {SERVICE_IPS}
flush map {{to}} {SERVICE_NODE_PORTS}
"""


def family_name(family: int) -> str:
    """Return nft's name of a family."""
    return "ip" if family == 4 else "ip6"


def setup(family: int, node_ports: Iterable[Address] | None, *, anew: bool) -> str:
    """Return the commands that make the table, and empty all of it that no Service owns.

    ``node_ports`` are the addresses on which nodePorts answer, None for all of the node's own but
    loopback's. ``anew``: base chains are made anew, in case an older kube-proxy hung them elsewhere.
    """
    ip, to = family_name(family), f"{family_name(family)} {NAME}"
    words = {
        "to": to,
        "ip": ip,
        "address": f"ipv{family}_addr",
        "mark": f"{1 << _BIT:#010x}",
        "node_ports": f"{ip} daddr @{NODE_PORT_IPS}",
        "local": "",
    }
    answering = f"flush set {to} {NODE_PORT_IPS}\n"
    if node_ports is None:
        loopback = "127.0.0.0/8" if family == 4 else "::1"
        words |= {"node_ports": f"{ip} daddr != {loopback}", "local": "fib daddr type local "}
        answering = f"delete set {to} {NODE_PORT_IPS}\n"
    for address in node_ports or ():
        answering += f"add element {to} {NODE_PORT_IPS} {{ {address} }}\n"
    chains = "".join(f"{line}\n" for line in _chains(to, anew=anew))
    return chains + _MARKING.format_map(words) + answering + _LOOKING.format_map(words)


def _chains(to: str, *, anew: bool) -> Iterator[str]:
    yield f'add table {to} {{ comment "rules for kube-proxy" ; }}'
    for name, *_ in _BASES if anew else ():
        yield from (f"add chain {to} {name}", f"delete chain {to} {name}")
    for name, kind, hook, priority in _BASES:
        yield f"add chain {to} {name} {{ type {kind} hook {hook} priority {priority} ; }}"
        yield f"flush chain {to} {name}"
    for name, when, sources in _JUMPS:
        yield from (f"add chain {to} {name}", f"flush chain {to} {name}")
        yield from (f"add rule {to} {source} {when}jump {name}" for source in sources)


@cache
def table(family: int, node_ports: tuple[Address, ...] | None) -> nft.Table:
    """Return the table without any Service: what these commands make of an empty host."""
    return nft.apply(nft.Ruleset(), setup(family, node_ports, anew=False)).tables[0]
