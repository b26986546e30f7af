"""A node of one namespace: our loop writes its rules, and connections are made through them.

Run by test_kube_live.py in a network namespace of its own. Two endpoints are addresses of the node, the
cluster IP is no one's: what answers there is what the rules lead to. Prints a line a scenario: its name and
what happened.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

VIP, PODS, PORT = "10.96.0.10", ("10.244.1.5", "10.244.1.6"), 8080
FLAGS = [
    "--cluster-cidr=10.244.0.0/16",
    "--iptables-min-sync-period=100ms",
    "--iptables-sync-period=1s",
]


def sh(*words: str) -> None:
    subprocess.run(words, check=True)


def node() -> None:
    """Give the namespace its devices, and each endpoint a server that says which it is."""
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    for pod in (*PODS, "192.168.99.10"):
        sh("ip", "addr", "add", f"{pod}/24", "dev", "veth0")
    for end in ("veth0", "veth1"):
        sh("ip", "link", "set", end, "up")
    sh("ip", "route", "add", "default", "dev", "veth0")
    for pod in PODS:
        server = socket.create_server((pod, PORT))
        threading.Thread(target=serve, args=(server, pod), daemon=True).start()


def serve(server: socket.socket, name: str) -> None:
    while True:
        taken, _ = server.accept()
        threading.Thread(target=answer, args=(taken, name), daemon=True).start()


def answer(taken: socket.socket, name: str) -> None:
    with taken:
        while taken.recv(64):
            taken.sendall(name.encode())


def call(address: str = VIP, port: int = 80) -> str:
    """Return who answers, or the error's name."""
    try:
        with socket.create_connection((address, port), timeout=1) as made:
            return ask(made)
    except OSError as error:
        return type(error).__name__


def ask(made: socket.socket) -> str:
    made.sendall(b"?")
    return made.recv(64).decode()


class Loop:
    """Our program at work; its lines are waited for."""

    def __init__(self, manifest: Path, version: str, backend: str) -> None:
        words = [f"--version={version}", f"--backend={backend}", "--apply", *FLAGS, str(manifest)]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "nb_lib.kubeproxy", *words],
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

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def service(*pods: str, node_port: int = 30080, affinity: str = "None") -> str:
    """Return the Service and its slice, as JSON; no Service for no cluster IP."""
    meta = {"name": "web", "namespace": "prod"}
    port = {"port": 80, "nodePort": node_port}
    spec = {"type": "NodePort", "clusterIP": VIP, "ports": [port], "sessionAffinity": affinity}
    labels = {"kubernetes.io/service-name": "web"}
    items = [
        {"kind": "Service", "metadata": meta, "spec": spec},
        {
            "kind": "EndpointSlice", "metadata": {**meta, "labels": labels}, "addressType": "IPv4",
            "ports": [{"name": "", "port": PORT}],
            "endpoints": [{"addresses": [pod]} for pod in pods],
        },
    ]  # fmt: skip
    return json.dumps({"kind": "List", "items": items})


def flush(backend: str) -> None:
    program = f"iptables-{backend}"
    for table in ("nat", "filter", "mangle"):
        sh(program, "-t", table, "-F")
        sh(program, "-t", table, "-X")


def say(scenario: str, what: object) -> None:
    sys.stdout.write(f"{scenario}: {what}\n")
    sys.stdout.flush()


def main(folder: str, version: str, backend: str) -> None:
    node()
    manifest = Path(folder) / "web.json"
    later = "what has changed" if version == "1.30" else "everything"
    manifest.write_text(service(*PODS))
    loop = Loop(manifest, version, backend)
    say("both endpoints", sorted({call() for _ in range(40)}))
    say("the node's port", call("192.168.99.10", 30080) in PODS)
    say("the node's port on localhost", call("127.0.0.1", 30080) in PODS)
    manifest.write_text(service(*PODS, affinity="ClientIP"))
    loop.told(later)
    say("affinity", len({call() for _ in range(20)}))
    manifest.write_text(service(PODS[0]))
    loop.told(later)
    say("one endpoint left", sorted({call() for _ in range(20)}))
    with socket.create_connection((VIP, 80), timeout=2) as made:
        manifest.write_text(service(PODS[1]))
        loop.told(later)
        say("an open connection, its endpoint removed", ask(made))
        say("a new one", call())
        loop.end()
        say("the loop ended", call())
        loop = Loop(manifest, version, backend)
        say("an open connection, the loop restarted", ask(made))
    flush(backend)
    loop.told("everything")
    say("flushed and repaired", call())
    manifest.write_text(service())
    loop.told(later)
    say("no endpoints", call())
    manifest.write_text(json.dumps({"kind": "List", "items": []}))
    loop.told(later)
    say("no service", call())
    loop.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
