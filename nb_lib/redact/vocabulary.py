"""Words that tell nothing of whose host it is: the field's own, and those of programs that write rules.

They stay as they are when a dump is redacted, so that kube-proxy's, Docker's and others' conventions can
still be read. Everything else is exchanged.
"""

from __future__ import annotations

from itertools import chain

from nb_lib.hooks import BUILTIN
from nb_lib.matches import MATCHES
from nb_lib.targets import TARGETS

_FIELD = """
a accept accepted accepting access account active admin after again all allow allowed an and any apply at
audit b balancer balancing be before block blocked bridge broadcast but by chain check class client cluster
conn connection connections connlimit conntrack container containers country d default denied deny dest
destination destinations direct drop dropped dropping dst dynamic echo edge egress eos established
everything except exempt external f fallback fc filter final firewall flood flow for forward forwarded
forwarding from fw guest hairpin has health helper high home host hosts icmp icmpv6 id if igmp in inbound
incoming inet ingress input internal internet invalid ip ip6 ips ipset ipv4 ipv6 is isolation jump k l lan
last limit limited list load local localhost localnet log logging loopback low mac machine management mangle
map mark marked masq masquerade mgmt multicast must name nat net netdev network networks new no node nodes
non not note of on only or other others out outbound outgoing output overrides packet packets per ping pod
pods policies policy port portal portals ports post postrouting pre prerouting private proxy public purpose
queue range ranges raw reach ready redirect reject rejected related reply request requests requiring
response return route router rpfilter rule rules s scan security self server service services set setmark
snat source sourcerange spoof src stage stale state static stop subject syn sys system table target tcp
tcpflags test that the this to track tracked traffic trusted trying udp unreachable untracked user users v
vip virtual vlan vm vmap vpn wan will with work world zone zones
"""
_PROGRAMS = """
apache api apiserver auth bgp cali calico canary cidr cilium clusterip clusterips cni coredns coreos ct dd
dhcp dhcpv6 dmz dn dnat dns dns0 docker docker0 drbd endpoint endpoints ensure etcd ext externalip
externally externaltrafficpolicy f2b fail2ban ferm ferms firewalld flannel flanneld frwd ftp fw fwd fwi fwo
fwx gre gw handle hostport http https icc imap imaps inp inpol internaltrafficpolicy ipip ipp ipsec ipvs
isakmp istio jobs k3s k8s kafka kube kubelet kubernetes kubesystem lb lh libvirt loadbalancer
loadbalancersourceranges loc logdrop logflags logreject lxc lxd masq4 masquerading mdns memcached metallb
metrics minikube mongodb mysql netavark nginx nodeport nodeports npc nrpe ntp nwplcy openvpn outpol override
overrides pkt plugin podman pol portfw portfwd portmap postfix postgres postgresql pro prt quick rabbitmq
recidive redis rfc3964 rh rsync samba scale sctp sep service sha shorewall sip skip smb smtp smtps smurflog
smurfs snmp solving ssdp ssh sshd stage stateful statistic submission svc svl swarm syslog tailscale telnet
tftp tls tproxy traefik ts tw ufw ufw6 upnp using visible wait weave web wg wireguard wl xlb
"""
_OWN = (*MATCHES, *TARGETS, *BUILTIN, *chain.from_iterable(BUILTIN.values()))

KNOWN = frozenset(
    word.lower()
    for text in (_FIELD, _PROGRAMS, *(name.partition("/")[0] for name in _OWN))
    for word in text.split()
)

# Interfaces whose name says what they are and no more; digits may follow.
DEVICES = (
    "all", "bond", "br", "cilium_host", "cilium_net", "cilium_vxlan", "cni", "cni-podman", "datapath",
    "default", "docker", "docker_gwbridge", "dummy", "eno", "enp", "ens", "erspan", "eth", "flannel.",
    "flannel-v6.", "gre", "gretap", "ib", "ifb", "ip6_vti", "ip6tnl", "ip_vti", "ipip", "kube-bridge",
    "kube-ipvs", "lo", "lxcbr", "lxdbr", "macvlan", "macvtap", "nlmon", "nodelocaldns", "ovs-system",
    "podman", "ppp", "sit", "tailscale", "team", "tun", "tunl", "utun", "virbr", "vlan", "vmbr", "vxlan",
    "weave", "wg", "wlan", "wlp", "wls", "wwan", "p", "wan", "lan", "dmz", "int", "ext",
)  # fmt: skip
# Interfaces whose kind is followed by the hash of something.
HASHED = ("br-", "cali", "enx", "lxc", "qbr", "qvb", "qvo", "tap", "veth", "vnet", "vethwe-")
