"""Missions on a router: what passes through, and under which address."""

from __future__ import annotations

from nb_lib.missions.machines import IN, LAN, OUT, WAN
from nb_lib.missions.mission import Mission, Network, Want
from nb_lib.missions.stage import (
    Expect,
    Stage,
    both,
    delivered,
    leaves,
    stopped,
)
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.trace import Trace

SERVER = "10.1.0.3"  # a machine inside
FRIEND, FRIENDS = "192.0.2.{}", "192.0.2.0/24"

# --- forward ---


def way_out(stage: Stage) -> None:
    """Whatever a machine inside asks for goes out, and the answer comes back."""
    near, far = stage.neighbour(), stage.outsider()
    for says, packet in (
        ("https", tcp(f"{near}:{stage.port()}", f"{far}:443")),
        ("a question of DNS", udp(f"{near}:{stage.port()}", f"{far}:53")),
        ("a ping", icmp(near, far, id=stage.pick.randint(1, 65535))),
        ("an odd port", tcp(f"{near}:{stage.port()}", f"{far}:{stage.other_port(443)}")),
    ):
        went = stage.into(f"From inside: {says}", packet, IN, leaves(OUT, dst=far))
        stage.back(went, leaves(IN, dst=near), f"The answer to {says}")


def _no_way_in(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    for sport in (stage.port(), 443, 80):
        packet = tcp(f"{far}:{sport}", f"{near}:{stage.other_port(443)}")
        stage.into(f"A new connection from outside, source port {sport}", packet, OUT, stopped())
    stage.into(
        "A lone ACK from outside",
        tcp(f"{far}:443", f"{near}:{stage.port()}", flags="ACK"),
        OUT,
        stopped(),
    )
    stage.into(
        "UDP from port 53 outside", udp(f"{far}:53", f"{near}:{stage.port()}"), OUT, stopped()
    )
    stage.into("A ping from outside", icmp(far, near), OUT, stopped())
    forged = tcp(f"{stage.neighbour((near,))}:{stage.port()}", f"{near}:22")
    stage.into("A packet from outside with an address of the inside", forged, OUT, stopped())


FORWARD = Mission(
    name="forward", title="Let the network out and nobody in", level=1,
    situation="The host routes between lan0 and wan0 (net.ipv4.ip_forward=1). Its policy for FORWARD is DROP: nothing passes, "
    "in no direction.",
    goal="Machines behind lan0 may open connections to the internet and get their answers. From the internet nothing new comes in.",
    dump="*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    wants=(
        Want("From inside, everything may be asked, and is answered.", way_out),
        Want("From outside nothing new comes in, whatever it looks like.", _no_way_in),
    ),
    hints=(
        "Packets that pass through meet FORWARD alone, neither INPUT nor OUTPUT.",
        "One rule for what is new, from lan0 to wan0; one for what belongs to a known connection.",
        "-i lan0 -o wan0 names both devices: in FORWARD a packet has both.",
    ),
    solution="iptables -A FORWARD -i lan0 -o wan0 -j ACCEPT\niptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    lesson="Devices tell direction, the connection’s state tells who began. An address can be forged, the device cannot.",
)  # fmt: skip

# --- masquerade ---


def _masked(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    for says, packet in (
        ("https", tcp(f"{near}:{stage.port()}", f"{far}:443")),
        ("DNS", udp(f"{near}:{stage.port()}", f"{far}:53")),
        ("a ping", icmp(near, far, id=stage.pick.randint(1, 65535))),
    ):
        went = stage.into(
            f"{says} from {near}", packet, IN, leaves(OUT, src=stage.address, dst=far)
        )
        stage.back(went, leaves(IN, src=far, dst=near), f"The answer to {says}")


def _seen_inside(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    came = tcp(f"{far}:{stage.port()}", f"{near}:80")
    stage.into(f"{far} comes to a server inside", came, OUT, leaves(IN, src=far, dst=near))
    mine = tcp(f"{near}:{stage.port()}", f"{LAN}:22")
    stage.into(f"{near} comes to the host", mine, IN, both(delivered(), f"with its own address {near}",
               lambda t: str(t.packet.src) == near))  # fmt: skip
    stage.out(
        "The host talks to a machine inside",
        tcp(f"{LAN}:{stage.port()}", f"{near}:22"),
        leaves(IN, src=LAN),
    )


MASQUERADE = Mission(
    name="masquerade", title="Hide a network behind an address that changes", level=2,
    situation="The machines behind lan0 have private addresses; answers from the internet do not find them. wan0 has one address, "
    "today 10.2.0.1. The provider gives another one every night, and nobody is there to type then.",
    goal="What leaves by wan0 has the address that wan0 has at that time. Machines inside see the true addresses of who talks to them.",
    wants=(
        Want("From inside, packets leave with the address of wan0, and the answers come back.", _masked),
        Want("Inside, nobody’s address is changed.", _seen_inside),
    ),
    hints=(
        "The source is changed last, when the way is known: in POSTROUTING of the table nat.",
        "SNAT needs an address that you know. MASQUERADE takes that of the device by which the packet leaves.",
        "-o wan0 keeps it from what goes to the network inside.",
    ),
    solution="iptables -t nat -A POSTROUTING -o wan0 -j MASQUERADE",
    lesson="MASQUERADE reads the device’s address for each new connection, and forgets connections when the device goes down.",
    variants=(Network(far=("10.2.0.77/24", "fd00:2::1/64")),),
)  # fmt: skip

# --- invalid ---


def _no_leak(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    reset = tcp(f"{near}:{stage.port()}", f"{far}:443", flags="RST", seq=77)
    for says, packet in (
        ("A reset of a connection that conntrack has forgotten", reset),
        ("A packet with SYN and FIN", tcp(f"{near}:{stage.port()}", f"{far}:443", flags="SYN,FIN")),
        ("An answer to a ping that nobody sent", icmp(near, far, type=0)),
        ("A SYN-ACK out of nowhere", tcp(f"{near}:80", f"{far}:{stage.port()}", flags="SYN,ACK")),
    ):
        stage.into(says, packet, IN, _never_leaks(near))


def _never_leaks(near: str) -> Expect:
    def holds(trace: Trace) -> bool:
        return trace.fate.kind != "forward" or str(trace.packet.src) != near

    return Expect(f"must not leave with the private address {near}", holds)


def _masked_with_end(stage: Stage) -> None:
    _masked(stage)
    near, far = stage.neighbour(), stage.outsider()
    opens = tcp(f"{near}:{stage.port()}", f"{far}:443")
    went = stage.into("A connection", opens, IN, leaves(OUT, src=WAN))
    answer = stage.back(went, leaves(IN, dst=near), "The answer")
    last = tcp(
        f"{near}:{opens.sport}",
        f"{far}:443",
        flags="RST",
        seq=1001,
        ack=(answer.packet.seq or 0) + 1,
    )
    stage.into("A reset that belongs to it", last, IN, leaves(OUT, src=WAN))


INVALID = Mission(
    name="invalid", title="Why do private addresses leave the host?", level=2,
    situation="Everything that leaves by wan0 is masqueraded, the rule is there. Yet the provider complains of packets from 10.1.0.0/24. "
    "Some packets belong to no connection that conntrack could know; nat never sees those.",
    goal="No packet with an address of the inside leaves by wan0. Good connections work as before, their last packet included.",
    dump="""\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -i wan0 -o lan0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
""",
    wants=(
        Want("Strays do not leave with a private address.", _no_leak),
        Want("Connections work, and end, as before.", _masked_with_end),
        Want("From outside nothing new comes in.", _no_way_in),
    ),
    hints=(
        "The table nat sees the first packet of a connection. A packet without a connection passes it by.",
        "conntrack has a word for such packets: INVALID.",
        "The first rule of FORWARD accepts all that comes from lan0. What is to be dropped has to be dropped before it.",
    ),
    solution="iptables -I FORWARD -m conntrack --ctstate INVALID -j DROP",
    lesson="INVALID packets are not translated, so a router that masquerades has to drop them, before it accepts anything.",
)  # fmt: skip

# --- mss ---

MTU = 1400


def _mss(packet: Packet) -> int | None:
    at = packet.header_end
    options = packet.data[at + 20 : at + (packet.data[at + 12] >> 4) * 4]
    return int.from_bytes(options[2:4], "big") if options[:2] == b"\x02\x04" else None


def _announces(expect: Expect, most: int, least: int = 536) -> Expect:
    return both(expect, f"and announce segments of {least} to {most} bytes" if least != most else f"and announce {most} bytes",
                lambda t: least <= (_mss(t.packet) or 0) <= most)  # fmt: skip


def _size(size: int) -> bytes:
    return b"\x02\x04" + size.to_bytes(2, "big")


def _lowered(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    for size in (1460, stage.pick.randint(1361, 1460)):
        opens = tcp(f"{near}:{stage.port()}", f"{far}:{stage.other_port()}", options=_size(size))
        went = stage.into(f"A SYN from inside that announces {size} bytes", opens, IN,
                          _announces(leaves(OUT), MTU - 40, 1000))  # fmt: skip
        stage.back(
            went,
            _announces(leaves(IN), MTU - 40, 1000),
            f"A SYN-ACK that announces {size}",
            options=_size(size),
        )


def _small_stays(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    for size in (536, stage.pick.randint(600, 1000)):
        opens = tcp(f"{near}:{stage.port()}", f"{far}:443", options=_size(size))
        stage.into(
            f"A SYN that announces {size} bytes", opens, IN, _announces(leaves(OUT), size, size)
        )


def _rest_passes(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    opens = tcp(f"{near}:{stage.port()}", f"{far}:443", options=_size(1460))
    went = stage.into("A SYN", opens, IN, leaves(OUT))
    answer = stage.back(went, leaves(IN), "The SYN-ACK")
    data = tcp(f"{near}:{opens.sport}", f"{far}:443", flags="PSH,ACK", seq=1001,
               ack=(answer.packet.seq or 0) + 1, payload=b"x" * stage.pick.randint(1, 900))  # fmt: skip
    stage.into(
        "Data",
        data,
        IN,
        both(leaves(OUT), "with the same bytes", lambda t: t.packet.payload == data.payload),
    )
    stage.into(
        "UDP", udp(f"{near}:{stage.port()}", f"{far}:443", payload=b"y" * 900), IN, leaves(OUT)
    )
    stage.into("A ping", icmp(near, far), IN, leaves(OUT))


MSS = Mission(
    name="mss", title="Small pages load, large ones hang", level=2,
    situation="The way out is a tunnel whose packets hold 1,400 bytes at most. Hosts announce that they take segments of 1,460 bytes, "
    "as on Ethernet; large packets are lost on the way, and somebody’s firewall eats the ICMP errors that would tell.",
    goal="Lower what TCP handshakes announce, in both directions, to what fits: 1,360 bytes. Who announces less is left alone.",
    wants=(
        Want("SYN and SYN-ACK announce at most 1,360 bytes.", _lowered),
        Want("A smaller announcement stays as it is.", _small_stays),
        Want("All other packets pass unchanged.", _rest_passes),
    ),
    hints=(
        "The announcement is the option MSS in the SYN and in the SYN-ACK. The table that changes headers is mangle.",
        "TCPMSS --clamp-mss-to-pmtu works it out from the MTU of the way; --set-mss takes a number.",
        "--tcp-flags SYN,RST SYN matches SYN and SYN-ACK; both pass FORWARD.",
    ),
    solution="iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    lesson="The MSS is what the other side may send: so the SYN limits one direction, the SYN-ACK the other. TCPMSS never raises it.",
    network=Network(facts={"mtu": MTU}),
)  # fmt: skip

MISSIONS = (FORWARD, MASQUERADE, INVALID, MSS)
