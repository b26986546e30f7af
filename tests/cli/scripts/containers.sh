#!/bin/sh
# What a container engine does with the firewall, and an administrator beside it.

BRIDGE=docker0
SUBNET=172.17.0.0/16

ipt() { iptables --wait "$@"; }
have() { ipt "$@" 2>/dev/null; }

start() {
    ipt -t nat -N DOCKER
    have -t nat -C PREROUTING -m addrtype --dst-type LOCAL -j DOCKER ||
        ipt -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
    have -t nat -C OUTPUT -m addrtype --dst-type LOCAL -j DOCKER '!' --dst 127.0.0.0/8 ||
        ipt -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER '!' --dst 127.0.0.0/8
    for name in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
        ipt -t filter -n -L $name >/dev/null 2>&1 || ipt -t filter -N $name
    done
    for name in DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
        have -C $name -j RETURN || ipt -A $name -j RETURN
    done
    network $BRIDGE $SUBNET
    for name in DOCKER-ISOLATION-STAGE-1 DOCKER-USER; do
        have -D FORWARD -j $name
        ipt -I FORWARD -j $name
    done
    ipt -P FORWARD DROP
}

network() {
    ipt -t nat -I POSTROUTING -s "$2" ! -o "$1" -j MASQUERADE
    ipt -t nat -I DOCKER -i "$1" -j RETURN
    ipt -I DOCKER-ISOLATION-STAGE-1 -i "$1" ! -o "$1" -j DOCKER-ISOLATION-STAGE-2
    ipt -I DOCKER-ISOLATION-STAGE-2 -o "$1" -j DROP
    ipt -A FORWARD -o "$1" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    ipt -A FORWARD -o "$1" -j DOCKER
    ipt -A FORWARD -i "$1" ! -o "$1" -j ACCEPT
    ipt -A FORWARD -i "$1" -o "$1" -j ACCEPT
}

# publish ACTION BRIDGE ADDRESS PROTOCOL PORT CONTAINER_PORT
publish() {
    ipt -t nat "$1" DOCKER ! -i "$2" -p "$4" -d 0/0 --dport "$5" -j DNAT --to-destination "$3:$6"
    ipt "$1" DOCKER ! -i "$2" -o "$2" -p "$4" -d "$3" --dport "$6" -j ACCEPT
    ipt -t nat "$1" POSTROUTING -p "$4" -s "$3" -d "$3" --dport "$6" -j MASQUERADE
}

start
network br-5e1f2a 172.18.0.0/16
publish -A $BRIDGE 172.17.0.2 tcp 8080 80
publish -A $BRIDGE 172.17.0.3 udp 5353 53
publish -A br-5e1f2a 172.18.0.2 tcp 5432 5432
iptables-save | grep -v '^#' > running

# The administrator: only our own people reach the database, and we count.
iptables -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 5432 --ctdir ORIGINAL ! -s 10.0.0.0/8 -j DROP
iptables -I DOCKER-USER 1 -i eth0 -m conntrack --ctstate NEW -c 120 7200 \
    -m comment --comment "new connections from outside"
iptables -L DOCKER-USER -v -n
iptables -L DOCKER-USER 1 -v -n -x
iptables -Z DOCKER-USER
iptables -nvL DOCKER-USER 1

# A container goes; another is already gone.
publish -D $BRIDGE 172.17.0.3 udp 5353 53
publish -D $BRIDGE 172.17.0.4 tcp 9000 9000
echo "status $?"

# Ten things at once, each in its own chain.
for n in 0 1 2 3 4 5 6 7 8 9; do iptables -w -N "veth$n" || echo "veth$n: $?"; done
for n in 0 1 2 3 4 5 6 7 8 9; do
    iptables -w 10 -A "veth$n" -i "veth$n" -j RETURN &
done
wait
iptables -S | grep veth | sort
for n in 0 1 2 3 4 5 6 7 8 9; do iptables -w -F "veth$n" && iptables -w -X "veth$n"; done

# A new name, a network that is still in use, a look at the whole.
iptables -E DOCKER-ISOLATION-STAGE-2 isolated && iptables -E isolated DOCKER-ISOLATION-STAGE-2
iptables -X DOCKER; echo "status $?"
iptables -t nat -X DOCKER; echo "status $?"
iptables -t nat -L -n
iptables -L FORWARD -v
iptables -S DOCKER-ISOLATION-STAGE-1

# Back to before the administrator came; the filter only, what nat has stays.
iptables-restore --test < running && iptables-restore < running
iptables-save -t filter | grep -v '^#' | diff - running | grep -c '^<'
sed -n '/^\*nat/,/^COMMIT/p' running | sed 's/8080/8081/' | iptables-restore --noflush -T nat
iptables -t nat -S DOCKER
printf '*filter\n:INPUT ACCEPT [5:300]\n[7:420] -A INPUT -i lo -j ACCEPT\nCOMMIT\n' | iptables-restore -c --noflush
iptables-save -c | grep ' INPUT\|:INPUT'
rm running
