"""What commands are made of: names, numbers, the core's options, matches and targets, right and wrong.

``{name}`` in a text is replaced by one of VALUES; the family decides which addresses there are.
"""

from __future__ import annotations

import re
from functools import cache

from nb_lib.errors import RulesetError
from nb_lib.text.lexer import words
from tests.extensions.rules import written

TABLES = {"filter": 60, "nat": 18, "mangle": 12, "raw": 6, "security": 2}
NO_TABLES = ("foo", "NAT", "", "filte", "broute", "filter ", "averyveryverylongnameofatablethatis")
CHAINS = ("web", "ssh-in", "LOGDROP", "a", "b", "DOCKER-USER", "f2b_sshd", "x" * 28)
NO_CHAINS = (
    "nope", "ACCEPT", "DNAT", "-web", "a b", "", "!web", "x" * 29, "x" * 40, "é", "input", "MASQUERADE",
    "web,a", "QUEUE", "RETURN", "LOG", "-", "--web", "tab\there", "web:", "[web]", "0", "icmp",
)  # fmt: skip
NUMBERS = ("1", "1", "1", "2", "2", "3", "4", "5", "7", "99")
NO_NUMBERS = (
    "0",
    "-1",
    "x",
    "1x",
    "",
    "0x2",
    "010",
    "4294967296",
    "99999999999999999999",
    "1.5",
    "+1",
    " 1",
)
COUNTERS = (
    "0", "1", "7", "42", "999", "9999", "99999", "100000", "100499", "999999", "1000000", "1234567",
    "10000000", "9999999999", "12345678901", "10000000000000", "12345678901234567", "9223372036854775807",
    "18446744073709551615",
)  # fmt: skip
NO_COUNTERS = ("x", "", "-1", "5x", "18446744073709551616", "1 2", "0x10", "5,6", "5:6", "+5", " 5")
POLICIES = (
    "ACCEPT",
    "DROP",
    "ACCEPT",
    "DROP",
    "ACCEPT",
    "DROP",
    "REJECT",
    "RETURN",
    "QUEUE",
    "accept",
    "",
)

VALUES: dict[str, tuple[str, ...]] = {
    "protocol": ("tcp", "udp", "icmp", "all", "6", "17", "esp", "sctp", "47", "TCP", "udplite", "gre"),
    "no protocol": ("nosuch", "256", "-1", "", "6x", "tcp,udp", "0x6", "010"),
    "port": ("80", "443", "22", "0", "65535", "ssh", "http", "domain", "1024:65535", ":1023", "8000:"),
    "no port": ("65536", "-1", "nosuch", "80:90:100", "90:80", "", "80,443", "x", "1e3", " 80", "80 "),
    "interface": ("eth0", "eth+", "+", "lo", "docker0", "br-1a2b3c", "wlan0.5", "abcdefghijklmno"),
    "no interface": ("abcdefghijklmnop", "", "e/th", "a b", "eth*", "eth0:1", "x" * 40, "!"),
    "no address 4": ("10.0.0.256", "1.2.3.4/33", "10.0.0", "nosuch.example", "a,,b", "10.0.0.1,", ",10.0.0.1",
                     "1.2.3.4/x", "1.2.3.4/", "", "fd00::1", "1.2.3.4/255.0.0", "1.2.3.4/-1", "!10.0.0.1",
                     "1.2.3.4-1.2.3.9", "0x0a000001", "1.2.3.4.5", "a b"),
    "no address 6": ("fd00::1/129", "fd00:::1", "10.0.0.1", "nosuch.example", "fd00::1,", "fd00::1/", "",
                     "fd00::1/x", "1:2:3:4:5:6:7:8:9", "g::1", "::1.2.3", "fd00::1/ffff:", "[fd00::1]"),
    "address 4": ("10.0.0.1", "10.0.0.0/8", "192.168.1.0/24", "1.2.3.4/255.255.255.0", "0.0.0.0/0", "10/8",
                  "10.1.2.3/16", "172.16.0.0/12", "127.0.0.1", "127.0.0.0/8", "1.2.3.4/255.0.255.0", "0/0",
                  "203.0.113.7/32", "localhost", "192.168.5.77/24"),
    "addresses 4": ("10.0.0.1,10.0.0.2", "10.0.0.0/8,192.168.0.0/16,172.16.0.0/12", "1.2.3.4,1.2.3.4",
                    "10.0.0.1,10.0.0.1/8", "10.0.0.1, 10.0.0.2"),
    "address 6": ("fd00::1", "fd00::/8", "2001:db8::/32", "::/0", "fe80::1/10", "FD00:1::ABCD/64", "::1",
                  "::ffff:10.0.0.1", "fd00::1/ffff::", "ff02::1/128"),
    "addresses 6": ("fd00::1,fd00::2", "fd00::/8,2001:db8::/32", "fd00::1,fd00::1"),
}  # fmt: skip
# Matches and targets as they are mostly written; tests/extensions/written.txt adds every extension.
MATCHES = (
    "-m conntrack --ctstate {state}", "-m state --state {state}", "-m comment --comment {comment}",
    "-m limit --limit 5/min", "-m limit --limit 10/s --limit-burst 20", "-m multiport --dports 22,80,443",
    "-m multiport ! --sports 1:1024,8080", "-m mark --mark 0x1", "-m mark ! --mark 0x10/0xff", "-m tcp",
    "-m udp --dport 53", "-m tcp --dport {port}", "-m tcp --tcp-flags SYN,ACK,FIN SYN", "-m tcp ! --syn",
    "-m mac --mac-source 00:11:22:aa:bb:cc", "-m owner --uid-owner 0", "-m recent --name ssh --set",
    "-m recent --name ssh --update --seconds 60 --hitcount 4", "-m addrtype --dst-type LOCAL",
    "-m pkttype --pkt-type broadcast", "-m length --length 64:1500", "-m statistic --mode nth --every 3",
    "-m statistic --mode random --probability 0.5", "-m connlimit --connlimit-above 10", "-m physdev",
    "-m conntrack ! --ctstate INVALID --ctproto tcp", "-m state", "-m multiport", "-m tcp --dport",
    "-m hashlimit --hashlimit-upto 5/s --hashlimit-name n", "-m set --match-set s{family} src",
    "-m set --match-set nosuch src", "-m icmp --icmp-type echo-request", "-m icmp6 --icmpv6-type 128",
    "-m time --timestart 08:00 --timestop 18:00", "-m dscp --dscp 10", "-m ttl --ttl-gt 5", "-m quota",
    "-m string --string x --algo bm", "-m nosuch", "-m nosuch --option 5", "-m TCP", "-m ''", "-m",
)  # fmt: skip
TARGETS: dict[str, tuple[str, ...]] = {
    "": ("-j ACCEPT", "-j DROP", "-j RETURN", "-j {chain}", "-j {chain}", "-g {chain}", "",
         "-j LOG --log-prefix {comment} --log-level 4", "-j LOG", "-j MARK --set-mark 5", "-j {no chain}",
         "-g {no chain}", "-j", "-g ACCEPT", "-j accept", "-j NFLOG --nflog-group 5", "-j CLASSIFY", "-j INPUT",
         "-j NOSUCH --option 1", "-j TRACE", "-j CONNMARK --save-mark", "-j NFQUEUE --queue-num 3"),
    "filter": ("-j REJECT", "-j REJECT --reject-with tcp-reset", "-j REJECT --reject-with {reject}",
               "-j DNAT --to-destination 10.0.0.5", "-j MASQUERADE", "-j TTL --ttl-inc 1"),
    "nat": ("-j DNAT --to-destination {nat}", "-j SNAT --to-source {nat}", "-j MASQUERADE", "-j REJECT",
            "-j MASQUERADE --to-ports 1024-2048", "-j REDIRECT --to-ports 8080", "-j REDIRECT", "-j DNAT",
            "-j NETMAP --to {net}", "-j DROP", "-j MASQUERADE --random-fully", "-j SNAT --to-destination 5"),
    "mangle": ("-j MARK --set-xmark 0x10/0xff", "-j TCPMSS --clamp-mss-to-pmtu", "-j DSCP --set-dscp 10",
               "-j TTL --ttl-set 64", "-j CONNMARK --restore-mark", "-j TOS --set-tos 0x10", "-j REJECT"),
    "raw": ("-j NOTRACK", "-j CT --notrack", "-j CT --zone 5", "-j TRACE", "-j DNAT --to 1.2.3.4"),
}  # fmt: skip
BY_FAMILY = {
    4: {"nat": ("10.0.0.5", "10.0.0.5:80", "10.0.0.5-10.0.0.9:1000-2000", ":80", "10.0.0.256", "10.0.0.5:70000"),
        "net": ("10.5.0.0/16", "10.5.0.0", "x"),
        "reject": ("icmp-host-prohibited", "icmp-port-unreachable", "host-unreach", "nosuch")},
    6: {"nat": ("fd00::5", "[fd00::5]:80", "fd00::5-fd00::9", "fd00::5:80", "10.0.0.5", "[fd00::5]:70000"),
        "net": ("fd00:5::/64", "fd00:5::", "x"),
        "reject": ("icmp6-adm-prohibited", "port-unreach", "no-route", "icmp-host-prohibited")},
}  # fmt: skip
STATES = (
    "NEW",
    "ESTABLISHED,RELATED",
    "INVALID",
    "NEW,FOO",
    "new",
    "UNTRACKED",
    "RELATED,ESTABLISHED,DNAT",
    "",
)
COMMENTS = (
    "ok", "two words", 'say "hi"', "it's", "", "back\\slash", "x" * 29, "x" * 256, "a  b", "é", "$HOME", "tab\t.",
    "-j", "fw: ",
)  # fmt: skip
# Lines that stand in no dump, or not there.
STRANGE_LINES = (
    "", "# a comment", "  # a comment", "COMMIT", "*nat", "*filter", "*foo", "*", ":web - [0:0]", ":web -", ":web",
    ":", ":INPUT FOO [0:0]", ":INPUT - [0:0]", ":INPUT ACCEPT [x:y]", ":INPUT ACCEPT [5:6", ":INPUT", ": - [0:0]",
    f":{'x' * 40} - [0:0]", ":web DROP [0:0]", ":PREROUTING ACCEPT [0:0]", "-A", "-A INPUT", "-N web", "-N new",
    "-X web", "-F", "-F web", "-Z", "-P INPUT DROP", "-P FORWARD ACCEPT", "-D INPUT 1", "-I INPUT -j ACCEPT",
    "-I INPUT 2 -j DROP", "-R INPUT 1 -j DROP", "-E web newer", "-C INPUT -j ACCEPT", "-t nat -A INPUT",
    "-A INPUT -t nat -j ACCEPT", "-A INPUT -j nope", "-A nope -j ACCEPT", "[5:6] -A INPUT -j ACCEPT", "[5:6 -A INPUT",
    "[5] -A INPUT -j ACCEPT", "[x:y] -A INPUT -j ACCEPT", "[5:6]", "[5:6]-A INPUT -j ACCEPT", "garbage",
    "-A INPUT -j", '-A INPUT -m comment --comment "open', '-A INPUT -m comment --comment "a\\"b" -j ACCEPT',
    "-A INPUT -m comment --comment 'a b'", "-A INPUT -p tcp --dport 80 -j ACCEPT\r", "\t-A INPUT -j ACCEPT",
    " -A INPUT -j ACCEPT", " *nat", "*nat extra", "COMMIT ", " COMMIT", "commit", "-4 -A INPUT -j ACCEPT",
    "-6 -A INPUT -j ACCEPT", "-A INPUT -s 10.0.0.1,10.0.0.2 -j ACCEPT", "-A INPUT -c 5 6 -j ACCEPT",
    "-A INPUT -j ACCEPT extra", "-A INPUT --jump=DROP", "-h", "-V", "-A INPUT -p tcp -m tcp --dport 99999",
    "-A INPUT -j web", "-A web -j web", '""', '-A "INPUT" -j ACCEPT', "-A INPUT  -j   DROP", "-A INPUT -w -j ACCEPT",
    "--append INPUT --jump DROP", "-v -A INPUT -j DROP", "-A INPUT -j ACCEPT # comment", "-A INPUT -j DROP -A INPUT",
    "-D INPUT -j ACCEPT", "-D web 1", "-A FORWARD -m conntrack --ctstate NEW -j web", "-Z INPUT 1", "-X", "-E web a",
)  # fmt: skip
# What rests on the machine rather than on the command: objects, modules, policies, clocks, other hosts.
_ELSEWHERE = re.compile(
    r"-[mj] (?:bpf|nfacct|rateest|RATEEST|cgroup|SECMARK|CONNSECMARK|ipvs|CLUSTERIP|LED|ULOG|IDLETIMER|QUEUE|SET|set|"
    r"MIRROR|IPV4OPTSSTRIP|AUDIT|CHECKSUM|SYNPROXY)(?: |$)|--helper|--timeout|--path"
)


@cache
def written_rules(family: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (table, words) of the rules of tests/extensions/written.txt for one family."""
    found = []
    for case in written():
        if case.family == family and not _ELSEWHERE.search(case.rule):
            try:
                found.append((case.table, tuple(word.text for word in words(case.rule))))
            except RulesetError:  # a quote that never ends is no matter of a command line
                continue
    return tuple(found)
