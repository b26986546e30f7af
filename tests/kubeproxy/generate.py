"""Clusters and flags that nobody recorded: every feature with every other, drawn from a seed."""

from __future__ import annotations

import random

from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.objects import KubeObject, read
from tests.kubeproxy.recorded import NODE

PROTOCOLS = ("TCP", "UDP", "SCTP")
FLAGS = (
    ("--cluster-cidr=10.244.0.0/16,fd00:10:244::/56", "--detect-local-mode=NodeCIDR", ""),
    ("--masquerade-all=true", "", ""),
    ("--iptables-masquerade-bit=31", "--iptables-masquerade-bit=0", ""),
    (
        "--nodeport-addresses=192.168.99.0/24",
        "--nodeport-addresses=127.0.0.0/8,10.20.0.0/16,fd00:99::/64",
        "--nodeport-addresses=203.0.113.0/24",
        "",
    ),
    ("--iptables-localhost-nodeports=false", ""),
    ("--feature-gates=TopologyAwareHints=true,ServiceInternalTrafficPolicy=true", ""),
    ("--detect-local-mode=BridgeInterface", "--detect-local-mode=InterfaceNamePrefix", "", ""),
)
DETECTED = ("--pod-bridge-interface=cni0", "--pod-interface-name-prefix=veth")


def config(chance: random.Random) -> Config:
    flags = [chance.choice(some) for some in FLAGS]
    return Config.from_flags(["--hostname-override=node-a", *DETECTED, *flags], NODE)


def cluster(chance: random.Random, family: int, services: int = 12) -> list[KubeObject]:
    documents: list[object] = [node()]
    for at in range(services):
        documents += service(chance, family, at)
    return read(documents)


def node() -> dict[str, object]:
    return {
        "kind": "Node",
        "metadata": {"name": "node-a", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.168.99.10"},
                {"type": "InternalIP", "address": "fd00:99::10"},
            ]
        },
    }


def service(chance: random.Random, family: int, at: int) -> list[object]:
    """Return a Service and its slices."""
    address = {4: "10.96.0.{}", 6: "fd00:10:96::{:x}"}[family]
    outer = {4: "198.51.100.{}", 6: "2001:db8::{:x}"}[family]
    ranges = {
        4: ["192.168.99.0/24", "198.18.0.0/15", "0.0.0.0/0"],
        6: ["fd00:99::/64", "2001:db8:1::/48", "::/0"],
    }[family]
    names = chance.choice(([""], ["http"], ["http", "dns-udp", "x.y-z"]))
    ports = [
        {
            "name": name, "port": chance.randrange(1, 65536), "protocol": chance.choice(PROTOCOLS),
            "nodePort": chance.choice((0, 30000 + 10 * at + which)),
        }
        for which, name in enumerate(names)
    ]  # fmt: skip
    kind = chance.choice(("ClusterIP", "NodePort", "LoadBalancer"))
    ingress = [{"ip": outer.format(100 + 2 * at + one)} for one in range(chance.randrange(3))]
    spec = {
        "type": kind, "clusterIP": address.format(at + 1), "ports": ports,
        "externalIPs": [outer.format(at + 1)][: chance.randrange(2)],
        "externalTrafficPolicy": chance.choice(("Local", "Cluster")),
        "internalTrafficPolicy": chance.choice(("Local", "Cluster")),
        "loadBalancerSourceRanges": chance.sample(ranges, chance.randrange(3)),
        "sessionAffinity": chance.choice(("None", "None", "ClientIP")),
        "healthCheckNodePort": 32000 + at,
    }  # fmt: skip
    if kind == "LoadBalancer" and chance.random() < 0.3:
        ingress = [{**one, "ipMode": "Proxy"} for one in ingress]
    marks = {"service.kubernetes.io/topology-aware-hints": "auto"} if chance.random() < 0.5 else {}
    meta = {"name": f"s{at}", "namespace": chance.choice(("prod", "a-b")), "annotations": marks}
    made: list[object] = [
        {
            "kind": "Service", "metadata": meta, "spec": spec,
            "status": {"loadBalancer": {"ingress": ingress}},
        }
    ]  # fmt: skip
    made += [
        endpoints(chance, family, f"{at}-{one}", ports, meta) for one in range(chance.randrange(3))
    ]
    return made


def endpoints(chance, family, name, ports, meta) -> dict[str, object]:
    """Return a slice: endpoints here and elsewhere, ready, serving and terminating, with hints."""
    at = int(name.partition("-")[0])
    pod = {4: "10.244.{}.{}", 6: "fd00:10:244:{:x}::{:x}"}[family]
    return {
        "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": meta["namespace"],
            "labels": {"kubernetes.io/service-name": meta["name"]},
        },
        "addressType": f"IPv{family}",
        "ports": [
            {"name": port["name"], "protocol": port["protocol"], "port": 8080 + number}
            for number, port in enumerate(ports)
        ],
        "endpoints": [
            {
                "addresses": [pod.format(chance.randrange(1, 4), 10 * at + one + 1)],
                "nodeName": chance.choice(("node-a", "node-b")),
                "conditions": {
                    "ready": chance.random() < 0.6, "serving": chance.random() < 0.7,
                    "terminating": chance.random() < 0.3,
                },
                "hints": {"forZones": [{"name": chance.choice(("zone-a", "zone-b"))}][: chance.randrange(9)]},
            }
            for one in range(chance.randrange(5))
        ],
    }  # fmt: skip
