"""The packet's header as the three programs print it, as one set of names; and a packet made of it.

Names: ``in``, ``out``, ``src``, ``dst``, ``protocol``, ``sport``, ``dport``, ``flags`` (``SYN,ACK``),
``seq``, ``ack``, ``window``, ``icmp_type``, ``icmp_code``, ``icmp_id``, ``icmp_seq``, ``ttl``, ``tos``,
``ident`` (IPv6: the flow label), ``length`` (of the whole packet), ``mark``. What a program does not print
is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nb_lib.errors import NbError
from nb_lib.headers import TCP_FLAGS
from nb_lib.matches.icmp import TYPE_NAMES
from nb_lib.names import protocol_numbers
from nb_lib.packet import Packet, icmp, raw, tcp, udp

V6_HEADER = 40
MOST_OPTIONS = 40  # bytes behind a TCP header's first twenty

_LOG_NAMES = {
    "IN": "in", "OUT": "out", "SRC": "src", "DST": "dst", "LEN": "length", "TTL": "ttl", "HOPLIMIT": "ttl",
    "TOS": "tos", "TC": "tos", "ID": "ident", "FLOWLBL": "ident", "PROTO": "protocol", "SPT": "sport",
    "DPT": "dport", "SPORT": "sport", "DPORT": "dport", "SEQ": "seq", "ACK": "ack", "WINDOW": "window",
    "TYPE": "icmp_type", "CODE": "icmp_code", "MARK": "mark",
}  # fmt: skip
_NFT_NAMES = {
    "iif": "in", "oif": "out", "saddr": "src", "daddr": "dst", "sport": "sport", "dport": "dport",
    "ttl": "ttl", "hoplimit": "ttl", "id": "ident", "flowlabel": "ident", "length": "length",
    "window": "window", "protocol": "protocol",
}  # fmt: skip
_PAIR = re.compile(r"([A-Z]+)=(\S*)|(\S+)")


def of_log(text: str) -> Mapping[str, str]:
    """``IN=eth0 OUT= MAC=… SRC=… … PROTO=TCP SPT=1 DPT=2 … SYN URGP=0``: net/netfilter/nf_log_syslog.c."""
    found: dict[str, str] = {}
    flags = []
    for key, value, alone in _PAIR.findall(text.partition(" [")[0]):  # an ICMP error's own cause
        if alone in TCP_FLAGS:
            flags.append(alone)
        elif key == "ID" and "icmp_type" in found:
            found["icmp_id"] = value
        elif key == "SEQ" and "icmp_type" in found:
            found["icmp_seq"] = value
        elif name := _LOG_NAMES.get(key):
            found.setdefault(name, value)  # UDP's own LEN comes behind IP's
    if "protocol" in found:
        found["protocol"] = found["protocol"].lower().replace("icmpv6", "ipv6-icmp")
    if found.get("protocol") == "tcp":
        found["flags"] = ",".join(flags)
    return found


def of_xtables(text: str) -> Mapping[str, str]:
    """``IN=eth0 … SRC=… LEN=40 … SPORT=1 DPORT=2 SYN``; the protocol is not said, TCP's flags are.

    Of IPv6 LEN is what follows the header, and 20.
    """
    found = {**of_log(text)}
    flags = [word for word in text.split() if word in TCP_FLAGS]
    if flags:
        found |= {"protocol": "tcp", "flags": ",".join(flags)}
    elif "sport" in found:
        found.setdefault("protocol", "udp")
    if ":" in found.get("src", "") and found.get("length", "").isdecimal():
        found["length"] = str(int(found["length"]) + 20)
    return found


def of_nft(text: str) -> Mapping[str, str]:
    """``iif "eth0" ether saddr … ip saddr … tcp sport 1 tcp dport 2 tcp flags == syn``."""
    words = [word.strip('"') for word in text.split()]
    found: dict[str, str] = {}
    for at, word in enumerate(words[:-1]):
        owner, value = words[at - 1] if at else "", words[at + 1]
        if owner in ("ether", "arp", "@ll,0,112"):
            continue
        if word in ("tcp", "udp") and value in ("sport", "dport"):
            found["protocol"] = word
        elif word == "flags" and owner == "tcp":
            named = words[at + 2] if value == "==" and at + 2 < len(words) else value
            found["flags"] = ",".join(
                part for part in re.split(r"[|,]", named.upper()) if part in TCP_FLAGS
            )
        elif owner in ("icmp", "icmpv6"):
            found["protocol"] = {"icmp": "icmp"}.get(owner, "ipv6-icmp")
            if word in ("type", "code", "id", "sequence"):
                found[f"icmp_{word[:3] if word == 'sequence' else word}"] = value
        elif word == "mark" and owner == "meta":
            found["mark"] = value
        elif name := _NFT_NAMES.get(word):
            found.setdefault(name, value)
    if ":" in found.get("src", "") and found.get("length", "").isdecimal():
        found["length"] = str(int(found["length"]) + V6_HEADER)
    return found


def made(header: Mapping[str, str]) -> Packet | None:
    """Return the packet that a header tells of, None if it tells too little (no address, no protocol).

    What no line tells is as ``nb_lib.packet`` has it; a SYN that is longer than it should be has options.
    """
    try:
        return _made(header)
    except (KeyError, ValueError, NbError):
        return None


def _made(header: Mapping[str, str]) -> Packet | None:
    if not {"src", "dst", "protocol"} <= header.keys():
        return None
    v6, protocol = ":" in header["src"], header["protocol"]
    ends: tuple[Any, Any] = header["src"], header["dst"]
    more: dict[str, Any] = {
        name: int(header[name], 0) for name in ("ttl", "tos", "mark") if name in header
    }
    more |= {"ident": int(header["ident"]) & 0xFFFF} if "ident" in header and not v6 else {}
    rest = int(header.get("length", 0)) - (V6_HEADER if v6 else 20)
    if protocol in ("tcp", "udp"):
        more |= {"sport": int(header["sport"]), "dport": int(header["dport"])}
    if protocol == "udp":
        return udp(*ends, payload=_zeros(rest - 8), **more)
    if protocol == "tcp":
        more |= {n: int(header[n]) for n in ("seq", "ack", "window") if n in header}
        extra = _zeros(rest - 20)
        flags = header.get("flags", "")
        behind = "options" if "SYN" in flags and len(extra) <= MOST_OPTIONS else "payload"
        more |= {"flags": flags, behind: extra}
        return tcp(*ends, **more)
    if protocol in ("icmp", "ipv6-icmp"):
        kind = _icmp_type(header.get("icmp_type", ""), 6 if v6 else 4)
        more |= {n: int(header[f"icmp_{n}"]) for n in ("id", "seq") if f"icmp_{n}" in header}
        code = header.get("icmp_code", "")
        more |= {"code": int(code) if code.isdecimal() else 0, "payload": _zeros(rest - 8)}
        return icmp(*ends, type=kind, **more)
    number = int(protocol) if protocol.isdecimal() else protocol_numbers().get(protocol)
    return None if number is None else raw(*ends, number, payload=_zeros(rest), **more)


def _icmp_type(text: str, family: int) -> int:
    if text.isdecimal():
        return int(text)
    return TYPE_NAMES[family][text][0] if text in TYPE_NAMES[family] else int(text)


def _zeros(count: int) -> bytes:
    return bytes(max(0, min(count, 0xFFFF)))
