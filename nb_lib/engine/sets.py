"""ipsets: what ``-m set`` asks and ``-j SET`` changes.

A set's type says what its members are made of: ``hash:ip,port`` has an address and a port. For each
part ``-m set --match-set NAME src,dst`` says from which side of the packet it is taken.
Sources: ipset(8); net/netfilter/ipset/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from nb_lib.effects import SetMember
from nb_lib.headers import DCCP, ICMP, ICMPV6, WITH_PORTS
from nb_lib.matches.icmp import TYPE_NAMES
from nb_lib.names import protocol_numbers
from nb_lib.net import Net, parse_net
from nb_lib.packet import Packet
from nb_lib.text.ipset import IpSet


def contains(sets: Mapping[str, IpSet], name: str, sides: tuple[str, ...], packet: Packet,
             now: float, *, depth: int = 0) -> bool | None:  # fmt: skip
    """Tell whether the packet is in a set; None if the set, or a fact that it needs, is missing."""
    found = sets.get(name)
    if found is None or depth > 8:
        return None
    if found.family != packet.family and found.parts != ("set",):
        return False
    if found.parts == ("set",):
        answers = [contains(sets, m[0], sides, packet, now, depth=depth + 1) for m in found.members]
        return True if True in answers else None if None in answers else False
    if len(sides) < len(found.parts):
        return False
    wanted = [_value(part, side, packet) for part, side in zip(found.parts, sides, strict=False)]
    if None in wanted:
        return None
    if "" in wanted:
        return False
    best, hit = -1, False
    for member, until in found.members.items():
        if until is not None and until <= now:
            continue
        size = _fits(found, member, wanted)
        if size > best:  # the most specific network decides, also when it is a nomatch
            best, hit = size, member not in found.excluded
    return hit


def _value(part: str, side: str, packet: Packet) -> object:
    if part in ("ip", "net"):
        return packet.src if side == "src" else packet.dst
    if part == "port":
        if packet.protocol in (ICMP, ICMPV6):
            return packet.protocol, (packet.icmp_type or 0) << 8 | (packet.icmp_code or 0)
        return packet.protocol, (packet.sport if side == "src" else packet.dport) or 0
    if part == "iface":
        return packet.in_iface if side == "src" else packet.out_iface
    if part == "mac":
        if packet.in_iface == "lo" or not packet.in_iface:
            return ""  # no Ethernet header, and so in no set
        return (packet.mac_src if side == "src" else packet.mac_dst).lower() or None
    return packet.mark if part == "mark" else None


def _fits(found: IpSet, member: tuple[str, ...], wanted: list[object]) -> int:
    """Return how specific the member is if it holds the packet, else -1."""
    size = 0
    for part, text, value in zip(found.parts, member, wanted, strict=False):
        if part in ("ip", "net"):
            net = _net(text, found.family)
            if value not in net:
                return -1
            size += net.prefix or 0
        elif part == "port":
            if not _port_fits(found, text, value):
                return -1
        elif part == "mark":
            if int(text, 0) != value:
                return -1
        elif text.lower() != value:
            return -1
    return size


@lru_cache(maxsize=1 << 16)
def _net(text: str, family: int) -> Net:
    return parse_net(text, family)


def _port_fits(found: IpSet, text: str, value: object) -> bool:
    """A bitmap holds ports of whatever protocol has them; a hash holds protocols and ports."""
    if found.method != "bitmap":
        return _port(text) == value
    assert isinstance(value, tuple)
    return value[0] in WITH_PORTS - {DCCP} and int(text) == value[1]


@lru_cache(maxsize=1 << 16)
def _port(text: str) -> tuple[int, int]:
    """Read ``80``, ``udp:53``, ``gre:0``, ``icmp:8/0`` or ``icmp:echo-request``."""
    name, _, port = text.rpartition(":")
    protocol = protocol_numbers().get(name or "tcp")
    number = int(name) if protocol is None else protocol
    if number in (ICMP, ICMPV6) and port[:1].isalpha():
        kind, code = (*TYPE_NAMES[4 if number == ICMP else 6][port], 0)[:2]
        return number, kind << 8 | code
    high, slash, low = port.partition("/")
    return number, int(high) << 8 | int(low) if slash else int(port)


def change_member(sets: dict[str, IpSet], wish: SetMember, packet: Packet, now: float) -> str:
    """Add the packet's fields to a set or delete them; return the sentence for the trace.

    Linux: net/netfilter/ipset/ip_set_hash_gen.h mtype_add(), ip_set_core.h ip_set_adt_opt_timeout().
    """
    found = sets.get(wish.name)
    if found is None:
        return f"the set {wish.name} is not known: nothing changed"
    sides = zip(found.parts, wish.fields, strict=False)
    member = tuple(_text(_value(part, side, packet)) for part, side in sides)
    members = {m: until for m, until in found.members.items() if until is None or until > now}
    if not wish.add:
        did = "leaves" if member in members else "was not in"
        members.pop(member, None)
    elif member in members and not wish.exist:
        did = "is already in"  # and lives no longer for that
    else:
        did = "enters"
        seconds = found.timeout if wish.timeout is None else wish.timeout
        members[member] = now + seconds if seconds and found.timeout is not None else None
    sets[wish.name] = replace(found, members=members)
    return f"{','.join(member)} {did} the set {wish.name}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"{value[0]}:{value[1]}"
    return str(value)
