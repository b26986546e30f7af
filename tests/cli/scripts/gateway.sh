#!/bin/sh
# A router for a home or an office: the inside may go out, little comes in.
set -u

WAN=ppp0
LAN=br0
NET=192.168.178.0/24
GUESTS=192.168.179.0/24
BLOCKED="198.51.100.0/24 203.0.113.66 203.0.113.0/255.255.255.192"

# add TABLE CHAIN RULE…: only if it is not there yet, so that the script may run again.
add() {
    table=$1 chain=$2
    shift 2
    iptables -t "$table" -C "$chain" "$@" 2>/dev/null || iptables -t "$table" -A "$chain" "$@"
}

chain() {
    iptables -t "$1" -N "$2" 2>/dev/null || iptables -t "$1" -F "$2"
}

base() {
    iptables-restore <<EOF
# the filter, in one step
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:blocked - [0:0]
:services - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i $WAN -j blocked
-A INPUT -j services
-A INPUT -i $WAN -p tcp -m tcp --dport 113 -j REJECT --reject-with tcp-reset
-A FORWARD -m conntrack --ctstate INVALID -m comment --comment "no state, no way" -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i $WAN -j blocked
-A FORWARD -s $NET -i $LAN -o $WAN -j ACCEPT
-A FORWARD -s $GUESTS -i $LAN -o $WAN -p tcp -m multiport --dports 80,443 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o $WAN -s $NET -j MASQUERADE
-A POSTROUTING -o $WAN -s $GUESTS -p tcp -j MASQUERADE --to-ports 20000-30000
-A POSTROUTING -o $WAN -s $GUESTS -j MASQUERADE --random
COMMIT
EOF
}

for run in first second; do
    echo "== $run run"
    base || { echo "restore failed: $?"; exit 1; }

    for address in $BLOCKED; do
        add filter blocked -s "$address" -j DROP
    done

    add filter services -p udp -m multiport --dports 53,67,123 -i $LAN -j ACCEPT
    add filter services -p tcp --dport domain -i $LAN -j ACCEPT
    add filter services -p tcp --dport ssh -s $NET -j ACCEPT
    add filter services -p icmp -j ACCEPT

    # Small packets where the way is narrow.
    add mangle FORWARD -o $WAN -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
    add mangle POSTROUTING -o $WAN -p udp --dport 5060 -j DSCP --set-dscp-class EF

    # Nobody outside has our addresses.
    chain raw spoofed
    for net in $NET $GUESTS 127.0.0.0/8 0.0.0.0/8 240.0.0.0/4; do
        iptables -t raw -A spoofed -s $net -j DROP
    done
    iptables -t raw -C PREROUTING -i $WAN -j spoofed 2>/dev/null ||
        iptables -t raw -I PREROUTING 1 -i $WAN -j spoofed

    iptables-save | grep -c '^-A'
done

# Guests are noisy tonight: first in line, and later again without.
iptables -I FORWARD 4 -s $GUESTS -m limit --limit 10/second --limit-burst 50 -j ACCEPT
iptables -I FORWARD 5 -s $GUESTS -j DROP
iptables -L FORWARD -n --line-numbers | awk 'NR > 2 { print $1, $2, $4 }'
iptables -R FORWARD 5 -s $GUESTS -j REJECT
iptables -D FORWARD 5
iptables -D FORWARD -s $GUESTS -m limit --limit 10/second --limit-burst 50 -j ACCEPT

# A restore that fails changes nothing.
iptables-save -t nat | grep -v '^#' > nat.before
iptables-restore <<'EOF'
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i ppp0 -p tcp --dport 80 -j DNAT --to-destination 192.168.178.256
COMMIT
EOF
echo "status $?"
iptables-save -t nat | grep -v '^#' | cmp - nat.before && echo "nat is as it was"
rm nat.before

iptables -t nat -L -n -v
iptables -t raw -S
iptables -t mangle -S FORWARD
iptables -vL blocked
