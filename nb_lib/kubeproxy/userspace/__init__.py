"""Userspace mode (until 1.25): rules lead to kube-proxy's own sockets, and it copies bytes."""

from nb_lib.kubeproxy.userspace.loopback import Endpoints, UdpClient, ask
from nb_lib.kubeproxy.userspace.proxy import RoundRobin, UserspaceProxy
from nb_lib.kubeproxy.userspace.rules import Rule, prepared, wanted

__all__ = [
    "Endpoints",
    "RoundRobin",
    "Rule",
    "UdpClient",
    "UserspaceProxy",
    "ask",
    "prepared",
    "wanted",
]
