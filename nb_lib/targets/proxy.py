"""TPROXY: let a program on this host stand in for the destination.

Linux: net/netfilter/xt_TPROXY.c tproxy_tg4().
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from nb_lib import addresses, kinds, ports
from nb_lib.effects import Note
from nb_lib.kinds import Masked
from nb_lib.options import Action, Context, Extension, Option, Setting, Use
from nb_lib.packet import Packet

_MARK_NONE = Masked(0, 0)


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Write out the address and the mark that stand for *none*."""
    nobody = IPv4Address(0) if family == kinds.IPV4 else IPv6Address(0)
    return {"--on-ip": Setting(nobody), "--tproxy-mark": Setting(_MARK_NONE), **settings}


def _list_tproxy(use: Use, _numeric: bool) -> str:
    address, (value, mask) = use.value("--on-ip"), use.value("--tproxy-mark")
    where = f"{addresses.write_address(address)}:{use.value('--on-port')}"
    return f" TPROXY redirect {where} mark {value:#x}/{mask:#x}"


class _Port(kinds.Word):
    """One port."""

    metavar = "port"

    def read(self, word: str, _family: int) -> int:
        return ports.resolve_port(word or "0", ("tcp", "udp"))


def _tproxy(use: Use, packet: Packet, ctx: Context) -> Action:
    """Give the packet to a transparent socket, and mark it; without a socket it is dropped."""
    socket = dict(packet.facts).get("socket", ctx.fact("socket"))
    port = use.value("--on-port") or packet.dport
    if socket is None:
        return Action(
            "UNDECIDED",
            missing=f"whether a transparent socket listens on port {port} (socket='transparent')",
        )
    if socket != "transparent":
        return Action("DROP")
    value, mask = use.value("--tproxy-mark")
    return Action(
        "ACCEPT",
        packet.change(mark=packet.mark & ~mask ^ value),
        (Note(f"TPROXY: to the socket on port {port}"),),
    )


TPROXY = Extension(
    "TPROXY",
    (
        Option("--on-port", _Port(), required=True, label="port",
               help="the proxy's port; 0: the packet's own"),
        Option("--on-ip", addresses.Host(), label="address", help="the proxy's address"),
        Option("--tproxy-mark", kinds.Mark(always=True), label="mark",
               help="mark the packet, for a routing rule"),
    ),
    protocols=("tcp", "udp"), tables=("mangle",), hooks=("PREROUTING",), act=_tproxy, tidy=_tidy,
    listed=_list_tproxy, defrag=True,
    check=ports.needs_protocol("TPROXY", "tcp", "udp"),
    summary="give the packet to a local socket, without changing it",
    source="net/netfilter/xt_TPROXY.c tproxy_tg4(); iptables-extensions(8) TPROXY",
)  # fmt: skip
