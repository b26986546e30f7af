"""kube-proxy's iptables mode at 10,000 Services of two endpoints: what its computation costs.

Run as a program it measures one version and prints three numbers, in a process of its own: that is how
its memory is known.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from ipaddress import ip_address

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.iptables import Rules
from nb_lib.kubeproxy.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Key,
    KubeObject,
    Service,
    ServicePort,
)
from nb_lib.kubeproxy.tracked import Tracked

VERSIONS = ("1.21", "1.30")
SERVICES, PODS = ip_address("10.96.0.1"), ip_address("10.244.0.1")
CONFIG = Config.from_flags(["--cluster-cidr=10.244.0.0/14"])


def cluster(services: int, endpoints: int = 2) -> list[KubeObject]:
    """Return Services in 50 namespaces, every seventh with a nodePort, and a slice for each."""
    made: list[KubeObject] = []
    for at in range(services):
        key = Key(f"namespace-{at % 50}", f"service-{at}")
        kind, port = ("NodePort", 30_000 + at) if at % 7 == 0 else ("ClusterIP", 0)
        ports = (ServicePort(80, "TCP", "http", 8080, port),)
        pods = (
            Endpoint(PODS + endpoints * at + one, node=f"node-{one}") for one in range(endpoints)
        )
        piece = EndpointSlice(
            Key(key.namespace, f"{key.name}-x"),
            key,
            4,
            tuple(pods),
            (EndpointPort("http", "TCP", 8080),),
        )
        made += [Service(key, kind, (SERVICES + at,), ports), piece]
    return made


def measured(version: str) -> tuple[float, float, float]:
    """Return seconds for all rules, milliseconds after one change, megabytes at the most."""
    command = [sys.executable, "-m", "benchmarks.proxy", version]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    whole, change, held = json.loads(done.stdout)
    return whole, change, held


def main(version: str) -> None:
    """Compute once from nothing, then three times after one endpoint is gone; print what it cost."""
    objects, chosen = cluster(10_000), era(version)
    start = time.process_time()
    tracked = Tracked(CONFIG, chosen, 4, objects)
    rules = Rules(tracked)
    assert rules.whole().count("-j DNAT") == 20_000
    whole, changes = time.process_time() - start, []
    for piece in objects[1001:7001:2000]:
        assert isinstance(piece, EndpointSlice)
        start = time.process_time()
        tracked.synced()
        tracked.apply([replace(piece, endpoints=piece.endpoints[:1])])
        text = rules.partial() if chosen.partial else rules.whole()
        changes.append((time.process_time() - start) * 1000)
        assert f"--to-destination {piece.endpoints[0].address}:8080\n" in text
        assert f"--to-destination {piece.endpoints[1].address}:8080\n" not in text
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([whole, max(changes), held]))


if __name__ == "__main__":
    main(*sys.argv[1:])
