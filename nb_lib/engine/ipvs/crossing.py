"""A packet meets IPVS at a hook: ``balance`` on its way to a virtual server, ``answer`` on its way back.

Linux: net/netfilter/ipvs/ip_vs_core.c ip_vs_in_hook(), ip_vs_out_hook(), handle_response(), ip_vs_leave();
ip_vs_xmit.c ip_vs_nat_xmit(), ip_vs_dr_xmit(), __ip_vs_get_out_rt(); ip_vs_nfct.c ip_vs_update_conntrack().
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from nb_lib.engine.conntrack import UNTRACKED
from nb_lib.engine.ipvs.connections import Held
from nb_lib.engine.routing import Refused
from nb_lib.engine.walk import Ending
from nb_lib.frozen import changed
from nb_lib.headers import ICMP_ERRORS, SCTP, TCP, UDP
from nb_lib.hooks import INPUT, OUTPUT
from nb_lib.packet import Packet
from nb_lib.text.ipvs import IPIP, MASQ, VirtualServer
from nb_lib.trace import Balanced, Event, Rewritten, Route

if TYPE_CHECKING:
    from nb_lib.engine.crossing import Crossing
    from nb_lib.engine.ipvs.connections import Balancer

_BY = "IPVS"
_SETTING = "net.ipv4.vs."
_REUSABLE = ("TIME_WAIT", "CLOSE")
_NO_PORT = {4: (3, 3), 6: (1, 4)}  # port unreachable
_TOO_OLD = {4: (11, 0), 6: (3, 0)}


class Taken(NamedTuple):
    """IPVS takes the packet from the hook and sends it by a route of its own."""

    route: Route


Stopped = Generator[Event, None, "Ending | Refused | Taken | None"]


# ── To a real server ────────────────────────────────────────────────────────────────


def balance(way: Crossing, hook: str) -> Stopped:
    """Give a packet for a virtual server to a real one."""
    packet, balancer = way.packet, _balancer(way)
    if way.meeting.ipvs or (hook == INPUT and packet.link not in ("", "HOST")):
        return None
    if not _balanced(packet):
        return _quoting(way)
    held = balancer.find(packet)
    if held is not None:
        usable = _usable(way, held)
        if isinstance(usable, Refused):
            return usable
        held = usable
    what = "known" if held else "new"
    if held is None:
        service = balancer.service_of(packet)
        if service is None or not _opens(way, packet):
            return None
        held = _scheduled(way, service)
        if held is None:
            yield Balanced(packet, "none", _named(service))
            reason = f"no real server of {service} is available"
            return Refused(reason, answer=_NO_PORT[packet.family])
    held = balancer.follow(held, packet, "in", way.state.now)
    yield Balanced(packet, what, _named(balancer.services.get(held.service)), str(held.server))
    return (yield from _send(way, held))


def _balancer(way: Crossing) -> Balancer:
    assert way.state.ipvs is not None
    return way.state.ipvs


def _balanced(packet: Packet) -> bool:
    """Whether IPVS looks at a packet's ports."""
    return packet.protocol in (TCP, UDP, SCTP) and packet.sport is not None


def _named(service: VirtualServer | None) -> str:
    return f"{service} {service.scheduler}" if service else "a virtual server that is gone"


def _opens(way: Crossing, packet: Packet) -> bool:
    """Whether a packet may open a connection: tcp_conn_schedule()."""
    if packet.protocol != TCP or _set(way, "sloppy_tcp"):
        return True
    return "SYN" in packet.flag_names and "RST" not in packet.flag_names


def _set(way: Crossing, name: str, default: int = 0) -> int:
    return way.routing.setting(_SETTING + name, default)


def _scheduled(way: Crossing, service: VirtualServer) -> Held | None:
    return _balancer(way).schedule(
        service,
        way.packet,
        way.state.now,
        tracked=bool(_set(way, "conntrack")),
        patient=not _set(way, "expire_quiescent_template"),
    )


def _usable(way: Crossing, held: Held) -> Held | Refused | None:
    """Return a known connection if it may be used again; None if a new one has to take its place."""
    balancer, packet = _balancer(way), way.packet
    server = balancer.server_of(held)
    gone, expires = server is None, _set(way, "expire_nodest_conn")
    if gone and not expires:
        reason = f"{held.server}, to which the connection belongs, is gone"
        return Refused(reason, f"{_SETTING}expire_nodest_conn=1")
    empty = server is not None and not server.weight and expires
    opens = packet.protocol == TCP and "SYN" in packet.flag_names
    over = held.state in _REUSABLE and _set(way, "conn_reuse_mode", 1)
    if not gone and not (opens and (empty or over)):
        return held
    tracked = packet.ct.connection if packet.ct else None
    balancer.forget(held)
    if held.tracked and tracked is not None and "CONFIRMED" in tracked.status:
        return Refused("conntrack still leads its connection to another real server")
    return None


def _send(way: Crossing, held: Held) -> Stopped:
    """Put the real server's address in (MASQ), or none (GATE), and send the packet there."""
    packet, server = way.packet, held.server
    if server.method == IPIP:
        return Ending("UNDECIDED", packet, by=f"a tunnel to {server.address} is not followed")
    route = way.routing.output(None, server.address)
    if isinstance(route, Refused):
        return route
    here = route.interface == "lo"
    if not here and packet.src.is_loopback:
        return Refused(f"the source {packet.src} may not leave: IPVS sends nothing from loopback")
    if not here and packet.ttl <= 1:
        return Refused(f"its TTL is {packet.ttl}", answer=_TOO_OLD[packet.family])
    new: dict[str, object] = {} if here else {"ttl": packet.ttl - 1}
    if server.method == MASQ:
        new |= {"dst": server.address, "dport": held.port}
    _mark(way, held, "ORIGINAL")
    before = way.packet
    if new:
        way.set(before.change(**new))
        yield Rewritten(way.packet, before, _BY)
    return None if here else Taken(route._replace(source=None))  # the client stays the source


# ── Back to the client ──────────────────────────────────────────────────────────────


def answer(way: Crossing, hook: str) -> Stopped:
    """Put the virtual address back into a real server's answer."""
    packet, balancer = way.packet, _balancer(way)
    if way.meeting.ipvs or not _balanced(packet):
        return None
    held = balancer.find_answer(packet)
    if held is None:
        return None
    held = balancer.follow(held, packet, "out", way.state.now)
    yield Balanced(packet, "answer", _named(balancer.services.get(held.service)), str(held.server))
    _mark(way, held, "REPLY")
    before = way.packet
    way.set(before.change(src=held.asked[3], sport=held.asked[4]))
    yield Rewritten(way.packet, before, _BY)
    return (yield from way.route_again(before)) if hook == OUTPUT else None


# ── Beside the packet ───────────────────────────────────────────────────────────────


def _mark(way: Crossing, held: Held, direction: str) -> None:
    """Tell the rules that follow, and conntrack: the packet is IPVS's."""
    protocol, _client, _port, virtual, port = held.asked
    way.meeting.ipvs = {"proto": protocol, "vaddr": virtual, "vport": port, "method": held.server.method,
                        "dir": direction, "vportctl": 0}  # fmt: skip
    tracked = way.packet.ct
    if tracked is None or tracked.connection is None:
        return
    if not held.tracked:
        way.set(changed(way.packet, ct=UNTRACKED))
        return
    connection = tracked.connection
    unchangeable = "CONFIRMED" in connection.status or tracked.direction != "ORIGINAL"
    if unchangeable or held.server.method != MASQ:
        return
    reply = connection.reply._replace(src=held.server.address, sport=held.port)
    if direction == "REPLY":
        reply = connection.reply._replace(dst=virtual, dport=port)
    way.set(changed(way.packet, ct=tracked._replace(connection=changed(connection, reply=reply))))


def _quoting(way: Crossing) -> Ending | None:
    """An ICMP error about a balanced packet would be translated: ip_vs_in_icmp(). That is not followed."""
    packet = way.packet
    if packet.icmp_type not in ICMP_ERRORS[packet.family] or packet.inner is None:
        return None
    inner = packet.inner
    if inner.sport is None or inner.dport is None:
        return None
    back = (inner.protocol, inner.dst, inner.dport, inner.src, inner.sport)
    known = {one.asked for one in _balancer(way)} | {one.answers for one in _balancer(way)}
    if back not in known:
        return None
    return Ending("UNDECIDED", packet, by="IPVS translates ICMP errors, which is not followed")
