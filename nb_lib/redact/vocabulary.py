"""Words that tell nothing of whose host it is: the field's own, and those of programs that write rules.

They stay as they are when a dump is redacted, so that kube-proxy's, Docker's and others' conventions can
still be read. Everything else is exchanged.
"""

from __future__ import annotations

from nb_lib.hooks import BUILTIN
from nb_lib.matches import MATCHES
from nb_lib.targets import TARGETS

_FIELD = """
a accept accepted accepting access account admin after again all allow allowed an and any apply audit b
balancer balancing be before block blocked bridge broadcast but by chain class client cluster conn connection
connections connlimit conntrack container containers country d default deny denied direct drop dropped
dropping dst dynamic echo edge egress eos established everything except exempt external f fallback fc filter final
firewall flood flow for forward forwarded forwarding from fw guest hairpin has health high home host hosts
icmp icmpv6 id if igmp in incoming ingress inbound input internal internet invalid ip ips ipset ipv4 ipv6
is isolation jump k l lan last limit limited list load local localhost localnet log logging loopback low
mac machine management mangle mark marked masq masquerade mgmt multicast must name nat net network networks
new no node nodes non not note of on only or other others out outbound outgoing output overrides packet
packets per ping pod pods policies policy port ports portal portals post postrouting pre prerouting private
proxy public purpose queue range ranges raw ready reach redirect reject rejected related reply request
requests requiring response return route router rpfilter rule rules s scan security self server service
services set setmark snat source sourcerange dest destination destinations spoof src stage stale state static
stop syn sys system table target tcp tcpflags test that the this to track tracked traffic trusted trying
udp untracked unreachable user users v vip virtual vlan vm vpn wan will with work world zone zones
"""
_PROGRAMS = """
apache api apiserver auth bgp calico cali cidr cilium cni clusterip clusterips coredns coreos dd dhcp dhcpv6 dmz dn dnat
dns dns0 docker0 docker drbd endpoint endpoints ensure etcd ext externally externaltrafficpolicy f2b
fail2ban ferm ferms firewalld flannel flanneld frwd ftp fwd fwi fwo fwx gre gw handle hostport http https
imap imaps inp internaltrafficpolicy ipip ipp ipsec ipvs isakmp istio jobs k3s k8s kafka kubelet kube
kubernetes kubesystem lb lh libvirt loadbalancer loc logdrop logflags logreject lxc lxd masquerading mdns
memcached metallb nginx metrics minikube mongodb mysql netavark nodeport nodeports npc nrpe ntp nwplcy openvpn
override overrides plugin podman portfw portfwd portmap postgres postgresql postfix prt quick rabbitmq
recidive redis rfc3964 rh rsync samba scale sctp sep sip skip smb smtp smtps smurflog smurfs snmp
solving ssdp ssh sshd stage stateful statistic submission svc svl swarm syslog tailscale telnet tftp tls
ts traefik ufw ufw6 upnp using visible wait weave web wg wireguard xlb icc
canary service shorewall sha tproxy inpol outpol pro wl fw tw ct masq4 pkt pol
"""
_DNS = "tcp udp sctp dns https http metrics"  # ports of the Services that every cluster has

KNOWN = frozenset(
    word.lower()
    for text in (_FIELD, _PROGRAMS, _DNS)
    for word in text.split()
) | {
    part.lower()
    for names in (MATCHES, TARGETS, BUILTIN, *BUILTIN.values())
    for name in names
    for part in name.split("/")[:1]
}

# Interfaces whose name says what they are and no more; digits may follow.
DEVICES = (
    "all", "bond", "br", "cilium_host", "cilium_net", "cilium_vxlan", "cni", "cni-podman", "datapath",
    "default", "docker", "docker_gwbridge", "dummy", "eno", "enp", "ens", "erspan", "eth", "flannel.",
    "flannel-v6.", "gre", "gretap", "ib", "ifb", "ip6_vti", "ip6tnl", "ip_vti", "ipip", "kube-bridge",
    "kube-ipvs", "lo", "lxcbr", "lxdbr", "macvlan", "macvtap", "nlmon", "nodelocaldns", "ovs-system", "podman",
    "ppp", "sit", "tailscale", "team", "tun", "tunl", "utun", "virbr", "vlan", "vmbr", "vxlan", "weave", "wg",
    "wlan", "wlp", "wls", "wwan", "p", "wan", "lan", "dmz", "int", "ext",
)  # fmt: skip
# Interfaces whose kind is followed by the hash of something.
HASHED = ("br-", "cali", "enx", "lxc", "qbr", "qvb", "qvo", "tap", "veth", "vnet", "vethwe-")
