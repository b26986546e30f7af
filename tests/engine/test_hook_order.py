"""Which chains a packet meets, in which order, and what conntrack says there: beside Linux 6.18.

Every chain of every table holds a rule that matches all, and the kernel traced each packet past them
(``recordings/kernel/hook_order.json``). What the router answers of its own (REJECT, an ICMP error) is
compared as well, and so are the answers of its sockets, which we send by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from nb_lib.engine import Host
from nb_lib.engine.routing import make_route
from nb_lib.headers import checksum
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.trace import Answered, Trace
from tests.engine.router import (
    C6,
    R6,
    S6,
    T6,
    WIRES,
    C,
    R,
    S,
    T,
    put,
    recorded,
    router,
    show,
    visited,
)

CHAINS = {
    "raw": ["PREROUTING", "OUTPUT"],
    "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
    "filter": ["INPUT", "FORWARD", "OUTPUT"],
    "security": ["INPUT", "FORWARD", "OUTPUT"],
}
ENDS = {4: (C, R, S, T), 6: (C6, R6, S6, T6)}


def everywhere(**more: str) -> str:
    """Return a dump with a rule in every chain, and more rules behind them."""
    text = ""
    for table, chains in CHAINS.items():
        rules = [f"-A {chain} -m comment --comment x" for chain in chains]
        text += "\n".join([f"*{table}", *rules, *more.get(table, "").splitlines(), "COMMIT", ""])
    return text


def tracked(family: int) -> str:
    """Rules of which one needs conntrack."""
    return everywhere(
        nat=f"-A POSTROUTING -d {'192.0.2.1' if family == 4 else '2001:db8::1'} -j MASQUERADE"
    )


def acting(family: int) -> str:
    """Rules that reject, leave untracked, translate and mark."""
    c, _, s, _ = (end if family == 4 else f"[{end}]" for end in ENDS[family])
    return everywhere(
        filter="-A FORWARD -p udp --dport 10 -j REJECT\n"
        "-A INPUT -p tcp --dport 82 -j REJECT --reject-with tcp-reset\n"
        "-A OUTPUT -p udp --dport 10 -j REJECT",
        raw="-A PREROUTING -p udp --dport 11 -j CT --notrack",
        nat=f"-A PREROUTING -p udp --dport 12 -j DNAT --to-destination {s}:9\n"
        f"-A OUTPUT -p udp --dport 12 -j DNAT --to-destination {c}:9\n"
        "-A POSTROUTING -p udp --dport 13 -j MASQUERADE",
        mangle="-A OUTPUT -p udp --dport 14 -j MARK --set-mark 9",
    )


def rejecting(family: int) -> str:
    """Rules that translate a destination, and reject it then."""
    s = S if family == 4 else f"[{S6}]"
    return everywhere(
        nat=f"-A PREROUTING -p udp --dport 12 -j DNAT --to-destination {s}:10",
        filter="-A FORWARD -p udp --dport 10 -j REJECT\n"
        "-A FORWARD -p tcp --dport 10 -j REJECT --reject-with tcp-reset",
    )


class Sent(NamedTuple):
    """One packet: the wire that it comes from ("": the router's own), and a socket's answer to it."""

    situation: str
    wire: str
    packet: Packet
    answer: Packet | None = None


def make(
    kind: Callable[..., Packet], source: str, destination: str, number: int, **fields: Any
) -> Packet:
    """Make a packet with the identification (IPv4) or flow label (IPv6) by which the recorder knew it."""
    packet = kind(source, destination, ident=number, **fields)
    if packet.family == 4:
        return packet
    data = bytearray(packet.data)
    data[3] = number
    return Packet(data=bytes(data))


def datagram(a: str, b: str, sport: int, dport: int, number: int = 0, **more: Any) -> Packet:
    return make(udp, a, b, number, sport=sport, dport=dport, payload=b"x", **more)


def segment(a: str, b: str, sport: int, dport: int, number: int, *, flags: str = "SYN") -> Packet:
    return make(tcp, a, b, number, sport=sport, dport=dport, flags=flags)


def echo(a: str, b: str, number: int, kind: int) -> Packet:
    return make(icmp, a, b, number, type=kind)


def port_closed(packet: Packet) -> Packet:
    """What the stack answers to a datagram for which no socket waits."""
    kind, code, tos = (3, 3, 192) if packet.family == 4 else (1, 4, 0)
    return icmp(
        packet.dst, packet.src, type=kind, code=code, rest=bytes(4), payload=packet.data, tos=tos
    )


def calm(family: int) -> Iterator[Sent]:
    """Packets that no rule touches."""
    c, r, s, t = ENDS[family]
    ping, pong = (8, 0) if family == 4 else (128, 129)
    yield Sent("forwarded, first packet (UDP)", "c0", datagram(c, s, 4001, 9, 1))
    yield Sent("forwarded, reply", "s0", datagram(s, c, 9, 4001, 2))
    yield Sent("forwarded, second packet same direction", "c0", datagram(c, s, 4001, 9, 3))
    yield Sent("locally delivered (UDP to a socket)", "c0", datagram(c, r, 4002, 5353, 4))
    yield Sent("locally delivered, second packet", "c0", datagram(c, r, 4002, 5353, 5))
    closed = datagram(c, r, 4003, 9999, 6)
    name = "locally delivered UDP, closed port: packet + ICMP port unreachable of the stack"
    yield Sent(name, "c0", closed, port_closed(closed))
    for port, number, flags, name in (
        (80, 7, "SYN,ACK", "locally delivered TCP SYN to listening socket: SYN + SYN-ACK"),
        (81, 8, "RST,ACK", "locally delivered TCP SYN to closed port: SYN + RST"),
    ):
        back = tcp(r, c, sport=port, dport=3997 + number, flags=flags, ack=1001)
        yield Sent(name, "c0", segment(c, r, 3997 + number, port, number), back)
    yield Sent(
        "ping of the router: echo request + reply", "c0", echo(c, r, 9, ping), icmp(r, c, type=pong)
    )
    yield Sent("locally generated, first packet", "", datagram(t, s, 4006, 9, 10))
    unwanted = datagram(s, t, 9, 4006, 11)
    yield Sent("locally generated, reply", "s0", unwanted, port_closed(unwanted))
    yield Sent(
        "loopback (local to local address), first packet", "", datagram(r, r, 4007, 5353, 12)
    )
    yield Sent("loopback, second packet", "", datagram(r, r, 4007, 5353, 13))
    yield Sent(
        "TTL/hop limit 1 to forward: time exceeded", "c0", datagram(c, s, 4008, 9, 14, ttl=1)
    )


def touched(family: int) -> Iterator[Sent]:
    """Packets that some rule of ``acting`` changes or rejects."""
    c, r, s, t = ENDS[family]
    yield Sent("REJECT in filter FORWARD (udp)", "c0", datagram(c, s, 4009, 10, 15))
    yield Sent("REJECT tcp-reset in filter INPUT", "c0", segment(c, r, 4009, 82, 16))
    yield Sent("REJECT in filter OUTPUT (udp)", "", datagram(t, s, 4010, 10, 17))
    yield Sent("raw CT --notrack, forwarded", "c0", datagram(c, s, 4011, 11, 18))
    yield Sent("DNAT of packet to router address: forwarded", "c0", datagram(c, r, 4012, 12, 19))
    yield Sent("DNAT reply", "s0", datagram(s, c, 9, 4012, 20))
    yield Sent("OUTPUT DNAT local -> other interface (reroute)", "", datagram(t, s, 4013, 12, 21))
    yield Sent("MASQUERADE forwarded", "c0", datagram(c, s, 4014, 13, 22))
    yield Sent("MASQUERADE reply", "s0", datagram(s, t, 13, 4014, 23))
    yield Sent(
        "mangle OUTPUT MARK changes route (ip rule fwmark)", "", datagram(t, s, 4015, 14, 24)
    )


def rejected(family: int) -> Iterator[Sent]:
    """Packets that ``rejecting`` turns down."""
    c, r, s, _ = ENDS[family]
    yield Sent("REJECT (udp) in FORWARD of a DNATed packet", "c0", datagram(c, r, 4030, 12, 31))
    yield Sent("REJECT tcp-reset in FORWARD", "c0", segment(c, s, 4031, 10, 32))
    yield Sent(
        "INVALID (TCP RST out of the blue), forwarded",
        "c0",
        segment(c, s, 4016, 80, 25, flags="RST"),
    )


def untracked(_family: int) -> Iterator[Sent]:
    """Packets on a host of which no rule needs conntrack."""
    yield Sent("forwarded, first packet (UDP)", "c0", datagram(C, S, 4001, 9, 1))
    yield Sent("locally delivered", "c0", datagram(C, R, 4001, 5353, 1))
    yield Sent("locally generated", "", datagram(T, S, 4006, 9, 10))


def host(rules: str, family: int, backend: str) -> Host:
    """The router; packets with mark 9 go back to the client, as ``ip rule add fwmark 9`` made them."""
    c, s = ENDS[family][0], ENDS[family][2]
    default = "default" if family == 4 else "::/0"
    routes = (make_route(default, "r1", via=s), make_route(default, "r0", via=c, mark="9"))
    return router(**{f"v{family}": rules}, backend=backend, routes=routes)


SETUPS = [(tracked, calm), (acting, touched), (rejecting, rejected)]


def steps(trace: Trace) -> list[list[tuple[str, str]]]:
    """Return the chains that the packet met, and those that each answer of the router met."""
    answers = [event for event in trace.events if isinstance(event, Answered)]
    return [
        once(visited(trace)),
        *(once(visited(Trace(a.answer, a.events, trace.fate))) for a in answers),
    ]


def once(seen: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Name each chain at its first rule, which matches all."""
    return list({place: (place, word) for place, word in reversed(seen)}.values())[::-1]


def kernel_steps(found: dict[str, Any]) -> list[list[tuple[str, str]]]:
    """Read a recording.

    The legacy recorder took a packet that comes back by lo for another one. The event of a rule
    that rejects came behind those of its answer.
    """
    packets: dict[str, list[tuple[str, str]]] = {}
    for packet in found["packets"]:
        words = packet.get("ct") or [""] * len(packet["steps"])
        packets.setdefault(packet["pkt"], []).extend(zip(packet["steps"], words, strict=True))
    told = list(packets.values())
    if len(told) > 1 and told[1][-1][0] == told[0][-1][0]:
        told[1].pop()
    return [once(seen) for seen in told]


def without_words(seen: list[list[tuple[str, str]]]) -> list[list[tuple[str, str]]]:
    return [[(place, "") for place, _ in one] for one in seen]


def left(trace: Trace) -> list[list[str]]:
    """Return what left: the packet; else the router's answers, without the number that it drew."""
    if trace.fate.kind == "forward":
        return [[WIRES[trace.fate.device], show(trace.packet)]]
    return [["c0", nameless(show(packet))] for packet in trace.replies if packet.src != packet.dst]


def nameless(text: str) -> str:
    return " ".join(word for word in text.split() if not word.startswith(("id=", "fl=")))


def compare(machine: Host, sent: Sent, found: dict[str, Any], backend: str) -> None:
    trace = put(machine, sent.wire, sent.packet)
    ours, kernels = steps(trace), kernel_steps(found)
    if sent.answer is not None:
        assert trace.fate.kind == "local", trace
        ours += steps(machine.send(sent.answer))
    if backend == "legacy":
        ours = without_words(ours)
    # A socket of an earlier step may have spoken into the recording.
    assert ours == kernels[: len(ours)], f"{sent.situation}\n{trace}"
    if sent.answer is None:
        wires = (
            found["wire"]
            if trace.fate.kind == "forward"
            else [[d, nameless(t)] for d, t in found["wire"]]
        )
        assert left(trace) == [w for w in wires if " 10.1.0.1:80>" not in w[1]], (
            f"{sent.situation}\n{trace}"
        )


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("rules", "packets"), SETUPS, ids=[packets.__name__ for _, packets in SETUPS]
)
def test_packets_meet_the_chains_in_the_kernels_order(rules, packets, family, backend) -> None:
    machine, found = host(rules(family), family, backend), recorded("hook_order")[backend]
    for sent in packets(family):
        name = f"ipv{family} {sent.situation}"
        if name in found:
            compare(machine, sent, found[name], backend)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_without_a_rule_that_needs_it_nothing_is_tracked(backend) -> None:
    machine, found = host(everywhere(), 4, backend), recorded("hook_order")[backend]
    for sent in untracked(4):
        name = f"NO CONNTRACK USER IN THE RULESET: ipv4 {sent.situation}"
        compare(machine, sent, found[name], backend)
    assert not len(machine.conntrack)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_all_recorded_situations_are_compared(backend) -> None:
    ours = {
        f"ipv{f} {sent.situation}" for f in (4, 6) for _, packets in SETUPS for sent in packets(f)
    }
    ours |= {f"NO CONNTRACK USER IN THE RULESET: ipv4 {sent.situation}" for sent in untracked(4)}
    others = recorded("hook_order")[backend].keys() - ours
    # The error of a local sender is no packet; fragments that meet conntrack are put together first.
    assert {name for name in others if "errno" not in name and "fragment" not in name} == set()


def test_fragments_without_conntrack_pass_one_by_one() -> None:
    """The first has the port, the second is a later fragment; neither is both."""
    whole = udp(C, S, sport=4020, dport=9, payload=b"z" * 1552, ident=500).data
    head, body = whole[:20], whole[20:]
    parts = [fragment(head, body[:1480], 0x2000), fragment(head, body[1480:], 185)]
    machine = router("*filter\n-A FORWARD -p udp --dport 9\n-A FORWARD -f\nCOMMIT\n")
    name = (
        "ipv4 fragments with no conntrack user in the ruleset (rule1: -p udp --dport 9, rule2: -f)"
    )
    found = recorded("hook_order")["nft"][name]
    for number, (part, kernel) in enumerate(zip(parts, found["packets"], strict=True), 1):
        trace = put(machine, "c0", part)
        assert [f"{t}:{c}" for t, c, n, _ in trace.steps if n != "policy"] == kernel["steps"], trace
        assert trace.steps[0][2] == number


def test_fragments_meet_conntrack_together() -> None:
    whole = udp(C, S, sport=4020, dport=9, payload=b"z" * 1552, ident=500).data
    head, body = whole[:20], whole[20:]
    machine = host(tracked(4), 4, "nft")
    found = recorded("hook_order")["nft"]["ipv4 fragment: first + second fragment (UDP 1480+80)"]
    first = put(machine, "c0", fragment(head, body[:1480], 0x2000))
    last = put(machine, "c0", fragment(head, body[1480:], 185))
    assert (first.fate.kind, first.steps) == ("held", ())
    assert [once(visited(last))] == kernel_steps({"packets": found["packets"][1:]})
    assert [(p.fragment_offset, p.length) for p in last.outgoing] == [(0, 1500), (1480, 100)]


def fragment(head: bytes, body: bytes, place: int) -> Packet:
    """Put a part of a packet's body behind its IPv4 header."""
    data = bytearray(head + body)
    data[2:4], data[6:8], data[10:12] = (
        len(data).to_bytes(2, "big"),
        place.to_bytes(2, "big"),
        bytes(2),
    )
    data[10:12] = checksum(bytes(data[:20])).to_bytes(2, "big")
    return Packet(data=bytes(data))
