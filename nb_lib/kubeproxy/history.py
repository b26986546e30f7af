"""What changed from one version of kube-proxy to the next, and what for.

Which facts differ is read off ``eras.ERAS``; here stands what each difference means to a reader of rules. An
era is compared with the one before it in that table, so a change of 1.30 came with some version after 1.22.

Sources: the pull requests and enhancement proposals (KEP) that each row names, of kubernetes/kubernetes and
kubernetes/enhancements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import NamedTuple

from nb_lib.kubeproxy.eras import ERAS, Era


class Change(NamedTuple):
    """What a version's rules have that those of the version before had not, and what for.

    ``facts`` are the fields of ``Era`` that say it; ``source`` is a pull request or KEP, if one is known.
    """

    version: str
    facts: tuple[str, ...]
    what: str
    reason: str
    source: str = ""


_CHANGES = (
    Change("1.21", ("jumps", "filter_chains", "health_ports"),
           "filter gets KUBE-NODEPORTS, called from INPUT, which accepts healthCheckNodePorts",
           "a load balancer's health checks arrive though INPUT drops by policy", "#97824"),
    Change("1.21", ("gates",), "ip6tables gets the same chains, on every node",
           "dual-stack Services are on by default", "KEP-563"),
    Change("1.21", ("external_on_device",),
           "an external IP has one rule and a mark by the source, no more two by physdev and addrtype",
           "pods behind any network plugin are told from strangers by their addresses"),
    Change("1.21", ("clears_opened_ports",),
           "conntrack forgets a UDP nodePort when its first endpoint comes, not when its socket opens",
           "packets that came before the endpoint no longer pin a client to nobody"),
    Change("1.22", ("masquerade_inside",),
           "a cluster IP's jump to KUBE-MARK-MASQ moves from KUBE-SERVICES into KUBE-SVC",
           "the chain that every new connection walks has half the rules", "#96959"),
    Change("1.22", ("grouped",), "the rules that draw come first, then those of the endpoints' chains",
           "each chain is written in one piece"),
    Change("1.22", ("gates", "hints"),
           "internalTrafficPolicy counts; the annotation of hints may be written Auto",
           "a Service may stay on its node", "KEP-2086, KEP-2433"),
    Change("1.22", ("counts_unready",),
           "a Service whose endpoints are all unready has chains, and is not refused",
           "endpoints on their way out were to be used (1.30 does it without this)", "KEP-1669"),
    Change("1.22", ("stops_without_address",),
           "a node without an address for nodePorts still gets the rest of a Service's rules",
           "one bad flag does not cost the load balancer"),
    Change("1.30", ("external",),
           "KUBE-XLB and the jumps of KUBE-FW become KUBE-EXT; KUBE-SVL holds the local endpoints",
           "inside or outside, and any endpoint or local ones, are two questions, each with its chains",
           "#109060"),
    Change("1.30", ("partial",), "a sync writes the chains of changed Services only",
           "the input of iptables-restore no longer grows with every endpoint of the cluster", "KEP-3453"),
    Change("1.30", ("ensured", "jumps", "filter_chains"),
           "KUBE-MARK-DROP is gone: filter drops, in KUBE-PROXY-FIREWALL and KUBE-SERVICES; KUBE-FIREWALL "
           "is kube-proxy's own",
           "kube-proxy no longer needs a chain that the kubelet owns", "#110289, KEP-3178"),
    Change("1.30", ("gates",),
           "endpoints that terminate serve when no others do; hints and internalTrafficPolicy are on; a "
           "load balancer's address may be its own business (ipMode Proxy)",
           "no connection is refused while a rollout is under way", "KEP-1669, KEP-1860"),
    Change("1.30", ("counts_unready", "serving_counts"),
           "only endpoints that serve count, for chains and for a UDP Service's first and last",
           "the same question has the same answer everywhere", "KEP-1669"),
    Change("1.30", ("udp_load_balancers",),
           "a UDP Service's first endpoint also clears connections to its load balancer's addresses",
           "clients from outside are no longer pinned to nobody"),
    Change("1.30", ("policy_needs_node_port",), "externalTrafficPolicy counts for external IPs alone",
           "the policy is one of outside traffic, however it comes in"),
    Change("1.30", ("hints",), "any value of the annotation but disabled switches hints on",
           "other kinds of hints can be tried out", "KEP-2433"),
    Change("1.30", ("bind_address",), "the node's address is its Node object's, not --bind-address",
           "source ranges that name the node mean the node"),
    Change("1.30", ("forwarded", "masked"),
           "KUBE-FORWARD accepts established connections by one rule; addresses have no /32",
           "less text"),
)  # fmt: skip


def differing(old: Era, new: Era) -> frozenset[str]:
    """Return the facts in which two eras differ, but for their names."""
    names = {field.name for field in fields(Era)} - {"version"}
    return frozenset(name for name in names if getattr(old, name) != getattr(new, name))


def history() -> Iterator[Change]:
    """Yield the changes from the first known version to the last; of those that are no longer so, none."""
    for old, new in pairwise(ERAS.values()):
        facts = differing(old, new)
        yield from (
            one for one in _CHANGES if one.version == new.version and facts.intersection(one.facts)
        )
