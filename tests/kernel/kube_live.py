"""Our loop writes a node's rules, and connections are made through them: from pods, the node, and beyond.

Run by test_kube_live.py in a network namespace of its own, which is the node; each pod has another. The
cluster IP is no one's: what answers there is what the rules lead to. Prints a line a scenario: its name and
what happened.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.kernel.kube_pods import (
    NODE,
    PORT,
    Namespace,
    Pod,
    ask,
    ask_udp,
    call,
    node,
    open_udp,
    sh,
)

VIP, PODS, CLIENT = "10.96.0.10", ("10.244.1.5", "10.244.1.6"), "10.244.1.7"
FLAGS = [
    "--cluster-cidr=10.244.0.0/16",
    "--iptables-min-sync-period=100ms",
    "--hostname-override=node-a",
]
GATE = "--feature-gates=NFTablesProxyMode=true"
# What notices a flush looks for it each period; what does not is left to its next sync.
MORE = {
    "iptables": ["--iptables-sync-period=1s", GATE],
    "nftables": [GATE],
    "userspace": [],
}


class Start(NamedTuple):
    """How the program is started: it is asked again after each restart."""

    manifest: Path
    version: str
    mode: str = "iptables"
    backend: str = "nft"

    @property
    def words(self) -> list[str]:
        return [f"--version={self.version}", f"--proxy-mode={self.mode}", "--apply",
                f"--backend={self.backend}", *FLAGS, *MORE[self.mode], str(self.manifest)]  # fmt: skip

    @property
    def later(self) -> str:
        """What the program says after a change."""
        partial = self.mode == "userspace" or (self.mode, self.version) == ("iptables", "1.30")
        return "what has changed" if partial else "everything"

    def flush(self) -> None:
        """Take away all that the mode has written."""
        if self.mode == "nftables":
            sh("nft delete table ip kube-proxy")
            return
        for table in ("nat", "filter", "mangle"):
            for option in ("-F", "-X"):
                sh(f"iptables-{self.backend} -t {table} {option}")


class Loop:
    """Our program at work; its lines are waited for."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "nb_lib.kubeproxy", *start.words],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told("everything")

    def told(self, what: str) -> None:
        """Wait for a line about IPv4; the test that started all this has the patience."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("IPv4") and what in line:
                return
        raise SystemExit("the loop has ended")

    def change(self, **given: object) -> None:
        """Write the manifest anew and wait until the rules have followed."""
        write(self.start.manifest, **given)  # type: ignore[arg-type]
        self.told(self.start.later)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def write(
    manifest: Path, *, pods: tuple[str, ...] = (), affinity: str = "None", there: bool = True
) -> None:
    """Write the node, the Service and its slice, as JSON."""
    meta = {"name": "web", "namespace": "prod"}
    ports = [{"name": p.lower(), "protocol": p, "port": 80} for p in ("TCP", "UDP")]
    numbered = [{**port, "nodePort": 30080} for port in ports]
    spec = {"type": "NodePort", "clusterIP": VIP, "ports": numbered, "sessionAffinity": affinity}
    labels = {"kubernetes.io/service-name": "web"}
    address = [{"type": "InternalIP", "address": NODE}]
    service = [
        {"kind": "Service", "metadata": meta, "spec": spec},
        {
            "kind": "EndpointSlice", "metadata": {**meta, "labels": labels}, "addressType": "IPv4",
            "ports": [{**port, "port": PORT} for port in ports],
            "endpoints": [{"addresses": [pod], "nodeName": "node-a"} for pod in pods],
        },
    ]  # fmt: skip
    items = [{"kind": "Node", "metadata": {"name": "node-a"}, "status": {"addresses": address}}]
    manifest.write_text(json.dumps({"kind": "List", "items": items + service * there}))


def say(scenario: str, what: object) -> None:
    sys.stdout.write(f"{scenario}: {what}\n")
    sys.stdout.flush()


def seen(where: Namespace | None, address: str = VIP, port: int = 80, times: int = 30) -> list[str]:
    """Return all answers that calls from somewhere got; None: from the node."""
    calls = (where.do(call, address, port) if where else call(address, port) for _ in range(times))
    return sorted(set(calls))


def both(outside: Namespace, client: Pod, endpoint: Pod) -> None:
    """Call two endpoints from everywhere: who answers, and whom do they see."""
    say("from a pod", seen(client))
    say("from an endpoint itself", seen(endpoint))
    say("from the node", seen(None))
    say("from beyond the node", seen(outside))
    say("the node's port from beyond", seen(outside, NODE, 30080))
    say("the node's port on localhost", seen(None, "127.0.0.1", 30080, 9))
    say("another port of the cluster IP", seen(client, VIP, 81, 1))
    say("a datagram", ask_udp(client.do(open_udp, VIP, 80)).partition(" ")[0] in PODS)


def switch(folder: str) -> None:
    """Change the mode of a node that serves: from iptables to nftables, and back."""
    node()
    client, pod, start = Pod(CLIENT), Pod(PODS[0]), Start(Path(folder) / "web.json", "1.30")
    pod.serve()
    write(start.manifest, pods=PODS[:1])
    loop = Loop(start)
    with client.do(socket_to, VIP) as made:
        for mode in ("nftables", "iptables"):
            ask(made)
            loop.end()
            loop = Loop(start._replace(mode=mode))
            say(f"an open connection, now in {mode} mode", ask(made))
            say("a new connection", seen(client))
            say(
                "chains of iptables' services",
                len(re.findall("^:KUBE-S(?:VC|EP)-", output("iptables-save"), re.MULTILINE)),
            )
            say("tables of nft", output("nft", "list", "tables").count("kube-proxy"))
    loop.end()


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def main(folder: str, version: str, mode: str, backend: str) -> None:
    outside, client, *pods = node(), *map(Pod, (CLIENT, *PODS))
    for pod in pods:
        pod.serve()
    start = Start(Path(folder) / "web.json", version, mode, backend)
    write(start.manifest, pods=PODS)
    loop = Loop(start)
    both(outside, client, pods[0])
    loop.change(pods=PODS, affinity="ClientIP")
    say("affinity", len(seen(client)))
    loop.change(pods=PODS[:1])
    say("one endpoint left", seen(client))
    with client.do(socket_to, VIP) as made, client.do(open_udp, VIP, 80) as datagrams:
        say("a client of UDP", ask_udp(datagrams))
        ask(made)
        loop.change(pods=PODS[1:])
        say("an open connection, its endpoint removed", ask(made))
        time.sleep(1)  # a userspace proxy forgets a silent client
        say("the client of UDP, its endpoint removed", ask_udp(datagrams))
        say("a new connection", seen(client))
        loop.end()
        say("the loop ended", seen(client, times=9))
        loop = Loop(start)
        say("an open connection, the loop restarted", ask(made))
    lost(loop, client)
    loop.change()
    say("no endpoints", seen(client, times=1))
    loop.change(there=False)
    say("no service", seen(client, times=1))
    loop.end()


def lost(loop: Loop, client: Pod) -> None:
    """All rules are taken away: iptables mode watches for that, the others wait for their next sync."""
    loop.start.flush()
    if loop.start.mode != "iptables":
        say("flushed, nothing changed", seen(client, times=1))
        loop.change(pods=PODS[1:], affinity="ClientIP")
    else:
        loop.told("everything")
    say("flushed and repaired", seen(client))


def socket_to(address: str) -> socket.socket:
    return socket.create_connection((address, 80), timeout=2)


if __name__ == "__main__":
    switch(sys.argv[1]) if len(sys.argv) == 2 else main(*sys.argv[1:])
