#!/bin/sh
# A desktop's firewall: nothing comes in that was not asked for, both families.
# Run it at boot and after each change; it starts from nothing every time.

LAN4="192.168.0.0/16 10.0.0.0/8"
LAN6="fe80::/10 fd00::/8"
SSH_PORT=22

both() {
    iptables "$@" && ip6tables "$@"
}

fresh() {
    for table in filter mangle; do
        both -t $table -F
        both -t $table -X
        both -t $table -Z
    done
    both -P INPUT DROP
    both -P FORWARD DROP
    both -P OUTPUT ACCEPT
}

from_lan() {
    for net in $LAN4; do iptables -A INPUT -s "$net" "$@"; done
    for net in $LAN6; do ip6tables -A INPUT -s "$net" "$@"; done
}

fresh

both -N bad-flags
both -A bad-flags -p tcp --tcp-flags ALL NONE -j DROP
both -A bad-flags -p tcp --tcp-flags ALL ALL -j DROP
both -A bad-flags -p tcp --tcp-flags SYN,FIN SYN,FIN -j DROP
both -A bad-flags -p tcp --tcp-flags SYN,RST SYN,RST -j DROP

both -N log-and-drop
both -A log-and-drop -m limit --limit 6/min --limit-burst 10 -j LOG --log-prefix "firewall: " --log-level info
both -A log-and-drop -j DROP

both -A INPUT -i lo -j ACCEPT
both -A INPUT ! -i lo -m addrtype --src-type LOCAL -j DROP
both -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
both -A INPUT -m conntrack --ctstate INVALID -j DROP
both -A INPUT -p tcp -j bad-flags

# Ping, slowly; IPv6 needs its neighbours in any case.
iptables -A INPUT -p icmp --icmp-type echo-request -m limit --limit 2/s -j ACCEPT
for kind in destination-unreachable packet-too-big time-exceeded parameter-problem \
            router-advertisement neighbour-solicitation neighbour-advertisement; do
    ip6tables -A INPUT -p ipv6-icmp --icmpv6-type $kind -j ACCEPT
done
ip6tables -A INPUT -p ipv6-icmp --icmpv6-type echo-request -m limit --limit 2/s -j ACCEPT

# What the house may reach: printers and players by mDNS, a phone, a shell.
iptables -A INPUT -p udp -d 224.0.0.251 --dport 5353 -j ACCEPT
ip6tables -A INPUT -p udp -d ff02::fb --dport 5353 -j ACCEPT
from_lan -p udp -m multiport --dports 137,138 -m comment --comment "names of Windows machines" -j ACCEPT
from_lan -p tcp --dport 1714:1764 -m comment --comment "phone" -j ACCEPT
from_lan -p tcp --dport $SSH_PORT -m conntrack --ctstate NEW -m hashlimit \
    --hashlimit-name ssh --hashlimit-mode srcip --hashlimit-upto 4/min --hashlimit-burst 4 -j ACCEPT

both -A INPUT -p udp --dport 67:68 -j DROP
both -A INPUT -j log-and-drop

# A second look at what we did.
if iptables -C INPUT -i lo -j ACCEPT && ! iptables -C INPUT -i eth0 -j ACCEPT; then
    echo "loopback is open, eth0 is not"
fi
echo "rules: $(iptables -S | grep -c '^-A') and $(ip6tables -S | grep -c '^-A')"
iptables -A OUTPUT -p tcp --dport nosuchport -j REJECT || echo "refused, status $?"
ip6tables -A INPUT -s 10.0.0.1 -j ACCEPT || echo "refused, status $?"
iptables -L INPUT -n --line-numbers
ip6tables -nvL bad-flags
iptables -L -v -x
