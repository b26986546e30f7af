"""Missions about a port that is published: who gets in, and who is answered."""

from __future__ import annotations

from nb_lib.missions.machines import IN, LAN, OUT, WAN
from nb_lib.missions.mission import Mission, Network, Want
from nb_lib.missions.routers import way_out
from nb_lib.missions.stage import Stage, both, delivered, leaves, never_at
from nb_lib.packet import tcp, udp

SERVER = "10.1.0.3"  # a machine inside
SERVED = Network(beside="web server 10.1.0.3:80")
FRIEND = "192.0.2.{}"

# --- publish ---


def _published(stage: Stage) -> None:
    for source in ("192.0.2.7", FRIEND.format(stage.pick.randint(1, 254))):
        packet = tcp(f"{source}:{stage.port()}", f"{WAN}:8080")
        went = stage.into(
            f"{source} opens {WAN}:8080", packet, OUT, leaves(IN, src=source, dst=SERVER, dport=80)
        )
        back = leaves(OUT, src=WAN, sport=8080, dst=source)
        answer = stage.back(went, back, "The container's answer")
        again = tcp(
            f"{source}:{packet.sport}",
            f"{WAN}:8080",
            flags="ACK",
            seq=1001,
            ack=(answer.packet.seq or 0) + 1,
        )
        stage.into(
            "The third packet of the handshake", again, OUT, leaves(IN, dst=SERVER, dport=80)
        )


def _not_for_others(stage: Stage) -> None:
    source = f"198.51.100.{stage.pick.randint(1, 254)}"
    for says, packet in (
        (f"{source} opens {WAN}:8080", tcp(f"{source}:{stage.port()}", f"{WAN}:8080")),
        (
            f"{source} sends to the container's own address",
            tcp(f"{source}:{stage.port()}", f"{SERVER}:80"),
        ),
        ("An address beside the allowed network", tcp(f"192.0.3.1:{stage.port()}", f"{WAN}:8080")),
    ):
        stage.into(says, packet, OUT, never_at(SERVER))


def _no_other_port(stage: Stage) -> None:
    source = FRIEND.format(stage.pick.randint(1, 254))
    port = stage.other_port()
    for says, packet in (
        (
            f"{source} opens port {port} of the container",
            tcp(f"{source}:{stage.port()}", f"{SERVER}:{port}"),
        ),
        (f"{source} opens {WAN}:{port}", tcp(f"{source}:{stage.port()}", f"{WAN}:{port}")),
        (f"{source} sends UDP to port 8080", udp(f"{source}:{stage.port()}", f"{WAN}:8080")),
        (f"{source} opens another container", tcp(f"{source}:{stage.port()}", "10.1.0.4:80")),
    ):
        stage.into(
            says, packet, OUT, never_at(SERVER if str(packet.dst) == WAN else str(packet.dst))
        )


PUBLISHED_START = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""

PUBLISH = Mission(
    name="publish", title="Publish a server’s port for one network only", level=2,
    situation="A web server listens at 10.1.0.3:80, behind the host. The host routes, its FORWARD drops whatever comes in new. "
    "Customers in 192.0.2.0/24 are to reach the server as 10.2.0.1:8080.",
    goal="Send port 8080 of the host to the server, for 192.0.2.0/24 alone. The server is to see the customers’ own addresses.",
    dump=PUBLISHED_START,
    wants=(
        Want("From 192.0.2.0/24 port 8080 reaches the server, and its answers come back as 10.2.0.1:8080.", _published),
        Want("Nobody else reaches the server.", _not_for_others),
        Want("No other port and no other machine is opened.", _no_other_port),
        Want("The machines inside still reach the internet.", way_out),
    ),
    hints=(
        "It takes two rules: one changes the destination, the other lets the packet pass.",
        "DNAT stands in PREROUTING of nat: the destination has to be changed before the way is looked up.",
        "FORWARD sees the packet after DNAT: to 10.1.0.3, port 80, no longer 8080.",
    ),
    solution="""\
iptables -t nat -A PREROUTING -i wan0 -s 192.0.2.0/24 -d 10.2.0.1 -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.3:80
iptables -A FORWARD -i wan0 -s 192.0.2.0/24 -d 10.1.0.3 -p tcp --dport 80 -j ACCEPT""",
    lesson="nat changes the address, filter lets the packet pass, and filter comes later. Answers are changed back without a rule.",
    network=SERVED,
)  # fmt: skip

# --- hairpin ---

HAIRPIN_START = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i wan0 -d 10.2.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.3:80
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
"""


def _hairpin(stage: Stage) -> None:
    for near in ("10.1.0.5", stage.neighbour(("10.1.0.5",))):
        packet = tcp(f"{near}:{stage.port()}", f"{WAN}:80")
        says = f"{near}, in the same network as the server, opens {WAN}:80"
        seen = both(leaves(IN, dst=SERVER, dport=80), "and from an address to which the server answers by way of the host",
                    lambda t: str(t.packet.src) in (LAN, WAN))  # fmt: skip
        went = stage.into(says, packet, IN, seen)
        stage.back(
            went, leaves(IN, src=WAN, sport=80, dst=near, dport=packet.sport), "The server's answer"
        )


def _outside_as_before(stage: Stage) -> None:
    source = stage.outsider()
    packet = tcp(f"{source}:{stage.port()}", f"{WAN}:80")
    went = stage.into(
        f"{source} opens {WAN}:80", packet, OUT, leaves(IN, src=source, dst=SERVER, dport=80)
    )
    stage.back(went, leaves(OUT, src=WAN, sport=80, dst=source), "The server's answer")


def _others_untouched(stage: Stage) -> None:
    near, far, port = stage.neighbour(), stage.outsider(), stage.other_port()
    stage.into(
        f"{near} opens a web page outside",
        tcp(f"{near}:{stage.port()}", f"{far}:80"),
        IN,
        leaves(OUT, src=WAN, dst=far),
    )
    stage.into(
        f"{near} opens {WAN}:{port}",
        tcp(f"{near}:{stage.port()}", f"{WAN}:{port}"),
        IN,
        delivered(),
    )
    direct = tcp(f"{stage.outsider()}:{stage.port()}", f"{near}:{port}")
    stage.into(
        "A packet from outside that is routed, not translated",
        direct,
        OUT,
        leaves(IN, src=str(direct.src)),
    )


HAIRPIN = Mission(
    name="hairpin", title="Make the published port work from inside, too", level=3,
    situation="A web server at 10.1.0.3 is published as 10.2.0.1:80, and from the internet it answers. A machine in the "
    "server’s own network types the same address into its browser, and gets nothing.",
    goal="Make 10.2.0.1:80 work for machines behind lan0. Visitors from the internet must still be seen with their own addresses.",
    dump=HAIRPIN_START,
    wants=(
        Want("From lan0, 10.2.0.1:80 reaches the server, and the answer finds its way back.", _hairpin),
        Want("From the internet all is as before; the server sees the visitor’s address.", _outside_as_before),
        Want("Other packets are left alone.", _others_untouched),
    ),
    hints=(
        "The first reason is in the rule: -i wan0. A packet from lan0 is not sent to the server at all.",
        "Then the server sees a neighbour’s address and answers it directly, not by the host: the neighbour waits for 10.2.0.1.",
        "So the source has to be changed as well, in POSTROUTING, for what comes from 10.1.0.0/24 and goes to the server.",
    ),
    solution="""\
iptables -t nat -A PREROUTING -i lan0 -d 10.2.0.1 -p tcp --dport 80 -j DNAT --to-destination 10.1.0.3:80
iptables -t nat -A POSTROUTING -o lan0 -s 10.1.0.0/24 -d 10.1.0.3 -p tcp --dport 80 -j MASQUERADE""",
    lesson="NAT works only if the answers come back through the host that translated. For neighbours that takes a second translation.",
    network=SERVED,
)  # fmt: skip

MISSIONS = (PUBLISH, HAIRPIN)
