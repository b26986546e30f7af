"""Which connections a sync forgets: what conntrack still holds of a UDP service that has changed.

UDP has no end, so an entry lives as long as its client sends: it would go on to an endpoint that is gone,
or stay refused although there is one now. TCP ends by itself, and SCTP is left alone.

Sources: pkg/proxy/endpoints.go detectStaleConnections() (1.30: detectStaleConntrackEntries()),
pkg/proxy/iptables/proxier.go syncProxyRules(), deleteEndpointConnections() (1.30: pkg/proxy/conntrack/
cleanup.go), pkg/util/conntrack/conntrack.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.objects import Address
from nb_lib.kubeproxy.services import Portal
from nb_lib.kubeproxy.topology import Backends
from nb_lib.kubeproxy.tracked import Tracked


def opened(tracked: Tracked) -> list[list[str]]:
    """Return the conntrack commands that run before the restore: for nodePorts that are new (1.20)."""
    if (
        not tracked.era.clears_opened_ports
        or tracked.config.node_port_addresses(tracked.family) == ()
    ):
        return []
    found = []
    for name, before in tracked.before.items():
        new, old = tracked.portals.get(name), before.portal
        if name.protocol == "UDP" and new and new.node_port and not (old and old.node_port):
            found.append(_delete(tracked.family, "-p", "udp", "--dport", str(new.node_port)))
    return found


def stale(tracked: Tracked) -> list[list[str]]:
    """Return the conntrack commands that run after the restore, each once."""
    commands = [*_services(tracked), *_endpoints(tracked)]
    return [list(words) for words in dict.fromkeys(map(tuple, commands))]


def _services(tracked: Tracked) -> Iterator[list[str]]:
    """Yield what clears services that are gone, and those that have their first endpoint."""
    family, era = tracked.family, tracked.era
    ports = []
    for name, before in tracked.before.items():
        if name.protocol != "UDP":
            continue
        portal = tracked.portals.get(name)
        if portal is None:
            if before.portal:  # its cluster IP alone
                yield _delete(family, "--orig-dst", str(before.portal.cluster_ip), "-p", "udp")
        elif _living(era, tracked.backends.get(name, ())) and not _living(era, before.backends):
            balanced = portal.vips if era.udp_load_balancers else ()
            for ip in (portal.cluster_ip, *portal.external_ips, *balanced):
                yield _delete(family, "--orig-dst", str(ip), "-p", "udp")
            ports += [portal.node_port] if portal.node_port and not era.clears_opened_ports else []
    for port in ports:
        yield _delete(family, "-p", "udp", "--dport", str(port))


def _endpoints(tracked: Tracked) -> Iterator[list[str]]:
    """Yield what clears the connections to endpoints that are gone, by each way to them."""
    for name, before in tracked.before.items():
        portal = tracked.portals.get(name)
        if name.protocol != "UDP" or portal is None:
            continue
        left = {one.text for one in tracked.backends.get(name, ())}
        for one in _living(tracked.era, before.backends):
            if one.text not in left:
                yield from _gone(tracked.family, portal, one.address)


def _gone(family: int, portal: Portal, endpoint: Address) -> Iterator[list[str]]:
    if portal.node_port:
        port = str(portal.node_port)
        yield _delete(family, "-p", "udp", "--dport", port, "--dst-nat", str(endpoint))
    for ip in (portal.cluster_ip, *portal.external_ips, *portal.vips):
        yield _delete(family, "--orig-dst", str(ip), "--dst-nat", str(endpoint), "-p", "udp")


def _living(era: Era, found: Backends) -> Backends:
    """Return the endpoints that count: before 1.25 all, ready or not."""
    return tuple(one for one in found if one.serving or not era.serving_counts)


def _delete(family: int, *words: str) -> list[str]:
    return ["conntrack", "-D", *words, *(("-f", "ipv6") if family == 6 else ())]
