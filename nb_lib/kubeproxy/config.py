"""kube-proxy's configuration, read from its flags, and the facts about its node that rules depend on.

Sources: cmd/kube-proxy/app/options.go AddFlags(); server_linux.go getLocalDetector(), nodeIPTuple();
pkg/proxy/util/utils.go GetNodeAddresses(); pkg/proxy/util/nodeport_addresses.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

from nb_lib.errors import ObjectError, suggest
from nb_lib.kubeproxy.eras import Era
from nb_lib.kubeproxy.objects import Address, Network, Node

ANYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
LOOPBACK = {4: ip_network("127.0.0.0/8"), 6: ip_network("::1/128")}
DETECTIONS = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
PRIMARY = "primary"
UNSPECIFIED = ip_address("0.0.0.0")  # noqa: S104 - what kube-proxy is bound to by default


@dataclass(frozen=True)
class Config:
    """What the flags say, with kube-proxy's defaults. Periods are in seconds.

    ``addresses`` are no flag: those of the node's interfaces, which ``--nodeport-addresses`` chooses from.
    ``nodeport_addresses`` may hold the word ``primary`` (nftables mode).
    """

    hostname: str = ""
    mode: str = ""
    cluster_cidrs: tuple[Network, ...] = ()
    detect_local: str = "ClusterCIDR"
    bridge: str = ""
    interface_prefix: str = ""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    nodeport_addresses: tuple[Network | str, ...] = ()
    localhost_nodeports: bool = True
    bind_address: Address = UNSPECIFIED
    gates: Mapping[str, bool] = field(default_factory=dict)
    sync_period: float = 30.0
    min_sync_period: float = 1.0
    ipvs_sync_period: float = 30.0
    ipvs_min_sync_period: float = 0.0
    ipvs_scheduler: str = ""
    ipvs_strict_arp: bool = False
    ipvs_exclude: tuple[Network, ...] = ()
    cleanup: bool = False
    addresses: tuple[Address, ...] = ()

    @classmethod
    def from_flags(cls, flags: Iterable[str], addresses: Iterable[Address | str] = ()) -> Config:
        """Read flags: ``--cluster-cidr=10.244.0.0/16``; a word without dashes (the program's name) is none.

        Raises ObjectError for a flag that kube-proxy does not know, or a value that it would refuse.
        """
        found: dict[str, Any] = {"addresses": tuple(ip_address(one) for one in addresses)}
        for flag in flags:
            name, given, value = flag.strip().removeprefix("--").partition("=")
            if not flag.strip().startswith("-") or name in _ELSEWHERE:
                continue
            if name not in _FLAGS:
                hint = suggest(name, _FLAGS)
                raise _error(name, "kube-proxy has no such flag" + (f"; {hint}" if hint else ""))
            where, read = _FLAGS[name]
            found[where] = read(name, value if given else "true")
        return cls(**found)

    def gate(self, era: Era, name: str) -> bool:
        """Return whether a feature is on."""
        return self.gates.get(name, era.default(name))

    def node_port_networks(self, family: int) -> tuple[Network, ...]:
        """Return where nodePorts answer: networks of one family; all of it if the flag names none."""
        networks = [one for one in self.nodeport_addresses if not isinstance(one, str)]
        mine = tuple(one for one in networks if one.version == family)
        everywhere = ANYWHERE[family]
        return (everywhere,) if not mine or everywhere in mine else mine

    def node_port_addresses(self, family: int) -> tuple[Address, ...] | None:
        """Return the node's addresses on which nodePorts answer, None for every one that it has."""
        networks = self.node_port_networks(family)
        if networks == (ANYWHERE[family],):
            return None
        own = (LOOPBACK[family][1 if family == 4 else 0], *self.addresses)
        return tuple(dict.fromkeys(one for net in networks for one in own if one in net))

    def localhost_node_ports(self, family: int) -> bool:
        """Return whether a nodePort answers on 127.0.0.1: the flag allows it and the networks hold it."""
        loopback = LOOPBACK[4]
        networks = self.node_port_networks(4)
        return family == 4 and self.localhost_nodeports and any(map(loopback.overlaps, networks))

    def node_ip(self, era: Era, family: int, node: Node | None = None) -> Address:
        """Return the node's own address as the proxier of a family is told it."""
        given = self.bind_address
        if era.bind_address and len(self.families(era, node)) == 2:
            return given if given.version == family else ANYWHERE[family][0]
        if not given.is_unspecified and given.version == family:
            return given
        found = node.addresses if node else ()
        nowhere = LOOPBACK[family][1 if family == 4 else 0]
        return next((one for one in found if one.version == family), nowhere)

    def families(self, era: Era, node: Node | None = None) -> tuple[int, ...]:
        """Return the families that are served, the node's own first."""
        first = next(iter(node.addresses)).version if node and node.addresses else 4
        return (first, 10 - first) if self.gate(era, "IPv6DualStack") else (first,)

    def local(self, family: int, node: Node | None = None) -> tuple[str, ...]:
        """Return the words that match traffic from this node's pods, none where that cannot be told."""
        match self.detect_local:
            case "BridgeInterface":
                return ("-i", self.bridge) if self.bridge else ()
            case "InterfaceNamePrefix":
                return ("-i", f"{self.interface_prefix}+") if self.interface_prefix else ()
            case "NodeCIDR":
                networks = node.pod_cidrs if node else ()
            case _:
                networks = self.cluster_cidrs
        mine = [one for one in networks if one.version == family]
        return ("-s", str(mine[0])) if mine else ()

    def periods(self, mode: str) -> tuple[float, float]:
        """Return the seconds between two syncs at least, and between two looks at the rules.

        1.30 has no flags for nftables mode's.
        """
        if mode == "nftables":
            return 1.0, 30.0
        if mode == "ipvs":
            return self.ipvs_min_sync_period, self.ipvs_sync_period
        return self.min_sync_period, self.sync_period

    def with_addresses(self, *addresses: Address | str) -> Config:
        """Return the same on a node with these addresses."""
        return replace(self, addresses=tuple(ip_address(one) for one in addresses))


# ── Flags ───────────────────────────────────────────────────────────────────────────


def _error(name: str, reason: str) -> ObjectError:
    return ObjectError(reason, what="kube-proxy", path=f"--{name}")


def _text(_name: str, value: str) -> str:
    return value


def _truth(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise _error(name, f"{value!r} is neither true nor false")
    return value == "true"


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise _error(name, f"{value!r} is no number")
    return int(value)


def _bit(name: str, value: str) -> int:
    if (bit := _number(name, value)) > 31:
        raise _error(name, f"{bit} is no bit of a mark, which has 32")
    return bit


def _address(name: str, value: str) -> Address:
    try:
        return ip_address(value)
    except ValueError:
        raise _error(name, f"{value!r} is no address") from None


def _networks(name: str, value: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(one.strip(), strict=False) for one in value.split(",") if one)
    except ValueError:
        raise _error(name, f"{value!r} is no list of networks") from None


def _places(name: str, value: str) -> tuple[Network | str, ...]:
    return (PRIMARY,) if value == PRIMARY else _networks(name, value)


def _detection(name: str, value: str) -> str:
    value = value or DETECTIONS[0]
    if value not in DETECTIONS:
        raise _error(name, f"{value!r} is none of {', '.join(DETECTIONS)}")
    return value


def _gates(name: str, value: str) -> dict[str, bool]:
    pairs = [one.partition("=") for one in value.split(",") if one]
    return {gate.strip(): _truth(name, truth.strip()) for gate, _, truth in pairs}


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def _seconds(name: str, value: str) -> float:
    """Duration = "0" | { NUMBER UNIT } as Go writes it: 1m30s, 100ms."""
    part = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(h|ms|m|us|µs|ns|s)"
    if value != "0" and not re.fullmatch(f"(?:{part})+", value):
        raise _error(name, f"{value!r} is no duration; write 30s or 100ms")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(part, value))


_FLAGS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "hostname-override": ("hostname", _text),
    "proxy-mode": ("mode", _text),
    "cluster-cidr": ("cluster_cidrs", _networks),
    "detect-local-mode": ("detect_local", _detection),
    "pod-bridge-interface": ("bridge", _text),
    "pod-interface-name-prefix": ("interface_prefix", _text),
    "masquerade-all": ("masquerade_all", _truth),
    "iptables-masquerade-bit": ("masquerade_bit", _bit),
    "nodeport-addresses": ("nodeport_addresses", _places),
    "iptables-localhost-nodeports": ("localhost_nodeports", _truth),
    "bind-address": ("bind_address", _address),
    "feature-gates": ("gates", _gates),
    "iptables-sync-period": ("sync_period", _seconds),
    "iptables-min-sync-period": ("min_sync_period", _seconds),
    "ipvs-sync-period": ("ipvs_sync_period", _seconds),
    "ipvs-min-sync-period": ("ipvs_min_sync_period", _seconds),
    "ipvs-scheduler": ("ipvs_scheduler", _text),
    "ipvs-strict-arp": ("ipvs_strict_arp", _truth),
    "ipvs-exclude-cidrs": ("ipvs_exclude", _networks),
    "cleanup": ("cleanup", _truth),
}
# What kube-proxy knows besides, and no rule depends on.
_ELSEWHERE = frozenset((
    "bind-address-hard-fail", "config", "config-sync-period", "conntrack-max-per-core",
    "conntrack-min", "conntrack-tcp-be-liberal", "conntrack-tcp-timeout-close-wait",
    "conntrack-tcp-timeout-established", "conntrack-udp-timeout", "conntrack-udp-timeout-stream",
    "healthz-bind-address", "healthz-port", "init-only", "ipvs-tcp-timeout",
    "ipvs-tcpfin-timeout", "ipvs-udp-timeout",
    "kube-api-burst", "kube-api-content-type", "kube-api-qps", "kubeconfig", "log-flush-frequency",
    "log_dir", "log_file", "logging-format", "logtostderr", "alsologtostderr", "master",
    "metrics-bind-address", "metrics-port", "oom-score-adj", "profiling", "proxy-port-range",
    "resource-container", "show-hidden-metrics-for-version", "skip-headers", "stderrthreshold",
    "udp-timeout", "v", "version", "vmodule", "write-config-to",
))  # fmt: skip
