"""What each match says to which packet: rule, packet, answer. One list an extension."""

from __future__ import annotations

import struct
from typing import NamedTuple

from nb_lib.connection import Connection, Tracked, Tuple
from nb_lib.headers import ACK, SYN
from nb_lib.net import parse_address
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.extensions.world import World

A, B = "10.0.0.1", "10.0.0.2"
A6, B6 = "fd00::1", "fd00::2"


class Fact(NamedTuple):
    """A rule meets a packet, in a world; ``hit`` or the reason."""

    rule: str
    packet: Packet
    answer: str
    world: World | None = None


def later_fragment(offset: int = 1480) -> Packet:
    """The second fragment of a TCP packet: bytes without ports."""
    data = bytearray(tcp(A, B, dport=80).data)
    data[6:8] = (offset // 8).to_bytes(2, "big")
    return Packet(data=bytes(data))


def cut(packet: Packet, size: int) -> Packet:
    """The packet's first ``size`` bytes."""
    return Packet(data=packet.data[:size])


def connection(**changes) -> Connection:
    """A TCP connection from A:40000 to 10.9.9.9:80, translated to B:8080."""
    a, b, vip = map(parse_address, (A, B, "10.9.9.9"))
    known = {
        "original": Tuple(a, vip, 6, 40000, 80),
        "reply": Tuple(b, a, 6, 8080, 40000),
        "status": frozenset({"SEEN_REPLY", "ASSURED", "CONFIRMED", "DNAT"}),
        "mark": 0x15,
        "expires": 1_700_000_100.0,
        "packets": (10, 6),
        "bytes": (1000, 6000),
        "labels": 0b100,
    }
    return Connection(id=7, **{**known, **changes})


def tracked(state: str = "ESTABLISHED", direction: str = "ORIGINAL", **changes) -> Packet:
    """A packet of that connection."""
    entry = connection(**changes) if state not in ("INVALID", "UNTRACKED") else None
    return tcp(A, B, dport=8080, flags=ACK, ct=Tracked(state, direction, entry))


def sctp(*chunks: tuple[int, int], dport: int = 36412) -> Packet:
    """An SCTP packet of empty chunks, as (type, flags)."""
    body = b"".join(struct.pack("!BBH", kind, flags, 4) for kind, flags in chunks)
    return raw(A, B, 132, payload=struct.pack("!HHII", 5000, dport, 1, 0) + body)


def dccp(kind: int, options: bytes = b"") -> Packet:
    """A DCCP packet of a type, without extended sequence numbers."""
    size = {0: 4, 1: 12, 2: 0, 7: 12}.get(kind, 8)
    offset = (12 + size + len(options)) // 4
    header = struct.pack("!HHBBHBBH", 5000, 6000, offset, 0, 0, kind << 1, 0, 0)
    return raw(A, B, 33, payload=header + bytes(size) + options)


def behind(*headers: tuple[int, bytes], protocol: int = 6) -> Packet:
    """An IPv6 TCP packet behind extension headers, as (protocol, bytes from the third on)."""
    inner = tcp(A6, B6, dport=80).data[40:]
    body, following = inner, protocol
    for number, rest in reversed(headers):
        size = 2 + len(rest)
        length = 0 if number == 44 else size // 4 - 2 if number == 51 else size // 8 - 1
        body = bytes((following, length)) + rest + body
        following = number
    return raw(A6, B6, following, payload=body)


LEGACY = World(backend="legacy")
PORTS = tcp(A, B, sport=40000, dport=443)
SYN_PACKET = tcp(A, B, dport=80, options=bytes((2, 4, 0x05, 0xB4, 4, 2, 1, 1)))
ROUTING = behind((43, bytes((0, 1)) + bytes(4) + parse_address("fd00::9").packed))
FRAGMENT = behind((44, bytes((0, 1)) + (77).to_bytes(4, "big")))
HOP = behind((0, bytes((5, 2, 0, 0, 1, 0))))
DEST = behind((60, bytes((1, 4, 0, 0, 0, 0))))
AH6 = behind((51, bytes(2) + (100).to_bytes(4, "big") + bytes(4) + bytes(4)))
AUG_1 = 1_690_891_200.0  # Tuesday, 2023-08-01 12:00:00 UTC


def routed(left: int, *hops: str, tag: int = 0x1234) -> Packet:
    """A UDP packet behind a segment routing header with these segments, the last of the path first."""
    body = b"".join(parse_address(hop).packed for hop in hops)
    header = struct.pack("!6BH", 17, len(body) // 8, 4, left, len(hops) - 1, 0, tag) + body
    return raw(A6, B6, 43, payload=header + udp(A6, B6, dport=53).data[40:])


ROUTED = routed(1, "fd00::a", "fd00::b", "fd00::c")
RATES = World(facts={"rates": {"a": (1000, 5), "b": (3000, 5)}})
VIA_IPVS = World(facts={"ipvs": {"proto": 6, "vaddr": "10.9.9.9", "vport": 80, "method": "MASQ",
                                 "dir": "ORIGINAL"}})  # fmt: skip

FACTS: dict[str, list[Fact]] = {
    "tcp": [
        Fact("-p tcp -m tcp --dport 443", PORTS, "hit"),
        Fact("-p tcp -m tcp --dport 80", PORTS, "dport 443 ≠ 80"),
        Fact("-p tcp -m tcp --dport 400:500", PORTS, "hit"),
        Fact("-p tcp -m tcp ! --dport 443", PORTS, "dport 443 = 443, and the rule says !"),
        Fact("-p tcp -m tcp ! --dport 22", PORTS, "hit"),
        # The ! stands for the port alone: UDP to another port is no match.
        Fact("-p tcp -m tcp ! --dport 22", udp(A, B, dport=53), "protocol udp ≠ tcp"),
        Fact("-p tcp -m tcp --sport 1:1023", PORTS, "sport 40000 ≠ 1:1023"),
        Fact("-p tcp -m tcp --tcp-flags SYN,ACK SYN", PORTS, "hit"),
        Fact(
            "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
            tcp(A, B, dport=1, flags=SYN | ACK),
            "flags SYN,ACK ≠ SYN of FIN,SYN,RST,ACK",
        ),
        Fact(
            "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", tcp(A, B, dport=1, flags=ACK), "hit"
        ),
        Fact("-p tcp -m tcp --tcp-option 2", SYN_PACKET, "hit"),
        Fact("-p tcp -m tcp --tcp-option 3", SYN_PACKET, "not TCP option 3"),
        Fact("-p tcp -m tcp ! --tcp-option 2", SYN_PACKET, "TCP option 2, and the rule says !"),
        # nftables reads the bytes of a later fragment as ports (tests/kernel/test_fragments.py)
        Fact("-p tcp -m tcp --dport 80", later_fragment(), "hit"),
        Fact("-p tcp -m tcp --dport 80", later_fragment(), "a later fragment has no ports", LEGACY),
        Fact("-p tcp -m tcp --tcp-option 2", later_fragment(), "a later fragment has no ports"),
        Fact("-p tcp -m tcp --dport 80", cut(PORTS, 30), "dport 443 ≠ 80"),
        Fact("-p tcp -m tcp --syn", cut(PORTS, 30), "the header is cut short"),
        Fact("-p tcp -m tcp --dport 80", cut(PORTS, 23), "the header is cut short"),
        Fact("-p tcp -m tcp --dport 80", cut(PORTS, 30), "hotdrop", LEGACY),
        Fact("-p tcp -m tcp --dport 80", later_fragment(8), "hotdrop", LEGACY),
    ],
    "udp": [
        Fact("-p udp -m udp --dport 53", udp(A, B, dport=53), "hit"),
        Fact("-p udp -m udp --dport 53", udp(A, B, dport=54), "dport 54 ≠ 53"),
        Fact("-p udp -m udp ! --dport 53", udp(A, B, dport=54), "hit"),
        Fact(
            "-p udp -m udp ! --sport 68",
            udp(A, B, sport=68, dport=67),
            "sport 68 = 68, and the rule says !",
        ),
        Fact("-p udp -m udp ! --dport 22", PORTS, "protocol tcp ≠ udp"),
    ],
    "sctp": [
        Fact("-p sctp -m sctp --dport 36412", sctp((1, 0)), "hit"),
        Fact("-p sctp -m sctp --dport 1", sctp((1, 0)), "dport 36412 ≠ 1"),
        Fact("-p sctp -m sctp ! --dport 1", sctp((1, 0)), "hit"),
        Fact("-p sctp -m sctp --chunk-types all INIT,DATA", sctp((1, 0), (0, 3)), "hit"),
        Fact(
            "-p sctp -m sctp --chunk-types all INIT,DATA", sctp((1, 0)), "not chunks all DATA,INIT"
        ),
        Fact("-p sctp -m sctp --chunk-types any DATA:E", sctp((0, 1)), "hit"),
        Fact("-p sctp -m sctp --chunk-types any DATA:E", sctp((0, 2)), "not chunks any DATA:E"),
        Fact(
            "-p sctp -m sctp --chunk-types only SACK", sctp((3, 0), (0, 0)), "not chunks only SACK"
        ),
        Fact("-p sctp -m sctp ! --chunk-types only SACK", sctp((3, 0), (0, 0)), "hit"),
        Fact("-p sctp -m sctp --dport 1", cut(sctp((1, 0)), 28), "hotdrop"),
    ],
    "dccp": [
        Fact("-p dccp -m dccp --dport 6000", dccp(0), "hit"),
        Fact("-p dccp -m dccp --dport 6001", dccp(0), "dport 6000 ≠ 6001"),
        Fact("-p dccp -m dccp --dccp-types REQUEST,DATA", dccp(2), "hit"),
        Fact(
            "-p dccp -m dccp ! --dccp-types REQUEST,DATA",
            dccp(2),
            "type DATA = REQUEST,DATA, and the rule says !",
        ),
        Fact("-p dccp -m dccp --dccp-option 38", dccp(3, bytes((38, 4, 0, 0))), "hit"),
        Fact("-p dccp -m dccp ! --dccp-option 39", dccp(3, bytes((38, 4, 0, 0))), "hit"),
    ],
    "icmp": [
        Fact("-p icmp -m icmp --icmp-type 8", icmp(A, B), "hit"),
        Fact(
            "-p icmp -m icmp --icmp-type 0",
            icmp(A, B),
            "ICMP type 8 (echo-request) ≠ 0 (echo-reply)",
        ),
        Fact(
            "-p icmp -m icmp --icmp-type 3/1",
            icmp(A, B, type=3, code=3),
            "ICMP type 3/3 (port-unreachable) ≠ 3/1 (host-unreachable)",
        ),
        Fact("-p icmp -m icmp --icmp-type 3", icmp(A, B, type=3, code=3), "hit"),
        Fact("-p icmp -m icmp --icmp-type any", icmp(A, B), "hit"),
        Fact(
            "-p icmp -m icmp ! --icmp-type 8",
            icmp(A, B),
            "ICMP type 8 (echo-request) = 8 (echo-request), and the rule says !",
        ),
        Fact("-p icmp -m icmp ! --icmp-type 0", icmp(A, B), "hit"),
        Fact("-p icmp -m icmp --icmp-type 8", cut(icmp(A, B), 22), "hotdrop"),
    ],
    "icmp6": [
        Fact("-p ipv6-icmp -m icmp6 --icmpv6-type 128", icmp(A6, B6), "hit"),
        Fact(
            "-p ipv6-icmp -m icmp6 --icmpv6-type 135",
            icmp(A6, B6),
            "ICMPv6 type 128 (echo-request) ≠ 135 (neighbour-solicitation)",
        ),
        Fact("-p ipv6-icmp -m icmp6 ! --icmpv6-type 135", icmp(A6, B6), "hit"),
    ],
    "multiport": [
        Fact("-p tcp -m multiport --dports 80,443", PORTS, "hit"),
        Fact("-p tcp -m multiport --dports 80,8000:8080", PORTS, "dport 443 ≠ one of 80,8000:8080"),
        Fact(
            "-p tcp -m multiport ! --dports 80,443",
            PORTS,
            "dport 443 = one of 80,443, and the rule says !",
        ),
        Fact("-p tcp -m multiport --sports 40000", PORTS, "hit"),
        Fact("-p tcp -m multiport --ports 1,443", PORTS, "hit"),
        Fact("-p tcp -m multiport ! --ports 1,2", PORTS, "hit"),
        Fact("-p tcp -m multiport --dports 80", later_fragment(), "a later fragment has no ports"),
        Fact("-p tcp -m multiport --dports 80", cut(PORTS, 22), "hotdrop"),
    ],
    "state": [
        Fact("-m state --state NEW,ESTABLISHED", tracked(), "hit"),
        Fact("-m state --state NEW", tracked(), "state ESTABLISHED ≠ NEW"),
        Fact("-m state ! --state NEW", tracked(), "hit"),
        Fact("-m state --state INVALID", tracked("INVALID"), "hit"),
        Fact("-m state --state UNTRACKED", tracked("UNTRACKED"), "hit"),
        Fact("-m state --state NEW", PORTS, "undecided: what conntrack says of the packet (ct=…)"),
        # In raw conntrack has not looked yet: nothing is known, so it counts as INVALID.
        Fact("-m state --state INVALID", PORTS, "hit", World(table="raw")),
    ],
    "conntrack": [
        Fact("-m conntrack --ctstate RELATED,ESTABLISHED", tracked(), "hit"),
        Fact("-m conntrack --ctstate NEW", tracked(), "ctstate ESTABLISHED ≠ NEW"),
        Fact("-m conntrack --ctstate DNAT", tracked(), "hit"),
        Fact("-m conntrack --ctstate SNAT", tracked(), "ctstate ESTABLISHED ≠ SNAT"),
        Fact("-m conntrack ! --ctstate INVALID", tracked(), "hit"),
        Fact("-m conntrack --ctorigdst 10.9.9.0/24", tracked(), "hit"),
        Fact(
            "-m conntrack --ctorigdst 10.0.0.2",
            tracked(),
            "original destination 10.9.9.9 ≠ 10.0.0.2",
        ),
        Fact("-m conntrack --ctorigdstport 80 --ctreplsrcport 8080", tracked(), "hit"),
        Fact(
            "-m conntrack ! --ctorigdstport 80",
            tracked(),
            "original destination port 80 = 80, and the rule says !",
        ),
        Fact("-m conntrack --ctproto 17", tracked(), "protocol of the connection tcp ≠ udp"),
        Fact("-m conntrack --ctdir REPLY", tracked(), "direction ORIGINAL ≠ REPLY"),
        Fact("-m conntrack --ctstatus ASSURED", tracked(), "hit"),
        Fact(
            "-m conntrack --ctstatus EXPECTED",
            tracked(),
            "ctstatus SEEN_REPLY,ASSURED,CONFIRMED ≠ EXPECTED",
        ),
        Fact("-m conntrack --ctexpire 90:110", tracked(), "hit"),
        Fact(
            "-m conntrack --ctorigdst 10.9.9.9", tracked("INVALID"), "no conntrack entry (INVALID)"
        ),
        # Without an entry only the state counts: conntrack_mt() returns before the rest.
        Fact("-m conntrack --ctstate INVALID --ctorigdst 1.2.3.4", tracked("INVALID"), "hit"),
    ],
    "connmark": [
        Fact("-m connmark --mark 0x15", tracked(), "hit"),
        Fact("-m connmark --mark 0x10/0x30", tracked(), "hit"),
        Fact("-m connmark --mark 0x1", tracked(), "connmark 0x15 ≠ 0x1"),
        Fact("-m connmark ! --mark 0x1", tracked(), "hit"),
        Fact("-m connmark ! --mark 0x1", tracked("INVALID"), "no conntrack entry (INVALID)"),
    ],
    "connbytes": [
        Fact(
            "-m connbytes --connbytes 0:0 --connbytes-mode bytes --connbytes-dir original",
            tracked(),
            "so far 1000 ≠ 0",
        ),
        Fact(
            "-m connbytes --connbytes 1000:1000 --connbytes-mode bytes --connbytes-dir original",
            tracked(),
            "hit",
        ),
        Fact(
            "-m connbytes --connbytes 17 --connbytes-mode packets --connbytes-dir both",
            tracked(),
            "so far 16 ≠ 17",
        ),
        Fact(
            "-m connbytes --connbytes 1000 --connbytes-mode avgpkt --connbytes-dir reply",
            tracked(),
            "hit",
        ),
        Fact(
            "-m connbytes ! --connbytes 17 --connbytes-mode packets --connbytes-dir both",
            tracked(),
            "hit",
        ),
    ],
    "connlabel": [
        Fact("-m connlabel --label 2", tracked(), "hit"),
        Fact("-m connlabel --label 3", tracked(), 'not label "3"'),
        Fact("-m connlabel ! --label 2", tracked(), 'label "2", and the rule says !'),
        Fact("-m connlabel ! --label 3", tracked(), "hit"),
    ],
    "helper": [
        Fact(
            "-m helper --helper ftp",
            tracked("RELATED", master=3),
            "hit",
            World(entries=(Connection(3, *[connection().original] * 2, helper="ftp"),)),
        ),
        Fact("-m helper --helper ftp", tracked(), 'helper none ≠ "ftp"'),
        Fact("-m helper ! --helper ftp", tracked(), "hit"),
    ],
    "mark": [
        Fact("-m mark --mark 0x1", tcp(A, B, dport=1, mark=1), "hit"),
        Fact("-m mark --mark 0x4000/0x4000", tcp(A, B, dport=1, mark=0x4001), "hit"),
        Fact("-m mark --mark 0x4000/0x4000", PORTS, "mark 0x0 ≠ 0x4000/0x4000"),
        Fact("-m mark ! --mark 0x4000/0x4000", PORTS, "hit"),
    ],
    "comment": [
        Fact('-m comment --comment "anything goes"', PORTS, "hit"),
    ],
    "length": [
        Fact("-m length --length 40", PORTS, "hit"),
        Fact("-m length --length 41:1500", PORTS, "length 40 ≠ 41:1500"),
        Fact("-m length ! --length 41:1500", PORTS, "hit"),
        Fact("-m length --length 60", tcp(A6, B6, dport=1), "hit"),
    ],
    "ttl": [
        Fact("-m ttl --ttl-eq 64", PORTS, "hit"),
        Fact("-m ttl --ttl-lt 5", PORTS, "TTL below 64 ≠ 5"),
        Fact("-m ttl --ttl-gt 5", PORTS, "hit"),
        Fact("-m ttl ! --ttl-eq 64", PORTS, "TTL 64 = 64, and the rule says !"),
        Fact("-m ttl ! --ttl-eq 1", PORTS, "hit"),
    ],
    "hl": [
        Fact("-m hl --hl-eq 255", tcp(A6, B6, dport=1, ttl=255), "hit"),
        Fact("-m hl --hl-eq 255", tcp(A6, B6, dport=1), "hop limit 64 ≠ 255"),
        Fact("-m hl ! --hl-eq 255", tcp(A6, B6, dport=1), "hit"),
    ],
    "iprange": [
        Fact("-m iprange --src-range 10.0.0.0-10.0.0.9", PORTS, "hit"),
        Fact(
            "-m iprange --dst-range 10.0.0.3-10.0.0.9",
            PORTS,
            "destination 10.0.0.2 ≠ 10.0.0.3-10.0.0.9",
        ),
        Fact("-m iprange ! --dst-range 10.0.0.3-10.0.0.9", PORTS, "hit"),
    ],
    "mac": [
        Fact(
            "-m mac --mac-source 02:00:00:00:00:01",
            tcp(A, B, dport=1, in_iface="e", mac_src="02:00:00:00:00:01"),
            "hit",
        ),
        Fact(
            "-m mac --mac-source 02:00:00:00:00:02",
            tcp(A, B, dport=1, in_iface="e", mac_src="02:00:00:00:00:01"),
            "source MAC 02:00:00:00:00:01 ≠ 02:00:00:00:00:02",
        ),
        Fact(
            "-m mac ! --mac-source 02:00:00:00:00:02",
            tcp(A, B, dport=1, in_iface="e", mac_src="02:00:00:00:00:01"),
            "hit",
        ),
        Fact(
            "-m mac ! --mac-source 02:00:00:00:00:02", PORTS, "the packet came in by no interface"
        ),
        Fact(
            "-m mac --mac-source 02:00:00:00:00:02",
            tcp(A, B, dport=1, in_iface="e"),
            "undecided: the sender's Ethernet address (mac_src=…)",
        ),
    ],
    "pkttype": [
        Fact(
            "-m pkttype --pkt-type broadcast",
            udp(A, B, dport=1, in_iface="e", link="BROADCAST"),
            "hit",
        ),
        Fact(
            "-m pkttype --pkt-type multicast",
            udp(A, B, dport=1, in_iface="e", link="HOST"),
            "packet type unicast ≠ multicast",
        ),
        Fact(
            "-m pkttype ! --pkt-type multicast",
            udp(A, B, dport=1, in_iface="e", link="HOST"),
            "hit",
        ),
    ],
    "addrtype": [
        Fact("-m addrtype --dst-type LOCAL", PORTS, "hit", World(types={B: "LOCAL"})),
        Fact(
            "-m addrtype --dst-type LOCAL",
            PORTS,
            "destination type UNICAST ≠ LOCAL",
            World(types={B: "UNICAST"}),
        ),
        Fact("-m addrtype ! --src-type LOCAL", PORTS, "hit", World(types={A: "UNICAST"})),
        Fact(
            "-m addrtype --dst-type LOCAL",
            PORTS,
            "undecided: what kind of address 10.0.0.2 is (addresses or routes)",
        ),
        # IPv6 sees by the address itself that it is multicast: no route is asked for.
        Fact("-m addrtype --dst-type MULTICAST", icmp(A6, "ff02::1"), "hit"),
        Fact(
            "-m addrtype --dst-type MULTICAST", icmp(A6, B6), "destination type UNICAST ≠ MULTICAST"
        ),
    ],
    "owner": [
        Fact("-m owner --uid-owner 0", tcp(A, B, dport=1, facts=(("uid", 0),)), "hit"),
        Fact(
            "-m owner --uid-owner 1000-2000",
            tcp(A, B, dport=1, facts=(("uid", 0),)),
            "uid 0 ≠ 1000-2000",
        ),
        Fact("-m owner ! --uid-owner 1000", tcp(A, B, dport=1, facts=(("uid", 0),)), "hit"),
        Fact(
            "-m owner --gid-owner 4 --suppl-groups",
            tcp(A, B, dport=1, facts=(("gid", 0), ("groups", (4, 5)))),
            "hit",
        ),
        Fact("-m owner --uid-owner 0", PORTS, "undecided: who sent the packet (uid=…)"),
        # A forwarded packet has no socket, so only negated conditions hold.
        Fact("-m owner ! --uid-owner 0", tcp(A, B, dport=1, in_iface="e"), "hit"),
        Fact(
            "-m owner --uid-owner 0", tcp(A, B, dport=1, in_iface="e"), "no socket sent the packet"
        ),
    ],
    "policy": [
        Fact("-m policy --dir in --pol none", PORTS, "hit", World(facts={"ipsec": ()})),
        Fact(
            "-m policy --dir in --pol ipsec",
            PORTS,
            "policy none ≠ ipsec",
            World(facts={"ipsec": ()}),
        ),
        Fact(
            "-m policy --dir in --pol ipsec --reqid 1 --proto esp",
            PORTS,
            "hit",
            World(facts={"ipsec": ({"proto": "esp", "reqid": 1},)}),
        ),
        Fact(
            "-m policy --dir in --pol ipsec ! --reqid 1",
            PORTS,
            "no transform like it",
            World(facts={"ipsec": ({"proto": "esp", "reqid": 1},)}),
        ),
        Fact(
            "-m policy --dir in --pol none",
            PORTS,
            "undecided: whether IPsec is at work (ipsec=() if not)",
        ),
    ],
    "rpfilter": [
        Fact(
            "-m rpfilter",
            tcp(A, B, dport=1, in_iface="e0"),
            "hit",
            World(table="raw", types={A: "UNICAST"}, routes={A: "e0"}),
        ),
        Fact(
            "-m rpfilter",
            tcp(A, B, dport=1, in_iface="e1"),
            "the reverse path is wrong",
            World(table="raw", types={A: "UNICAST"}, routes={A: "e0"}),
        ),
        Fact(
            "-m rpfilter --loose",
            tcp(A, B, dport=1, in_iface="e1"),
            "hit",
            World(table="raw", types={A: "UNICAST"}, routes={A: "e0"}),
        ),
        Fact(
            "-m rpfilter --invert",
            tcp(A, B, dport=1, in_iface="e1"),
            "hit",
            World(table="raw", types={A: "UNICAST"}, routes={A: "e0"}),
        ),
        Fact(
            "-m rpfilter",
            tcp(A, B, dport=1, in_iface="e0"),
            "the reverse path is wrong",
            World(table="raw", types={A: "LOCAL"}),
        ),
    ],
    "set": [
        Fact("-m set --match-set bad src", PORTS, "hit", World(sets={"bad": True})),
        Fact(
            "-m set --match-set bad src",
            PORTS,
            "not in the set bad (src)",
            World(sets={"bad": False}),
        ),
        Fact("-m set ! --match-set bad src", PORTS, "hit", World(sets={"bad": False})),
        Fact("-m set --match-set bad src", PORTS, "undecided: the members of the ipset bad"),
    ],
    "physdev": [
        Fact("-m physdev --physdev-in e0", tcp(A, B, dport=1, in_port="e0"), "hit"),
        Fact(
            "-m physdev --physdev-in e1", tcp(A, B, dport=1, in_port="e0"), "bridge port in e0 ≠ e1"
        ),
        Fact(
            "-m physdev --physdev-is-bridged",
            tcp(A, B, dport=1, in_port="e0", out_port="e1"),
            "hit",
        ),
        Fact("-m physdev --physdev-is-bridged", PORTS, "not bridged"),
        Fact("-m physdev ! --physdev-is-bridged", PORTS, "hit"),
    ],
    "rt": [
        Fact("-m rt --rt-type 0 --rt-segsleft 1", ROUTING, "hit"),
        Fact("-m rt --rt-segsleft 2:9", ROUTING, "segments left 1 ≠ 2:9"),
        Fact("-m rt ! --rt-type 2", ROUTING, "hit"),
        Fact("-m rt --rt-type 0 --rt-0-addrs fd00::9", ROUTING, "hit"),
        Fact("-m rt --rt-type 0", tcp(A6, B6, dport=1), "no routing header"),
    ],
    "frag": [
        Fact("-m frag --fragid 77 --fragfirst --fragmore", FRAGMENT, "hit"),
        Fact("-m frag --fragid 78", FRAGMENT, "fragment id 77 ≠ 78"),
        Fact("-m frag ! --fragid 78", FRAGMENT, "hit"),
        Fact("-m frag --fraglast", FRAGMENT, "not the last fragment"),
        Fact("-m frag --fragid 77", tcp(A6, B6, dport=1), "no fragment header"),
    ],
    "hbh": [
        Fact("-m hbh --hbh-len 8 --hbh-opts 5:2", HOP, "hit"),
        Fact("-m hbh --hbh-opts 5,1:0", HOP, "hit"),
        Fact("-m hbh --hbh-opts 6", HOP, "not options 6"),
        Fact("-m hbh ! --hbh-len 16", HOP, "hit"),
    ],
    "dst": [
        Fact("-m dst --dst-len 8", DEST, "hit"),
        Fact("-m dst --dst-len 16", DEST, "header length 8 ≠ 16"),
        Fact("-m dst ! --dst-len 16", DEST, "hit"),
    ],
    "mh": [
        Fact(
            "-p mobility-header -m mh --mh-type 5",
            raw(A6, B6, 135, payload=bytes((59, 0, 5, 0, 0, 0, 0, 0))),
            "hit",
        ),
        Fact(
            "-p mobility-header -m mh --mh-type 6",
            raw(A6, B6, 135, payload=bytes((59, 0, 5, 0, 0, 0, 0, 0))),
            "mobility type 5 ≠ 6",
        ),
        Fact(
            "-p mobility-header -m mh ! --mh-type 6",
            raw(A6, B6, 135, payload=bytes((59, 0, 5, 0, 0, 0, 0, 0))),
            "hit",
        ),
        Fact(
            "-p mobility-header -m mh --mh-type 5",
            raw(A6, B6, 135, payload=bytes((6, 0, 5, 0, 0, 0, 0, 0))),
            "hotdrop",
        ),
    ],
    "eui64": [
        Fact(
            "-m eui64",
            tcp("fe80::0200:00ff:fe00:0001", B6, dport=1, mac_src="00:00:00:00:00:01"),
            "hit",
        ),
        Fact(
            "-m eui64",
            tcp(A6, B6, dport=1, mac_src="00:00:00:00:00:01"),
            "the source is not made of the MAC address",
        ),
    ],
    "ipv6header": [
        Fact("-m ipv6header --header hop-by-hop,protocol", HOP, "hit"),
        Fact("-m ipv6header --header hop-by-hop", HOP, "headers hop-by-hop,protocol ≠ hop-by-hop"),
        Fact("-m ipv6header --header hop-by-hop --soft", HOP, "hit"),
        Fact("-m ipv6header ! --header ipv6-route --soft", HOP, "hit"),
    ],
    "ah": [
        Fact(
            "-p ah -m ah --ahspi 100",
            raw(A, B, 51, payload=bytes((6, 1, 0, 0)) + (100).to_bytes(4, "big") + bytes(4)),
            "hit",
        ),
        Fact(
            "-p ah -m ah --ahspi 1:99",
            raw(A, B, 51, payload=bytes((6, 1, 0, 0)) + (100).to_bytes(4, "big") + bytes(4)),
            "SPI 100 ≠ 1:99",
        ),
        Fact(
            "-p ah -m ah ! --ahspi 1:99",
            raw(A, B, 51, payload=bytes((6, 1, 0, 0)) + (100).to_bytes(4, "big") + bytes(4)),
            "hit",
        ),
    ],
    "ah/6": [
        Fact("-m ah --ahspi 100", AH6, "hit"),
        Fact("-m ah --ahspi 1", AH6, "SPI 100 ≠ 1"),
        Fact("-m ah ! --ahlen 12", AH6, "hit"),
        Fact("-m ah --ahspi 100", tcp(A6, B6, dport=1), "no authentication header"),
    ],
    "esp": [
        Fact(
            "-p esp -m esp --espspi 256",
            raw(A, B, 50, payload=(256).to_bytes(4, "big") + bytes(8)),
            "hit",
        ),
        Fact(
            "-p esp -m esp --espspi 1",
            raw(A, B, 50, payload=(256).to_bytes(4, "big") + bytes(8)),
            "SPI 256 ≠ 1",
        ),
        Fact(
            "-p esp -m esp ! --espspi 1",
            raw(A, B, 50, payload=(256).to_bytes(4, "big") + bytes(8)),
            "hit",
        ),
    ],
    "ipcomp": [
        Fact(
            "-p ipcomp -m ipcomp --ipcompspi 2", raw(A, B, 108, payload=bytes((6, 0, 0, 2))), "hit"
        ),
        Fact(
            "-p ipcomp -m ipcomp --ipcompspi 3",
            raw(A, B, 108, payload=bytes((6, 0, 0, 2))),
            "CPI 2 ≠ 3",
        ),
        Fact(
            "-p ipcomp -m ipcomp ! --ipcompspi 3",
            raw(A, B, 108, payload=bytes((6, 0, 0, 2))),
            "hit",
        ),
    ],
    "tos": [
        Fact("-m tos --tos 0x10/0x3f", tcp(A, B, dport=1, tos=0x50), "hit"),
        Fact("-m tos --tos 0x10", tcp(A, B, dport=1, tos=0x50), "TOS 0x50 ≠ 0x10/0xff"),
        Fact("-m tos ! --tos 0x10", tcp(A, B, dport=1, tos=0x50), "hit"),
    ],
    "dscp": [
        Fact("-m dscp --dscp-class EF", tcp(A, B, dport=1, tos=0xB8), "hit"),
        Fact("-m dscp --dscp 0x2e", PORTS, "DSCP 0x00 ≠ 0x2e"),
        Fact("-m dscp ! --dscp 0x2e", PORTS, "hit"),
    ],
    "ecn": [
        Fact("-m ecn --ecn-ip-ect 3", tcp(A, B, dport=1, tos=3), "hit"),
        Fact("-m ecn --ecn-ip-ect 3", PORTS, "ECN 0 ≠ 3"),
        Fact(
            "-p tcp -m ecn --ecn-tcp-ece ! --ecn-tcp-cwr",
            tcp(A, B, dport=1, flags="SYN,ECE"),
            "hit",
        ),
        Fact(
            "-p tcp -m ecn ! --ecn-tcp-ece",
            tcp(A, B, dport=1, flags="SYN,ECE"),
            "ECE, and the rule says !",
        ),
    ],
    "tcpmss": [
        Fact("-p tcp -m tcpmss --mss 1400:1500", SYN_PACKET, "hit"),
        Fact("-p tcp -m tcpmss --mss 1400", SYN_PACKET, "MSS 1460 ≠ 1400"),
        Fact("-p tcp -m tcpmss ! --mss 1400", SYN_PACKET, "hit"),
        Fact("-p tcp -m tcpmss --mss 1400", PORTS, "no MSS option"),
        Fact("-p tcp -m tcpmss ! --mss 1400", PORTS, "hit"),
    ],
    "string": [
        Fact(
            '-m string --string "GET /" --algo bm', tcp(A, B, dport=1, payload=b"GET / HTTP"), "hit"
        ),
        Fact(
            '-m string --string "PUT" --algo bm',
            tcp(A, B, dport=1, payload=b"GET / HTTP"),
            'not found "PUT"',
        ),
        Fact(
            '-m string ! --string "PUT" --algo bm', tcp(A, B, dport=1, payload=b"GET / HTTP"), "hit"
        ),
        Fact(
            '-m string --hex-string "|474554|" --algo kmp',
            tcp(A, B, dport=1, payload=b"GET / HTTP"),
            "hit",
        ),
        Fact(
            '-m string --string "get" --algo bm --icase',
            tcp(A, B, dport=1, payload=b"GET / HTTP"),
            "hit",
        ),
        # Offsets count from the IP header: the payload begins at byte 40.
        Fact(
            '-m string --string "GET" --algo bm --from 41',
            tcp(A, B, dport=1, payload=b"GET / HTTP"),
            'not found "GET"',
        ),
        Fact(
            '-m string --string "GET" --algo bm --to 42',
            tcp(A, B, dport=1, payload=b"GET / HTTP"),
            'not found "GET"',
        ),
        Fact(
            '-m string --string "GET" --algo bm --to 43',
            tcp(A, B, dport=1, payload=b"GET / HTTP"),
            "hit",
        ),
    ],
    "u32": [
        # The protocol is byte 9: the lowest of the four bytes from 6 on, 0xff masks it.
        Fact('-m u32 --u32 "0x6&0xff=0x6"', PORTS, "hit"),
        Fact('-m u32 --u32 "0x6&0xff=0x11"', PORTS, 'not u32 "0x6&0xff=0x11"'),
        # Behind the IP header, whose length is in byte 0: the destination port.
        Fact('-m u32 --u32 "0x0>>0x16&0x3c@0x0&0xffff=0x1bb"', PORTS, "hit"),
        Fact('-m u32 ! --u32 "0x6&0xff=0x11"', PORTS, "hit"),
        Fact('-m u32 --u32 "0xff=0x0:0xffffffff"', PORTS, 'not u32 "0xff=0x0:0xffffffff"'),
    ],
    "time": [
        Fact("-m time --timestart 08:00 --timestop 18:00", PORTS, "hit", World(now=AUG_1)),
        Fact(
            "-m time --timestart 13:00 --timestop 18:00",
            PORTS,
            "time 12:00:00 ≠ 13:00:00",
            World(now=AUG_1),
        ),
        Fact("-m time --weekdays Tue", PORTS, "hit", World(now=AUG_1)),
        Fact(
            "-m time ! --weekdays Tue",
            PORTS,
            "weekday Tue ≠ Mon,Wed,Thu,Fri,Sat,Sun",
            World(now=AUG_1),
        ),
        Fact("-m time --monthdays 1", PORTS, "hit", World(now=AUG_1)),
        Fact(
            "-m time --datestart 2024-01-01",
            PORTS,
            "date 2023-08-01T12:00:00 ≠ 2024-01-01T00:00:00",
            World(now=AUG_1),
        ),
        # Ten in the evening to six: with --contiguous one o'clock on Wednesday is still Tuesday's night.
        Fact(
            "-m time --timestart 22:00 --timestop 06:00 --weekdays Tue --contiguous",
            PORTS,
            "hit",
            World(now=AUG_1 + 13 * 3600),
        ),
        Fact(
            "-m time --timestart 22:00 --timestop 06:00 --weekdays Tue",
            PORTS,
            "weekday Wed ≠ Tue",
            World(now=AUG_1 + 13 * 3600),
        ),
    ],
    "cpu": [
        Fact("-m cpu --cpu 1", PORTS, "hit", World(facts={"cpu": 1})),
        Fact("-m cpu --cpu 0", PORTS, "CPU 1 ≠ 0", World(facts={"cpu": 1})),
        Fact("-m cpu ! --cpu 0", PORTS, "hit", World(facts={"cpu": 1})),
        Fact("-m cpu --cpu 0", PORTS, "undecided: the CPU that handles the packet (cpu=…)"),
    ],
    "cgroup": [
        Fact("-m cgroup --cgroup 5", PORTS, "hit", World(facts={"cgroup": 5})),
        Fact("-m cgroup --cgroup 6", PORTS, "class id 5 ≠ 6", World(facts={"cgroup": 5})),
        Fact("-m cgroup ! --cgroup 6", PORTS, "hit", World(facts={"cgroup": 5})),
        Fact(
            '-m cgroup --path "system.slice"',
            PORTS,
            "hit",
            World(facts={"cgroup_path": "/system.slice/nginx.service"}),
        ),
    ],
    "devgroup": [
        Fact(
            "-m devgroup --src-group 0x1",
            tcp(A, B, dport=1, in_iface="e0"),
            "hit",
            World(facts={"device_groups": {"e0": 1}}),
        ),
        Fact(
            "-m devgroup --src-group 0x2",
            tcp(A, B, dport=1, in_iface="e0"),
            "device group in 0x1 ≠ 0x2",
            World(facts={"device_groups": {"e0": 1}}),
        ),
        Fact(
            "-m devgroup ! --src-group 0x2",
            tcp(A, B, dport=1, in_iface="e0"),
            "hit",
            World(facts={"device_groups": {"e0": 1}}),
        ),
    ],
    "realm": [
        Fact("-m realm --realm 0x5", PORTS, "hit", World(facts={"realm": 5})),
        Fact("-m realm --realm 0x6", PORTS, "realm 0x5 ≠ 0x6", World(facts={"realm": 5})),
        Fact("-m realm ! --realm 0x6", PORTS, "hit", World(facts={"realm": 5})),
    ],
    "socket": [
        Fact(
            "-m socket --transparent",
            PORTS,
            "hit",
            World(table="mangle", facts={"socket": "transparent"}),
        ),
        Fact(
            "-m socket --transparent",
            PORTS,
            "not a transparent socket",
            World(table="mangle", facts={"socket": True}),
        ),
        Fact(
            "-m socket",
            PORTS,
            "no socket waits for the packet",
            World(table="mangle", facts={"socket": False}),
        ),
    ],
    "bpf": [
        Fact('-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"', PORTS, "hit"),
        Fact('-m bpf --bytecode "4,48 0 0 9,21 0 1 17,6 0 0 1,6 0 0 0"', PORTS, "not the program"),
        Fact(
            '-m bpf --bytecode "2,48 0 0 4292870144,22 0 0 0"',
            PORTS,
            "undecided: nothing helps: a program may load the Ethernet header, and facts beside the packet "
            "other than its mark, protocol and packet type",
        ),
    ],
    "cluster": [
        Fact(
            "-m cluster --cluster-total-nodes 1 --cluster-local-node 1 --cluster-hash-seed 0",
            tracked("NEW"),
            "hit",
        ),
        Fact(
            "-m cluster --cluster-total-nodes 1 ! --cluster-local-node 1 --cluster-hash-seed 0",
            tracked("NEW"),
            "node mask 0x00000001 = 0x00000001, and the rule says !",
        ),
        Fact(
            "-m cluster --cluster-total-nodes 1 --cluster-local-node 1 --cluster-hash-seed 0",
            tracked("INVALID"),
            "the packet belongs to no connection",
        ),
    ],
    "ipvs": [
        Fact("-m ipvs --vaddr 10.9.9.0/24 --vport 80 --vdir ORIGINAL", PORTS, "hit", VIA_IPVS),
        Fact(
            "-m ipvs ! --vmethod MASQ", PORTS, "method MASQ = MASQ, and the rule says !", VIA_IPVS
        ),
        Fact("-m ipvs --vport 81", PORTS, "virtual port 80 ≠ 81", VIA_IPVS),
        Fact("-m ipvs ! --ipvs", PORTS, "hit", World(facts={"ipvs": False})),
    ],
    "nfacct": [
        Fact("-m nfacct --nfacct-name x", PORTS, "hit", World(facts={"nfacct": {"x": None}})),
        Fact("-m nfacct --nfacct-name x", PORTS, "hit", World(facts={"nfacct": {"x": True}})),
        Fact(
            "-m nfacct --nfacct-name x",
            PORTS,
            "x is below its quota",
            World(facts={"nfacct": {"x": False}}),
        ),
    ],
    "osf": [
        Fact("-p tcp -m osf --genre Linux", PORTS, "hit", World(facts={"os": "Linux"})),
        Fact(
            "-p tcp -m osf --genre Linux", PORTS, "system BSD ≠ Linux", World(facts={"os": "BSD"})
        ),
        Fact("-p tcp -m osf ! --genre Linux", PORTS, "hit", World(facts={"os": "Linux"})),
        Fact("-p tcp -m osf --genre Linux --log 0", PORTS, "hit", World(facts={"os": "BSD"})),
        Fact(
            "-p tcp -m osf --genre Linux",
            tcp(A, B, dport=1, flags=ACK),
            "only a SYN has a fingerprint",
        ),
    ],
    "rateest": [
        Fact("-m rateest --rateest a --rateest-lt --rateest-bps 16kbit", PORTS, "hit", RATES),
        Fact(
            "-m rateest --rateest a --rateest-gt --rateest-bps 16kbit",
            PORTS,
            "a has 1000 bytes and 5 packets a second",
            RATES,
        ),
        Fact(
            "-m rateest --rateest1 b --rateest2 a --rateest-gt --rateest-bps", PORTS, "hit", RATES
        ),
        Fact("-m rateest --rateest a ! --rateest-eq --rateest-pps 6", PORTS, "hit", RATES),
        Fact(
            "-m rateest --rateest-delta --rateest1 a --rateest-bps1 16kbit --rateest-lt "
            "--rateest-bps2 16kbit --rateest2 b",
            PORTS,
            "a has 1000 bytes and 5 packets a second",
            RATES,
        ),
    ],
    "srh": [
        Fact("-m srh --srh-next-hdr 17 --srh-hdr-len-eq 6 --srh-segs-left-gt 0", ROUTED, "hit"),
        Fact("-m srh --srh-last-entry-lt 2", ROUTED, "last entry 2 ≠ below 2"),
        Fact("-m srh --srh-tag 0x3412", ROUTED, "hit"),
        Fact("-m srh --srh-tag 0x1234", ROUTED, "tag 13330 ≠ 4660"),
        Fact("-m srh --srh-psid fd00::c --srh-nsid fd00::a --srh-lsid fd00::a", ROUTED, "hit"),
        Fact(
            "-m srh ! --srh-lsid fd00::/64",
            ROUTED,
            "last segment fd00::a = fd00::/64, and the rule says !",
        ),
        Fact("-m srh", tcp(A6, B6, dport=1), "no routing header"),
        Fact("-m srh", routed(5, "fd00::a"), "no segment routing header"),
    ],
}
