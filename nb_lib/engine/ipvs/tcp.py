"""TCP as IPVS follows it, coarser than conntrack: it decides what counts as active, and for how long.

Linux: net/netfilter/ipvs/ip_vs_proto_tcp.c tcp_states, tcp_timeouts, tcp_state_active(); ip_vs_proto_udp.c.
"""

from __future__ import annotations

from nb_lib.headers import TCP, UDP
from nb_lib.packet import Packet

NONE = "NONE"
_NAMES = {"NO": NONE, "ES": "ESTABLISHED", "SS": "SYN_SENT", "SR": "SYN_RECV", "FW": "FIN_WAIT",
          "TW": "TIME_WAIT", "CL": "CLOSE", "CW": "CLOSE_WAIT", "LA": "LAST_ACK", "LI": "LISTEN",
          "SA": "SYNACK"}  # fmt: skip
_ACTIVE = frozenset({"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"})
_SECONDS = {"NONE": 2, "ESTABLISHED": 900, "SYN_SENT": 120, "SYN_RECV": 60, "FIN_WAIT": 120,
            "TIME_WAIT": 120, "CLOSE": 10, "CLOSE_WAIT": 60, "LAST_ACK": 30, "LISTEN": 120,
            "SYNACK": 120}  # fmt: skip
_OTHERS = {UDP: 300}
_FROM = tuple(_NAMES)
# By direction and what the segment says: the next state for each of the present ones.
# ``alone``: from the client, where the answers do not pass this host (direct routing, tunnel).
_NEXT = {
    ("in", "syn"): "SR ES ES SR SR SR SR SR SR SR SR",
    ("in", "fin"): "CL CW SS TW TW TW CL CW LA LI TW",
    ("in", "ack"): "ES ES SS ES FW TW CL CW CL LI ES",
    ("in", "rst"): "CL CL CL SR CL CL CL CL LA LI SR",
    ("out", "syn"): "SS ES SS SR SS SS SS SS SS LI SR",
    ("out", "fin"): "TW FW SS TW FW TW CL TW LA LI TW",
    ("out", "ack"): "ES ES SS ES FW TW CL CW LA ES ES",
    ("out", "rst"): "CL CL SS CL CL TW CL CL CL CL CL",
    ("alone", "syn"): "SR ES ES SR SR SR SR SR SR SR SR",
    ("alone", "fin"): "CL FW SS TW FW TW CL CW LA LI TW",
    ("alone", "ack"): "ES ES SS ES FW TW CL CW CL LI ES",
    ("alone", "rst"): "CL CL CL SR CL CL CL CL LA LI CL",
}


def follow(state: str, packet: Packet, direction: str) -> str:
    """Return the state after a packet; ``direction`` is ``in``, ``out`` or ``alone``."""
    if packet.protocol != TCP:
        return state
    flags = packet.flag_names
    said = next((name for name in ("RST", "SYN", "FIN", "ACK") if name in flags), None)
    if said is None:
        return "CLOSE"
    present = next(short for short, name in _NAMES.items() if name == state)
    return _NAMES[_NEXT[direction, said.lower()].split()[_FROM.index(present)]]


def active(state: str) -> bool:
    """Whether a connection counts as active; one of UDP never does."""
    return state in _ACTIVE


def lasts(protocol: int, state: str) -> int:
    """Return for how many seconds a connection is kept without a packet."""
    return _SECONDS[state] if protocol == TCP else _OTHERS.get(protocol, 120)
