"""A node in userspace mode, for real: run in a network namespace of its own, it prints what clients got.

Real iptables rules lead to a real proxy. ``cni`` is a second namespace, a pod's; the node's own processes and
the pod call a Service by its cluster IP and its nodePort, the pod by its external IP too.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.objects import Service, read
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace import UserspaceProxy, prepared, wanted

NODE, POD, PORT = "192.168.99.10", "10.244.1.20", 8080
ENDPOINTS = ("127.0.0.2", "127.0.0.3")
CLUSTER_IP, EXTERNAL_IP, NODE_PORT = "10.96.0.10:80", "198.51.100.7:80", f"{NODE}:30080"
CALLS = {  # the node itself reaches an external IP only where it is the node's own
    "node": (CLUSTER_IP, NODE_PORT),
    "pod": (CLUSTER_IP, EXTERNAL_IP, NODE_PORT),
}
LINKS = f"""
ip link set lo up
ip link add eth0 type veth peer name outside
ip link set outside up
ip addr add {NODE}/24 dev eth0
ip link set eth0 up
ip route add default dev eth0
ip link add cni0 type veth peer name eth0 netns PID
ip addr add 10.244.1.1/24 dev cni0
ip link set cni0 up
"""
POD_LINKS = (
    f"ip addr add {POD}/24 dev eth0; ip link set eth0 up; ip route add default via 10.244.1.1"
)
DOCUMENTS = [
    {"kind": "Service", "metadata": {"name": "web"},
     "spec": {"type": "NodePort", "clusterIP": "10.96.0.10", "externalIPs": ["198.51.100.7"],
              "ports": [{"port": 80, "nodePort": 30080}]}},
    {"kind": "EndpointSlice", "addressType": "IPv4",
     "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
     "ports": [{"name": "", "port": PORT}],
     "endpoints": [{"addresses": [one]} for one in ENDPOINTS]},
]  # fmt: skip
CALL = """
import socket, sys
host, port = sys.argv[1].split(":")
with socket.create_connection((host, int(port)), 5) as call:
    call.sendall(b"hello")
    call.shutdown(socket.SHUT_WR)
    print(call.makefile().read())
"""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the endpoint's own address, the client's as it saw it, and what it heard."""
    own, client = (writer.get_extra_info(name)[0] for name in ("sockname", "peername"))
    writer.write(f"{own} {client} {(await reader.read()).decode()}".encode())
    writer.close()


async def call(address: str, pod: int | None = None) -> str:
    inside = ["nsenter", "-n", "-t", str(pod)] if pod else []
    words = [*inside, sys.executable, "-c", CALL, address]
    process = await asyncio.create_subprocess_exec(*words, stdout=-1, stderr=-1)
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    return said.decode().strip()


def run(*commands: list[str]) -> None:
    for command in commands:
        subprocess.run(command, check=True)


async def node(pod: int) -> dict[str, list[str]]:
    """Set the node up; return what each kind of client got, call by call."""
    run(*(line.split() for line in LINKS.replace("PID", str(pod)).strip().splitlines()))
    run(["nsenter", "-n", "-t", str(pod), "sh", "-c", POD_LINKS])
    objects = read(DOCUMENTS)
    tracked = Tracked(Config(), era("1.21"), 4, objects)
    for host in ENDPOINTS:
        await asyncio.start_server(serve, host, PORT)
    async with UserspaceProxy("0.0.0.0") as proxy:
        await proxy.sync(tracked)
        services = [one for one in objects if isinstance(one, Service)]
        rules = [jump for _, jump in prepared()]
        rules += wanted(services, proxy.ports, ip_address(NODE))
        run(*(make for make, _ in prepared()), *(rule.command() for rule in rules))
        clients = {"node": None, "pod": pod}
        return {who: [await call(to, clients[who]) for to in calls] for who, calls in CALLS.items()}


def main() -> None:
    pod = subprocess.Popen(["unshare", "-n", "sleep", "60"])
    try:
        own, its = (Path(f"/proc/{pid}/ns/net") for pid in ("self", pod.pid))
        while own.readlink() == its.readlink():
            time.sleep(0.01)
        sys.stdout.write(json.dumps(asyncio.run(node(pod.pid))))
    finally:
        pod.kill()
        pod.wait()


if __name__ == "__main__":
    main()
