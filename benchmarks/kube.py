"""Deterministic dumps in kube-proxy's manner, of any size.

As kube-proxy's iptables mode writes them: one KUBE-SERVICES rule a Service, a KUBE-SVC chain that draws
an endpoint, a KUBE-SEP chain an endpoint; every 7th Service has a nodePort, every 13th session
affinity, every 23rd no endpoints, every 11th is UDP.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

FILTER_CHAINS = (
    "KUBE-EXTERNAL-SERVICES", "KUBE-FIREWALL", "KUBE-FORWARD", "KUBE-KUBELET-CANARY", "KUBE-NODEPORTS",
    "KUBE-PROXY-CANARY", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES",
)  # fmt: skip
NAT_CHAINS = (
    "KUBE-KUBELET-CANARY", "KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-PROXY-CANARY",
    "KUBE-SERVICES",
)  # fmt: skip
FILTER = """\
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
""".splitlines()  # noqa: E501 - lines of a dump
NAT = """\
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
""".splitlines()  # noqa: E501 - lines of a dump
LAST = (
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule '
    'in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'
)


class Service(NamedTuple):
    """One generated Service port."""

    number: int
    name: str
    protocol: str
    address: str
    port: int

    @property
    def chain(self) -> str:
        """The chain that draws its endpoint."""
        return "KUBE-SVC-" + _hash(self.name + self.protocol)

    @property
    def asks(self) -> str:
        """What a rule for its cluster address asks of a packet."""
        return (f'-d {self.address}/32 -p {self.protocol} -m comment --comment "{self.name} cluster IP" '
                f"-m {self.protocol} --dport {self.port}")  # fmt: skip


class _Rules:
    """The rules of a dump under construction."""

    def __init__(self) -> None:
        self.chains = list(NAT_CHAINS)
        self.services: list[str] = []
        self.nodeports: list[str] = []
        self.external: list[str] = []
        self.draws: list[str] = []
        self.endpoints: list[str] = []
        self.rejects: list[str] = []

    def __len__(self) -> int:
        lists = (
            self.services,
            self.nodeports,
            self.external,
            self.draws,
            self.endpoints,
            self.rejects,
        )
        return len(FILTER) + len(NAT) + 1 + sum(map(len, lists))


def services() -> Iterator[Service]:
    """Yield Services without end."""
    number = 0
    while True:
        udp = number % 11 == 10
        name = f"ns-{number % 37}/svc-{number:05d}:{'dns' if udp else 'http'}"
        address = str(IPv4Address("10.96.0.10") + number)
        port = 53 if udp else (80, 443, 8080, 9090)[number % 4]
        yield Service(number, name, "udp" if udp else "tcp", address, port)
        number += 1


def dump(*, rules: int = 0, count: int = 0, endpoints: int = 5) -> tuple[str, Service]:
    """Return a dump of at least ``rules`` rules or ``count`` Services, and the last Service to ask."""
    held, last, used = _Rules(), None, 0
    for service in services():
        if len(held) >= rules and service.number >= count:
            break
        if service.number % 23 == 22:
            held.rejects.append(_without_endpoints(service))
            continue
        _add(held, service, endpoints, used)
        used += endpoints
        if service.protocol == "tcp":
            last = service
    assert last is not None
    nat = [*NAT, *sorted(held.external), *held.nodeports, *_by_chain(held.endpoints), *held.services, LAST,
           *_by_chain(held.draws)]  # fmt: skip
    text = _table("filter", ("INPUT", "FORWARD", "OUTPUT"), FILTER_CHAINS, [*FILTER, *held.rejects])
    builtin = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
    return text + _table("nat", builtin, tuple(sorted(held.chains)), nat), last


def _without_endpoints(service: Service) -> str:
    asks = service.asks.replace("cluster IP", "has no endpoints")
    return f"-A KUBE-SERVICES {asks} -j REJECT --reject-with icmp-port-unreachable"


def _add(held: _Rules, service: Service, endpoints: int, used: int) -> None:
    """Add one Service's rules; ``used`` endpoints came before."""
    comment = f'-m comment --comment "{service.name}'
    held.chains.append(service.chain)
    held.services.append(f"-A KUBE-SERVICES {service.asks} -j {service.chain}")
    held.draws.append(f"-A {service.chain} ! -s 10.244.0.0/16 {service.asks} -j KUBE-MARK-MASQ")
    if service.number % 7 == 3:
        _add_nodeport(held, service)
    for number in range(endpoints):
        address = str(IPv4Address("10.244.0.2") + used + number)
        chain = "KUBE-SEP-" + _hash(f"{service.name}{service.protocol}{address}:{service.port}")
        recent = (
            f"--name {chain} --mask 255.255.255.255 --rsource" if service.number % 13 == 5 else ""
        )
        to = f'-A {service.chain} {comment} -> {address}:{service.port}"'
        left = endpoints - number
        draw = f" -m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        remember = f" -m recent --set {recent}" if recent else ""
        if recent:
            held.draws.append(f"{to} -m recent --rcheck --seconds 10800 --reap {recent} -j {chain}")
        held.chains.append(chain)
        held.draws.append(f"{to}{draw} -j {chain}")
        held.endpoints.append(f'-A {chain} -s {address}/32 {comment}" -j KUBE-MARK-MASQ')
        held.endpoints.append(f'-A {chain} -p {service.protocol} {comment}"{remember} -m {service.protocol} '
                              f"-j DNAT --to-destination {address}:{service.port}")  # fmt: skip


def _add_nodeport(held: _Rules, service: Service) -> None:
    chain = service.chain.replace("SVC", "EXT")
    held.chains.append(chain)
    held.nodeports.append(f'-A KUBE-NODEPORTS -p {service.protocol} -m comment --comment "{service.name}" '
                          f"-m {service.protocol} --dport {30000 + service.number % 2768} "
                          f"-j {chain}")  # fmt: skip
    held.external.append(f'-A {chain} -m comment --comment "masquerade traffic for {service.name} '
                         f'external destinations" -j KUBE-MARK-MASQ')  # fmt: skip
    held.external.append(f"-A {chain} -j {service.chain}")


def _by_chain(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda line: line.split(" ", 2)[1])


def _table(name: str, builtin: tuple[str, ...], chains: tuple[str, ...], lines: list[str]) -> str:
    head = [
        f"*{name}",
        *(f":{c} ACCEPT [0:0]" for c in builtin),
        *(f":{c} - [0:0]" for c in chains),
    ]
    return "\n".join([*head, *lines, "COMMIT", ""])


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]
