"""Small hosts, each with something to find: name of the diagnosis → (texts, lines of the evidence), and twins.

A twin is the same host without the fault: nothing of that name is found there.
"""

from __future__ import annotations

from typing import NamedTuple

SAVE, SAVE6 = "iptables-save.txt", "ip6tables-save.txt"
ADDRESSES = ('[{"ifname": "eth0", "addr_info": [{"local": "192.0.2.10", "prefixlen": 24}]},'
             '{"ifname": "docker0", "addr_info": [{"local": "172.17.0.1", "prefixlen": 16}]}]')  # fmt: skip
ROUTES = '[{"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"}]'


class Case(NamedTuple):
    """A host, the lines of the evidence, and the same host without the fault."""

    name: str
    texts: dict[str, str]
    lines: list[list[int]]
    twin: dict[str, str]


def table(name: str, *lines: str) -> str:
    """Return a table; a line that begins with a chain's name is a rule."""
    own = [line if line[0] in ":#" else f"-A {line}" for line in lines]
    return "\n".join([f"*{name}", *own, "COMMIT", ""])


def _changed(texts: dict[str, str], old: str, new: str) -> dict[str, str]:
    assert any(old in text for text in texts.values()), old
    return {name: text.replace(old, new) for name, text in texts.items()}


TWICE = {SAVE: table("filter", ":INPUT ACCEPT [0:0]", ":f2b-sshd - [0:0]", "INPUT -p tcp -j f2b-sshd",
                     "INPUT -i lo -j LOG", "INPUT -p tcp -j f2b-sshd", "f2b-sshd -s 192.0.2.66/32 -j DROP")}  # fmt: skip
EMPTY = {SAVE: table("filter", ":INPUT ACCEPT [0:0]", ":later - [0:0]", "INPUT -j later")}
LOST = {SAVE: table("nat", ":PREROUTING ACCEPT [0:0]", ":KUBE-PROXY-CANARY - [0:0]", ":KUBE-SERVICES - [0:0]",
                    "PREROUTING -i lo -j ACCEPT", "KUBE-SERVICES -d 10.96.0.1/32 -j ACCEPT")}  # fmt: skip
NO_WAY = {SAVE: table("nat", ":PREROUTING ACCEPT [0:0]", "PREROUTING -p tcp --dport 8080 -j DNAT --to-destination "
                      "10.0.0.5:80", "PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 10.0.0.6:22")
          + table("filter", ":FORWARD DROP [0:0]", "FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                  "FORWARD -d 10.0.0.6/32 -p tcp --dport 22 -j ACCEPT", "FORWARD -p udp -j ACCEPT")}  # fmt: skip
NO_WAY_RHEL = {SAVE: table("nat", ":PREROUTING ACCEPT [0:0]",
                           "PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.0.0.5:80")
               + table("filter", ":FORWARD ACCEPT [0:0]", "FORWARD -j REJECT",
                       "FORWARD -d 10.0.0.5/32 -j ACCEPT")}  # fmt: skip
NO_WAY_BY = {
    SAVE: table("nat", ":PREROUTING ACCEPT [0:0]", "PREROUTING -p tcp --dport 80 -j DNAT --to-destination 172.17.0.5")
    + table("filter", ":FORWARD DROP [0:0]", "FORWARD -i docker0 -o eth0 -j ACCEPT",
            "FORWARD -d 192.0.2.10/32 -p tcp --dport 80 -j ACCEPT"),
    "ip-addr.json": ADDRESSES,
}  # fmt: skip
UFW = {
    SAVE: table(
        "nat", ":PREROUTING ACCEPT [0:0]", ":DOCKER - [0:0]", "PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
        "DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp --dport 9090 -j DNAT --to-destination 172.17.0.2:90",
        ":POSTROUTING ACCEPT [0:0]", "POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    ) + table(
        "filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":DOCKER - [0:0]", ":DOCKER-USER - [0:0]",
        ":ufw-user-input - [0:0]", ":ufw-user-forward - [0:0]", "INPUT -j ufw-user-input", "FORWARD -j DOCKER-USER",
        "FORWARD -o docker0 -j DOCKER", "FORWARD -j ufw-user-forward",
        "DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT",
        "DOCKER-USER -j RETURN", "ufw-user-input -p tcp --dport 22 -j ACCEPT", "ufw-user-forward -i tun0 -j ACCEPT",
    ),
    "ip-addr.json": ADDRESSES, "ip-route.json": ROUTES,
}  # fmt: skip
SERVICE = {SAVE: table(
    "filter", ":INPUT ACCEPT [0:0]", ":KUBE-SERVICES - [0:0]", "INPUT -j KUBE-SERVICES",
    'KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment "prod/web:http has no endpoints" -j REJECT',
    'KUBE-SERVICES -d 192.0.2.9/32 -p tcp -m comment --comment "prod/web:http has no endpoints" -j REJECT',
    'KUBE-SERVICES -d 10.96.0.8/32 -p tcp -m comment --comment "prod/db has no local endpoints" -j DROP',
)}  # fmt: skip
MARKED = {SAVE: table(
    "nat", ":PREROUTING ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]", ":KUBE-FW-AAAAAAAAAAAAAAAA - [0:0]",
    ":KUBE-MARK-DROP - [0:0]", ":KUBE-MARK-MASQ - [0:0]", ":KUBE-POSTROUTING - [0:0]",
    "PREROUTING -d 192.0.2.9/32 -j KUBE-FW-AAAAAAAAAAAAAAAA", "PREROUTING -s 10.0.0.0/8 -j KUBE-MARK-MASQ",
    "KUBE-FW-AAAAAAAAAAAAAAAA -j KUBE-MARK-DROP", "KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    "KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE",
)}  # fmt: skip
NODEPORT = {
    SAVE: table(
        "nat", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]", ":KUBE-NODEPORTS - [0:0]",
        "OUTPUT -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS", "POSTROUTING -s 127.0.0.0/8 -j MASQUERADE",
        "KUBE-NODEPORTS -p tcp --dport 30080 -j DNAT --to-destination 10.244.1.5:80",
        "KUBE-NODEPORTS -p udp --dport 30053 -j RETURN",
    ),
    "ip-addr.json": ADDRESSES, "ip-route.json": ROUTES, "sysctl.txt": "net.ipv4.conf.all.route_localnet = 0\n",
}  # fmt: skip
LEGACY = {SAVE: table("filter", ":INPUT ACCEPT [0:0]") + "# Warning: iptables-legacy tables present, use "
          "iptables-legacy-save to see them\n"}  # fmt: skip
OPEN6 = {SAVE: table("filter", ":INPUT DROP [0:0]", "INPUT -i lo -j ACCEPT"),
         SAVE6: table("filter", ":INPUT ACCEPT [0:0]")}  # fmt: skip
DEVICE = {SAVE: table("filter", ":INPUT ACCEPT [0:0]", "INPUT -i eth7 -j DROP", "INPUT -i eth0 -j ACCEPT",
                      "INPUT ! -i eth8 -p udp -j ACCEPT", "INPUT -i lo -j ACCEPT", "INPUT -i dock+ -j ACCEPT"),
          "ip-addr.json": ADDRESSES}  # fmt: skip
IPSET = {SAVE: table("filter", ":INPUT ACCEPT [0:0]", "INPUT -m set --match-set gone src -j DROP",
                     "INPUT -m set --match-set here src -j DROP"),
         "ipset-save.txt": "create here hash:ip family inet\n"}  # fmt: skip
CATCH = {
    SAVE: table(
        "filter", ":INPUT DROP [0:0]", "INPUT -j REJECT", "INPUT -p tcp --dport 80 -j ACCEPT"
    )
}
SHADOW = {
    SAVE: table(
        "filter", ":INPUT DROP [0:0]", "INPUT -s 10.0.0.0/8 -j DROP", "INPUT -s 10.1.1.1 -j ACCEPT"
    )
}

LOCAL = {
    SAVE: table(
        "nat", ":PREROUTING ACCEPT [0:0]", ":DOCKER - [0:0]", "PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp --dport 9090 -j DNAT --to-destination 172.17.0.2:90",
    ) + table(
        "filter", ":FORWARD DROP [0:0]", ":DOCKER-USER - [0:0]", "FORWARD -j DOCKER-USER",
        "FORWARD -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 90 -j ACCEPT", "DOCKER-USER -j RETURN",
    ),
    "ip-addr.json": ADDRESSES, "ip-route.json": ROUTES,
}  # fmt: skip
SHUT = {
    SAVE: table("nat", ":POSTROUTING ACCEPT [0:0]", "POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")
    + table("filter", ":FORWARD DROP [0:0]", "FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "FORWARD -i docker0 -o docker0 -j ACCEPT", "FORWARD -s 10.0.0.0/8 -j ACCEPT"),
    "ip-addr.json": ADDRESSES, "ip-route.json": ROUTES,
}  # fmt: skip
TURN = {
    SAVE: table("nat", ":PREROUTING ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]",
                "PREROUTING -d 192.0.2.10/32 -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2",
                "POSTROUTING -o eth0 -j MASQUERADE"),
    "ip-addr.json": ADDRESSES, "ip-route.json": ROUTES,
}  # fmt: skip
STILL = {**TURN, "sysctl.txt": "net.ipv4.ip_forward = 0\n"}
FULL = {SAVE: table("filter", ":INPUT ACCEPT [0:0]"),
        "sysctl.txt": "net.netfilter.nf_conntrack_count = 65536\nnet.netfilter.nf_conntrack_max = 65536\n"}  # fmt: skip

UNREAD = {
    SAVE: table(
        "filter", ":INPUT DROP [0:0]", "INPUT --nonsense", "INPUT -j DROP", "INPUT -p tcp --dprt 1"
    )
}

CASES = [
    Case("unreadable", UNREAD, [[3, 5]], {SAVE: table("filter", ":INPUT DROP [0:0]", "INPUT -j DROP")}),
    Case("duplicate", TWICE, [[4, 6]], _changed(TWICE, "-i lo -j LOG\n-A INPUT -p tcp", "-i lo -j LOG\n-A INPUT -p udp")),
    Case("empty-chain", EMPTY, [[4]], _changed(EMPTY, "COMMIT", "-A later -i lo -j ACCEPT\nCOMMIT")),
    Case("uncalled-chain", LOST, [[4, 6]], _changed(LOST, "-i lo -j ACCEPT", "-j KUBE-SERVICES")),
    Case("dnat-without-way", NO_WAY, [[3, 7]], _changed(NO_WAY, "-p udp -j ACCEPT", "-d 10.0.0.0/24 -j ACCEPT")),
    Case("dnat-without-way", NO_WAY_RHEL, [[3, 7]], _changed(NO_WAY_RHEL, "-j REJECT\n", "-p udp -j REJECT\n")),
    Case("dnat-without-way", NO_WAY_BY, [[3, 6]], _changed(NO_WAY_BY, "-i docker0 -o eth0", "-i eth0 -o docker+")),
    Case("published-past-ufw", UFW, [[5, 21]], _changed(UFW, "DOCKER-USER -j RETURN", "DOCKER-USER -i eth0 -j DROP")),
    Case("localhost-port-open", LOCAL, [[5, 11]], _changed(LOCAL, "DOCKER-USER -j RETURN", "DOCKER-USER -i eth0 -j DROP")),
    Case("network-without-way", SHUT, [[3, 6]], _changed(SHUT, "-s 10.0.0.0/8", "-s 172.16.0.0/12")),
    Case("no-hairpin", TURN, [[4]], _changed(TURN, "-o eth0", "-m conntrack --ctstate DNAT")),
    Case("not-forwarding", STILL, [[4]], _changed(STILL, "forward = 0", "forward = 1")),
    Case("conntrack-full", FULL, [[1, 2]], _changed(FULL, "count = 65536", "count = 58000")),
    Case("no-endpoints", SERVICE, [[5, 6]], _changed(SERVICE, "has no endpoints", "cluster IP")),
    Case("no-local-endpoints", SERVICE, [[7]], _changed(SERVICE, "has no local endpoints", "cluster IP")),
    Case("mark-drop-empty", MARKED, [[5, 10]], _changed(MARKED, "COMMIT", "-A KUBE-MARK-DROP -j MARK --or-mark 0x8000\nCOMMIT")),
    Case("masquerade-missing", MARKED, [[11, 9]], _changed(MARKED, "COMMIT", "-A POSTROUTING -j KUBE-POSTROUTING\nCOMMIT")),
    Case("nodeport-not-on-localhost", NODEPORT, [[7]],
         _changed(NODEPORT, "localnet = 0", "localnet = 1")),
    Case("both-backends", LEGACY, [[4]], _changed(LEGACY, "# Warning: iptables-legacy", "# iptables-legacy")),
    Case("ipv6-open", OPEN6, [[2, 2]], {**OPEN6, SAVE6: table("filter", ":INPUT DROP [0:0]")}),
    Case("unknown-device", DEVICE, [[3]], _changed(DEVICE, "eth7", "docker0")),
    Case("unknown-set", IPSET, [[3]], _changed(IPSET, "gone", "here")),
    Case("behind-a-catch-all", CATCH, [[3, 4]], _changed(CATCH, "-j REJECT", "-p udp -j REJECT")),
    Case("shadowed", SHADOW, [[3, 4]], _changed(SHADOW, "-s 10.1.1.1", "-s 11.1.1.1")),
]  # fmt: skip
