"""The target extensions, written out in one registry.

A key such as ``REJECT/6`` is the IPv6 form of a target that differs between the families.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib.matches import MATCHES
from nb_lib.net import ARP, BRIDGE
from nb_lib.targets import ebt
from nb_lib.targets.aside import (
    AUDIT,
    CLASSIFY,
    CONNSECMARK,
    IDLETIMER,
    NFQUEUE,
    RATEEST,
    SECMARK,
    TEE,
)
from nb_lib.targets.checksum import CHECKSUM
from nb_lib.targets.ct import CT, NOTRACK
from nb_lib.targets.header import DSCP, ECN, HL, TCPOPTSTRIP, TOS, TTL
from nb_lib.targets.hmark import HMARK
from nb_lib.targets.ipset import SET
from nb_lib.targets.log import LOG, NFLOG, TRACE
from nb_lib.targets.mark import CONNMARK, MARK
from nb_lib.targets.nat import DNAT, MASQUERADE, NETMAP, REDIRECT, SNAT
from nb_lib.targets.npt import DNPT, SNPT
from nb_lib.targets.past import CLUSTERIP, LED, ULOG
from nb_lib.targets.proxy import TPROXY
from nb_lib.targets.reject import REJECT, REJECT6
from nb_lib.targets.synproxy import SYNPROXY
from nb_lib.targets.tcpmss import TCPMSS
from nb_lib.targets.verdicts import ACCEPT, DROP, QUEUE, RETURN

if TYPE_CHECKING:
    from nb_lib.options import Extension

TARGETS: dict[str, Extension] = {
    "ACCEPT": ACCEPT,
    "AUDIT": AUDIT,
    "CHECKSUM": CHECKSUM,
    "CLASSIFY": CLASSIFY,
    "CLUSTERIP": CLUSTERIP,
    "CONNMARK": CONNMARK,
    "CONNSECMARK": CONNSECMARK,
    "CT": CT,
    "DNAT": DNAT,
    "DNPT": DNPT,
    "DROP": DROP,
    "DSCP": DSCP,
    "ECN": ECN,
    "HL": HL,
    "HMARK": HMARK,
    "IDLETIMER": IDLETIMER,
    "LED": LED,
    "LOG": LOG,
    "MARK": MARK,
    "MASQUERADE": MASQUERADE,
    "NETMAP": NETMAP,
    "NFLOG": NFLOG,
    "NFQUEUE": NFQUEUE,
    "NOTRACK": NOTRACK,
    "QUEUE": QUEUE,
    "RATEEST": RATEEST,
    "REDIRECT": REDIRECT,
    "REJECT": REJECT,
    "REJECT/6": REJECT6,
    "RETURN": RETURN,
    "SECMARK": SECMARK,
    "SET": SET,
    "SNAT": SNAT,
    "SNPT": SNPT,
    "SYNPROXY": SYNPROXY,
    "TCPMSS": TCPMSS,
    "TCPOPTSTRIP": TCPOPTSTRIP,
    "TEE": TEE,
    "TOS": TOS,
    "TPROXY": TPROXY,
    "TRACE": TRACE,
    "TTL": TTL,
    "ULOG": ULOG,
}


# Those of arptables and ebtables; -j CONTINUE is a rule without a target.
LINK_TARGETS: dict[int, dict[str, Extension]] = {
    family: {one.name: one for one in (ACCEPT, DROP, RETURN, *others)}
    for family, others in (
        (ARP, (ebt.MANGLE, ebt.ARP_MARK, ebt.ARP_CLASSIFY)),
        (BRIDGE, (ebt.MARK, ebt.DNAT, ebt.SNAT, ebt.REDIRECT, ebt.ARPREPLY)),
    )
}


def not_modelled() -> list[tuple[str, str, str]]:
    """Return what is not modelled: (``-m bpf`` or ``-j SET``, option or nothing, why)."""
    return [
        (f"{flag} {name}", option, why)
        for flag, registry in (("-m", MATCHES), ("-j", TARGETS))
        for name, extension in registry.items()
        for option, why in extension.beyond.items()
    ]


def find_target(name: str, family: int) -> Extension | None:
    """Return the target of this name for a family, or None if nb_lib has none."""
    if family in LINK_TARGETS:
        return LINK_TARGETS[family].get(name)
    if "/" in name:
        return None
    found = TARGETS.get(f"{name}/{family}") or TARGETS.get(name)
    return found if found is not None and family in found.families else None


def known_names(family: int) -> tuple[str, ...]:
    """Return the names of the targets that nb_lib knows for a family."""
    if family in LINK_TARGETS:
        return tuple(LINK_TARGETS[family])
    return tuple(
        key.partition("/")[0] for key, extension in TARGETS.items() if family in extension.families
    )
