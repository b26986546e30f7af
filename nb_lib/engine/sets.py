"""ipsets: what ``-m set`` asks and ``-j SET`` changes.

A set's type says what its members are made of: ``hash:ip,port`` has an address and a port. For each
part ``-m set --match-set NAME src,dst`` says from which side of the packet it is taken.
Sources: ipset(8); net/netfilter/ipset/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nb_lib.effects import SetMember
from nb_lib.headers import DCCP, ICMP, ICMPV6, WITH_PORTS
from nb_lib.packet import Packet
from nb_lib.text.ipset import PHYSDEV, IpSet


def contains(sets: Mapping[str, IpSet], name: str, sides: tuple[str, ...], packet: Packet,
             now: float, *, depth: int = 0) -> bool | None:  # fmt: skip
    """Tell whether the packet is in a set; None if the set, or a fact that it needs, is missing."""
    found = sets.get(name)
    if found is None or depth > 8:
        return None
    if found.family != packet.family and not {"ip", "net"}.isdisjoint(found.parts):
        return False
    if found.parts == ("set",):
        answers = [contains(sets, m[0], sides, packet, now, depth=depth + 1) for m in found.members]
        return True if True in answers else None if None in answers else False
    if len(sides) < len(found.parts):
        return False
    wanted = [_value(part, side, packet) for part, side in zip(found.parts, sides, strict=False)]
    if found.method == "bitmap":
        wanted = [_bare_port(value) for value in wanted]
    if None in wanted:
        return None
    if "" in wanted:
        return False
    return _find(found, wanted, sides, packet, now)


def _find(
    found: IpSet, wanted: list[object], sides: tuple[str, ...], packet: Packet, now: float
) -> bool:
    """Look the values up under each mask; the most specific network decides, also when it is a nomatch."""
    best, hit = -1, False
    for masks, members in found.filed.items():
        values = tuple(
            _under(mask, value, side, packet)
            for mask, value, side in zip(masks, wanted, sides, strict=False)
        )
        member = members.get(values)
        if member is None:
            continue
        until = found.members[member]
        size = sum(mask.bit_count() for mask in masks if isinstance(mask, int))
        if size > best and (until is None or until > now):
            best, hit = size, member not in found.excluded
    return hit


def _under(mask: int | str, value: object, side: str, packet: Packet) -> object:
    """Return a packet's value as a member with this mask would hold it."""
    if mask == PHYSDEV:
        return packet.in_port if side == "src" else packet.out_port
    return int(value) & mask if isinstance(mask, int) else value  # type: ignore[call-overload]


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


def _bare_port(value: object) -> object:
    """A bitmap holds ports of whatever protocol has them; a hash holds protocols and ports."""
    if not isinstance(value, tuple):
        return value
    return value[1] if value[0] in WITH_PORTS - {DCCP} else ""


def change_member(sets: dict[str, IpSet], wish: SetMember, packet: Packet, now: float) -> str:
    """Add the packet's fields to a set or delete them; return the sentence for the trace.

    Linux: net/netfilter/ipset/ip_set_hash_gen.h mtype_add(), ip_set_core.h ip_set_adt_opt_timeout().
    """
    found = sets.get(wish.name)
    if found is None:
        return f"the set {wish.name} is not known: nothing changed"
    values = [_value(p, side, packet) for p, side in zip(found.parts, wish.fields, strict=False)]
    if None in values or len(values) < len(found.parts):
        return f"the packet has no {','.join(found.parts)} for the set {wish.name}: nothing changed"
    member = tuple(map(_text, values))
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
