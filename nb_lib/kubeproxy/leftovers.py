"""What another mode has left on a node, and how kube-proxy takes it away: at a change of mode, or to end.

1.30 in nftables mode removes what iptables and IPVS mode have written, each time that it starts; the other
way round only where nftables mode's gate is on. ``--cleanup`` removes everything and ends. What nobody
removes: KUBE-MARK-MASQ and the canaries, KUBE-MARK-DROP, which is the kubelet's, since 1.30 KUBE-FIREWALL.

Sources: cmd/kube-proxy/app/server_linux.go platformCleanup(); CleanupLeftovers() in pkg/proxy/iptables,
pkg/proxy/ipvs, pkg/proxy/nftables and pkg/proxy/userspace.
"""

from __future__ import annotations

from collections.abc import Iterable

from nb_lib.kubeproxy.choice import NFTABLES, NFTABLES_GATE
from nb_lib.kubeproxy.commands import Place
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import Era, Jump
from nb_lib.kubeproxy.iptables import classic, modern
from nb_lib.kubeproxy.iptables.rules import PROGRAMS, declared, jump_words
from nb_lib.kubeproxy.ipvs.dialects import DIALECTS, MASQUERADE, set_names
from nb_lib.kubeproxy.ipvs.mode import DEVICE
from nb_lib.kubeproxy.nftables import base
from nb_lib.kubeproxy.userspace.rules import CHAINS, prepared

_STAYS = "KUBE-FIREWALL"
_CHAINS = {
    "nat": ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING"),
    "filter": ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS",
               "KUBE-PROXY-FIREWALL"),
}  # fmt: skip


def switched(place: Place, config: Config, era: Era, mode: str, families: Iterable[int]) -> None:
    """Remove what other modes have left, as far as a version does that when it starts in a mode."""
    for family in families if era.external else ():
        if mode == NFTABLES:
            _iptables(place, era, family)
            _ipvs(place, era, family)
        elif config.gates.get(NFTABLES_GATE):
            _nftables(place, family)


def cleaned(place: Place, config: Config, era: Era) -> None:
    """Remove what every mode of a version may have left."""
    for family in (4, 6):
        if not era.external and family == 4:
            _userspace(place)
        _iptables(place, era, family)
        _ipvs(place, era, family)
        if era.external and config.gates.get(NFTABLES_GATE):
            _nftables(place, family)


def _iptables(place: Place, era: Era, family: int) -> None:
    program = PROGRAMS[family]
    _unlink(place, program, (jump for jump in era.jumps if jump.target != _STAYS))
    prefixes = (modern if era.external else classic).PREFIXES
    for table, known in _CHAINS.items():
        saved = place.run([f"{program}-save", "-t", table]).stdout.splitlines()
        there = [line[1:].partition(" ")[0] for line in saved if line.startswith(":")]
        gone = [chain for chain in known if chain in there]
        gone += [chain for chain in there if table == "nat" and chain.startswith(prefixes)]
        ends = "".join(f"-X {chain}\n" for chain in gone)
        text = f"*{table}\n{declared(gone)}{ends}COMMIT\n"
        place.run([f"{program}-restore", "-T", table, "--noflush", "--counters"], text)


def _ipvs(place: Place, era: Era, family: int) -> None:
    """Remove rules, sets, virtual servers and the device; of the sets only IPv4's names are known there."""
    if era.version not in DIALECTS:
        return
    found, program = DIALECTS[era.version], PROGRAMS[family]
    _unlink(place, program, found.jumps)
    chains = [(table, chain) for table, names in found.chains.items() for chain in names]
    for option in ("-F", "-X"):
        for table, chain in chains:
            if chain != MASQUERADE:
                place.run([program, option, chain, "-t", table])
    if DEVICE in place.run(["ip", "-j", "link", "show"]).stdout:  # by netlink, in kube-proxy
        place.run(["ipvsadm", "--clear"])
        place.run(["ip", "link", "del", DEVICE])
    for name in set_names(found):
        place.run(["ipset", "destroy", name])


def _nftables(place: Place, family: int) -> None:
    to = f"{base.family_name(family)} {base.NAME}"
    place.run(["nft", "-f", "-"], f"delete table {to}\n")


def _userspace(place: Place) -> None:
    for _, jump in prepared():
        place.run(jump.command("-D"))
    for table, chain in CHAINS:
        for option in ("-F", "-X"):
            place.run(["iptables", option, chain, "-t", table])


def _unlink(place: Place, program: str, jumps: Iterable[Jump]) -> None:
    """Delete the rules that lead to kube-proxy's chains, where they are."""
    for jump in jumps:
        words = [jump.source, "-t", jump.table, *jump_words(jump)]
        if not place.run([program, "-C", *words]).status:
            place.run([program, "-D", *words])
