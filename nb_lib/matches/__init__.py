"""The match extensions, written out in one registry."""

from __future__ import annotations

from nb_lib.matches.addrtype import ADDRTYPE
from nb_lib.matches.comment import COMMENT
from nb_lib.matches.connlimit import CONNLIMIT
from nb_lib.matches.conntrack import CONNTRACK, STATE
from nb_lib.matches.hashlimit import HASHLIMIT
from nb_lib.matches.hl import HL, TTL
from nb_lib.matches.icmp import ICMP, ICMP6
from nb_lib.matches.iprange import IPRANGE
from nb_lib.matches.ipset import SET
from nb_lib.matches.length import LENGTH
from nb_lib.matches.limit import LIMIT
from nb_lib.matches.mac import MAC
from nb_lib.matches.mark import CONNMARK, MARK
from nb_lib.matches.multiport import MULTIPORT
from nb_lib.matches.owner import OWNER
from nb_lib.matches.physdev import PHYSDEV
from nb_lib.matches.pkttype import PKTTYPE
from nb_lib.matches.policy import POLICY
from nb_lib.matches.recent import RECENT
from nb_lib.matches.rpfilter import RPFILTER
from nb_lib.matches.rt import RT
from nb_lib.matches.sctp import SCTP
from nb_lib.matches.statistic import STATISTIC
from nb_lib.matches.tcpudp import TCP, UDP, UDPLITE
from nb_lib.options import Extension

MATCHES: dict[str, Extension] = {
    "addrtype": ADDRTYPE,
    "comment": COMMENT,
    "connlimit": CONNLIMIT,
    "connmark": CONNMARK,
    "conntrack": CONNTRACK,
    "hashlimit": HASHLIMIT,
    "hl": HL,
    "icmp": ICMP,
    "icmp6": ICMP6,
    "iprange": IPRANGE,
    "length": LENGTH,
    "limit": LIMIT,
    "mac": MAC,
    "mark": MARK,
    "multiport": MULTIPORT,
    "owner": OWNER,
    "physdev": PHYSDEV,
    "pkttype": PKTTYPE,
    "policy": POLICY,
    "recent": RECENT,
    "rpfilter": RPFILTER,
    "rt": RT,
    "sctp": SCTP,
    "set": SET,
    "state": STATE,
    "statistic": STATISTIC,
    "tcp": TCP,
    "ttl": TTL,
    "udp": UDP,
}

# Other names that iptables takes for a match. libxtables/xtables.c xtables_find_match().
_ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}

# The match that -p loads by itself when one of its options follows: the one named like the protocol.
IMPLIED: dict[int, dict[int, str]] = {
    1: {4: "icmp"},
    6: {4: "tcp", 6: "tcp"},
    17: {4: "udp", 6: "udp"},
    58: {6: "icmp6"},
    132: {4: "sctp", 6: "sctp"},
}


def find_match(name: str, family: int) -> Extension | None:
    """Return the match of this name for IPv4 (4) or IPv6 (6), or None if nb_lib has none."""
    found = MATCHES.get(_ALIASES.get(name, name))
    return found if found is not None and family in found.families else None


def known_names(family: int) -> tuple[str, ...]:
    """Return the names of the matches that nb_lib knows for a family."""
    return tuple(name for name in MATCHES if family in MATCHES[name].families)
