"""The names of kube-proxy's chains: a hash of the Service, and sometimes of an endpoint.

iptables mode takes 16 letters of a hash, because iptables allows 28 characters; nftables mode takes 8 and
writes the names of the Service behind them. Sources: pkg/proxy/iptables/proxier.go portProtoHash(),
servicePortEndpointChainName(); pkg/proxy/nftables/proxier.go servicePortChainNameBase(), hashAndTruncate();
compared with every recorded name.
"""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from nb_lib.kubeproxy.objects import Address, Key

IPTABLES_HASH, NFTABLES_HASH = 16, 8
LONGEST = 240  # of a name in nftables mode, without its kind: the kernel takes 256 bytes


class PortName(NamedTuple):
    """One port of a Service, as kube-proxy names it: ``prod/web:http``, and its protocol."""

    service: Key
    port: str
    protocol: str  # TCP, UDP, SCTP

    def __str__(self) -> str:
        return f"{self.service}:{self.port}" if self.port else str(self.service)


class Target(NamedTuple):
    """An endpoint: address and port; written ``10.0.0.1:80`` or ``[fd00::1]:80``."""

    address: Address
    port: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{address}:{self.port}"


def digest(text: str, length: int) -> str:
    """Return the first letters of a text's SHA-256 in base 32: eight letters are five bytes."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[: length // 8 * 5]).decode()


def service_hash(name: PortName) -> str:
    """Return what follows KUBE-SVC-, KUBE-EXT-, KUBE-FW-, KUBE-XLB- and KUBE-SVL-."""
    return digest(f"{name}{name.protocol.lower()}", IPTABLES_HASH)


def endpoint_hash(name: PortName, target: Target | str) -> str:
    """Return what follows KUBE-SEP-; ``target`` may be given as it is written."""
    return digest(f"{name}{name.protocol.lower()}{target}", IPTABLES_HASH)


def nft_name(name: PortName, target: Target | None = None) -> str:
    """Return what follows ``service-``, ``endpoint-`` and the like in the names of nftables mode.

    A port's is ``PFISGYVC-default/web/tcp/``, an endpoint's ``SPXZLT43-default/web/tcp/__10.0.0.1/80``.
    """
    base = f"{name.service}/{name.protocol.lower()}/{name.port}"
    if target:
        base += f"__{str(target.address).replace(':', '.')}/{target.port}"
    found = f"{digest(base, NFTABLES_HASH)}-{base}"
    return found if len(found) <= LONGEST else found[: LONGEST - 3] + "..."
