"""Missions about services: redirected ports, Docker's published ports, a Service by hand."""

from __future__ import annotations

from fractions import Fraction

from nb_lib.missions.machines import IN, LAN, OUT, WAN
from nb_lib.missions.mission import Mission, Network, Want
from nb_lib.missions.stage import Stage, both, delivered, leaves, never_at, stopped
from nb_lib.packet import icmp, tcp, udp

# --- redirect ---


def _from_outside(stage: Stage) -> None:
    for source, by, target in ((stage.outsider(), OUT, WAN), (stage.neighbour(), IN, LAN)):
        packet = tcp(f"{source}:{stage.port()}", f"{target}:80")
        came = stage.into(f"{source} opens {target}:80", packet, by, delivered(dport=8080))
        back = leaves(by, src=target, sport=80, dst=source)
        stage.back(came, back, "The server's answer")


def _from_itself(stage: Stage) -> None:
    for target in ("127.0.0.1", WAN, LAN):
        source = f"{target}:{stage.port()}"
        came = stage.out(
            f"A process of the host opens {target}:80",
            tcp(source, f"{target}:80"),
            delivered(dport=8080),
        )
        stage.back(
            came,
            both(delivered(), "as an answer from port 80", lambda t: t.packet.sport == 80),
            "The answer",
        )


def _others_80(stage: Stage) -> None:
    far, near = stage.outsider(), stage.neighbour()
    stage.out(
        f"The host opens a page at {far}",
        tcp(f"{WAN}:{stage.port()}", f"{far}:80"),
        leaves(OUT, dst=far, dport=80),
    )
    packet = tcp(f"{near}:{stage.port()}", f"{far}:80")
    stage.into(
        f"{near} opens a page at {far}, through the host",
        packet,
        IN,
        leaves(OUT, dst=far, dport=80),
    )


def _other_ports(stage: Stage) -> None:
    source, port = stage.outsider(), stage.other_port(80, 8080)
    stage.into(
        f"{source} opens port {port}",
        tcp(f"{source}:{stage.port()}", f"{WAN}:{port}"),
        OUT,
        delivered(dport=port),
    )
    stage.into(
        f"{source} sends UDP to port 80",
        udp(f"{source}:{stage.port()}", f"{WAN}:80"),
        OUT,
        delivered(dport=80),
    )
    stage.out(
        f"A process opens 127.0.0.1:{port}",
        tcp(f"127.0.0.1:{stage.port()}", f"127.0.0.1:{port}"),
        delivered(dport=port),
    )


REDIRECT = Mission(
    name="redirect", title="Port 80 to 8080, for the host’s own processes as well", level=2,
    situation="A web server without root’s rights listens on port 8080. Visitors come to port 80. So do a health check and a "
    "cron job that run on the host itself.",
    goal="Send TCP port 80 of this host to 8080, whoever asks. Connections to port 80 of other machines are none of our business.",
    wants=(
        Want("From both networks, port 80 of the host arrives at 8080.", _from_outside),
        Want("From the host itself as well: 127.0.0.1 and its other addresses.", _from_itself),
        Want("Port 80 of other machines is left alone.", _others_80),
        Want("Other ports and protocols are left alone.", _other_ports),
    ),
    hints=(
        "REDIRECT, in the table nat, changes the destination to the host itself.",
        "What the host sends never passes PREROUTING. Its own packets begin in OUTPUT.",
        "-m addrtype --dst-type LOCAL matches the addresses that are the host’s own, all of them.",
    ),
    solution="""\
iptables -t nat -A PREROUTING -p tcp --dport 80 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 8080
iptables -t nat -A OUTPUT -p tcp --dport 80 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 8080""",
    lesson="Two doors lead in: PREROUTING for what arrives, OUTPUT for what begins here. A rule of nat usually belongs into both.",
)  # fmt: skip

# --- docker ---

CONTAINERS = Network(inside="docker0", inside_name="containers", beside="web server 10.1.0.3:80")
DOCKER_START = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8080 -j DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 10.1.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.1.0.0/24 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.3:80
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9090 -j DNAT --to-destination 10.1.0.3:80
COMMIT
"""
WEB = "10.1.0.3"
D = CONTAINERS.inside


def _8080_closed(stage: Stage) -> None:
    for source in ("203.0.113.9", f"198.51.100.{stage.pick.randint(1, 254)}", "192.0.3.1"):
        stage.into(
            f"{source} opens {WAN}:8080",
            tcp(f"{source}:{stage.port()}", f"{WAN}:8080"),
            OUT,
            never_at(WEB),
        )


def _served(stage: Stage, source: str, port: int) -> None:
    went = stage.into(f"{source} opens {WAN}:{port}", tcp(f"{source}:{stage.port()}", f"{WAN}:{port}"), OUT,
                      leaves(D, src=source, dst=WEB, dport=80))  # fmt: skip
    stage.back(went, leaves(OUT, src=WAN, sport=port, dst=source), "The container's answer")


def _8080_for_one(stage: Stage) -> None:
    for source in ("192.0.2.7", f"192.0.2.{stage.pick.randint(1, 254)}"):
        _served(stage, source, 8080)


def _9090_open(stage: Stage) -> None:
    _served(stage, stage.outsider(), 9090)
    _served(stage, f"203.0.113.{stage.pick.randint(1, 254)}", 9090)


def _containers_out(stage: Stage) -> None:
    near, far = stage.neighbour(), stage.outsider()
    for port in (443, 8080):
        went = stage.into(f"A container opens {far}:{port}", tcp(f"{near}:{stage.port()}", f"{far}:{port}"), D,
                          leaves(OUT, src=WAN, dst=far))  # fmt: skip
        stage.back(went, leaves(D, dst=near), "The answer")


def _host_closed(stage: Stage) -> None:
    source, port = stage.outsider(), stage.other_port(22, 8080, 9090)
    stage.into(
        f"{source} opens port {port}",
        tcp(f"{source}:{stage.port()}", f"{WAN}:{port}"),
        OUT,
        stopped(),
    )
    packet = tcp(f"{source}:{stage.port()}", f"{WEB}:{port}")
    stage.into(f"{source} opens port {port} of the container", packet, OUT, stopped())
    came = stage.into(
        f"{source} opens ssh", tcp(f"{source}:{stage.port()}", f"{WAN}:22"), OUT, delivered()
    )
    stage.back(came, leaves(OUT), "The host's answer")


DOCKER = Mission(
    name="docker", title="Docker’s port is open although INPUT drops it", level=3,
    situation="Docker has published one container twice: as port 8080, for customers in 192.0.2.0/24, and as 9090, for everybody. "
    "INPUT drops 8080, and yet the whole internet reaches it: DNAT comes first, and the packet takes the way through FORWARD.",
    goal="Close 8080 for all but 192.0.2.0/24. Port 9090, which ends at the same container and the same port 80, stays open for all.",
    dump=DOCKER_START,
    wants=(
        Want("Port 8080 is closed for the internet.", _8080_closed),
        Want("Port 8080 works for 192.0.2.0/24.", _8080_for_one),
        Want("Port 9090 works for everybody.", _9090_open),
        Want("Containers reach the internet, other people’s port 8080 as well.", _containers_out),
        Want("The host and the container’s other ports stay as closed as they were.", _host_closed),
    ),
    hints=(
        "In FORWARD the packet is for 10.1.0.3 port 80, whether it came to 8080 or to 9090.",
        "conntrack remembers where it was sent to: -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL. Docker leaves the chain DOCKER-USER to you.",
        "Or stop it before nat changes it: raw and mangle have a PREROUTING, too.",
    ),
    solution="iptables -I DOCKER-USER -i wan0 ! -s 192.0.2.0/24 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
    lesson="A published port never meets INPUT. What you want to forbid belongs into DOCKER-USER, in the words of before DNAT.",
    network=CONTAINERS,
)  # fmt: skip

# --- nodeport ---

NODE = Network(
    inside="cni0",
    inside_name="pods",
    beside="pod 10.1.0.3:8080",
    sysctls={"net.ipv4.conf.all.route_localnet": 1},
)
C = NODE.inside
POD = "10.1.0.3"
NODEPORT_START = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-NODEPORTS - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.1.0.3:8080
COMMIT
"""


def _localhost(stage: Stage) -> None:
    packet = tcp(f"127.0.0.1:{stage.port()}", "127.0.0.1:30080")
    seen = both(leaves(C, dst=POD, dport=8080), "from an address that the pod can answer",
                lambda t: str(t.packet.src) in (LAN, WAN))  # fmt: skip
    went = stage.out("A process of the node opens 127.0.0.1:30080", packet, seen)
    answer = both(delivered("127.0.0.1", packet.sport), "as an answer from 127.0.0.1:30080",
                  lambda t: (str(t.packet.src), t.packet.sport) == ("127.0.0.1", 30080))  # fmt: skip
    stage.back(went, answer, "The pod's answer")


def _node_address(stage: Stage) -> None:
    packet = tcp(f"{WAN}:{stage.port()}", f"{WAN}:30080")
    went = stage.out(
        f"A process of the node opens {WAN}:30080", packet, leaves(C, dst=POD, dport=8080)
    )
    stage.back(went, delivered(WAN, packet.sport), "The pod's answer")


def _clients(stage: Stage) -> None:
    source = stage.outsider()
    packet = tcp(f"{source}:{stage.port()}", f"{WAN}:30080")
    went = stage.into(
        f"{source} opens {WAN}:30080", packet, OUT, leaves(C, src=source, dst=POD, dport=8080)
    )
    stage.back(went, leaves(OUT, src=WAN, sport=30080, dst=source), "The pod's answer")


def _node_rest(stage: Stage) -> None:
    far, port = stage.outsider(), stage.other_port()
    stage.out(
        f"A process opens 127.0.0.1:{port}",
        tcp(f"127.0.0.1:{stage.port()}", f"127.0.0.1:{port}"),
        delivered("127.0.0.1", port),
    )
    stage.out(
        "The node opens another machine's port 30080",
        tcp(f"{WAN}:{stage.port()}", f"{far}:30080"),
        leaves(OUT, src=WAN, dst=far),
    )
    stage.out(
        "The node sends UDP to 127.0.0.1:30080",
        udp(f"127.0.0.1:{stage.port()}", "127.0.0.1:30080"),
        delivered("127.0.0.1", 30080),
    )
    stage.out(
        "The kubelet probes the pod",
        tcp(f"{LAN}:{stage.port()}", f"{POD}:8080"),
        leaves(C, src=LAN, dst=POD),
    )


NODEPORT = Mission(
    name="nodeport", title="Make this NodePort answer on localhost", level=3,
    situation="A node sends port 30080 to a pod, 10.1.0.3:8080 behind cni0; clients reach it by the node’s address. "
    "curl 127.0.0.1:30080 on the node itself is refused. net.ipv4.conf.all.route_localnet is 1 already.",
    goal="Make 127.0.0.1:30080 answer on the node. Clients from outside must still be seen with their own addresses.",
    dump=NODEPORT_START,
    wants=(
        Want("127.0.0.1:30080 reaches the pod, and the answer comes back.", _localhost),
        Want("So does the node’s own address, from the node.", _node_address),
        Want("Clients from outside reach the pod with their own addresses.", _clients),
        Want("Other connections of the node are left alone.", _node_rest),
    ),
    hints=(
        "What the node sends never passes PREROUTING: OUTPUT of nat has to jump to KUBE-NODEPORTS as well.",
        "Look at the source with which the packet then leaves by cni0. Who could answer 127.0.0.1?",
        "POSTROUTING sees the packet after DNAT: -s 127.0.0.0/8 -o cni0 is to be masqueraded.",
    ),
    solution="""\
iptables -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
iptables -t nat -A POSTROUTING -s 127.0.0.0/8 -o cni0 -j MASQUERADE""",
    lesson="This is what kube-proxy’s iptables mode writes: a jump from OUTPUT, a mark, a MASQUERADE, and route_localnet.",
    network=NODE,
)  # fmt: skip

# --- service ---

PODS = Network(inside="cni0", inside_name="pods", beside="10.1.0.3 and .4, port 8080")
VIP, ENDS = "10.96.0.10", ("10.1.0.3:8080", "10.1.0.4:8080")


def _halves(stage: Stage) -> None:
    near = stage.neighbour()
    for says, packet, by in (
        (f"The pod {near} opens {VIP}:80", tcp(f"{near}:{stage.port()}", f"{VIP}:80"), C),
        (f"The node opens {VIP}:80", tcp(f"{WAN}:{stage.port()}", f"{VIP}:80"), ""),
    ):
        found = stage.ways(says, packet, by).endpoints
        told = ", ".join(f"{end} {float(share):.0%}" for end, share in found.items())
        fair = set(found) == set(ENDS) and all(
            abs(share - Fraction(1, 2)) < Fraction(1, 100) for share in found.values()
        )
        stage.demand(
            fair,
            f"{says}: half of the connections should go to each of {' and '.join(ENDS)}; they go to {told}.",
        )


def _stays(stage: Stage) -> None:
    near = stage.neighbour()
    for _ in range(6):
        opens = tcp(f"{near}:{stage.port()}", f"{VIP}:80")
        went = stage.into(
            f"{near} opens {VIP}:80",
            opens,
            C,
            both(leaves(C), "to one of the pods", lambda t: _end(t.packet) in ENDS),
        )
        answer = stage.back(went, leaves(C, src=VIP, sport=80, dst=near), "The pod's answer")
        more = tcp(
            f"{near}:{opens.sport}",
            f"{VIP}:80",
            flags="ACK",
            seq=1001,
            ack=(answer.packet.seq or 0) + 1,
        )
        end = _end(went.packet)
        same = both(leaves(C), f"to the same pod, {end}", lambda t, end=end: _end(t.packet) == end)  # type: ignore[misc]
        stage.into("The connection's next packet", more, C, same)


def _end(packet: object) -> str:
    return f"{getattr(packet, 'dst', '')}:{getattr(packet, 'dport', '')}"


def _only_this(stage: Stage) -> None:
    near, far, port = stage.neighbour(), stage.outsider(), stage.other_port(80)
    for says, packet in (
        (f"Port {port} of the Service’s address", tcp(f"{near}:{stage.port()}", f"{VIP}:{port}")),
        ("UDP to port 80 of it", udp(f"{near}:{stage.port()}", f"{VIP}:80")),
        ("A ping to it", icmp(near, VIP)),
        ("The next address", tcp(f"{near}:{stage.port()}", "10.96.0.11:80")),
        ("A web page in the internet", tcp(f"{near}:{stage.port()}", f"{far}:80")),
    ):
        stage.into(says, packet, C, leaves(OUT, dst=str(packet.dst)))
    direct = tcp(f"{near}:{stage.port()}", "10.1.0.1:80")
    stage.into("Port 80 of the node", direct, C, delivered(dport=80))


SERVICE = Mission(
    name="service", title="A Kubernetes Service by hand", level=3,
    situation="10.96.0.10 is nobody’s address: no machine has it. Two pods, 10.1.0.3 and 10.1.0.4, listen on port 8080. "
    "kube-proxy is not there today.",
    goal="Make TCP 10.96.0.10:80 lead to the pods, half of the connections to each, for pods (behind cni0) and for the node itself. "
    "A pod never asks its own Service here, so masquerading is not needed.",
    wants=(
        Want("Half of the connections go to each pod: from pods, and from the node.", _halves),
        Want("A connection stays with its pod, and answers come from 10.96.0.10:80.", _stays),
        Want("Other ports, protocols and addresses are left alone.", _only_this),
    ),
    hints=(
        "Two DNAT rules: the first is to match half of the time, the second gets what is left.",
        "-m statistic --mode random --probability 0.5 matches by chance. nat asks for the first packet of a connection only.",
        "Put both into a chain of its own (-N) and jump there from PREROUTING and from OUTPUT.",
    ),
    solution="""\
iptables -t nat -N SVC
iptables -t nat -A SVC -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.1.0.3:8080
iptables -t nat -A SVC -p tcp -j DNAT --to-destination 10.1.0.4:8080
iptables -t nat -A PREROUTING -d 10.96.0.10 -p tcp --dport 80 -j SVC
iptables -t nat -A OUTPUT -d 10.96.0.10 -p tcp --dport 80 -j SVC""",
    lesson="With n pods the probabilities are 1/n, 1/(n−1), …, 1: each rule shares what the rules above have left.",
    network=PODS,
)  # fmt: skip

MISSIONS = (REDIRECT, DOCKER, NODEPORT, SERVICE)
