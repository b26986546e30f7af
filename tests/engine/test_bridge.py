"""Frames on a bridge: which chains they meet, in which order, beside Linux 6.18.

Every chain of iptables, ip6tables, ebtables and arptables holds a rule that matches all, and the kernel
traced each frame past them, with br_netfilter off and on (``recordings/kernel/hook_order.json``, key
``bridge``). The bridge is br0, 10.3.0.1 and fd00:3::1, with the stations A behind p0 and B behind p1.
"""

from __future__ import annotations

from typing import Any

import pytest

from nb_lib.engine import Host
from nb_lib.frame import Arp, arp
from nb_lib.net import ARP, BRIDGE
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import parse
from nb_lib.trace import Answered, Event, Gone, Matched, Trace
from tests.engine.router import recorded, show
from tests.engine.test_hook_order import everywhere

A, B, OWN = "02:00:00:00:0a:00", "02:00:00:00:0b:00", "02:00:00:00:0c:00"
BROADCAST = "ff:ff:ff:ff:ff:ff"
FOUND: dict[str, Any] = recorded("hook_order")["bridge"]
EBTABLES = FOUND["ebtables-nft-save"]
ARPTABLES = "*filter\n-A INPUT -j ACCEPT\n-A OUTPUT -j ACCEPT\n"
TABLES = {4: "ip", 6: "ip6"}
WIRES = {"p0": "q0", "p1": "q1"}


def bridge(calls: int, *, nat: str = "", filter: str = "") -> Host:  # noqa: A002 - the table's name
    """The recorder's host, which has learned where B is."""
    masquerade = "-A POSTROUTING -d {} -j MASQUERADE"
    four = everywhere(nat=masquerade.format("192.0.2.1"))
    four = four.replace("*nat\n", f"*nat\n{nat}").replace("*filter\n", f"*filter\n{filter}")
    host = Host(
        [
            parse(four),
            parse(everywhere(nat=masquerade.format("2001:db8::1")), family=6),
            parse(EBTABLES, family=BRIDGE),
            parse(ARPTABLES, family=ARP),
        ],
        addresses={"br0": ["10.3.0.1/24", "fd00:3::1/64"]},
        bridges={"br0": {"mac": OWN, "ports": ["p0", "p1"]}},
        neighbours={"10.3.0.10": A, "10.3.0.11": B},
        sysctls={f"net.bridge.bridge-nf-call-{w}": calls for w in ("iptables", "ip6tables")},
    )
    host.receive(datagram("10.3.0.11", "10.3.0.1", 9, 9, mac_src=B, mac_dst=OWN), "p1")
    host.conntrack.clear()
    return host


def datagram(a: str, b: str, sport: int, dport: int, **macs: str) -> Packet:
    return udp(a, b, sport=sport, dport=dport, payload=b"x", ident=1, **macs)


def situations(calls: int) -> list[tuple[str, str, Packet, Packet | None]]:
    """Return (situation, port ("": the host's own), frame, what a socket of the host answers)."""
    to_b = {"mac_src": A, "mac_dst": B}
    closed = tcp("10.3.0.1", "10.3.0.10", sport=81, dport=2000 + calls, flags="RST,ACK", ack=1001)
    syn = tcp("10.3.0.10", "10.3.0.1", sport=2000 + calls, dport=81, mac_src=A, mac_dst=OWN)
    return [
        ("IPv4 bridged p0->p1", "p0", datagram("10.3.0.10", "10.3.0.11", 1000 + calls, 9, **to_b), None),
        ("IPv4 bridged reply", "p1",
         datagram("10.3.0.11", "10.3.0.10", 9, 1000 + calls, mac_src=B, mac_dst=A), None),
        ("IPv4 p0 -> br0 address (local)", "p0", syn, closed),
        ("IPv4 local -> p0 through br0", "", datagram("10.3.0.1", "10.3.0.10", 3000 + calls, 9), None),
        ("IPv6 bridged p0->p1", "p0", datagram("fd00:3::10", "fd00:3::11", 1000 + calls, 9, **to_b), None),
        ("ARP request bridged (unicast to B)", "p0",
         arp("10.3.0.10", "10.3.0.11", mac_src=A, mac_dst=B), None),
        ("ARP request broadcast for br0", "p0", arp("10.3.0.10", "10.3.0.1", mac_src=A), None),
        ("broadcast IPv4", "p0",
         datagram("10.3.0.10", "10.3.0.255", 1100, 9, mac_src=A, mac_dst=BROADCAST), None),
    ]  # fmt: skip


def steps(events: tuple[Event, ...], family: int) -> list[str]:
    """Return the chains whose rule was met, in the recorder's words; answers where they were made."""
    found = []
    for event in events:
        if isinstance(event, Matched):
            table = event.place.table
            name = table if " " in table else f"{TABLES[family]} {table}"
            found.append(f"{name}:{event.place.chain}")
        elif isinstance(event, Answered):
            found += steps(event.events, family)
    return found


def wires(trace: Trace, *answers: Trace) -> list[list[str]]:
    """Return what left the ports, in the recorder's words; the kernel draws an answer's identification."""
    gone = []
    for one in (trace, *answers):
        gone += [*gone_of(one.events)]
    return sorted([WIRES[device], kind(packet), words(packet)] for device, packet in gone)


def gone_of(events: tuple[Event, ...]) -> list[tuple[str, Packet]]:
    """Return what left the bridge, the host's own answers included."""
    found = []
    for event in events:
        if isinstance(event, Gone):
            found.append((event.device, event.packet))
        elif isinstance(event, Answered):
            found += gone_of(event.events)
    return found


def kind(packet: Packet) -> str:
    return "0806" if isinstance(packet, Arp) else {4: "0800", 6: "86dd"}[packet.family]


def words(packet: Packet) -> str:
    return show(packet) if packet.family == 4 else ""


def kernel_steps(name: str) -> list[str]:
    """Return the recorder's chains without its own marks, and without the stack's multicast report.

    That is an IPv6 packet of the host, which happened to leave while the recorder listened.
    """
    found = [step for step in FOUND[name]["steps"] if not step.startswith("--[")]
    if name == "bridge-nf-call-*=0 / IPv4 bridged reply":
        found = found[: found.index("ip6 raw:OUTPUT")]
    return found


def kernel_wires(name: str) -> list[list[str]]:
    wire = [one for one in FOUND[name]["wire"] if one[1] != "86dd" or "IPv6" in name]
    return sorted(wire)


@pytest.mark.parametrize("calls", [0, 1])
def test_frames_meet_the_chains_in_the_kernels_order(calls) -> None:
    host = bridge(calls)
    for situation, port, frame, answer in situations(calls):
        name = f"bridge-nf-call-*={calls} / {situation}"
        trace = host.receive(frame, port) if port else host.send(frame)
        ours = steps(trace.events, frame.family)
        answers = [host.send(answer)] if answer else []
        for one in answers:
            ours += steps(one.events, 4)
        assert ours == kernel_steps(name), f"{name}\n{trace}"
        # An answer of the host is what left, where one is recorded: it has an identification of its own.
        assert [w[:2] for w in wires(trace, *answers)] == [w[:2] for w in kernel_wires(name)], name
        if not answers:
            assert wires(trace) == kernel_wires(name), name


def test_every_recorded_situation_is_compared() -> None:
    ours = {f"bridge-nf-call-*={c} / {name}" for c in (0, 1) for name, *_ in situations(c)}
    others = {name for name, found in FOUND.items() if isinstance(found, dict)} - ours
    assert others == {
        "call=1 / physdev rule and -i br0 -o br0 rule, bridged packet",
        "call=1 / bridged packet DNATed by iptables to the host",
    }


DNAT = "-A PREROUTING -p udp --dport 12 -j DNAT --to-destination 10.3.0.1:9\n"
PHYSDEV = "-A FORWARD -i br0 -o br0\n-A FORWARD -m physdev --physdev-in p0 --physdev-out p1\n"


def test_physdev_and_the_bridge_as_device_match_a_bridged_packet() -> None:
    name = "call=1 / physdev rule and -i br0 -o br0 rule, bridged packet"
    host = bridge(1, nat=DNAT, filter=PHYSDEV)
    frame = datagram("10.3.0.10", "10.3.0.11", 1200, 9, mac_src=A, mac_dst=B)
    trace = host.receive(frame, "p0")
    assert steps(trace.events, 4) == kernel_steps(name), trace
    assert wires(trace) == kernel_wires(name)
    assert [rule.counters.packets for rule in host.counted()["filter"]["FORWARD"].rules[:2]] == [
        1,
        1,
    ]


def test_a_bridged_packet_that_iptables_sends_to_the_host_goes_up() -> None:
    name = "call=1 / bridged packet DNATed by iptables to the host"
    host = bridge(1, nat=DNAT, filter=PHYSDEV)
    frame = datagram("10.3.0.10", "10.3.0.11", 1201, 12, mac_src=A, mac_dst=B)
    trace = host.receive(frame, "p0")
    error = icmp(
        "10.3.0.1", "10.3.0.10", type=3, code=3, rest=bytes(4), payload=trace.packet.data, tos=192
    )
    answer = host.send(error)
    assert steps(trace.events, 4) + steps(answer.events, 4) == kernel_steps(name), trace
    ((wire, _, text),) = wires(answer)
    assert [wire, text.split()[:2]] == ["q0", kernel_wires(name)[0][2].split()[:2]]
