"""Each target acts on packets: verdict, changed bytes, requests to the engine."""

from __future__ import annotations

import pytest

from nb_lib.connection import Connection, Tracked, Tuple, Zone
from nb_lib.effects import ConnMark, Copy, Nat, Note, NoTrack, Reject, Respond, SetMember, Track
from nb_lib.headers import ACK
from nb_lib.matches import MATCHES
from nb_lib.net import parse_address
from nb_lib.packet import Packet, tcp, udp
from nb_lib.targets import TARGETS, find_target, not_modelled
from nb_lib.text import rule_text
from tests.extensions.world import World, act, rule

A, B = "10.0.0.1", "10.0.0.2"
MSS_1460 = bytes((2, 4, 0x05, 0xB4))
SYN = tcp(f"{A}:40000", f"{B}:80", options=MSS_1460)
address = parse_address


def marked(mark: int, ctmark: int) -> Packet:
    a, b = address(A), address(B)
    entry = Connection(1, Tuple(a, b, 6, 40000, 80), Tuple(b, a, 6, 80, 40000), mark=ctmark)
    return tcp(f"{A}:40000", f"{B}:80", mark=mark, ct=Tracked("NEW", "ORIGINAL", entry))


# target → (rule, table, packet, what changes, effects)
VERDICTS = {
    "ACCEPT": "ACCEPT",
    "DROP": "DROP",
    "RETURN": "RETURN",
    "QUEUE": "QUEUE",
    "REJECT": "DROP",
    "REJECT/6": "DROP",
    "NFQUEUE": "QUEUE",
    "DNAT": "ACCEPT",
    "SNAT": "ACCEPT",
    "MASQUERADE": "ACCEPT",
    "REDIRECT": "ACCEPT",
    "NETMAP": "ACCEPT",
    "SYNPROXY": "STOLEN",
    "TPROXY": "DROP",
    "CLUSTERIP": "UNDECIDED",
}
CHANGES = {
    # RFC 6296, appendix A.1
    "SNPT": [
        (
            "-j SNPT --src-pfx fd01:203:405::/48 --dst-pfx 2001:db8:1::/48",
            udp("[fd01:203:405:1::1234]:9", "[2001:db8::2]:53"),
            {"src": "2001:db8:1:d550::1234"},
        )
    ],
    "DNPT": [
        (
            "-j DNPT --src-pfx 2001:db8:1::/48 --dst-pfx fd01:203:405::/48",
            udp("[2001:db8::2]:9", "[2001:db8:1:d550::1234]:53"),
            {"dst": "fd01:203:405:1::1234"},
        )
    ],
    "MARK": [
        ("-j MARK --set-mark 0x1", SYN, {"mark": 1}),
        ("-j MARK --set-xmark 0x4000/0x4000", tcp(A, B, dport=1, mark=3), {"mark": 0x4003}),
        ("-j MARK --and-mark 0xf0", tcp(A, B, dport=1, mark=0xFF), {"mark": 0xF0}),
        ("-j MARK --or-mark 0xf", tcp(A, B, dport=1, mark=0xF0), {"mark": 0xFF}),
        ("-j MARK --xor-mark 0xff", tcp(A, B, dport=1, mark=0xF0), {"mark": 0x0F}),
    ],
    # A modulus of one leaves one mark; others are compared in tests/kernel/test_rare_extensions.py.
    "HMARK": [
        (
            "-j HMARK --hmark-tuple src --hmark-mod 1 --hmark-rnd 1 --hmark-offset 7",
            SYN,
            {"mark": 7},
        )
    ],
    "CONNMARK": [
        ("-j CONNMARK --restore-mark", marked(0, 7), {"mark": 7}),
        (
            "-j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xff",
            marked(0xFF, 0x20),
            {"mark": 0x2F},
        ),
    ],
    "TTL": [
        ("-j TTL --ttl-set 5", SYN, {"ttl": 5}),
        ("-j TTL --ttl-dec 65", SYN, {"ttl": 0}),
        ("-j TTL --ttl-inc 200", SYN, {"ttl": 255}),
    ],
    "HL": [("-j HL --hl-dec 1", tcp("fd00::1", "fd00::2", dport=1), {"ttl": 63})],
    "TOS": [
        ("-j TOS --set-tos 0x10", SYN, {"tos": 0x10}),
        ("-j TOS --or-tos 0x4", tcp(A, B, dport=1, tos=0x10), {"tos": 0x14}),
        (
            "-j TOS --set-tos Minimize-Delay",
            tcp("fd00::1", "fd00::2", dport=1, tos=0xC3),
            {"tos": 0xD0},
        ),
    ],
    "DSCP": [("-j DSCP --set-dscp-class EF", tcp(A, B, dport=1, tos=3), {"tos": 0xBB})],
    "ECN": [
        ("-p tcp -j ECN --ecn-tcp-remove", tcp(A, B, dport=1, flags="SYN,ECE,CWR"), {"flags": 2})
    ],
    "TCPMSS": [
        ("-p tcp -j TCPMSS --set-mss 1400", SYN, {"tcp_options": bytes((2, 4, 0x05, 0x78))}),
        ("-p tcp -j TCPMSS --set-mss 1500", SYN, {}),  # it never raises the size
        (
            "-p tcp -j TCPMSS --set-mss 1400",
            tcp(f"{A}:1", f"{B}:2"),
            {"tcp_options": bytes((2, 4, 0x02, 0x18))},
        ),
        ("-p tcp -j TCPMSS --set-mss 1400", tcp(f"{A}:1", f"{B}:2", flags=ACK), {}),
    ],
    "TCPOPTSTRIP": [
        ("-p tcp -j TCPOPTSTRIP --strip-options mss", SYN, {"tcp_options": bytes((1, 1, 1, 1))}),
        ("-p tcp -j TCPOPTSTRIP --strip-options wscale", SYN, {}),
    ],
    "CHECKSUM": [("-j CHECKSUM --checksum-fill", SYN, {})],
}
EFFECTS = {
    "REJECT": [
        ("-j REJECT", SYN, Reject("icmp-port-unreachable")),
        ("-p tcp -j REJECT --reject-with tcp-reset", SYN, Reject("tcp-reset")),
    ],
    "REJECT/6": [
        ("-j REJECT", tcp("fd00::1", "fd00::2", dport=1), Reject("icmp6-port-unreachable"))
    ],
    "DNAT": [
        (
            "-p tcp -j DNAT --to-destination 10.0.0.5:8080",
            SYN,
            Nat("dst", *[address("10.0.0.5")] * 2, 8080, 8080),
        ),
        (
            "-j DNAT --to-destination 10.0.0.5-10.0.0.9 --persistent",
            SYN,
            Nat("dst", address("10.0.0.5"), address("10.0.0.9"), persistent=True),
        ),
        (
            "-p tcp -j DNAT --to-destination :8080-8090/80 --random",
            SYN,
            Nat("dst", port_low=8080, port_high=8090, port_base=80, random=True),
        ),
        (
            "-p tcp -j DNAT --to-destination [fd00::9]:80",
            tcp("fd00::1", "fd00::2", dport=1),
            Nat("dst", *[address("fd00::9")] * 2, 80, 80),
        ),
    ],
    "SNAT": [
        (
            "-p tcp -j SNAT --to-source 10.0.0.5:1-1023 --random-fully",
            SYN,
            Nat("src", *[address("10.0.0.5")] * 2, 1, 1023, random_fully=True),
        )
    ],
    "MASQUERADE": [
        ("-j MASQUERADE", SYN, Nat("src", of_interface=True)),
        (
            "-p tcp -j MASQUERADE --to-ports 5000-6000 --random",
            SYN,
            Nat("src", port_low=5000, port_high=6000, of_interface=True, random=True),
        ),
    ],
    "REDIRECT": [
        (
            "-p tcp -j REDIRECT --to-ports 3128",
            SYN,
            Nat("dst", port_low=3128, port_high=3128, to_local=True),
        )
    ],
    "NETMAP": [
        (
            "-j NETMAP --to 192.168.5.0/24",
            SYN,
            Nat("dst", address("192.168.5.0"), address("192.168.5.255"), netmap=0xFFFFFF00),
        )
    ],
    "CONNMARK": [
        ("-j CONNMARK --set-mark 0x8", marked(0, 7), ConnMark(8)),
        ("-j CONNMARK --save-mark", marked(5, 7), ConnMark(5)),
        ("-j CONNMARK --set-xmark 0x1/0x0", marked(0, 7), ConnMark(6)),
        ("-j CONNMARK --save-mark --left-shift-mark 4", marked(5, 7), ConnMark(0x50)),
    ],
    "CT": [
        ("-j CT --notrack", SYN, NoTrack()),
        ("-j CT --helper ftp", SYN, Track("ftp")),
        ("-j CT --zone 7", SYN, Track(zone=Zone(7))),
        ("-j CT --zone-reply 7", SYN, Track(zone=Zone(7, ("REPLY",)))),
        ("-j CT --zone mark", tcp(A, B, dport=1, mark=0x10005), Track(zone=Zone(5))),
    ],
    "NOTRACK": [("-j NOTRACK", SYN, NoTrack())],
    "SET": [
        (
            "-j SET --add-set bad src --timeout 60",
            SYN,
            SetMember("bad", ("src",), add=True, timeout=60),
        ),
        ("-j SET --del-set bad src,dst", SYN, SetMember("bad", ("src", "dst"), add=False)),
    ],
    "LOG": [
        (
            '-j LOG --log-prefix "in: "',
            tcp(f"{A}:40000", f"{B}:80", in_iface="eth0", ident=7),
            Note(
                "LOG: in: IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=7 "
                "PROTO=TCP SPT=40000 DPT=80 WINDOW=65535 RES=0x00 SYN URGP=0"
            ),
        )
    ],
    "NFLOG": [('-j NFLOG --nflog-group 5 --nflog-prefix "x"', SYN, Note('NFLOG: group 5, "x"'))],
    "TRACE": [
        ("-j TRACE", SYN, Note("TRACE: the kernel reports every rule that this packet meets"))
    ],
    "NFQUEUE": [
        (
            "-j NFQUEUE --queue-balance 1:3 --queue-bypass",
            SYN,
            Note("NFQUEUE: to a program, by queues 1 to 3, or through if nobody listens there"),
        )
    ],
    "AUDIT": [("-j AUDIT --type drop", SYN, Note("AUDIT: a record of type drop"))],
    "IDLETIMER": [
        ("-j IDLETIMER --timeout 5 --label x", SYN, Note("IDLETIMER: timer x starts again"))
    ],
    "LED": [("-j LED --led-trigger-id x --led-delay 100", SYN, Note("LED: x lights up"))],
    "ULOG": [("-j ULOG --ulog-nlgroup 5", SYN, Note("ULOG: group 5"))],
    "RATEEST": [
        (
            "-j RATEEST --rateest-name r --rateest-interval 1s --rateest-ewmalog 2s",
            SYN,
            Note("RATEEST: counted by r"),
        )
    ],
    "CLASSIFY": [("-j CLASSIFY --set-class 1:a", SYN, Note("CLASSIFY: into class 0001:000a"))],
    "SECMARK": [
        (
            "-j SECMARK --selctx system_u:object_r:x_t:s0",
            SYN,
            Note("SECMARK: labelled system_u:object_r:x_t:s0"),
        )
    ],
    "CONNSECMARK": [("-j CONNSECMARK --save", SYN, Note("CONNSECMARK: label saved"))],
    "SYNPROXY": [
        (
            "-p tcp -j SYNPROXY --mss 1460",
            SYN,
            Note("SYNPROXY: answers the handshake itself, with a cookie"),
        )
    ],
}
OTHERS = {
    "TEE": "-j TEE --gateway 10.0.0.9",
    "CLUSTERIP": "-j CLUSTERIP",
    "TPROXY": "-p tcp -j TPROXY --on-port 3128",
}


def place(key: str, hook: str = "PREROUTING") -> World:
    """Return a world in which the target may stand."""
    tables = TARGETS[key].tables
    return World(
        table=tables[0] if tables else "filter", hook=hook, facts={"mtu": 1500, "socket": False}
    )


def rows(table):
    return [pytest.param(key, *row, id=f"{key}: {row[0]}") for key in table for row in table[key]]


@pytest.mark.parametrize(("key", "text", "packet", "changes"), rows(CHANGES))
def test_a_target_changes_a_packet_byte_for_byte(key, text, packet, changes) -> None:
    action = act(text, packet, place(key))
    assert action.verdict == "CONTINUE"
    assert (action.packet or packet) == packet.change(**changes)
    if "tcp_options" in changes:
        again = tcp(
            packet.src,
            packet.dst,
            sport=packet.sport,
            dport=packet.dport,
            options=changes["tcp_options"],
        )
        assert action.packet.data == again.data


@pytest.mark.parametrize(("key", "text", "packet", "effect"), rows(EFFECTS))
def test_a_target_asks_the_engine(key, text, packet, effect) -> None:
    action = act(text, packet, place(key))
    asked = [one for one in action.effects if not isinstance(one, Respond)]
    assert asked == [effect]
    assert action.packet is None
    assert action.verdict == VERDICTS.get(key, "CONTINUE")


def test_synproxy_offers_what_both_sides_want() -> None:
    """RFC 9293 3.2 and 7323: kind, length, value; the segment size is the rule's, the echo the client's."""
    offered = bytes.fromhex("020405b4 0402 080a 11223344 00000000 01 030307".replace(" ", ""))
    wants = "--sack-perm --timestamp --wscale 9 --mss 1400"
    syn = tcp(A, B, dport=80, seq=6, options=offered)
    (answer,) = (
        one.message
        for one in act(f"-p tcp -j SYNPROXY {wants}", syn, place("SYNPROXY")).effects
        if isinstance(one, Respond)
    )
    assert (answer.flag_names, answer.ack, answer.window) == (("SYN", "ACK"), 7, 0)
    options = answer.data[40:]
    assert options[:8] == bytes.fromhex(
        "0204057804 02080a".replace(" ", "")
    )  # MSS 1400, SACK, timestamp
    assert options[11] & 0x3F == 7 | 1 << 4  # the client's scale, and that SACK may be used
    assert options[12:] == bytes.fromhex("11223344 01030309".replace(" ", ""))


def test_tee_tells_of_its_copy_and_sends_it() -> None:
    told = Note("TEE: a copy goes to 10.0.0.9")
    action = act("-j TEE --gateway 10.0.0.9", SYN)
    assert (action.verdict, action.effects) == ("CONTINUE", (told, Copy(address("10.0.0.9"))))


@pytest.mark.parametrize("verdict", ["ACCEPT", "DROP", "RETURN", "QUEUE"])
def test_plain_verdicts(verdict) -> None:
    action = act(f"-j {verdict}", SYN)
    assert (action.verdict, action.packet, action.effects) == (verdict, None, ())


@pytest.mark.parametrize("key", TARGETS)
def test_each_target_acts_and_reads_back_what_it_prints(key) -> None:
    known = {**{k: v[0][0] for k, v in {**CHANGES, **EFFECTS}.items()}, **OTHERS}
    text = known.get(key, f"-j {key}")
    family = 4 if 4 in TARGETS[key].families else 6
    world = place(key)
    packet = tcp(A, B, dport=80) if family == 4 else tcp("fd00::1", "fd00::2", dport=80)
    assert act(
        text, packet, World(table=world.table, family=family, facts=world.facts)
    ).verdict == VERDICTS.get(key, "CONTINUE")
    printed = rule_text(rule(text, family, world.table))
    assert rule_text(rule(printed, family, world.table)) == printed


@pytest.mark.parametrize("key", TARGETS)
def test_each_target_says_what_it_is(key) -> None:
    target = TARGETS[key]
    assert target.name == key.partition("/")[0]
    assert target.act is not None
    assert target.summary
    assert "iptables-extensions(8)" in target.source or "iptables(8)" in target.source
    assert all(option.help and option.label for option in target.options)
    assert find_target(target.name, target.families[0]) is target


def test_what_a_target_cannot_know_is_undecided() -> None:
    clamp = "-p tcp -j TCPMSS --clamp-mss-to-pmtu"
    assert act(clamp, SYN).missing == "the path's MTU (fact mtu=1500)"
    assert (
        act(clamp, SYN, World(facts={"mtu": 1400})).packet.data
        == SYN.change(tcp_options=bytes((2, 4, 0x05, 0x50))).data
    )
    proxy = act("-p tcp -j TPROXY --on-port 80", SYN, World(table="mangle"))
    assert proxy.verdict == "UNDECIDED"


def test_tproxy_marks_what_a_transparent_socket_takes() -> None:
    world = World(table="mangle", facts={"socket": "transparent"})
    action = act("-p tcp -j TPROXY --on-port 3128 --tproxy-mark 0x1/0x1", SYN, world)
    assert (action.verdict, action.packet.mark) == ("ACCEPT", 1)


def test_netmap_maps_the_source_behind_routing() -> None:
    world = World(table="nat", hook="POSTROUTING")
    assert act("-j NETMAP --to 192.168.5.0/24", SYN, world).effects[0].side == "src"


def test_a_tracked_packet_is_not_untracked_any_more() -> None:
    assert act("-j NOTRACK", marked(0, 0), World(table="raw")).effects == ()


def test_a_udp_checksum_of_zero_stays_zero() -> None:
    packet = udp(f"{A}:1", f"{B}:2", payload=b"x")
    bare = Packet(data=packet.data[:26] + b"\0\0" + packet.data[28:])
    assert act("-j TTL --ttl-set 1", bare, World(table="mangle")).packet.data[26:28] == b"\0\0"


def test_what_is_not_modelled_is_listed_with_its_reason() -> None:
    known = {f"-m {n}": e for n, e in MATCHES.items()} | {f"-j {n}": e for n, e in TARGETS.items()}
    for name, option, why in not_modelled():
        assert why
        assert not option or option in known[name].by_name
    listed = {(name, option) for name, option, _ in not_modelled()}
    assert {("-j SYNPROXY", ""), ("-m bpf", "--object-pinned"), ("-j SET", "--map-set")} <= listed
    assert "nothing helps" in act("-j CLUSTERIP", SYN).missing
