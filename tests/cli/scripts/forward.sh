#!/bin/sh
# Port forwarding with hairpin: the inside reaches its servers by the outside address as well.

WAN_IF=eth0
WAN_IP=203.0.113.7
LAN_IF=eth1
LAN_NET=192.168.1.0/24
LAN_IP=192.168.1.1

# protocol, port outside, host, port inside
table() {
    cat <<'EOF'
# the web
tcp 80 192.168.1.10 80
tcp 443 192.168.1.10 443
# a game, a range of ports
udp 27000:27015 192.168.1.20 27000-27015
# ssh on another port, and the printer that is gone
tcp 2222 192.168.1.11 22
tcp 9100 192.168.1.99 9100
tcp 99999 192.168.1.11 22
EOF
}

own_chain() {
    iptables -t "$1" -N "$2" 2>/dev/null || iptables -t "$1" -F "$2"
    iptables -t "$1" -C "$3" -j "$2" 2>/dev/null || iptables -t "$1" -I "$3" -j "$2"
}

forward() {
    protocol=$1 port=$2 host=$3 inside=$4
    ports=$(echo "$inside" | tr - :)
    iptables -t nat -A FORWARDED -d $WAN_IP -p "$protocol" --dport "$port" \
        -m comment --comment "to $host" -j DNAT --to-destination "$host:$inside" || return
    iptables -t nat -A HAIRPIN -s $LAN_NET -d "$host" -p "$protocol" --dport "$ports" -j SNAT --to-source $LAN_IP
    iptables -A OPENED -d "$host" -p "$protocol" --dport "$ports" -m conntrack --ctstate NEW -j ACCEPT
}

forget() {
    iptables -t nat -S FORWARDED | grep -- "to $1\"" | sed 's/^-A/-D/' | while read -r rule; do
        eval "iptables -t nat $rule" && echo "forgot: $rule"
    done
    iptables -t nat -L HAIRPIN -n --line-numbers | awk -v host="$1" '$6 == host { print $1 }' | sort -rn |
        while read -r number; do iptables -t nat -D HAIRPIN "$number"; done
    iptables -S OPENED | grep -- "-d $1/32" | cut -d ' ' -f 2- | while read -r rule; do
        iptables -D $rule
    done
}

iptables -P FORWARD DROP
iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A FORWARD -i $LAN_IF -o $WAN_IF -j ACCEPT
iptables -A FORWARD -m conntrack --ctstate DNAT -i $LAN_IF -o $LAN_IF -j ACCEPT

own_chain nat FORWARDED PREROUTING
own_chain nat HAIRPIN POSTROUTING
own_chain filter OPENED FORWARD
iptables -t nat -A OUTPUT -d $WAN_IP -j FORWARDED
iptables -t nat -A POSTROUTING -o $WAN_IF -j SNAT --to-source $WAN_IP

table | grep -v '^#' | while read -r protocol port host inside; do
    forward "$protocol" "$port" "$host" "$inside" || echo "not forwarded: $protocol $port ($?)"
done

iptables -t nat -nL FORWARDED --line-numbers
forget 192.168.1.99
forget 192.168.1.10
iptables -t nat -S
iptables -S
iptables -L OPENED

# What people try first, and what it tells them.
iptables -A FORWARDED -j ACCEPT; echo "status $?"
iptables -A INPUT -p tcp --dport 80 -j DNAT --to-destination 192.168.1.10; echo "status $?"
iptables -t nat -A PREROUTING --dport 80 -j DNAT --to-destination 192.168.1.10; echo "status $?"
iptables -t nat -A PREROUTING -o $WAN_IF -j DNAT --to-destination 192.168.1.10; echo "status $?"
iptables -t nat -A POSTROUTING -o $WAN_IF -j SNAT; echo "status $?"
iptables -t nat -X HAIRPIN; echo "status $?"
iptables -t nat -P FORWARDED DROP; echo "status $?"
iptables -t nat -E FORWARDED port-forwarding && iptables -t nat -L PREROUTING -n
