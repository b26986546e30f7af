"""Deterministic dumps in kube-proxy's manner, of any size."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

FILTER_CHAINS = ("KUBE-EXTERNAL-SERVICES", "KUBE-FIREWALL", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-SERVICES")
FILTER = (
    '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
    "-A INPUT -j KUBE-FIREWALL",
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
)
NAT = (
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
)
LAST = (
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in '
    'this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'
)


class Service(NamedTuple):
    """One generated Service: its cluster address and the chains that it has."""

    number: int
    name: str
    address: str
    chain: str


def services() -> Iterator[Service]:
    """Yield Services without end."""
    number = 0
    while True:
        name = f"ns-{number % 37}/svc-{number:05}:http"
        address = str(IPv4Address("10.96.0.10") + number)
        yield Service(number, name, address, "KUBE-SVC-" + _hash(name + "tcp"))
        number += 1


def dump(*, rules: int = 0, count: int = 0, endpoints: int = 5) -> tuple[str, Service]:
    """Return a dump of at least ``rules`` rules or ``count`` Services, and the last Service in it."""
    entries, lines, chains = [], [], ["KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES"]
    for service in services():
        entries.append(f"-A KUBE-SERVICES -d {service.address}/32 -p tcp -m comment --comment "
                       f'"{service.name} cluster IP" -m tcp --dport 80 -j {service.chain}')  # fmt: skip
        chains.append(service.chain)
        for line in _service(service, endpoints):
            chain = line.split(" ", 2)[1]
            if chain != chains[-1] and chain != service.chain:
                chains.append(chain)
            lines.append(line)
        if len(lines) + len(entries) >= rules and service.number + 1 >= count:
            break
    lines.sort(key=lambda line: line.split(" ", 2)[1])
    text = _table("filter", ("INPUT", "FORWARD", "OUTPUT"), FILTER_CHAINS, FILTER)
    nat = (*NAT, *entries, LAST, *lines)
    return text + _table("nat", ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"), sorted(set(chains)), nat), service


def _service(service: Service, endpoints: int) -> Iterator[str]:
    comment = f'-m comment --comment "{service.name}'
    yield (f"-A {service.chain} ! -s 10.244.0.0/16 -d {service.address}/32 -p tcp {comment} cluster IP\" "
           "-m tcp --dport 80 -j KUBE-MARK-MASQ")  # fmt: skip
    for number in range(endpoints):
        address = IPv4Address("10.244.0.2") + service.number * endpoints + number
        chain = "KUBE-SEP-" + _hash(f"{service.name}tcp{address}:8080")
        left = endpoints - number
        chance = f" -m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        yield f'-A {service.chain} {comment} -> {address}:8080"{chance} -j {chain}'
        yield f'-A {chain} -s {address}/32 {comment}" -j KUBE-MARK-MASQ'
        yield f'-A {chain} -p tcp {comment}" -m tcp -j DNAT --to-destination {address}:8080'


def _table(name: str, builtin: tuple[str, ...], chains: tuple[str, ...] | list[str], lines: tuple[str, ...]) -> str:
    head = [f"*{name}", *(f":{c} ACCEPT [0:0]" for c in builtin), *(f":{c} - [0:0]" for c in chains)]
    return "\n".join([*head, *lines, "COMMIT", ""])


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]
