"""The host of the bridge lab as nb_lib knows it, and how its traces differ from what the kernel did."""

from __future__ import annotations

from collections.abc import Iterator

from nb_lib.engine import Host
from nb_lib.frame import read_frame, write_frame
from nb_lib.net import ARP, BRIDGE
from nb_lib.packet import Packet
from nb_lib.text import parse
from nb_lib.trace import Answered, Event, Gone, Matched, PolicyApplied, Trace
from tests.kernel.bridge_lab import ADDRESSES, OWN, PORTS, STATIONS, Seen, Step

FAMILIES = {"iptables": 4, "ip6tables": 6, "arptables": ARP, "ebtables": BRIDGE}


def host(dumps: dict[str, str], calls: int, before: Host | None) -> Host:
    """The lab's host; it keeps in mind where ``before`` has seen the stations."""
    made = Host(
        [parse(dump, family=FAMILIES[program], backend="nft") for program, dump in dumps.items()],
        addresses={"br0": ["10.3.0.1/24", "fd00:3::1/64"]},
        routes={"default": "br0 via 10.3.0.11", "::/0": "br0 via fd00:3::11"},
        bridges={"br0": {"mac": OWN, "ports": PORTS}},
        neighbours={a: STATIONS[port] for port, both in ADDRESSES.items() for a in both},
        sysctls={"net.ipv4.conf.all.accept_local": 1}
        | {f"net.bridge.bridge-nf-call-{w}": calls for w in ("iptables", "ip6tables", "arptables")},
    )
    if before:
        made.state.memory |= {k: v for k, v in before.state.memory.items() if k[0] == "station"}
    return made


def steps(events: tuple[Event, ...]) -> Iterator[Step]:
    """Yield the rules that matched and the policies of base chains, those that answers met included."""
    for event in events:
        if isinstance(event, Matched):
            yield (*event.place, event.verdict)
        elif isinstance(event, PolicyApplied):
            yield event.table, event.chain, 0, event.verdict
        elif isinstance(event, Answered):
            yield from steps(event.events)


def gone(events: tuple[Event, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield what left the ports."""
    for event in events:
        if isinstance(event, Gone):
            yield event.device, nameless(write_frame(event.packet))
        elif isinstance(event, Answered):
            yield from gone(event.events)


def nameless(frame: bytes) -> bytes:
    """Leave out what the kernel draws for an answer of its own, and a reset's checksum.

    An ICMP error has an identification or a flow label. A veth device leaves a checksum to others.
    """
    kind, data = frame[12:14], bytearray(frame)
    if kind == b"\x08\0" and (frame[23], frame[34]) == (1, 3):
        data[18:20] = data[24:26] = bytes(2)
    elif kind == b"\x08\0" and frame[23] == 6 and frame[47] & 4:
        data[50:52] = bytes(2)
    elif kind == b"\x86\xdd" and (frame[20], frame[54]) == (58, 1):
        data[15:18] = bytes(3)
    elif kind == b"\x86\xdd" and frame[20] == 6 and frame[67] & 4:
        data[15:18], data[70:72] = bytes(3), bytes(2)
    return bytes(data)


def in_our_words(seen: list[Step], machine: Host) -> list[Step]:
    """A user chain's policy is to the kernel one rule more."""
    found = []
    for table, chain, number, verdict in seen:
        layer, _, name = table.rpartition(" ")
        last = layer == "bridge" and number > len(machine.rulesets[BRIDGE][name][chain].rules)
        found.append((table, chain, 0 if last else number, verdict))
    return found


def difference(trace: Trace, seen: Seen, machine: Host) -> str:
    """Say what differs between our trace and what the kernel did, or nothing."""
    ours, theirs = list(steps(trace.events)), in_our_words(seen.steps, machine)
    out, left = (
        sorted(gone(trace.events)),
        sorted((port, nameless(frame)) for port, frame in seen.out),
    )
    if any(isinstance(event, Answered) and event.by == "REJECT" for event in trace.events):
        ours, theirs = sorted(ours), sorted(theirs)  # the kernel tells of the answer first
    if ours == theirs and out == left:
        return ""
    lines = []
    for place in range(max(len(ours), len(theirs))):
        pair = [found[place] if place < len(found) else None for found in (ours, theirs)]
        lines.append(f"  {'=' if pair[0] == pair[1] else '≠'} {pair[0]} | {pair[1]}")
    if out != left:
        for who, all_ in (("ours", out), ("kernel", left)):
            lines.append(f"  {who} {[(port, frame.hex()) for port, frame in all_]}")
    return "\n".join(lines)


def put(machine: Host, port: str, data: bytes) -> Trace:
    """Let our host take a frame in by a port, or send an IP packet of its own ("")."""
    machine.conntrack.clear()
    if port:
        return machine.receive(read_frame(data), port)
    return machine.send(Packet(data=data), broadcast=True)
