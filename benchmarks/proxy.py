"""kube-proxy's modes that write rules, at 10,000 Services of two endpoints: what its computation costs.

From objects in memory to the text for ``iptables-restore`` or ``nft -f``, all of it and after one change.
Run as a program it measures one mode and version and prints three numbers, in a process of its own: that
is how its memory is known.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, Protocol

from nb_lib.kubeproxy import iptables, nftables
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
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


class Cost(NamedTuple):
    """Processor seconds for everything, milliseconds after one change, megabytes at the most."""

    whole: float
    change: float
    memory: float


class Mode(Protocol):
    """What writes a mode's inputs; ``draw`` is what it says of an endpoint's address."""

    draw: str

    def whole(self) -> str:
        """Return the input of a first sync."""
        ...

    def changed(self) -> str:
        """Return the input of the sync after a change."""
        ...


class Iptables:
    """``iptables-restore``'s inputs: after a change the part of it that a version writes."""

    draw: str = "--to-destination {}:8080\n"

    def __init__(self, tracked: Tracked) -> None:
        self.rules, self.partial = iptables.Rules(tracked), tracked.era.partial
        self.whole = self.rules.whole

    def changed(self) -> str:
        """Return what follows a change."""
        return self.rules.partial() if self.partial else self.rules.whole()


class Nftables:
    """``nft -f``'s inputs: always everything, and the chains of the last one are found there."""

    draw: str = "dnat to {}:8080\n"

    def __init__(self, tracked: Tracked) -> None:
        self.rules = nftables.Rules(tracked)
        self.found: list[str] = []

    def whole(self) -> str:
        """Return everything."""
        text = self.rules.written((), (), 0.0, anew=True)
        self.found = re.findall(r"^add chain ip kube-proxy (\S+)$", text, re.MULTILINE)
        return text

    def changed(self) -> str:
        """Return everything again."""
        return self.rules.written(self.found, (), 1.0, anew=False)


MODES: dict[str, Callable[[Tracked], Mode]] = {"iptables": Iptables, "nftables": Nftables}
MEASURED = (("iptables", "1.21"), ("iptables", "1.30"), ("nftables", "1.30"))


def measured(mode: str, version: str) -> Cost:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.proxy", mode, version]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(*json.loads(done.stdout))


def main(mode: str, version: str) -> None:
    """Compute once from nothing, then three times after one endpoint is gone; print what it cost."""
    objects, changes = cluster(10_000), []
    start = time.process_time()
    tracked = Tracked(CONFIG, era(version), 4, objects)
    writer = MODES[mode](tracked)
    text = writer.whole()
    whole = time.process_time() - start
    assert text.count(writer.draw.partition("{")[0]) == 20_000
    for piece in objects[1001:7001:2000]:
        assert isinstance(piece, EndpointSlice)
        start = time.process_time()
        tracked.synced()
        tracked.apply([replace(piece, endpoints=piece.endpoints[:1])])
        text = writer.changed()
        changes.append((time.process_time() - start) * 1000)
        kept, gone = (writer.draw.format(one.address) for one in piece.endpoints)
        assert kept in text
        assert gone not in text
    print(json.dumps(Cost(whole, max(changes), largest())))


def largest() -> float:
    """Return the most memory that this process has held, in MB.

    Not getrusage()'s: a program that was started inherits what its parent held (fs/exec.c exec_mmap()).
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
