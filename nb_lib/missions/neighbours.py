"""A mission about IPv6: what replaces ARP is ICMPv6, and rules see it."""

from __future__ import annotations

import struct

from nb_lib.missions.machines import BASE, IN, OUT
from nb_lib.missions.mission import Mission, Want
from nb_lib.missions.stage import Stage, delivered, leaves, stopped
from nb_lib.net import parse_address
from nb_lib.packet import icmp, tcp, udp

LAN6, WAN6 = "fd00:1::1", "fd00:2::1"
OUTSIDE6 = "2001:db8:{:x}::{:x}"


def _discovery(stage: Stage) -> None:
    near = f"fd00:1::{stage.pick.randint(2, 15):x}"
    router, group = f"fe80::{stage.pick.randint(2, 0xFFFF):x}", "ff02::1:ff00:1"
    asks = icmp(near, group, type=135, rest=bytes(4), payload=_ip6(LAN6), ttl=255)
    stage.into(f"{near} asks who has {LAN6} (neighbour solicitation)", asks, IN, delivered())
    tells = icmp(near, LAN6, type=136, rest=b"\x60\0\0\0", payload=_ip6(near), ttl=255)
    stage.into(
        f"{near} tells its Ethernet address (neighbour advertisement)", tells, IN, delivered()
    )
    tells = icmp(router, WAN6, type=136, rest=b"\x60\0\0\0", payload=_ip6(router), ttl=255)
    stage.into(f"The provider's router {router} tells its own", tells, OUT, delivered())


def _ip6(text: str) -> bytes:
    return parse_address(text, 6).packed


def _too_big(stage: Stage) -> None:
    server = OUTSIDE6.format(stage.pick.randint(1, 0xFF), stage.pick.randint(1, 0xFF))
    asked = stage.out(
        "The host opens https", tcp(f"[{WAN6}]:{stage.port()}", f"[{server}]:443"), leaves(OUT)
    )
    stage.back(asked, delivered(), "The server's answer")
    big = icmp(server, WAN6, type=2, rest=struct.pack("!I", 1280), payload=asked.packet.data)
    stage.into("A router on the way says: packet too big", big, OUT, delivered())


def _ssh6(stage: Stage) -> None:
    source = OUTSIDE6.format(stage.pick.randint(1, 0xFF), stage.pick.randint(1, 0xFF))
    came = stage.into(
        "A new ssh connection", tcp(f"[{source}]:{stage.port()}", f"[{WAN6}]:22"), OUT, delivered()
    )
    stage.back(came, leaves(OUT, dst=source), "The host's answer")


def _closed6(stage: Stage) -> None:
    source, port = OUTSIDE6.format(1, stage.pick.randint(1, 0xFF)), stage.other_port(22)
    for flags in ("SYN", "ACK"):
        packet = tcp(f"[{source}]:{stage.port()}", f"[{WAN6}]:{port}", flags=flags)
        stage.into(f"TCP to port {port} ({flags})", packet, OUT, stopped())
    stage.into(
        f"UDP to port {port}", udp(f"[{source}]:{stage.port()}", f"[{WAN6}]:{port}"), OUT, stopped()
    )
    near = f"fd00:1::{stage.pick.randint(2, 15):x}"
    stage.into(
        f"Port {port} from inside",
        tcp(f"[{near}]:{stage.port()}", f"[{LAN6}]:{port}"),
        IN,
        stopped(),
    )
    link = f"fe80::{stage.pick.randint(2, 0xFFFF):x}"
    stage.into(
        "UDP from a link-local address",
        udp(f"[{link}]:{stage.port()}", f"[{WAN6}]:{port}"),
        OUT,
        stopped(),
    )


IPV6 = Mission(
    name="ipv6", title="IPv6: close the host without cutting its cable", level=2,
    situation="Somebody carried the IPv4 rules over to IPv6, and some minutes later the host was gone. ARP is not IP, so that "
    "iptables never sees it; its successor, neighbour discovery, is ICMPv6, and ip6tables drops it like anything else.",
    goal="Let neighbours find the host and the host its neighbours. Errors such as “packet too big” must arrive; ports stay closed.",
    dump6=BASE,
    wants=(
        Want("Neighbour solicitations and advertisements come in.", _discovery),
        Want("“Packet too big” arrives.", _too_big),
        Want("ssh works.", _ssh6),
        Want("Every other port stays closed, for link-local addresses too.", _closed6),
    ),
    hints=(
        "The program is ip6tables; the protocol is called ipv6-icmp (icmpv6 is understood, too).",
        "Four types make neighbours: router-solicitation, router-advertisement, neighbour-solicitation, neighbour-advertisement.",
        "ESTABLISHED,RELATED takes care of packet too big. Neighbour discovery is UNTRACKED: no connection, so it needs a rule of its own.",
    ),
    solution="""\
ip6tables -A INPUT -p ipv6-icmp --icmpv6-type neighbour-solicitation -j ACCEPT
ip6tables -A INPUT -p ipv6-icmp --icmpv6-type neighbour-advertisement -j ACCEPT
ip6tables -A INPUT -p ipv6-icmp --icmpv6-type router-advertisement -j ACCEPT
ip6tables -A INPUT -p ipv6-icmp --icmpv6-type echo-request -j ACCEPT""",
    lesson="IPv6 does not work without ICMPv6. RFC 4890 lists which types a firewall has to let through.",
)  # fmt: skip

MISSIONS = (IPV6,)
