"""Dumps as people write them: every normalisation of iptables-save, and what it refuses.

What depends on the running host (sets, users, modules) stays out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Written(NamedTuple):
    """A dump, the family that it is tried with, and whether ``-c`` is given."""

    name: str
    text: str
    family: int = 4
    counters: bool = False


def table(*lines: str, name: str = "filter") -> str:
    """Return the dump of one table."""
    return "\n".join([f"*{name}", *lines, "COMMIT", ""])


def deep(flag: str, size: int) -> list[str]:
    """Return as many chains as ``size``, each of which calls the next, the first by INPUT."""
    names = [f"c{size}{flag}{number}" for number in range(size)]
    calls = [f"-A {one} {flag} {other}" for one, other in pairwise(["INPUT", *names])]
    return [*(f":{name} - [0:0]" for name in names), *calls]


# One rule a line, without its -A CHAIN; family → table:CHAIN → rules. The user chain "there" exists.
RULES = {
    4: {
        "filter:INPUT": r"""
# addresses
-s 10.0.0.5/8 -j ACCEPT
-s 10.1.2.3/255.255.0.0 -j ACCEPT
-s 10.1.2.3/255.255.255.255 -j ACCEPT
-s 10.1.2.3/0.0.0.0 -j ACCEPT
-s 10/8 -j ACCEPT
-s 10 -j ACCEPT
-s 10.1/16 -j ACCEPT
-s 10.1 -d 10.1.2 -j ACCEPT
-s 0/0 -d 0.0.0.0/0 -j ACCEPT
-s 0.0.0.0 -j ACCEPT
! -s 0/0 -j ACCEPT
-s 0.0.0.1/0.0.0.255 -j ACCEPT
-s 1.2.3.4/255.0.255.0 -j ACCEPT
-s 10.0.0.1,10.0.0.2 -d 1.1.1.1,2.2.2.2 -j ACCEPT
-s 10.0.0.9/24,10.0.0.9 -p tcp --dport 80 -j ACCEPT
--src 10.0.0.1,10.0.0.2 -m comment --comment two -j ACCEPT
-m comment --comment two,three -d 10.0.0.1,10.0.0.2 -j ACCEPT
-s 10.0.0.1,10.0.0.1 -j ACCEPT
! -s 10.0.0.1,10.0.0.2 -j ACCEPT
-s 10.0.0.1, -j ACCEPT
-s ,10.0.0.1 -j ACCEPT
-s 10.0.0.1,nonsense -j ACCEPT
--src 10.0.0.1 --dst 10.0.0.2 -j ACCEPT
--source 10.0.0.1 --destination 10.0.0.2 -j ACCEPT
-d 10.0.0.2 -s 10.0.0.1 -j ACCEPT
-s localhost -j ACCEPT
-s 10.0.0.1/33 -j ACCEPT
-s 10.0.0.1/-1 -j ACCEPT
-s 10.0.0.1/ -j ACCEPT
-s 10.0.0.1/08 -j ACCEPT
-s 10.0.0.1/010 -j ACCEPT
-s 10.0.0.1/0x8 -j ACCEPT
-s 10.0.0.256 -j ACCEPT
-s 10.0.0.1/8/8 -j ACCEPT
-s 010.0.0.1 -j ACCEPT
-s 10.0.0.1 -s 10.0.0.2 -j ACCEPT
-s fd00::1 -j ACCEPT
! -d 10.0.0.1 -j ACCEPT
-d ! 10.0.0.1 -j ACCEPT
! ! -d 10.0.0.1 -j ACCEPT
-d 10.0.0.1 ! -j ACCEPT
-d 10.0.0.1 -j ACCEPT !
# interfaces
-i eth0 -j ACCEPT
-i eth+ -j ACCEPT
-i + -j ACCEPT
! -i lo -j ACCEPT
! -i eth+ -j ACCEPT
--in-interface eth0 -j ACCEPT
-o eth0 -j ACCEPT
-i averyverylongname -j ACCEPT
-i fifteenlongname -j ACCEPT
-i eth0.100 -j ACCEPT
-i eth0 -i eth1 -j ACCEPT
-i "" -j ACCEPT
# protocols
-p 6 -j ACCEPT
-p TCP -j ACCEPT
-p all -j ACCEPT
-p 0 -j ACCEPT
! -p all -j ACCEPT
-p 47 -j ACCEPT
-p gre -j ACCEPT
-p 253 -j ACCEPT
-p 255 -j ACCEPT
-p 256 -j ACCEPT
-p icmpv6 -j ACCEPT
-p 58 -j ACCEPT
-p ah -j ACCEPT
-p ipencap -j ACCEPT
! -p tcp -j ACCEPT
-p nonsense -j ACCEPT
--protocol udp -j ACCEPT
--proto udp -j ACCEPT
-p tcp -p udp -j ACCEPT
-f -j ACCEPT
! -f -j ACCEPT
--fragment -j ACCEPT
# ports
-p tcp --dport ssh -j ACCEPT
-p tcp --dport http:https -j ACCEPT
-p udp --dport domain -j ACCEPT
-p udp --dport ntp --sport ntp -j ACCEPT
-p tcp --dport 5: -j ACCEPT
-p tcp --dport :5 -j ACCEPT
-p tcp --dport : -j ACCEPT
-p tcp --dport 0:65535 -j ACCEPT
-p tcp ! --sport : -j ACCEPT
-p tcp --dport 65535 -j ACCEPT
-p tcp --dport 65536 -j ACCEPT
-p tcp --dport 90:80 -j ACCEPT
-p tcp --dport 80:80 -j ACCEPT
-p tcp --dport 080 -j ACCEPT
-p tcp --dport 0x50 -j ACCEPT
-p tcp --dport nonsense -j ACCEPT
-p tcp --dport -j ACCEPT
-p tcp --dport
-p tcp --dport 80 81 -j ACCEPT
-p tcp --destination-port 80 --source-port 1:2 -j ACCEPT
-p tcp ! --dport 22 -j ACCEPT
-p tcp --dport ! 22 -j ACCEPT
-p tcp --dport 80 --sport 3 -j ACCEPT
-p tcp --dport 80 -m tcp --sport 3 -j ACCEPT
-p tcp -m tcp --dport 80 -m tcp --sport 3 -j ACCEPT
-p tcp -m tcp --dport 80 -m tcp --dport 81 -j ACCEPT
-p udp -m udp --dport 80 -m udp --sport 81 -j ACCEPT
-m tcp -p tcp --dport 80 -j ACCEPT
-m tcp --dport 80 -j ACCEPT
-p udp -m tcp --dport 80 -j ACCEPT
! -p tcp --dport 80 -j ACCEPT
--dport 80 -j ACCEPT
--dport 80 -p tcp -j ACCEPT
-p tcp --dport 80 --dport 81 -j ACCEPT
-p tcp -m tcp -j ACCEPT
-p 6 --dport 80 -j ACCEPT
-p all --dport 80 -j ACCEPT
-p sctp --dport 80 -j ACCEPT
-p sctp -m sctp ! --sport 1:2 -j ACCEPT
# flags
-p tcp --syn -j ACCEPT
-p tcp ! --syn -j ACCEPT
-p tcp --dport 80 --syn -j ACCEPT
-p tcp --syn --dport 80 -j ACCEPT
-p tcp --tcp-flags ALL NONE -j ACCEPT
-p tcp --tcp-flags ALL ALL -j ACCEPT
-p tcp --tcp-flags ACK,SYN,RST SYN -j ACCEPT
-p tcp --tcp-flags syn,ack syn -j ACCEPT
-p tcp ! --tcp-flags SYN SYN -j ACCEPT
-p tcp --tcp-flags SYN -j ACCEPT
-p tcp --tcp-flags FOO SYN -j ACCEPT
-p tcp --tcp-flags SYN ACK -j ACCEPT
-p tcp --tcp-option 2 -j ACCEPT
-p tcp ! --tcp-option 2 -j ACCEPT
# where things stand
-j ACCEPT -p tcp --dport 80
-j ACCEPT -s 10.0.0.1
-p tcp -m comment --comment a --dport 1 -m limit --limit 1/sec -j ACCEPT
-m limit --limit 1/sec -p tcp --dport 80 -j ACCEPT
-m comment --comment a -m comment --comment b -j ACCEPT
-m mark --mark 1 -m mark --mark 2 -j ACCEPT
-m limit -s 10.0.0.1 --limit 1/sec -i eth0 -j ACCEPT
-j LOG -m limit --limit 1/sec --log-prefix a
--jump ACCEPT --match tcp --protocol tcp
-j ACCEPT -j DROP
-j ACCEPT -g there
-m
-j
-m tcp
-p tcp --dport=80
--source=1.2.3.4
-p tcp --dpo 80
-p tcp --so 1.2.3.4
-p tcp --s 1
-p tcp --sp 1
-p tcp --tcp-flag SYN SYN
--in eth0
--in-i eth0
--prot tcp
--frag
--ju ACCEPT
--mat tcp -p tcp
-m comment --comm a
-m comment --comment=abc
-m conntrack --ctst NEW
-m limit --lim 1/s
-m limit --limit-b 3
-j LOG --log-p x
-j LOG --log-tcp
-j REJECT --rej icmp-net-unreachable
-jACCEPT
-s1.2.3.4
-ptcp
-sj ACCEPT
-m policy --pol none --dir in --proto esp
-p tcp --dport "80"
-p "tcp" --dport 80
"-p" tcp
-j "ACCEPT"
"--source" 1.1.1.1
-
-s 1.1.1.1 - -j ACCEPT
-m comment --comment ! -j ACCEPT
-m comment ! --comment a
-i !eth0
-i ! eth0
!-s 1.1.1.1
-p tcp --dport !80
-m "" -j ACCEPT
-p "" -j ACCEPT
-s "" -j ACCEPT
-j ACEPT
-j DROPP --now
-m nonsense -j ACCEPT
-j ACCEPT extra
extra -j ACCEPT
-j ACCEPT --nonsense
--nonsense -j ACCEPT
-j ACCEPT -t filter
-t filter -j ACCEPT
--table filter -j ACCEPT
-j ACCEPT -v
-j ACCEPT -n
-4 -j ACCEPT
-6 -j ACCEPT
-j ACCEPT -A OUTPUT
-j ACCEPT -D INPUT
-j ACCEPT -c 7 8
-c 7 8 -j ACCEPT
-c 7,8 -j ACCEPT
-c 7 -j ACCEPT
-c a b -j ACCEPT
--set-counters 7 8 -j ACCEPT
-s 10.0.0.1
-m comment --comment only
# icmp
-p icmp -j ACCEPT
-p icmp -m icmp -j ACCEPT
-p icmp --icmp-type echo-request -j ACCEPT
-p icmp --icmp-type ping -j ACCEPT
-p icmp --icmp-type 8 -j ACCEPT
-p icmp --icmp-type 8/0 -j ACCEPT
-p icmp --icmp-type 3/1 -j ACCEPT
-p icmp --icmp-type destination-unreachable -j ACCEPT
-p icmp --icmp-type port-unreachable -j ACCEPT
-p icmp --icmp-type fragmentation-needed -j ACCEPT
-p icmp --icmp-type any -j ACCEPT
-p icmp --icmp-type 255 -j ACCEPT
-p icmp --icmp-type 255/255 -j ACCEPT
-p icmp ! --icmp-type 8 -j ACCEPT
-p icmp --icmp-type 256 -j ACCEPT
-p icmp --icmp-type nonsense -j ACCEPT
-m icmp --icmp-type 8 -j ACCEPT
-p 1 --icmp-type 8 -j ACCEPT
# connections
-m state --state NEW -j ACCEPT
-m state --state RELATED,ESTABLISHED -j ACCEPT
-m state --state ESTABLISHED,RELATED,NEW,INVALID -j ACCEPT
-m state --state established,related -j ACCEPT
-m state ! --state NEW -j ACCEPT
-m state --state nonsense -j ACCEPT
-m state -j ACCEPT
--state NEW -j ACCEPT
-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-m conntrack --ctstate DNAT,NEW -j ACCEPT
-m conntrack ! --ctstate INVALID -j ACCEPT
-m conntrack --ctstate NEW --ctproto tcp --ctorigdst 10.0.0.1/24 -j ACCEPT
-m conntrack --ctstatus ASSURED,SEEN_REPLY -j ACCEPT
-m conntrack --ctexpire 5: -j ACCEPT
-m conntrack --ctdir reply -j ACCEPT
-m conntrack -j ACCEPT
-m connmark --mark 1/255 -j ACCEPT
# rates
-m limit -j ACCEPT
-m limit --limit 60/min -j ACCEPT
-m limit --limit 90/min -j ACCEPT
-m limit --limit 5/s -j ACCEPT
-m limit --limit 5/second --limit-burst 5 -j ACCEPT
-m limit --limit 3/hour --limit-burst 7 -j ACCEPT
-m limit --limit 24/day -j ACCEPT
-m limit --limit 1/day -j ACCEPT
-m limit --limit 7 -j ACCEPT
-m limit --limit 10000/sec -j ACCEPT
-m limit --limit 0/sec -j ACCEPT
-m limit --limit 1/week -j ACCEPT
-m limit --limit-burst 3 -j ACCEPT
-m limit ! --limit 1/sec -j ACCEPT
-m hashlimit --hashlimit-upto 60/min --hashlimit-name a -j ACCEPT
-m hashlimit --hashlimit-above 5/s --hashlimit-burst 9 --hashlimit-mode dstport,srcip --hashlimit-name a
-m hashlimit --hashlimit 5/sec --hashlimit-name a --hashlimit-srcmask 24 -j ACCEPT
-m connlimit --connlimit-above 3 -j DROP
-m connlimit --connlimit-upto 3 --connlimit-mask 24 --connlimit-daddr -j ACCEPT
-m recent --set -j ACCEPT
-m recent --name ssh --update --seconds 60 --hitcount 4 -j DROP
-m recent --rcheck --rdest --name a -j DROP
-m recent ! --rcheck -j DROP
-m recent -j DROP
# marks, chance, the rest
-m mark --mark 10 -j ACCEPT
-m mark --mark 10/255 -j ACCEPT
-m mark --mark 0xA/0xffffffff -j ACCEPT
-m mark ! --mark 010 -j ACCEPT
-m mark --mark 1/2/3 -j ACCEPT
-m statistic --mode random --probability 0.2 -j ACCEPT
-m statistic --mode random --probability 0.3333333333 -j ACCEPT
-m statistic --mode random --probability .5 -j ACCEPT
-m statistic --mode random --probability 1 -j ACCEPT
-m statistic --mode random ! --probability 0.5 -j ACCEPT
-m statistic --mode random --probability 1.1 -j ACCEPT
-m statistic --mode nth --every 3 -j ACCEPT
-m statistic --mode nth --every 3 --packet 1 -j ACCEPT
-m statistic --mode nth --every 3 --packet 3 -j ACCEPT
-m statistic --mode nth -j ACCEPT
-m mac --mac-source 00:AA:bb:CC:DD:EE -j ACCEPT
-m mac ! --mac-source 00:11:22:33:44:55 -j ACCEPT
-m pkttype --pkt-type host -j ACCEPT
-m pkttype --pkt-type broadcast -j ACCEPT
-p tcp -m multiport --dports 80,443,8000:8010 -j ACCEPT
-p tcp -m multiport --dports http,https -j ACCEPT
-p tcp -m multiport ! --sports 1,2 -j ACCEPT
-p udp -m multiport --ports 1,2 -j ACCEPT
-m multiport --dports 80 -j ACCEPT
-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 -j ACCEPT
-p tcp -m multiport --dports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15 -j ACCEPT
-m addrtype --dst-type LOCAL --src-type UNICAST -j ACCEPT
-m addrtype ! --dst-type local -j ACCEPT
-m iprange --src-range 10.0.0.1-10.0.0.9 -j ACCEPT
-m iprange --dst-range 10.0.0.9-10.0.0.1 -j ACCEPT
-m length --length 100: -j ACCEPT
-m length ! --length 100:200 -j ACCEPT
-m ttl --ttl-eq 5 -j ACCEPT
-m ttl --ttl-lt 5 -j ACCEPT
-m ttl ! --ttl 5 -j ACCEPT
# strings
-m comment --comment plain -j ACCEPT
-m comment --comment "quoted" -j ACCEPT
-m comment --comment "two words" -j ACCEPT
-m comment --comment "say \"hi\"" -j ACCEPT
-m comment --comment it's -j ACCEPT
-m comment --comment "back\\slash" -j ACCEPT
-m comment --comment back\slash -j ACCEPT
-m comment --comment "" -j ACCEPT
-m comment --comment "grüße ☃" -j ACCEPT
-m comment --comment a"b c" -j ACCEPT
-m comment --comment "a"b -j ACCEPT
-m comment --comment "a b -j ACCEPT
-m comment --comment 'two words' -j ACCEPT
-m comment --comment -A -j ACCEPT
-m comment --comment "-j DROP" -j ACCEPT
-m comment --comment "#no remark" -j ACCEPT
-m comment --comment #no -j ACCEPT
-m comment --comment a --comment b -j ACCEPT
-m comment -j ACCEPT
# targets
-j REJECT
-j REJECT --reject-with icmp-port-unreachable
-j REJECT --reject-with host-unreach
-j REJECT --reject-with icmp-admin-prohibited
-p tcp -j REJECT --reject-with tcp-rst
-j REJECT --reject-with tcp-reset
-j REJECT --reject-with nonsense
-j LOG
-j LOG --log-level 4
-j LOG --log-level warning
-j LOG --log-level debug
-j LOG --log-level info --log-prefix fw
-j LOG --log-prefix "fw: "
-j LOG --log-uid --log-tcp-sequence --log-ip-options --log-tcp-options
-j LOG --log-level 8
-j NFLOG
-j NFLOG --nflog-group 3 --nflog-prefix a
-j RETURN
-j accept
-j nowhere
-g nowhere
-j OUTPUT
-j INPUT
-j ""
! -j ACCEPT
-m mark ! --mark
-j MASQUERADE
-j DNAT --to-destination 10.0.0.1
-j MARK --set-mark 1
-j TCPMSS --set-mss 1400
""",
        "filter:OUTPUT": r"""
-m owner --uid-owner root -j ACCEPT
-m owner --uid-owner 1000-2000 -j ACCEPT
-m owner ! --gid-owner nogroup -j ACCEPT
-m owner --uid-owner no-such-user -j ACCEPT
-m owner -j ACCEPT
-o eth0 -j ACCEPT
-o + -j ACCEPT
-i eth0 -j ACCEPT
! -i + -j ACCEPT
""",
        "filter:FORWARD": r"""
-i eth0 -o eth1 -j ACCEPT
-o eth1 -i eth0 -j ACCEPT
! -o + -j ACCEPT
-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-m physdev --physdev-is-bridged -j ACCEPT
""",
        "nat:POSTROUTING": r"""
-j MASQUERADE
-o eth0 -s 10.0.0.0/8 -j MASQUERADE --random
-j MASQUERADE --to-ports 1024-65535
-p tcp -j MASQUERADE --to-ports 1024-65535
-p tcp -j MASQUERADE --to-ports 1024 --random-fully
-j SNAT --to 1.2.3.4
-j SNAT --to-source 1.2.3.4-1.2.3.9 --persistent
-p udp -j SNAT --to-source 1.2.3.4:1000-2000 --random
-j SNAT --to-source 1.2.3.4:80
-j SNAT
-j DNAT --to-destination 10.0.0.1
-j NETMAP --to 10.0.0.0/24
-i eth0 -j MASQUERADE
""",
        "nat:PREROUTING": r"""
-j DNAT --to 10.0.0.1
-p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080
-p tcp -j DNAT --to-destination :8080
-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90
-j DNAT --to-destination 10.0.0.1:80
-j DNAT --to-destination 10.0.0.300
-j DNAT --to-destination 10.0.0.1 --to-destination 10.0.0.2
-p tcp --dport 80 -j REDIRECT --to-port 8080
-p tcp -j REDIRECT --to-ports 80-90
-j REDIRECT
-j REDIRECT --to-ports 80
-j MASQUERADE
-j REJECT
-j DROP
-o eth0 -j ACCEPT
-j DNAT --to-d 10.0.0.1
-j DNAT --to-destination=10.0.0.1
""",
        "nat:there": r"""
-j MASQUERADE
-j DROP
-i eth0 -o eth1 -j ACCEPT
""",
        "mangle:PREROUTING": r"""
-j MARK --set-mark 1
-j MARK --set-mark 1/255
-j MARK --or-mark 4
-j MARK --and-mark 0xff
-j MARK --xor-mark 0x10
-j MARK --set-xmark 1/0xff
-j MARK
-j CONNMARK --save-mark
-j CONNMARK --restore-mark --mask 0xff
-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf0
-j CONNMARK --set-mark 7
-m rpfilter --invert -j DROP
""",
        "mangle:POSTROUTING": r"""
-p udp --dport bootpc -j CHECKSUM --checksum-fill
-o eth0 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400
""",
        "raw:PREROUTING": r"""
-j NOTRACK
-j CT --notrack
-j TRACE
-j CT --zone 5
""",
    },
    6: {
        "filter:INPUT": r"""
-s FD00::1 -j ACCEPT
-s fd00:0:0:0:0:0:0:1/128 -j ACCEPT
-s fd00::1/64 -j ACCEPT
-s fd00::1/ffff:: -j ACCEPT
-s 1::2/::ffff -j ACCEPT
-s ::/0 -d ::/0 -j ACCEPT
! -s ::/0 -j ACCEPT
-s :: -j ACCEPT
-s ::ffff:1.2.3.4 -j ACCEPT
-s 2001:0db8::1:0:0:1 -j ACCEPT
-s fd00::1,fd00::2 -d fe80::/10 -j ACCEPT
-s fd00::1/129 -j ACCEPT
-s 10.0.0.1 -j ACCEPT
-s fd00:::1 -j ACCEPT
-p icmpv6 -j ACCEPT
-p ipv6-icmp -j ACCEPT
-p 58 -j ACCEPT
-p icmp -j ACCEPT
-p icmpv6 --icmpv6-type echo-request -j ACCEPT
-p ipv6-icmp --icmpv6-type 128 -j ACCEPT
-p ipv6-icmp -m icmp6 --icmpv6-type neighbour-solicitation -j ACCEPT
-p ipv6-icmp -m icmpv6 --icmpv6-type 135 -j ACCEPT
-p ipv6-icmp ! --icmpv6-type 1/4 -j ACCEPT
-p ipv6-icmp --icmp-type 8 -j ACCEPT
-p tcp --dport ssh --syn -j ACCEPT
-p all -i lo -j ACCEPT
-f -j ACCEPT
-m hl --hl-eq 255 -j ACCEPT
-m rt --rt-type 0 -j DROP
-m state --state RELATED,ESTABLISHED -j ACCEPT
-m iprange --src-range fd00::1-fd00::9 -j ACCEPT
-j REJECT
-j REJECT --reject-with adm-prohibited
-j REJECT --reject-with icmp-port-unreachable
-p tcp -j REJECT --reject-with tcp-reset
-m recent --set --name a -j ACCEPT
-m connlimit --connlimit-above 3 -j DROP
-m addrtype --dst-type MULTICAST -j ACCEPT
-4 -j ACCEPT
-6 -j ACCEPT
""",
        "nat:PREROUTING": r"""
-p tcp --dport 80 -j DNAT --to-destination [fd00::1]:8080
-j DNAT --to fd00::1
-j DNAT --to-destination [fd00::1]:80
-p tcp -j REDIRECT --to-ports 80
-j DNAT --to-destination 10.0.0.1
""",
        "nat:POSTROUTING": r"""
-j MASQUERADE
-s fd00::/64 -j SNAT --to fd00::1-fd00::9
""",
    },
}

# Those that do not stand well in a line.
ODD_RULES = [
    "",
    '-m comment --comment "a\tb" -j ACCEPT',
    *(f"-m comment --comment {'x' * (size - 1)}y -j ACCEPT" for size in (255, 256, 900, 1100)),
    *(f"-j LOG --log-prefix {'x' * size}" for size in (29, 30)),
]

# Whole dumps, by what is odd about them.
FILES = {
    "all tables, in the wrong order": "".join(
        table(":OUTPUT ACCEPT [0:0]", name=name) for name in ("filter", "nat", "mangle", "raw", "security")
    ),
    "all tables, in another order": "".join(
        table("-A OUTPUT -j ACCEPT", name=name) for name in ("security", "nat", "raw", "filter", "mangle")
    ),
    "a chain of 28 letters": table(f":{'x' * 28} - [0:0]"),
    "a chain of 29 letters": table(f":{'x' * 29} - [0:0]"),
    **{f"{size} chains deep": table(*deep("-j", size), *deep("-g", 3)) for size in (14, 15, 16)},
    "nothing at all": "",
    "one newline": "\n",
    "only a comment": "# nothing here\n",
    "an empty table": table(),
    "two empty tables": "*nat\nCOMMIT\n*filter\nCOMMIT\n",
    "an empty table beside a full one": "*nat\nCOMMIT\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    "a table twice": "*filter\n-A INPUT -s 1.1.1.1\nCOMMIT\n*filter\n-A INPUT -s 2.2.2.2\nCOMMIT\n",
    "a table twice, another between":
        table(":a -", "-A INPUT -j a") + table(":OUTPUT ACCEPT", name="nat") + table("-A OUTPUT -j DROP"),
    "rules without a chain line": table("-A FORWARD -j DROP", "-A INPUT -j ACCEPT"),
    "chains in the wrong order":
        table(":zoo -", ":OUTPUT ACCEPT", ":Abc -", ":abc -", ":INPUT DROP", ":_a -", ":9 -"),
    "rules of chains in turn":
        table(":a - [0:0]", "-A a -j DROP", "-A INPUT -j a", "-A a -j ACCEPT", "-A INPUT -j DROP"),
    "policies": table(":INPUT DROP [3:4]", ":FORWARD ACCEPT [0:0]", ":OUTPUT DROP [0:0]"),
    "a policy without counters": table(":INPUT DROP", ":a -"),
    "a policy in small letters": table(":INPUT drop [0:0]"),
    "a policy QUEUE": table(":INPUT QUEUE [0:0]"),
    "a policy RETURN": table(":INPUT RETURN [0:0]"),
    "a policy REJECT": table(":INPUT REJECT [0:0]"),
    "a built-in chain without a policy": table(":INPUT - [0:0]"),
    "a user chain with a policy": table(":mine ACCEPT [0:0]"),
    "a chain without anything": table(":INPUT"),
    "a chain line without a name": table(":"),
    "a chain line with blanks": table(":  INPUT   DROP   [0:0]  "),
    "a chain line with tabs": table(":INPUT\tDROP\t[0:0]"),
    "a chain line with more at its end": table(":INPUT DROP [0:0] more"),
    "a chain line with bad counters": table(":INPUT DROP [0]"),
    "a chain line with letters for counters": table(":INPUT DROP [a:b]"),
    "a chain twice": table(":a - [0:0]", ":a - [0:0]", "-A a -j DROP"),
    "a chain again behind its rules": table(":a - [0:0]", "-A a -j DROP", ":a - [0:0]"),
    "a built-in chain twice": table(":INPUT DROP [0:0]", "-A INPUT -j DROP", ":INPUT ACCEPT [0:0]"),
    "a chain named like a target": table(":ACCEPT - [0:0]"),
    "a chain named like an extension": table(":LOG - [0:0]", "-A INPUT -j LOG"),
    "a chain named like a chain of another table":
        table(":PREROUTING - [0:0]", "-A INPUT -j PREROUTING"),
    "a chain with a dash": table(":-a - [0:0]"),
    "a chain with an exclamation mark": table(":!a - [0:0]"),
    "a chain with dots and colons": table(":a.b:c/d - [0:0]", "-A INPUT -j a.b:c/d"),
    "a chain with -A inside its name": table(":x-A - [0:0]", ":A-A-j - [0:0]", "-A x-A -j A-A-j"),
    "a chain with quotes": table(':"a" - [0:0]', '-A "a" -j DROP'),
    "a chain in another alphabet": table(":ключ - [0:0]", "-A ключ -j DROP"),
    "a rule of a chain that nobody declared": table("-A nowhere -j DROP"),
    "a chain declared behind its rule": table("-A later -j DROP", ":later - [0:0]"),
    "a jump to a chain declared later": table("-A INPUT -j later", ":later - [0:0]"),
    "a jump to a chain of another table":
        "*nat\n:there - [0:0]\nCOMMIT\n*filter\n-A INPUT -j there\nCOMMIT\n",
    "a goto": table(":a - [0:0]", "-A INPUT -g a", "-A a -j RETURN"),
    "a jump and a goto in long words": table(":a - [0:0]", "-A INPUT --jump a", "-A INPUT --goto a"),
    "a chain that calls itself": table(":a - [0:0]", "-A a -j a", "-A INPUT -j a"),
    "two chains that call each other":
        table(":a - [0:0]", ":b - [0:0]", "-A a -j b", "-A b -j a", "-A INPUT -j a"),
    "a loop of gotos": table(":a - [0:0]", ":b - [0:0]", "-A a -g b", "-A b -g a", "-A INPUT -g a"),
    "a loop that nothing reaches": table(":a - [0:0]", ":b - [0:0]", "-A a -j b", "-A b -j a"),
    "a chain that nothing reaches calls itself": table(":a - [0:0]", "-A a -j a"),
    "no COMMIT": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\n",
    "no COMMIT, no last newline": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP",
    "COMMIT without a newline": "*filter\n:INPUT DROP [0:0]\nCOMMIT",
    "COMMIT and a blank": "*filter\n:INPUT DROP [0:0]\nCOMMIT \n",
    "COMMIT behind a blank": "*filter\n:INPUT DROP [0:0]\n COMMIT\n",
    "COMMIT in small letters": "*filter\n:INPUT DROP [0:0]\ncommit\n",
    "COMMIT twice": "*filter\n:INPUT DROP [0:0]\nCOMMIT\nCOMMIT\n",
    "COMMITTED": "*filter\n:INPUT DROP [0:0]\nCOMMITTED\n",
    "a table inside a table": "*filter\n:INPUT DROP [0:0]\n*nat\nCOMMIT\n",
    "a table that does not exist": table(name="nonsense"),
    "a table without a name": "*\nCOMMIT\n",
    "a table and a blank": "*filter \n:INPUT DROP [0:0]\nCOMMIT\n",
    "a blank and a table": " *filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    "a table behind blanks": "*  filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    "a table and more": "*filter more\n:INPUT DROP [0:0]\nCOMMIT\n",
    "empty lines": "\n\n*filter\n\n:INPUT DROP [0:0]\n\n\nCOMMIT\n\n",
    "a line of one blank": table(":INPUT DROP [0:0]", " "),
    "a line of one tab": table(":INPUT DROP [0:0]", "\t"),
    "a line of one blank before the table": " \n*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    "comments everywhere":
        "# a\n*filter\n# b\n:INPUT DROP [0:0]\n#c\n-A INPUT -j DROP\n# d\nCOMMIT\n# e\n",
    "a comment behind blanks": table("  # b"),
    "a comment behind a rule": table("-A INPUT -j DROP # why"),
    "a first line of garbage": "iptables-save v1.8.9\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    "a rule before the table": "-A INPUT -j DROP\n*filter\nCOMMIT\n",
    "a chain before the table": ":INPUT DROP [0:0]\n*filter\nCOMMIT\n",
    "garbage inside a table": table(":INPUT DROP [0:0]", "garbage"),
    "garbage behind COMMIT": "*filter\n:INPUT DROP [0:0]\nCOMMIT\ngarbage\n",
    "a rule behind COMMIT": "*filter\n:INPUT DROP [0:0]\nCOMMIT\n-A INPUT -j DROP\n",
    "a shell's prompt": "# iptables-save\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    "a command of the shell": table("iptables -A INPUT -j DROP"),
    "many blanks": table("-A   INPUT   -s   10.0.0.1   -j   ACCEPT   "),
    "tabs": table("-A\tINPUT\t-s\t10.0.0.1\t-j\tACCEPT\t"),
    "blanks before a rule": table("  -A INPUT -j ACCEPT"),
    "--append": table("--append INPUT --source 10.0.0.1 --jump ACCEPT"),
    "-A without a chain": table("-A"),
    "-AINPUT": table("-AINPUT -j ACCEPT"),
    "-I": table("-A INPUT -s 1.1.1.1 -j ACCEPT", "-I INPUT -s 2.2.2.2 -j ACCEPT"),
    "-I with a number": table("-A INPUT -s 1.1.1.1", "-A INPUT -s 2.2.2.2", "-I INPUT 2 -s 3.3.3.3"),
    "-D": table("-A INPUT -s 1.1.1.1 -j ACCEPT", "-D INPUT -s 1.1.1.1 -j ACCEPT"),
    "-N": table("-N mine", "-A mine -j ACCEPT"),
    "-P": table("-P INPUT DROP"),
    "-F": table("-A INPUT -j ACCEPT", "-F INPUT"),
    "-X": table(":a - [0:0]", "-X a"),
    "-A with its table named": table("-t filter -A INPUT -j ACCEPT"),
    "counters without -c": table(":INPUT DROP [3:4]", "[5:6] -A INPUT -j ACCEPT"),
}  # fmt: skip

# Dumps that are restored with -c.
COUNTED = {
    "counters with -c":
        table(":INPUT DROP [3:4]", ":a - [7:8]", "[5:6] -A INPUT -j ACCEPT", "-A INPUT -j DROP"),
    "-c inside a rule, with -c": table(":INPUT DROP [3:4]", "-A INPUT -c 7 8 -j ACCEPT"),
    "counters before and inside a rule, with -c": table("[1:2] -A INPUT -c 7 8 -j ACCEPT"),
    "a policy without counters, with -c": table(":INPUT DROP"),
    "a user chain without counters, with -c": table(":a -"),
    "counters of rules that share a line": table("[5:6] -A INPUT -s 1.1.1.1,2.2.2.2 -j ACCEPT"),
    "great counters":
        table(":INPUT DROP [18446744073709551615:1]", "[18446744073709551615:0] -A INPUT -j DROP"),
    "counters too great": table("[18446744073709551616:0] -A INPUT -j DROP"),
    "counters glued to the rule": table("[5:6]-A INPUT -j ACCEPT"),
    "counters with blanks inside": table("[5: 6] -A INPUT -j ACCEPT"),
    "half a counter": table("[5] -A INPUT -j ACCEPT"),
    "an open counter": table("[5:6 -A INPUT -j ACCEPT"),
    "negative counters": table("[-5:6] -A INPUT -j ACCEPT"),
    "empty counters": table("[:] -A INPUT -j ACCEPT"),
}  # fmt: skip


def written() -> Iterator[Written]:
    """Yield every dump; whole files for both families unless an IPv4 address stands in them."""
    for files, counters in ((FILES, False), (COUNTED, True)):
        for name, text in files.items():
            for family in (4,) if re.search(r"\d\.\d", text) else (4, 6):
                yield Written(name, text, family, counters)
    for rule in ODD_RULES:
        yield _rule(4, "filter:INPUT", rule)
    for family, chains in RULES.items():
        for chain, rules in chains.items():
            for rule in rules.strip().splitlines():
                if not rule.startswith("#"):
                    yield _rule(family, chain, rule)


def _rule(family: int, chain: str, rule: str) -> Written:
    name, _, hook = chain.partition(":")
    return Written(
        f"{chain} {rule}", table(":there - [0:0]", f"-A {hook} {rule}", name=name), family
    )
