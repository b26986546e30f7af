"""Which mode kube-proxy takes when it starts: by its version, its flag, and what the host can do.

Up to 1.22 a mode that the host cannot run is replaced: IPVS by iptables, iptables by userspace. Since then
the program says why and exits; what mode a node runs is never a surprise. No flag means iptables.

Sources: cmd/kube-proxy/app/server_others.go newProxyServer(), getProxyMode() (1.20 to 1.22); server_linux.go
createProxier(), getIPTables() (1.30); pkg/proxy/apis/config/validation validateProxyMode();
pkg/proxy/ipvs/proxier.go CanUseIPVSProxier(), GetModules().
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from nb_lib.errors import ObjectError

USERSPACE, IPTABLES, IPVS, NFTABLES = "userspace", "iptables", "ipvs", "nftables"
NFTABLES_GATE, DUAL_GATE = "NFTablesProxyMode", "IPv6DualStack"
_MISSING = "executable file not found in $PATH"
_NEEDED = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack")


class Said(NamedTuple):
    """One line of the log: its level (I, W, E or F as klog marks it) and its text."""

    level: str
    text: str

    def __str__(self) -> str:
        return f"{self.level} {self.text}"


@dataclass(frozen=True)
class Abilities:
    """What a host can do, as far as the choice depends on it. The default can do everything.

    ``modules`` are the kernel modules that are loaded, built in or loadable; None: the kernel knows no
    modules (there is no ``/proc/modules``). ``modprobe`` is what ``modprobe ip_vs`` answers where that
    fails: its text and exit status. ``route_localnet`` is why that setting cannot be read, empty if it can.
    """

    iptables: bool = True
    ip6tables: bool = True
    modules: frozenset[str] | None = frozenset(_NEEDED)
    modprobe: tuple[str, int] = ("modprobe: not found", 127)
    route_localnet: str = ""

    def missing(self, scheduler: str) -> list[str]:
        """Return the modules that IPVS would need with a scheduler and the host lacks, sorted."""
        return sorted({*_NEEDED, f"ip_vs_{scheduler or 'rr'}"} - (self.modules or frozenset()))


@dataclass(frozen=True)
class Choice:
    """The mode that was taken (empty: none), the families it serves, the log, and the exit status.

    ``status`` is None as long as kube-proxy runs.
    """

    mode: str
    families: tuple[int, ...] = ()
    log: tuple[Said, ...] = ()
    status: int | None = None


@dataclass(frozen=True)
class Start:
    """What a start is told: the flags that matter, the node's addresses and the host's abilities."""

    mode: str = ""
    abilities: Abilities = Abilities()
    node_ips: tuple[IPv4Address | IPv6Address, ...] = (IPv4Address("127.0.0.1"),)
    cluster_families: frozenset[int] = frozenset({4})
    """The families of which ``--cluster-cidr`` names a network."""
    detect_local: str = "ClusterCIDR"
    scheduler: str = ""
    gates: Mapping[str, bool] = field(default_factory=dict)

    @property
    def primary(self) -> int:
        """The family of the node's first address."""
        return self.node_ips[0].version


Log = Iterator[Said]


class _Version(NamedTuple):
    """What differs between versions: the modes that may be asked for, and how each is answered."""

    modes: tuple[str, ...]
    comma: str = ","  # between the modes that a refusal lists
    falls_back: bool = True
    dual: bool = True  # both families, unless a gate says otherwise


_VERSIONS = {
    "1.20": _Version((IPTABLES, IPVS, USERSPACE), dual=False),
    "1.21": _Version((IPTABLES, IPVS, USERSPACE)),
    "1.22": _Version((IPTABLES, IPVS, USERSPACE)),
    "1.30": _Version((IPTABLES, IPVS), comma=", ", falls_back=False),
}


def choose(
    version: str,
    mode: str = "",
    *,
    abilities: Abilities = Abilities(),
    node_ips: Iterable[str | IPv4Address | IPv6Address] = ("127.0.0.1",),
    cluster_families: Iterable[int] = (4,),
    detect_local: str = "ClusterCIDR",
    scheduler: str = "",
    gates: Mapping[str, bool] | None = None,
) -> Choice:
    """Start a version (``1.21``, ``v1.30.5``) with ``--proxy-mode=mode`` on a host.

    Raises ObjectError for a version that is not known here.
    """
    short = ".".join(version.removeprefix("v").split(".")[:2])
    if short not in _VERSIONS:
        reason = f"{version!r} is none of {', '.join(_VERSIONS)}"
        raise ObjectError(reason, what="kube-proxy", path="version")
    start = Start(mode, abilities, tuple(map(ip_address, node_ips)), frozenset(cluster_families),
                  detect_local, scheduler, gates or {})  # fmt: skip
    known = _VERSIONS[short]
    allowed = known.modes
    if not known.falls_back and start.gates.get(NFTABLES_GATE):
        allowed = (*allowed, NFTABLES)
    if mode and mode not in allowed:
        return _refused(mode, known.comma.join(sorted(allowed)), exits=not known.falls_back)
    return _old_start(start, known) if known.falls_back else _new_start(start)


def _refused(mode: str, allowed: str, *, exits: bool) -> Choice:
    """The flag's value is none that this version knows: validation stops it before anything else."""
    reason = (
        f'failed validate: KubeProxyConfiguration.Mode.ProxyMode: Invalid value: "{mode}": must be '
        f"{allowed} or blank (blank means the best-available proxy [currently iptables])"
    )
    if exits:
        return Choice("", log=(_failed(reason),), status=1)
    return Choice("", log=(Said("F", reason),), status=255)


# ── Up to 1.22: what cannot be run is replaced ──────────────────────────────────────


def _old_start(start: Start, known: _Version) -> Choice:
    log: list[Said] = []
    reason = _no_ipvs(start)
    if reason and start.mode == IPVS:
        log.append(Said("E", f"Can't use the IPVS proxier: {reason}"))
    log.extend(_addressed(start, known))
    mode, said = _replaced(start, able=not reason)
    log.extend(said)
    log.append(Said("I", f"DetectLocalMode: '{start.detect_local}'"))
    dual = mode != USERSPACE and start.gates.get(DUAL_GATE, known.dual)
    if dual:
        log.extend(_checked(start.abilities))
        dual = start.abilities.ip6tables
    if known.dual:
        first = f"IPv{start.primary}"
        told = f"dual-stack mode, {first}-primary" if dual else f"single-stack {first} mode"
        log.append(Said("I", f"kube-proxy running in {told}"))
    log.append(Said("I", f"Using {mode} Proxier."))
    if dual:
        log.append(Said("I", f"creating dualStackProxier for {mode}."))
        log.extend(
            Said("W", f"detect-local-mode set to ClusterCIDR, but no IPv{family} cluster CIDR defined, "
                      f", defaulting to no-op detect-local for IPv{family}")
            for family in _undetected(start)
        )  # fmt: skip
    return Choice(mode, _families(start, dual=dual), tuple(log))


def _checked(abilities: Abilities) -> Log:
    """What is said where iptables is missing: rules for it are computed all the same."""
    if not abilities.iptables:
        for _family in (4, 6):
            text = "Error checking iptables version, assuming version at least 1.4.11"
            yield Said("W", f"{text}: {_MISSING}")
    if not abilities.ip6tables:
        yield Said("W", f"No iptables support for IPv6: {_MISSING}")


def _no_ipvs(start: Start) -> str:
    """Return why IPVS cannot be had: CanUseIPVSProxier() of 1.21."""
    if start.abilities.modules is None:
        return (
            "error getting installed ipvs required kernel modules: Failed to read file /proc/modules "
            "with error open /proc/modules: no such file or directory"
        )
    missing = start.abilities.missing(start.scheduler)
    if not missing:
        return ""
    return (
        "IPVS proxier will not be used because the following required kernel modules are not loaded: "
        f"[{' '.join(missing)}]"
    )


def _addressed(start: Start, known: _Version) -> Log:
    address, family = start.node_ips[0], start.primary
    yield Said("I", f"Successfully retrieved node IP: {address}")
    if known.dual:
        yield Said("I", f"Detected node IP {address}")
    else:
        yield Said(
            "I",
            f"kube-proxy node IP is an IPv{family} address ({address}), assume IPv{family} operation",
        )


def _replaced(start: Start, *, able: bool) -> tuple[str, list[Said]]:
    """Return the mode that is run in place of the one that was asked for, and what is said of it."""
    log: list[Said] = []
    if start.mode == USERSPACE or (start.mode == IPVS and able):
        return start.mode, log
    if start.mode == IPVS:
        log.append(Said("I", "Can't use ipvs proxier, trying iptables proxier"))
    elif start.mode != IPTABLES:
        log.append(Said("W", f'Unknown proxy mode "{start.mode}", assuming iptables proxy'))
    if start.abilities.route_localnet:
        reason = start.abilities.route_localnet
        text = f"can't determine whether to use iptables proxy, using userspace proxier: {reason}"
        return USERSPACE, [*log, Said("E", text)]
    return IPTABLES, log


# ── 1.30: what cannot be run is an error ────────────────────────────────────────────


def _new_start(start: Start) -> Choice:
    log: list[Said] = []
    mode = start.mode or IPTABLES
    if not start.mode:
        log.append(Said("I", '"Using iptables proxy"'))
    addresses = json.dumps([str(one) for one in start.node_ips], separators=(",", ":"))
    log.append(Said("I", f'"Successfully retrieved node IP(s)" IPs={addresses}'))
    dual = True
    if mode != NFTABLES:
        dual = start.abilities.ip6tables
        if not start.abilities.iptables:
            log.extend([_unversioned()] * 2)
            return _stopped(log, "iptables is not available on this host")
    told = "dual-stack mode" if dual else "single-stack mode"
    log.append(Said("I", f'"kube-proxy running in {told}" primary ipFamily="IPv{start.primary}"'))
    if mode == IPVS and (missing := start.abilities.missing(start.scheduler)):
        if start.abilities.modules is None or "ip_vs" in missing:
            log.extend(_no_family(start))
        log.append(Said("I", f'"Dummy VS not created" scheduler="{start.scheduler or "rr"}"'))
        return _stopped(log, "can't use the IPVS proxier: Ipvs not supported")
    log.append(Said("I", f'"Using {mode} Proxier"'))
    for family in _undetected(start) if dual else ():
        text = '"Detect-local-mode set to ClusterCIDR, but no cluster CIDR for family"'
        log.append(Said("I", f'{text} ipFamily="IPv{family}"'))
        log.append(Said("I", '"Defaulting to no-op detect-local"'))
    return Choice(mode, _families(start, dual=dual), tuple(log))


def _unversioned() -> Said:
    text = '"Error checking iptables version, assuming version at least"'
    return Said("I", f'{text} version="1.4.11" err="{_MISSING}"')


def _no_family(start: Start) -> Log:
    """What the netlink library says that kube-proxy asks for IPVS, in the format of its own log."""
    text, status = start.abilities.modprobe
    yield Said(
        "W", f"Running modprobe ip_vs failed with message: `{text}`, error: exit status {status}"
    )
    yield Said(
        "E",
        "Could not get ipvs family information from the kernel. It is possible that ipvs is not enabled "
        "in your kernel. Native loadbalancing will not work until this is fixed.",
    )


def _stopped(log: list[Said], reason: str) -> Choice:
    error = Said("E", f'"Error running ProxyServer" err={json.dumps(reason)}')
    return Choice("", log=(*log, error, _failed(reason)), status=1)


def _failed(reason: str) -> Said:
    return Said("E", f'"command failed" err={json.dumps(reason)}')


# ── Families ────────────────────────────────────────────────────────────────────────


def _families(start: Start, *, dual: bool) -> tuple[int, ...]:
    return (start.primary, 10 - start.primary) if dual else (start.primary,)


def _undetected(start: Start) -> list[int]:
    """Return the families in which pods cannot be told from others, for want of a cluster network."""
    known = start.cluster_families if start.detect_local == "ClusterCIDR" else {4, 6}
    return [family for family in _families(start, dual=True) if family not in known]
