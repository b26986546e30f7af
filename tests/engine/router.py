"""The router of the recordings (recordings/ORIGIN.md): r0 is towards the client, r1 towards the server."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from nb_lib.engine import Host
from nb_lib.headers import checksum
from nb_lib.packet import Packet
from nb_lib.text import parse
from nb_lib.trace import Matched, Trace
from tests.recordings import archive

C, R, S, T = (
    "10.1.0.2",
    "10.1.0.1",
    "10.2.0.2",
    "10.2.0.1",
)  # client, router, server, the router there
C6, R6, S6, T6 = "fd00:1::2", "fd00:1::1", "fd00:2::2", "fd00:2::1"
ADDRESSES = {"r0": ["10.1.0.1/24", "fd00:1::1/64"], "r1": ["10.2.0.1/24", "fd00:2::1/64"]}
ROUTES = {"default": "r1 via 10.2.0.2", "::/0": "r1 via fd00:2::2"}
PEERS = {"c0": "r0", "s0": "r1"}  # the wire's end outside → the router's device
WIRES = {device: wire for wire, device in PEERS.items()}


@cache
def recorded(name: str) -> Any:
    """Return one of the recordings of the kernel: hook_order, stateful, pitfalls."""
    return json.loads(archive("kernel.tar.xz")[f"{name}.json"])


def router(v4: str = "", v6: str = "", *, backend: str = "nft", **facts: Any) -> Host:
    """Return the router with rules for one family or both."""
    rules = [parse(text, family=f, backend=backend) for text, f in ((v4, 4), (v6, 6)) if text]
    sysctls = {"net.ipv4.conf.all.accept_local": 1, **facts.pop("sysctls", {})}
    return Host(rules, addresses=ADDRESSES, sysctls=sysctls, **{"routes": ROUTES, **facts})


def put(host: Host, wire: str, packet: Packet) -> Trace:
    """Send a packet into the router from a wire, or as its own ("")."""
    return host.receive(packet, PEERS[wire]) if wire else host.send(packet)


def mended(data: bytes) -> Packet:
    """Return the IPv4 packet with its length and its header's checksum put right."""
    fixed = bytearray(data)
    fixed[2:4], fixed[10:12] = len(data).to_bytes(2, "big"), bytes(2)
    fixed[10:12] = checksum(fixed[:20]).to_bytes(2, "big")
    return Packet(data=bytes(fixed))


def wire(trace: Trace) -> list[list[str]]:
    """Return what the router put on the wires, in the recorder's words; a packet, or its own answer."""
    left = [(trace.fate.device, trace.packet)] if trace.fate.kind == "forward" else []
    return [[WIRES[device], show(packet)] for device, packet in left]


def show(packet: Packet) -> str:
    """Write a packet as the recorder did: ``udp 10.1.0.2:4001>10.2.0.2:9 id=1 ttl=64 tos=0``."""
    name = {"icmpv6": "icmp6", "esp": "50"}.get(packet.protocol_name, packet.protocol_name)
    src, dst = str(packet.src), str(packet.dst)
    if packet.sport is not None:
        src, dst = f"{src}:{packet.sport}", f"{dst}:{packet.dport}"
    if packet.family == 4:
        more = f"id={packet.ident} ttl={packet.ttl} tos={packet.tos}"
    else:
        more = f"fl={int.from_bytes(packet.data[1:4], 'big') & 0xFFFFF} hl={packet.ttl}"
    if packet.flags is not None:
        more += " flags=" + "".join(
            c for bit, c in enumerate("FSRPAUEC") if packet.flags >> bit & 1
        )
    if packet.icmp_type is not None:
        more += f" icmp={packet.icmp_type}/{packet.icmp_code}"
    return f"{name} {src}>{dst} {more}"


def visited(trace: Trace) -> list[tuple[str, str]]:
    """Return table:CHAIN and conntrack's word of each rule that matched, in the recorder's words."""
    return [
        (f"{e.place.table}:{e.place.chain}", _word(e))
        for e in trace.events
        if isinstance(e, Matched)
    ]


def _word(event: Matched) -> str:
    """Conntrack's state as the kernel's trace shows it: an INVALID packet has none."""
    ct = event.packet.ct
    if ct is None or ct.state == "INVALID":
        return "none"
    direction = {"ORIGINAL": "/orig", "REPLY": "/reply"}[ct.direction]
    return ct.state + (direction if ct.connection is not None else "")
