"""The match extensions, written out in one registry.

A key such as ``ah/6`` is the IPv6 form of a match that differs between the families.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib.matches import arp, ebt, ebt_ip, ethernet
from nb_lib.matches.addrtype import ADDRTYPE
from nb_lib.matches.bpf import BPF
from nb_lib.matches.cluster import CLUSTER
from nb_lib.matches.comment import COMMENT
from nb_lib.matches.connection import CONNBYTES, CONNLABEL, HELPER
from nb_lib.matches.connlimit import CONNLIMIT
from nb_lib.matches.conntrack import CONNTRACK, STATE
from nb_lib.matches.core import CORE
from nb_lib.matches.dccp import DCCP
from nb_lib.matches.hashlimit import HASHLIMIT
from nb_lib.matches.hl import HL, TTL
from nb_lib.matches.host import CGROUP, CPU, DEVGROUP, REALM, SOCKET
from nb_lib.matches.icmp import ICMP, ICMP6
from nb_lib.matches.iprange import IPRANGE
from nb_lib.matches.ipsec import AH, AH6, ESP, IPCOMP
from nb_lib.matches.ipset import SET
from nb_lib.matches.ipv6 import DST, EUI64, FRAG, HBH, IPV6HEADER, MH
from nb_lib.matches.ipvs import IPVS
from nb_lib.matches.length import LENGTH
from nb_lib.matches.limit import LIMIT
from nb_lib.matches.mac import MAC
from nb_lib.matches.mark import CONNMARK, MARK
from nb_lib.matches.multiport import MULTIPORT
from nb_lib.matches.nfacct import NFACCT
from nb_lib.matches.osf import OSF
from nb_lib.matches.owner import OWNER
from nb_lib.matches.physdev import PHYSDEV
from nb_lib.matches.pkttype import PKTTYPE
from nb_lib.matches.policy import POLICY
from nb_lib.matches.quota import QUOTA
from nb_lib.matches.rateest import RATEEST
from nb_lib.matches.recent import RECENT
from nb_lib.matches.rpfilter import RPFILTER
from nb_lib.matches.rt import RT
from nb_lib.matches.sctp import SCTP
from nb_lib.matches.srh import SRH
from nb_lib.matches.statistic import STATISTIC
from nb_lib.matches.stp import STP
from nb_lib.matches.string import STRING
from nb_lib.matches.tcpmss import TCPMSS
from nb_lib.matches.tcpudp import TCP, UDP
from nb_lib.matches.time import TIME
from nb_lib.matches.tos import DSCP, ECN, TOS
from nb_lib.matches.u32 import U32
from nb_lib.net import ARP, BRIDGE

if TYPE_CHECKING:
    from nb_lib.options import Extension

MATCHES: dict[str, Extension] = {
    "addrtype": ADDRTYPE,
    "ah": AH,
    "ah/6": AH6,
    "bpf": BPF,
    "cgroup": CGROUP,
    "cluster": CLUSTER,
    "comment": COMMENT,
    "connbytes": CONNBYTES,
    "connlabel": CONNLABEL,
    "connlimit": CONNLIMIT,
    "connmark": CONNMARK,
    "conntrack": CONNTRACK,
    "cpu": CPU,
    "dccp": DCCP,
    "devgroup": DEVGROUP,
    "dscp": DSCP,
    "dst": DST,
    "ecn": ECN,
    "esp": ESP,
    "eui64": EUI64,
    "frag": FRAG,
    "hashlimit": HASHLIMIT,
    "hbh": HBH,
    "helper": HELPER,
    "hl": HL,
    "icmp": ICMP,
    "icmp6": ICMP6,
    "ipcomp": IPCOMP,
    "iprange": IPRANGE,
    "ipv6header": IPV6HEADER,
    "ipvs": IPVS,
    "length": LENGTH,
    "limit": LIMIT,
    "mac": MAC,
    "mark": MARK,
    "mh": MH,
    "multiport": MULTIPORT,
    "nfacct": NFACCT,
    "osf": OSF,
    "owner": OWNER,
    "physdev": PHYSDEV,
    "pkttype": PKTTYPE,
    "policy": POLICY,
    "quota": QUOTA,
    "rateest": RATEEST,
    "realm": REALM,
    "recent": RECENT,
    "rpfilter": RPFILTER,
    "rt": RT,
    "sctp": SCTP,
    "set": SET,
    "socket": SOCKET,
    "srh": SRH,
    "state": STATE,
    "statistic": STATISTIC,
    "string": STRING,
    "tcp": TCP,
    "tcpmss": TCPMSS,
    "time": TIME,
    "tos": TOS,
    "ttl": TTL,
    "u32": U32,
    "udp": UDP,
}

# Those of ebtables; arptables has none. Their options load them: nobody writes -m.
LINK_MATCHES: dict[int, dict[str, Extension]] = {
    ARP: {},
    BRIDGE: {
        one.name: one
        for one in (
            *(ebt_ip.IP, ebt_ip.IP6, arp.EBT_ARP, ebt.VLAN, ebt.SNAP, ebt.AMONG, ebt.MARK_M),
            *(ebt.PKTTYPE, ebt.LIMIT, STP, ebt.LOG, ebt.NFLOG),
        )
    },
}
_CORES = {ARP: arp.CORE, BRIDGE: ethernet.CORE}

# Other names that iptables takes for a match. libxtables/xtables.c xtables_find_match().
_ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}

# The match that -p loads by itself when one of its options follows: named like the protocol.
IMPLIED: dict[int, dict[int, str]] = {
    1: {4: "icmp"},
    6: {4: "tcp", 6: "tcp"},
    17: {4: "udp", 6: "udp"},
    58: {6: "icmp6"},
    33: {4: "dccp", 6: "dccp"},
    50: {4: "esp", 6: "esp"},
    51: {4: "ah"},
    108: {4: "ipcomp", 6: "ipcomp"},
    132: {4: "sctp", 6: "sctp"},
}


def find_match(name: str, family: int) -> Extension | None:
    """Return the match of this name for a family, or None if nb_lib has none."""
    if family in LINK_MATCHES:
        return LINK_MATCHES[family].get(name)
    if "/" in name:
        return None
    name = _ALIASES.get(name, name)
    found = MATCHES.get(f"{name}/{family}") or MATCHES.get(name)
    return found if found is not None and family in found.families else None


def core(family: int) -> Extension:
    """Return what every rule of a family may ask."""
    return _CORES.get(family, CORE)


def known_names(family: int) -> tuple[str, ...]:
    """Return the names of the matches that nb_lib knows for a family."""
    if family in LINK_MATCHES:
        return tuple(LINK_MATCHES[family])
    return tuple(
        key.partition("/")[0] for key, extension in MATCHES.items() if family in extension.families
    )
