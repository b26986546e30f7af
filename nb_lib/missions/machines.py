"""Missions on one machine: what reaches it, what it answers, what it logs."""

from __future__ import annotations

import struct

from nb_lib.missions.mission import Mission, Want
from nb_lib.missions.stage import Stage, delivered, leaves, refused, stopped
from nb_lib.packet import icmp, tcp, udp

LAN, WAN = "10.1.0.1", "10.2.0.1"
IN, OUT = "lan0", "wan0"

BASE = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""


# --- scenes that several missions have ---


def ssh_works(stage: Stage) -> None:
    """Anybody can open an ssh connection and is answered."""
    for source, by in ((stage.outsider(), OUT), (stage.neighbour(), IN)):
        target = WAN if by == OUT else LAN
        packet = tcp(f"{source}:{stage.port()}", f"{target}:22")
        came = stage.into(f"A new ssh connection from {source}", packet, by, delivered())
        stage.back(came, leaves(by, dst=source), "The host's answer to ssh")


def own_connections(stage: Stage) -> None:
    """What the host asks for, it gets: TCP, UDP, ping, and errors that belong to them."""
    server = stage.outsider()
    asked = stage.out(
        "The host opens https", tcp(f"{WAN}:{stage.port()}", f"{server}:443"), leaves(OUT)
    )
    stage.back(asked, delivered(), "The server's answer")
    asked = stage.out(
        "The host asks a name server", udp(f"{WAN}:{stage.port()}", "198.51.100.53:53"), leaves(OUT)
    )
    stage.back(asked, delivered(), "The name server's answer")
    too_big = icmp(stage.outsider(), WAN, type=3, code=4, rest=struct.pack("!HH", 0, 1400),
                   payload=asked.packet.data[:28])  # fmt: skip
    stage.into("An ICMP error about it (fragmentation needed)", too_big, OUT, delivered())
    asked = stage.out(
        "The host pings", icmp(WAN, server, id=stage.pick.randint(1, 65535)), leaves(OUT)
    )
    stage.back(asked, delivered(), "The answer to the ping")


def itself(stage: Stage) -> None:
    """A process talks to another one by the loopback."""
    port = stage.other_port(22, 80)
    says = f"A process of the host connects to 127.0.0.1:{port}"
    came = stage.out(says, tcp(f"127.0.0.1:{stage.port()}", f"127.0.0.1:{port}"), delivered())
    stage.back(came, delivered(), "The answer over the loopback")


def nothing_else(stage: Stage, *but: int) -> None:
    """New connections to any other port, other protocols, strays: all are stopped."""
    source, port = stage.outsider(), stage.other_port(*but)
    target = f"{WAN}:{port}"
    stage.into(
        f"A new connection to port {port}", tcp(f"{source}:{stage.port()}", target), OUT, stopped()
    )
    neighbour = stage.neighbour()
    stage.into(
        f"The same from {neighbour}",
        tcp(f"{neighbour}:{stage.port()}", f"{LAN}:{port}"),
        IN,
        stopped(),
    )
    from_22 = tcp(f"{source}:{stage.pick.choice((22, 53, 80, 443))}", target)
    stage.into("A new connection from a well-known source port", from_22, OUT, stopped())
    stray = tcp(f"{source}:{stage.port()}", target, flags="ACK", ack=1)
    stage.into("A lone ACK of no connection", stray, OUT, stopped())
    for service in (*but, port):
        datagram = udp(f"{source}:{stage.port()}", f"{WAN}:{service}")
        stage.into(f"UDP to port {service}", datagram, OUT, stopped())


# --- the missions ---


def _web_open(stage: Stage) -> None:
    for source in ("203.0.113.9", stage.outsider(), "11.0.0.1", "9.255.255.254"):
        packet = tcp(f"{source}:{stage.port()}", f"{WAN}:80")
        came = stage.into(f"A new connection to port 80 from {source}", packet, OUT, delivered())
        stage.back(came, leaves(OUT, dst=source), "The host's answer")


def _web_closed_inside(stage: Stage) -> None:
    far = (
        f"10.{stage.pick.randint(3, 255)}.{stage.pick.randint(0, 255)}.{stage.pick.randint(1, 254)}"
    )
    near = stage.neighbour()
    for source, by, target in (
        (near, IN, LAN),
        (near, IN, WAN),
        (far, OUT, WAN),
        ("10.255.255.254", OUT, WAN),
    ):
        packet = tcp(f"{source}:{stage.port()}", f"{target}:80")
        stage.into(f"A new connection to port 80 from {source}", packet, by, stopped())


WEB = Mission(
    name="web", title="Open port 80, but not for 10.0.0.0/8", level=1,
    situation="The host drops what nobody has asked for; ssh is open. Today a web server was started on it. "
    "The company’s own network, 10.0.0.0/8, has a proxy and must not come to port 80 directly.",
    goal="Let new TCP connections to port 80 in, from everywhere but 10.0.0.0/8. Nothing else opens.",
    dump=BASE,
    wants=(
        Want("Port 80 answers the internet.", _web_open),
        Want("Port 80 stays closed for 10.0.0.0/8.", _web_closed_inside),
        Want("ssh works as before, from both sides.", ssh_works),
        Want("No other port, and no other protocol, is open.", lambda s: nothing_else(s, 80)),
        Want("What the host itself asks for still comes back.", own_connections),
    ),
    hints=(
        "The rule belongs into INPUT of the table filter: it is the host itself that is addressed.",
        "A match can be turned round: ! -s 10.0.0.0/8 is every source but those.",
        "iptables -A INPUT ! -s 10.0.0.0/8 -p tcp --dport …",
    ),
    solution="iptables -A INPUT ! -s 10.0.0.0/8 -p tcp --dport 80 -j ACCEPT",
    lesson="One rule suffices, because the policy drops the rest. With -p tcp it opens TCP alone.",
)  # fmt: skip


def _order_open(stage: Stage) -> None:
    source = stage.outsider()
    for by, src, dst in ((OUT, source, WAN), (IN, stage.neighbour(), LAN)):
        packet = tcp(f"{src}:{stage.port()}", f"{dst}:8080")
        came = stage.into(f"A new connection to port 8080 from {src}", packet, by, delivered())
        stage.back(came, leaves(by, dst=src), "The host's answer")


def _own_and_itself(stage: Stage) -> None:
    own_connections(stage)
    itself(stage)


def _order_refused(stage: Stage) -> None:
    source, port = stage.outsider(), stage.other_port(22, 8080)
    packet = tcp(f"{source}:{stage.port()}", f"{WAN}:{port}")
    stage.into(f"A new connection to port {port}", packet, OUT, refused())
    stage.into("UDP to port 8080", udp(f"{source}:{stage.port()}", f"{WAN}:8080"), OUT, refused())
    near = stage.neighbour()
    stage.into(
        f"Port {port} from inside", tcp(f"{near}:{stage.port()}", f"{LAN}:{port}"), IN, refused()
    )
    stray = tcp(f"{source}:8080", f"{WAN}:{port}")
    stage.into("A new connection from source port 8080", stray, OUT, refused())


ORDER = Mission(
    name="order", title="Why has my rule no effect?", level=1,
    situation="Somebody typed iptables -A INPUT -p tcp --dport 8080 -j ACCEPT. The rule is there, its counter "
    "stays at 0, and port 8080 still answers with “connection refused”.",
    goal="Make port 8080 reachable. Whatever else is not wanted is to be rejected, not silently dropped, as before.",
    dump="""\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT
COMMIT
""",
    wants=(
        Want("Port 8080 answers, from both sides.", _order_open),
        Want("Everything else is rejected, with an answer.", _order_refused),
        Want("ssh works as before.", ssh_works),
        Want("The host’s own connections work, and those to itself.",
             _own_and_itself),
    ),
    hints=(
        "Rules are tried from the top, and the first with a terminating target decides. Which one meets the packet first?",
        "-A appends at the end; -I inserts, at the top or before the rule whose number you give.",
        "iptables -L INPUT --line-numbers shows the numbers; iptables -I INPUT 4 … stands before the fourth rule.",
    ),
    solution="iptables -D INPUT -p tcp --dport 8080 -j ACCEPT\niptables -I INPUT 4 -p tcp --dport 8080 -j ACCEPT",
    lesson="-A puts a rule behind the last one, here behind a REJECT that ends every packet’s way.",
)  # fmt: skip


def _session(stage: Stage) -> None:
    admin = stage.neighbour()
    came = stage.into(
        f"A new ssh connection from {admin}",
        tcp(f"{admin}:{stage.port()}", f"{LAN}:22"),
        IN,
        delivered(),
    )
    answer = stage.back(came, leaves(IN, dst=admin), "The host's answer")
    stage.back(answer, delivered(), "What the administrator types")


def _no_ssh_outside(stage: Stage) -> None:
    source = stage.outsider()
    for target in (WAN, LAN):
        packet = tcp(f"{source}:{stage.port()}", f"{target}:22")
        stage.into(f"ssh from {source}", packet, OUT, stopped())
    nothing_else(stage, 22)


SSH = Mission(
    name="ssh", title="Close the door, but not on yourself", level=1,
    situation="A new host, no rules at all, everything open. You are logged in by ssh from the network inside "
    "(lan0). iptables -P INPUT DROP alone would end your session, and the host’s own requests would get no answers.",
    goal="Drop what comes in unasked. Keep ssh for machines that come by lan0, the host’s own connections, and the loopback.",
    wants=(
        Want("ssh from lan0 works, and goes on working.", _session),
        Want("ssh from the internet, and every other port, is closed.", _no_ssh_outside),
        Want("What the host itself asks for comes back.", own_connections),
        Want("Processes of the host reach each other by the loopback.", itself),
    ),
    hints=(
        "Three things have to come in: what belongs to a known connection, what comes by lo, and new ssh from lan0.",
        "-m conntrack --ctstate ESTABLISHED,RELATED matches answers, also errors that belong to them.",
        "Set the policy last: as long as it is ACCEPT nothing can go wrong.",
    ),
    solution="""\
iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -i lan0 -p tcp --dport 22 -j ACCEPT
iptables -P INPUT DROP""",
    lesson="A policy comes last in the chain, and last when you type. Answers need a rule: netfilter lets none in by itself.",
)  # fmt: skip


def _replies(stage: Stage) -> None:
    own_connections(stage)
    asked = stage.out(
        "The host asks for the time", udp(f"{WAN}:123", f"{stage.outsider()}:123"), leaves(OUT)
    )
    stage.back(asked, delivered(), "The time server's answer")


def _nothing_new(stage: Stage) -> None:
    source = stage.outsider()
    for sport in (80, 443, stage.port()):
        packet = tcp(f"{source}:{sport}", f"{WAN}:{stage.port()}")
        stage.into(f"A new connection from source port {sport}", packet, OUT, stopped())
    stray = tcp(f"{source}:443", f"{WAN}:{stage.port()}", flags="ACK", ack=1)
    stage.into("A lone ACK from source port 443", stray, OUT, stopped())
    answer = udp(f"{source}:53", f"{WAN}:{stage.port()}")
    stage.into("A datagram from port 53 that nobody asked for", answer, OUT, stopped())
    stage.into("A ping", icmp(source, WAN), OUT, stopped())
    stage.into("An echo reply that nobody asked for", icmp(source, WAN, type=0), OUT, stopped())
    near = stage.neighbour()
    stage.into(
        "A new connection from inside", tcp(f"{near}:{stage.port()}", f"{LAN}:22"), IN, stopped()
    )


REPLIES = Mission(
    name="replies", title="Let answers in, but nothing new", level=1,
    situation="A workstation offers nothing to anybody. Its policy for INPUT is DROP, and so the answers to its own "
    "questions are dropped as well: no web page loads, no name resolves.",
    goal="Let in what belongs to connections that the host has opened, and what processes say to each other by lo. "
    "Nobody else may begin anything, whatever port he comes from.",
    dump="*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    wants=(
        Want("Answers arrive: TCP, UDP, ping, ICMP errors.", _replies),
        Want("Nothing new comes in, from no port at all.", _nothing_new),
        Want("The loopback works.", itself),
    ),
    hints=(
        "A source port proves nothing: everybody may send from port 443.",
        "conntrack remembers what went out: -m conntrack --ctstate ESTABLISHED.",
        "RELATED matches the errors (fragmentation needed, unreachable) that belong to a connection.",
    ),
    solution="iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\niptables -A INPUT -i lo -j ACCEPT",
    lesson="State, not ports: an answer is a packet of a connection whose first packet went the other way.",
)  # fmt: skip


MISSIONS = (WEB, ORDER, REPLIES, SSH)
