"""bpf, cluster, srh, osf, HMARK, SNPT, DNPT: what they say of packets in the live kernel.

Each rule stands in mangle's PREROUTING of a router; its counter tells whether a packet matched.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator

import pytest

from nb_lib.connection import Connection, Tracked, Tuple
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from tests.extensions.world import World, act, meet
from tests.kernel.lab import Lab, run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("iptables-nft-restore", "ip6tables-nft-restore", "nft", "ip"),
]

CLIENT, SERVER, CLIENT6, SERVER6 = "10.1.0.2", "10.2.0.2", "fd00:1::2", "fd00:2::2"


def segments(left: int, last: int, *hops: str, tag: int = 0x1234, kind: int = 4) -> Packet:
    """A UDP packet behind a segment routing header, without its checksum right."""
    body = b"".join(Packet(data=udp(hop, SERVER6, dport=1).data).src.packed for hop in hops)
    header = struct.pack("!BBBBBBH", 17, len(body) // 8, kind, left, last, 0, tag) + body
    return raw(CLIENT6, SERVER6, 43, payload=header + udp(CLIENT6, SERVER6, dport=53).data[40:])


PROGRAMS = (
    "1,6 0 0 1", "1,6 0 0 0", "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0",
    "5,177 0 0 0,72 0 0 2,21 0 1 80,6 0 0 1,6 0 0 0",  # X = header's length; destination port 80
    "4,128 0 0 0,37 0 1 60,6 0 0 1,6 0 0 0",  # longer than 60 bytes
    "4,32 0 0 4294963220,21 0 1 5,6 0 0 1,6 0 0 0",  # the mark
    "4,40 0 0 4294963200,21 0 1 2048,6 0 0 1,6 0 0 0",  # the protocol
    "3,48 0 0 4293918729,22 0 0 0,6 0 0 0",  # by SKF_NET_OFF
    "2,32 0 0 5000,6 0 0 1",  # beyond the end: no
    "4,32 0 0 12,4 0 0 4294967295,116 0 0 3,22 0 0 0",  # A + -1 >> 3
    "6,0 0 0 7,2 0 0 3,1 0 0 0,96 0 0 3,60 0 0 0,6 0 0 1",  # divides by X = 0: no
    "6,0 0 0 8,7 0 0 0,156 0 0 0,132 0 0 0,84 0 0 255,22 0 0 0",
    "5,1 0 0 5,0 0 0 9,172 0 0 0,20 0 0 12,22 0 0 0",
    "4,0 0 0 3,69 0 1 1,6 0 0 1,6 0 0 0", "3,5 0 0 1,6 0 0 0,6 0 0 1",
    "4,0 0 0 33,2 0 0 15,97 0 0 15,22 0 0 0",
)  # fmt: skip
# iptables-nft compares bytes of any protocol with ports and flags.
OTHER_PROTOCOLS = [
    "! -p tcp -m tcp --dport 53", "! -p tcp -m tcp ! --dport 53", "! -p udp -m udp --sport 40000",
    "! -p udp -m udp --dport 80:443", "! -p tcp -m tcp --tcp-flags SYN,ACK NONE",
    "! -p tcp -m tcp ! --sport 9 ! --dport 53", "! -p tcp -m tcp --sport 9 --tcp-flags ALL NONE",
]  # fmt: skip
RULES = {
    4: [
        *(f'-m bpf --bytecode "{program}"' for program in PROGRAMS),
        *(
            f"-m cluster --cluster-total-nodes {nodes} --cluster-local-node {node} --cluster-hash-seed {seed}"
            for nodes, seed in ((2, 0), (5, 0xDEADBEEF), (7, 3))
            for node in range(1, nodes + 1)
        ),
        "-m cluster --cluster-total-nodes 3 ! --cluster-local-nodemask 5 --cluster-hash-seed 9",
        *OTHER_PROTOCOLS,
        "-p tcp -m osf --genre Linux",
        "-p tcp -m osf ! --genre Linux",
    ],
    6: [
        *(f'-m bpf --bytecode "{program}"' for program in PROGRAMS),
        *(
            f"-m cluster --cluster-total-nodes 4 --cluster-local-node {node} --cluster-hash-seed 77"
            for node in range(1, 5)
        ),
        *OTHER_PROTOCOLS,
        "-m srh", "-m srh --srh-next-hdr 17", "-m srh ! --srh-next-hdr 17",
        "-m srh --srh-hdr-len-eq 4", "-m srh ! --srh-hdr-len-gt 4", "-m srh --srh-hdr-len-lt 5",
        "-m srh --srh-segs-left-eq 1", "-m srh --srh-segs-left-gt 0", "-m srh ! --srh-segs-left-lt 1",
        "-m srh --srh-last-entry-eq 1", "-m srh --srh-last-entry-gt 1", "-m srh --srh-last-entry-lt 3",
        "-m srh --srh-tag 0x1234", "-m srh --srh-tag 0x3412", "-m srh ! --srh-tag 5",
        "-m srh --srh-psid fd00:2::b", "-m srh --srh-nsid fd00:2::a", "-m srh ! --srh-nsid fd00:2::a",
        "-m srh --srh-lsid fd00:2::/64", "-m srh --srh-lsid fd00:2::b",
        "-m srh --srh-hdr-len-gt 1 --srh-hdr-len-lt 5",
    ],
}  # fmt: skip
PACKETS = {
    4: [
        tcp(f"{CLIENT}:40000", f"{SERVER}:80"), udp(f"{CLIENT}:40000", f"{SERVER}:80", payload=b"x" * 40),
        icmp(CLIENT, SERVER), tcp("10.1.0.77:1", f"{SERVER}:443"), udp("172.16.5.4:9", f"{SERVER}:53"),
        *(udp(f"10.1.{n}.{n * 7}:9", f"{SERVER}:53") for n in range(1, 12)),
    ],
    6: [
        tcp(f"[{CLIENT6}]:40000", f"[{SERVER6}]:80"), udp(f"[{CLIENT6}]:9", f"[{SERVER6}]:53"),
        *(udp(f"[fd00:{n:x}::1]:9", f"[{SERVER6}]:53") for n in range(0x20, 0x28)),
        segments(0, 1, "fd00:2::a", "fd00:2::b"), segments(1, 1, "fd00:2::a", "fd00:2::b"),
        segments(1, 2, "fd00:2::a", "fd00:2::c", "fd00:2::b"), segments(2, 1, "fd00:2::a", "fd00:2::b"),
        segments(1, 1, "fd00:2::a", "fd00:2::b", tag=5), segments(1, 1, "fd00:2::a", "fd00:2::b", kind=0),
        segments(0, 0, "fd00:2::a"), segments(1, 3, "fd00:2::a"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as built:
        yield built


def arrived(packet: Packet) -> tuple[Packet, World]:
    """Return the packet as PREROUTING of mangle sees it: the first of a connection."""
    there = Tuple(packet.src, packet.dst, packet.protocol, packet.sport or 0, packet.dport or 0)
    back = Tuple(packet.dst, packet.src, packet.protocol, packet.dport or 0, packet.sport or 0)
    first = Tracked("NEW", "ORIGINAL", Connection(1, there, back))
    seen = packet.change(in_iface="r0", ct=first, facts=(("os", ""),), link="HOST")
    return seen, World(table="mangle", hook="PREROUTING", family=packet.family)


@pytest.mark.parametrize("family", [4, 6])
def test_packets_match_the_rules_that_they_match_in_the_kernel(lab, family, figure) -> None:
    dump = "*mangle\n" + "".join(f"-A PREROUTING {one}\n" for one in RULES[family]) + "COMMIT\n"
    save = ("iptables-nft-save" if family == 4 else "ip6tables-nft-save", "-c", "-t", "mangle")
    wrong, asked = [], 0
    for packet in PACKETS[family]:
        lab.load(dump, family)
        lab.inject("c0", packet.data)
        time.sleep(0.01)
        counts = re.findall(
            r"^\[(\d+):\d+\] -A PREROUTING", run(*save, namespace=lab.router), re.MULTILINE
        )
        seen, world = arrived(packet)
        for one, count in zip(RULES[family], counts, strict=True):
            asked += 1
            mine = meet(one, seen, world)
            if (mine == "hit") != (count == "1"):
                wrong.append(f"{one}\n  {packet}: kernel {count}, nb_lib {mine}")
    figure(f"rare matches, IPv{family}", asked - len(wrong), asked, "packets × rules")
    assert not wrong, "\n".join(wrong[:20])


HASHED = [
    "--hmark-tuple src --hmark-rnd 1", "--hmark-tuple src,dst --hmark-rnd 0xfeedcafe",
    "--hmark-tuple src,dst,sport,dport,proto --hmark-rnd 7",
    "--hmark-src-prefix 24 --hmark-dst-prefix 8 --hmark-sport-mask 0xff --hmark-rnd 2",
    "--hmark-tuple sport,dport --hmark-dport 0x8000 --hmark-rnd 3",
    "--hmark-sport 0x1234 --hmark-tuple src --hmark-rnd 3",
    "--hmark-tuple src,dst,spi --hmark-rnd 9", "--hmark-tuple ct,src,dst,sport,dport --hmark-rnd 4",
]  # fmt: skip
TO_HASH = {
    4: [
        *PACKETS[4], raw(CLIENT, SERVER, 50, payload=b"\0\0\x12\x34" * 4),
        raw(CLIENT, SERVER, 51, payload=b"\x06\x04\0\0\x11\x12\x13\x14" + bytes(16)),
        icmp(CLIENT, SERVER, type=3, code=1, payload=udp("10.9.9.9:7", "10.1.0.2:8").data),
    ],
    6: [*PACKETS[6], icmp(CLIENT6, SERVER6, type=1, payload=udp("[fd00::9]:7", f"[{CLIENT6}]:8").data),
        raw(CLIENT6, SERVER6, 50, payload=b"\0\0\x12\x34" * 4)],
}  # fmt: skip


@pytest.mark.parametrize("family", [4, 6])
def test_hmark_gives_the_mark_that_the_kernel_gives(lab, family, figure) -> None:
    wrong, asked, marks = [], 0, 61
    save = ("iptables-nft-save" if family == 4 else "ip6tables-nft-save", "-c", "-t", "mangle")
    for options in HASHED:
        target = f"-j HMARK {options} --hmark-mod {marks} --hmark-offset 100"
        # The conntrack match switches tracking on, of which HMARK alone would see nothing.
        tracked = "-m conntrack ! --ctstate UNTRACKED " * ("ct" in options.split()[1].split(","))
        rules = [tracked + target, *(f"-m mark --mark {100 + n} -j ACCEPT" for n in range(marks))]
        dump = "*mangle\n" + "".join(f"-A PREROUTING {one}\n" for one in rules) + "COMMIT\n"
        for packet in TO_HASH[family]:
            if tracked and packet.inner:
                continue  # an error about no connection is INVALID
            lab.load(dump, family)
            lab.inject("c0", packet.data)
            time.sleep(0.005)
            counts = re.findall(
                r"^\[(\d+):\d+\] -A PREROUTING -m mark",
                run(*save, namespace=lab.router),
                re.MULTILINE,
            )
            real = 100 + counts.index("1") if "1" in counts else 0
            seen, world = arrived(packet)
            mine = (act(target, seen, world).packet or seen).mark
            asked += 1
            if mine != real:
                wrong.append(f"{options}: {packet}: kernel {real}, nb_lib {mine}")
    figure(f"HMARK, IPv{family}", asked - len(wrong), asked, "packets")
    assert not wrong, "\n".join(wrong[:20])


TRANSLATIONS = [
    ("--src-pfx fd00:1::/64 --dst-pfx 2001:db8:5::/64", "SNPT"),
    ("--src-pfx fd00:1::/48 --dst-pfx 2001:db8:ffff::/48", "SNPT"),
    ("--src-pfx fd00:1::/56 --dst-pfx 2001:db8:1234:5600::/56", "SNPT"),
    ("--src-pfx fd00::/16 --dst-pfx 2001:db8::/32", "SNPT"),
    ("--src-pfx fd00:2::/64 --dst-pfx fd00:2:0:7::/64", "DNPT"),
    ("--src-pfx fd00:2::/48 --dst-pfx 2001:db8:77::/48", "DNPT"),
]
TRANSLATED = [
    udp(f"[{CLIENT6}]:9", f"[{SERVER6}]:53", payload=b"abc"),
    tcp("[fd00:1::ffff:ffff:1:2]:9", f"[{SERVER6}]:53"),
    icmp("fd00:1::9", SERVER6, payload=b"ping"),
    icmp("fd00:1::77", SERVER6, type=1, code=4,
         payload=udp(f"[{SERVER6}]:1", f"[{CLIENT6}]:2").data),
    udp("[fd00:1::ffff:ffff:ffff:ffff]:9", f"[{SERVER6}]:53"),
]  # fmt: skip


@pytest.mark.parametrize(("prefixes", "target"), TRANSLATIONS)
def test_prefixes_are_translated_as_by_the_kernel(lab, prefixes, target, figure) -> None:
    chain = "POSTROUTING" if target == "SNPT" else "PREROUTING"
    lab.load(f"*mangle\n-A {chain} -j {target} {prefixes}\nCOMMIT\n", 6)
    differ = []
    for packet in TRANSLATED:
        lab.left()
        lab.inject("c0", packet.data)
        time.sleep(0.02)
        # What the router says of its own, as a parameter problem, has another hop limit.
        out = [d for wire, d in lab.left() if wire == "s0" and d[7] == packet.ttl - 1]
        world = World(table="mangle", hook=chain, family=6)
        action = act(f"-j {target} {prefixes}", packet.change(ttl=packet.ttl - 1), world)
        mine = [action.packet.data] if action.packet else []
        if out != mine:
            differ.append(f"{packet}: kernel {[Packet(data=o) for o in out]}, nb_lib {action}")
    figure(f"{target} {prefixes}", len(TRANSLATED) - len(differ), len(TRANSLATED), "packets")
    assert not differ, "\n".join(differ)
