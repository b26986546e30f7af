"""How real servers leave: one with connections stays, without weight, until the last of them has ended.

So a connection of TCP outlives the endpoint's removal, as it does in iptables mode by conntrack. A server of
UDP goes at once: its clients could not tell.

Source: pkg/proxy/ipvs/graceful_termination.go GracefulDeleteRS(), deleteRsFunc(); proxier.go syncEndpoint().
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nb_lib.headers import TCP
from nb_lib.text.ipvs import Counts, RealServer, VirtualServer


def settled(
    held: Iterable[VirtualServer], wanted: Iterable[VirtualServer], counts: Counts
) -> tuple[VirtualServer, ...]:
    """Return the virtual servers after a sync, or after a later look at those that are leaving.

    ``held`` are the kernel's, ``wanted`` what a sync asks for, ``counts`` the active and inactive
    connections of each real server (``Balancer.counts``). Servers that stay keep their places.
    """
    before = {service.key: service for service in held}
    return tuple(
        _one(before[service.key], service, counts) if service.key in before else service
        for service in wanted
    )


def _one(held: VirtualServer, wanted: VirtualServer, counts: Counts) -> VirtualServer:
    mine = {_where(server): server for server in wanted.servers}
    kept = []
    for server in held.servers:
        busy = wanted.protocol == TCP and any(counts.get((held.key, server), (0, 0)))
        if _where(server) in mine:
            kept.append(mine.pop(_where(server)))
        elif busy:
            kept.append(replace(server, weight=0))
    return wanted.with_servers(*kept, *mine.values())


def _where(server: RealServer) -> tuple[object, int]:
    return server.address, server.port
