"""What each option of ebtables and arptables asks: facts that hit, facts that miss.

A frame comes in by p0 of br0 and goes out by p1, or up to the host. Negations are compared with the
kernel at random (tests/kernel/test_bridge.py).
"""

from __future__ import annotations

import pytest

import nb_lib.views  # noqa: F401 - registers how a trace is told
from nb_lib.engine import Host
from nb_lib.frame import Other, arp
from nb_lib.matches import LINK_MATCHES, core
from nb_lib.net import ARP, BRIDGE
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.targets import LINK_TARGETS
from nb_lib.text import parse

A, B, OWN = "02:00:00:00:0a:00", "02:00:00:00:0b:00", "02:00:00:00:0c:00"
BGA = "01:80:c2:00:00:00"
V4, V6, M = ("10.3.0.10", "10.3.0.11"), ("fd00:3::10", "fd00:3::11"), {"mac_src": A, "mac_dst": B}
UDP, TCP = udp(*V4, sport=1000, dport=53, tos=0x10, **M), tcp(*V4, sport=1000, dport=80, **M)
PING, PING6 = icmp(*V4, **M), icmp(*V6, **M)
UDP6 = udp(*V6, sport=1000, dport=53, tos=0x20, **M)
IGMP = raw(*V4, 2, payload=b"\x11" + bytes(7), **M)
ASK = arp("10.3.0.10", "10.3.0.11", mac_src=A, mac_dst=B)
TELL = arp("10.3.0.10", "10.3.0.10", mac_src=A, mac_dst=B, operation=2, target_mac=B)
TAGGED = udp(*V4, sport=1, dport=2, vlan=5 << 13 | 0, **M)
TAGGED7 = arp("10.3.0.10", "10.3.0.11", mac_src=A, mac_dst=B, vlan=7)
LLC = Other(data=b"\x42\x42\x03" + bytes(40), ethertype=43, **M)
SNAP = Other(data=bytes.fromhex("aaaa030000001234") + bytes(40), ethertype=48, **M)
# Linux reads the fields of a BPDU one byte too early: type 0, flags 1, root priority 0x0203 …
STP = Other(
    data=bytes.fromhex("424203000000") + bytes(range(1, 40)), ethertype=45, mac_src=A, mac_dst=BGA
)
MARKED = UDP.change(mark=5)

RULES: list[tuple[str, Packet, Packet]] = [
    ("-p IPv4", UDP, ASK),
    ("-p Length", LLC, UDP),
    ("-p 802_1Q", TAGGED, UDP),
    ("-s 02:00:00:00:0a:00", UDP, UDP.change(mac_src=OWN[:-1] + "9")),
    ("-d Multicast", UDP.change(mac_dst="01:00:5e:00:00:01"), UDP),
    ("-d ff:ff:ff:ff:ff:ff", UDP.change(mac_dst="ff:ff:ff:ff:ff:ff"), UDP),
    ("-p IPv4 --ip-src 10.3.0.8/30", UDP, udp("10.3.0.1", V4[1], dport=53, **M)),
    ("-p IPv4 --ip-dst 10.3.0.11", UDP, udp(V4[0], "10.3.0.1", dport=53, **M)),
    ("-p IPv4 --ip-tos 0x10", UDP, TCP),
    ("-p IPv4 --ip-proto udp", UDP, TCP),
    ("-p IPv4 --ip-proto tcp --ip-dport 80:90", TCP, tcp(*V4, dport=79, **M)),
    ("-p IPv4 --ip-proto udp --ip-sport 999:1000", UDP, udp(*V4, sport=1001, dport=53, **M)),
    ("-p IPv4 --ip-proto icmp --ip-icmp-type echo-request", PING, icmp(*V4, type=0, **M)),
    ("-p IPv4 --ip-proto igmp --ip-igmp-type membership-query", IGMP, raw(*V4, 2, payload=bytes(8), **M)),
    ("-p IPv6 --ip6-src fd00:3::/64", UDP6, udp("fd00:4::1", V6[1], dport=53, **M)),
    ("-p IPv6 --ip6-dst fd00:3::11", UDP6, udp(V6[0], "fd00:3::12", dport=53, **M)),
    ("-p IPv6 --ip6-tclass 0x20", UDP6, PING6),
    ("-p IPv6 --ip6-proto udp", UDP6, PING6),
    ("-p IPv6 --ip6-proto udp --ip6-sport 1000", UDP6, udp(*V6, sport=1001, dport=53, **M)),
    ("-p IPv6 --ip6-proto udp --ip6-dport 53", UDP6, udp(*V6, sport=1000, dport=54, **M)),
    ("-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type 128/0", PING6, icmp(*V6, type=129, **M)),
    ("-p ARP --arp-op Request", ASK, TELL),
    ("-p ARP --arp-htype 1", ASK, ASK.change().__class__(data=b"\0\6" + ASK.data[2:], **M)),
    ("-p ARP --arp-ptype 0x800", ASK, ASK.__class__(data=b"\0\1\x08\2" + ASK.data[4:], **M)),
    ("-p ARP --arp-ip-src 10.3.0.10", ASK, ASK.change(src="10.3.0.9")),
    ("-p ARP --arp-ip-dst 10.3.0.11", ASK, TELL),
    ("-p ARP --arp-mac-src 02:00:00:00:0a:00", ASK, ASK.change(sender_mac=B)),
    ("-p ARP --arp-mac-dst 02:00:00:00:0b:00", TELL, ASK),
    ("-p ARP --arp-gratuitous", TELL, ASK),
    ("-p 802_1Q --vlan-id 7", TAGGED7, TAGGED),
    ("-p 802_1Q --vlan-prio 5", TAGGED, TAGGED7),
    ("-p 802_1Q --vlan-encap ARP", TAGGED7, TAGGED),
    ("-p Length --802_3-sap 0x42", LLC, SNAP),
    ("-p Length --802_3-type 0x1234", SNAP, LLC),
    ("--among-src 02:00:00:00:0a:00=10.3.0.10,02:00:00:00:0f:00", UDP, UDP6),
    ("--among-dst 02:00:00:00:0b:00,02:00:00:00:0f:00", UDP6, UDP.change(mac_dst="02:00:00:00:0e:00")),
    ("--mark 0x5", MARKED, UDP),
    ("--mark /0x1", MARKED, UDP.change(mark=2)),
    ("--pkttype-type otherhost", UDP, UDP.change(mac_dst="ff:ff:ff:ff:ff:ff")),
    ("-d BGA --stp-type config", STP, Other(data=bytes(40), ethertype=40, mac_src=A, mac_dst=BGA)),
    *((f"-d BGA --stp-{field}", STP, LLC.change(mac_dst=BGA)) for field in (
        "flags 1", "root-prio 515", "root-addr 04:05:06:07:08:09", "root-cost 168496141:168496142",
        "sender-prio 3599", "sender-addr 10:11:12:13:14:15", "port 5655", "msg-age 6169",
        "max-age 6683", "hello-time 7197", "forward-delay 7711")),
]  # fmt: skip


def bridge(family: int, dump: str) -> Host:
    return Host(
        parse(dump, family=family),
        addresses={"br0": ["10.3.0.1/24"]},
        bridges={"br0": {"mac": OWN, "ports": ["p0", "p1"]}},
        neighbours={"10.3.0.11": B},
    )


def meets(family: int, chain: str, rule: str, frame: Packet) -> bool:
    """Tell whether the rule matched the frame; a miss has a reason that can be said."""
    trace = bridge(family, f"*filter\n-A {chain} {rule}\n").receive(frame, "p0")
    assert str(trace)
    return any(step[1:3] == (chain, 1) for step in trace.steps)


@pytest.mark.parametrize(("rule", "hit", "miss"), RULES, ids=[rule for rule, *_ in RULES])
def test_a_rule_of_ebtables_matches_its_frame_and_no_other(rule, hit, miss) -> None:
    assert meets(BRIDGE, "FORWARD", rule, hit)
    assert not meets(BRIDGE, "FORWARD", rule, miss)


def test_every_match_of_ebtables_is_asked() -> None:
    asked = {word for rule, *_ in RULES for word in rule.split() if word.startswith("-")}
    silent = {"limit", "log", "nflog"}  # time decides about one, the others never fail
    names = {o.name for n, m in LINK_MATCHES[BRIDGE].items() if n not in silent for o in m.options}
    assert names <= asked


ARP_RULES = [
    ("-s 10.3.0.10", "-s 10.3.0.9"),
    ("-d 10.3.0.0/24", "-d 10.3.1.0/24"),
    ("--src-mac 02:00:00:00:0a:00", "--src-mac 02:00:00:00:0b:00"),
    ("--dst-mac 00:00:00:00:00:00", "--dst-mac 02:00:00:00:0b:00"),
    ("-i br0", "-i p0"),
    ("--opcode Request", "--opcode Reply"),
    ("--proto-type 0x800", "--proto-type 0x806"),
    ("--h-type 1", "--h-type 6"),
]


@pytest.mark.parametrize(("hit", "miss"), ARP_RULES)
def test_a_rule_of_arptables_matches_a_request_for_the_host(hit, miss) -> None:
    frame = arp("10.3.0.10", "10.3.0.1", mac_src=A)
    assert meets(ARP, "INPUT", hit, frame)
    assert not meets(ARP, "INPUT", miss, frame)
    assert meets(ARP, "INPUT", f"! {miss}", frame)


# --- targets ---


@pytest.mark.parametrize(
    ("target", "field", "value"),
    [
        ("mark --mark-set 6", "mark", 6),
        ("mark --mark-or 2", "mark", 7),
        ("mark --mark-and 4", "mark", 4),
        ("mark --mark-xor 1", "mark", 4),
    ],
)
def test_mark_changes_the_mark(target, field, value) -> None:
    trace = bridge(BRIDGE, f"*filter\n-A FORWARD -j {target}\n").receive(MARKED, "p0")
    assert getattr(trace.packet, field) == value


def test_dnat_snat_and_redirect_change_the_frames_addresses() -> None:
    trace = bridge(BRIDGE, f"*nat\n-A PREROUTING -j dnat --to-dst {OWN}\n").receive(UDP, "p0")
    _, frame = trace.frames[-1]
    assert (frame.mac_src, frame.mac_dst, frame.ttl) == (OWN, B, 63)  # the host routed it back
    trace = bridge(BRIDGE, "*nat\n-A PREROUTING -j redirect\n").receive(UDP, "p0")
    assert ("bridge nat", "PREROUTING", 1, "ACCEPT") in trace.steps
    assert trace.frames[-1][1].mac_src == OWN
    dump = f"*nat\n-A POSTROUTING -j snat --to-src {B} --snat-arp\n"
    ((port, frame),) = bridge(BRIDGE, dump).receive(ASK, "p0").frames
    assert (port, frame.mac_src, frame.sender_mac) == ("p1", B, B)


def test_arpreply_answers_by_the_port_that_asked() -> None:
    dump = f"*nat\n-A PREROUTING -p ARP -j arpreply --arpreply-mac {B}\n"
    trace = bridge(BRIDGE, dump).receive(ASK, "p0")
    (reply,) = trace.replies
    assert (reply.sender_mac, str(reply.src), reply.mac_dst, reply.operation) == (
        B,
        "10.3.0.11",
        A,
        2,
    )
    assert str(trace.fate) == "drop bridge nat:PREROUTING:1"


def test_mangle_and_mark_of_arptables() -> None:
    dump = "*filter\n-A INPUT -j MARK --set-mark a\n-A INPUT -j mangle --mangle-ip-s 10.3.0.9\n"
    trace = bridge(ARP, dump).receive(arp("10.3.0.10", "10.3.0.1", mac_src=A), "p0")
    assert (trace.packet.mark, str(trace.packet.src)) == (10, "10.3.0.9")


def test_every_option_has_help_and_every_extension_a_source() -> None:
    held = [
        *LINK_MATCHES[BRIDGE].values(),
        *LINK_TARGETS[ARP].values(),
        *LINK_TARGETS[BRIDGE].values(),
    ]
    for extension in (core(ARP), core(BRIDGE), *held):
        assert extension.summary
        assert extension.source
        assert all(option.help for option in extension.options)
