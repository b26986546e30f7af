"""The words of random rules: for each extension, what it can say that random packets may have.

``{!}`` becomes ``!`` now and then; ``{a|b|c}`` becomes one of the three; ``{name}`` is a name that no
other ruleset has. Rates are so low and spans so long that the time between two packets of a batch
does not matter; tests/kernel/over_time.py compares what time changes, connlimit with it: within
4 ms the kernel counts a connection again and again.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple


class Words(NamedTuple):
    """One way to use an extension, and where it may stand (empty: anywhere)."""

    text: str
    family: int = 0
    protocol: str = ""
    hooks: str = ""
    tables: str = ""

    def fit(self, family: int, protocol: str, hook: str, table: str) -> bool:
        """Whether a rule of this family, protocol, hook ("": a user chain) and table can hold it."""
        return (
            self.family in (0, family)
            and (not self.protocol or protocol in self.protocol.split())
            and (not self.hooks or hook in self.hooks.split())
            and (not self.tables or table in self.tables.split())
        )


def fill(text: str, pick: random.Random, name: str) -> str:
    """Choose the alternatives of a row."""

    def chosen(found: re.Match[str]) -> str:
        inside = found[1]
        if inside == "!":
            return "! " if pick.random() < 0.3 else ""
        return name if inside == "name" else pick.choice(inside.split("|"))

    return re.sub(r"\{([^{}]*)\}", chosen, text)


IN, OUT = "PREROUTING INPUT FORWARD", "OUTPUT POSTROUTING FORWARD"
_PORT = "22|53|80|443|1024|8080|30000"
_FLAGS = "SYN,ACK SYN|FIN,SYN,RST,ACK SYN|RST RST|FIN,ACK FIN|SYN,FIN,PSH NONE|ALL SYN|ALL ACK"

PROTOCOLS = {
    4: (*[""] * 12, "tcp", "tcp", "tcp", "udp", "udp", "icmp", "sctp", "dccp", "udplite", "ah", "esp"),
    6: (*[""] * 12, "tcp", "tcp", "tcp", "udp", "udp", "ipv6-icmp", "sctp", "dccp", "udplite", "esp",
        "mh"),
}  # fmt: skip

MATCHES: dict[str, tuple[Words, ...]] = {
    "tcp": (
        Words(f"-m tcp {{!}}--dport {{{_PORT}|22:443|1024:}}", protocol="tcp"),
        Words(f"-m tcp {{!}}--sport {{{_PORT}|:1023|40000:}}", protocol="tcp"),
        Words(f"-m tcp {{!}}--tcp-flags {{{_FLAGS}}}", protocol="tcp"),
        Words("-m tcp {!}--syn", protocol="tcp"),
        Words("-m tcp {!}--tcp-option {2|3|4|5|8}", protocol="tcp"),
    ),
    "udp": (
        Words(f"-m udp {{!}}--dport {{{_PORT}|22:443|1024:}}", protocol="udp"),
        Words(f"-m udp {{!}}--sport {{{_PORT}|:1023|40000:}}", protocol="udp"),
    ),
    "sctp": (
        Words("-m sctp {!}--dport {80|443|22:443}", protocol="sctp"),
        Words(
            "-m sctp {!}--chunk-types {any|all|only} {INIT|INIT,INIT_ACK|DATA,SACK|COOKIE_ECHO}",
            protocol="sctp",
        ),
        Words("-m sctp {!}--chunk-types any DATA:{BE|Bu|ue}", protocol="sctp"),
    ),
    "dccp": (
        Words("-m dccp {!}--dport {80|443|22:443}", protocol="dccp"),
        Words(
            "-m dccp {!}--dccp-types {REQUEST|REQUEST,RESPONSE|DATA,ACK,DATAACK|RESET}",
            protocol="dccp",
        ),
    ),
    "icmp": (Words("-m icmp {!}--icmp-type {0|3|3/1|8|11|5|any}", 4, "icmp"),),
    "icmp6": (Words("-m icmp6 {!}--icmpv6-type {1|1/4|2|128|129|3/0}", 6, "ipv6-icmp"),),
    "ah": (
        Words("-m ah {!}--ahspi {0:256|100|257:}", 4, "ah"),
        Words("-m ah {!}--ahspi {0:256|100|257:}", 6),
        Words("-m ah {!}--ahlen {24|16}", 6),
    ),
    "esp": (Words("-m esp {!}--espspi {0:256|100|257:}", protocol="esp"),),
    "state": (
        Words(
            "-m state {!}--state {NEW|INVALID|ESTABLISHED|RELATED|RELATED,ESTABLISHED|UNTRACKED}"
        ),
    ),
    "conntrack": (
        Words(
            "-m conntrack {!}--ctstate"
            " {NEW|INVALID|ESTABLISHED|RELATED|RELATED,ESTABLISHED|UNTRACKED|DNAT|SNAT|NEW,SNAT}"
        ),
        Words("-m conntrack {!}--ctstatus {NONE|SEEN_REPLY|ASSURED|CONFIRMED|EXPECTED,ASSURED}"),
        Words("-m conntrack {!}--ctproto {tcp|udp|sctp}"),
        Words("-m conntrack --ctdir {ORIGINAL|REPLY}"),
        Words("-m conntrack {!}--ctorigsrc {10.1.0.2|10.1.0.0/24|10.2.0.0/16}", 4),
        Words("-m conntrack {!}--ctorigdst {10.2.0.2|10.1.0.1|10.2.0.0/16}", 4),
        Words("-m conntrack {!}--ctreplsrc {10.2.0.2|10.1.0.1|10.2.0.0/16}", 4),
        Words("-m conntrack {!}--ctrepldst {10.2.0.1|10.1.0.0/24|10.1.0.2}", 4),
        Words("-m conntrack {!}--ctorigsrc {fd00:1::2|fd00:1::/64|fd00:2::/64}", 6),
        Words("-m conntrack {!}--ctorigdst {fd00:2::2|fd00:1::1|fd00:2::/64}", 6),
        Words("-m conntrack {!}--ctreplsrc {fd00:2::2|fd00:1::1|fd00:2::/64}", 6),
        Words("-m conntrack {!}--ctrepldst {fd00:2::1|fd00:1::/64|fd00:1::2}", 6),
        Words("-m conntrack {!}--ctorigdstport {80|22:443}"),
        Words("-m conntrack {!}--ctreplsrcport {8080|22:443}"),
        Words("-m conntrack {!}--ctorigsrcport {1024:|:1023}"),
        Words("-m conntrack {!}--ctrepldstport {1024:|:1023}"),
        Words("-m conntrack --ctstate NEW,ESTABLISHED {!}--ctexpire {0:100|101:1000|1001:}"),
    ),
    "connmark": (Words("-m connmark {!}--mark {0x0|0x1|0x2/0x2|0x5/0xf}"),),
    "connbytes": (
        Words(
            "-m connbytes {!}--connbytes {2|3:5|0:1} --connbytes-mode packets"
            " --connbytes-dir {original|reply|both}"
        ),
        Words(
            "-m connbytes {!}--connbytes {100:|:99|200:2000} --connbytes-mode {bytes|avgpkt}"
            " --connbytes-dir {original|reply|both}"
        ),
    ),
    "connlabel": (Words("-m connlabel {!}--label {1|2} {--set|}"),),
    "mark": (Words("-m mark {!}--mark {0x0|0x1|0x0/0x3|0x2/0x2|0x3}"),),
    "multiport": (
        Words(
            "-m multiport {!}--{dports|sports|ports} {22,80,443|53|1024:8080,30000|80,8000:9000}",
            protocol="tcp udp udplite sctp dccp",
        ),
    ),
    "addrtype": (
        Words("-m addrtype {!}--{src|dst}-type {LOCAL|UNICAST|MULTICAST|BROADCAST,UNICAST}"),
        Words("-m addrtype {!}--src-type LOCAL {!}--dst-type {LOCAL|UNICAST}"),
        Words("-m addrtype {!}--dst-type LOCAL --limit-iface-in", hooks="PREROUTING INPUT FORWARD"),
        Words(
            "-m addrtype {!}--dst-type {LOCAL|UNICAST} --limit-iface-out",
            hooks="OUTPUT POSTROUTING FORWARD",
        ),
    ),
    "iprange": (
        Words("-m iprange {!}--{src|dst}-range {10.1.0.2-10.2.0.1|10.2.0.2-10.2.0.2}", 4),
        Words("-m iprange {!}--{src|dst}-range {fd00:1::2-fd00:2::1|fd00:2::2-fd00:2::2}", 6),
    ),
    "mac": (
        Words("-m mac {!}--mac-source 02:00:00:00:0{1|2}:02", hooks="PREROUTING INPUT FORWARD"),
    ),
    "limit": (Words("-m limit --limit {1/hour|2/hour} --limit-burst {1|3}"),),
    "hashlimit": (
        Words(
            "-m hashlimit --hashlimit-{upto|above} 1/hour --hashlimit-burst {1|3} --hashlimit-mode"
            " {srcip|dstip|srcip,dstip|dstport|srcip,dstip,dstport,srcport} --hashlimit-name {name}"
        ),
        Words(
            "-m hashlimit --hashlimit-{upto|above} 1/hour --hashlimit-burst 2 --hashlimit-name {name}"
        ),
        Words(
            "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 3 --hashlimit-mode srcip"
            " --hashlimit-srcmask {8|24} --hashlimit-name {name}",
            4,
        ),
    ),
    "recent": (
        Words("-m recent --name r{name} {!}--set --{rsource|rdest}"),
        Words("-m recent --name r{name} {!}--{rcheck|update} --{rsource|rdest}"),
        Words(
            "-m recent --name r{name} {!}--{rcheck|update} --seconds 3600 --hitcount {2|4} --rsource"
        ),
        Words("-m recent --name r{name} {!}--{rcheck|update} {--rttl|} --rdest"),
        Words("-m recent --name r{name} {!}--remove --rsource"),
    ),
    "statistic": (
        Words("-m statistic --mode nth {!}--every {2|3} --packet {0|1}"),
        Words("-m statistic --mode random {!}--probability {0.5|0.2|1|0}"),
    ),
    "comment": (Words('-m comment --comment {remark|"a remark"}'),),
    "set": (
        Words("-m set {!}--match-set {ip4|net4|bit4|list4} {src|dst}", 4),
        Words("-m set {!}--match-set {ip6|net6|list6} {src|dst}", 6),
        Words("-m set {!}--match-set {ipport4|netport4} {src,dst|dst,dst|src,src}", 4),
        Words("-m set {!}--match-set {ipport6|netport6} {src,dst|dst,dst|src,src}", 6),
        Words("-m set {!}--match-set {three4|threenet4} {src,dst,dst|dst,dst,src}", 4),
        Words("-m set {!}--match-set netiface4 {src,src|dst,src}", 4, hooks=IN),
        Words("-m set {!}--match-set netiface4 {src,dst|dst,dst}", 4, hooks=OUT),
        Words("-m set {!}--match-set bitmac4 {src|src,src}", 4, hooks=IN),
        Words("-m set {!}--match-set netnet4 {src,dst|dst,src}", 4),
        Words("-m set {!}--match-set ipmark4 {src,src|dst,dst}", 4),
        Words("-m set {!}--match-set mac src", hooks=IN),
        Words("-m set {!}--match-set bitport {src|dst}", 4, protocol="tcp udp"),
        Words("-m set {!}--match-set {grow4|ip4} {src|dst}", 4),
        Words("-m set {!}--match-set {grow6|ip6} {src|dst}", 6),
    ),
    "owner": (
        Words("-m owner {!}--{uid-owner|gid-owner} {0|1000|0-100}", hooks="OUTPUT POSTROUTING"),
        Words("-m owner {!}--socket-exists", hooks="OUTPUT POSTROUTING"),
    ),
    "physdev": (
        Words("-m physdev {!}--physdev-in {p0|p+}", hooks="PREROUTING INPUT FORWARD POSTROUTING"),
        Words("-m physdev {!}--physdev-is-{in|bridged}", hooks="FORWARD"),
    ),
    "pkttype": (Words("-m pkttype {!}--pkt-type {unicast|broadcast|multicast}"),),
    "length": (Words("-m length {!}--length {0:60|28:40|41|100:|65535}"),),
    "ttl": (
        Words("-m ttl --ttl-{eq 64|lt 64|gt 10|gt 64|lt 6}", 4),
        Words("-m ttl ! --ttl-eq {64|5|63}", 4),
    ),
    "hl": (
        Words("-m hl --hl-{eq 64|lt 64|gt 10|gt 64|lt 6}", 6),
        Words("-m hl ! --hl-eq {64|5|63}", 6),
    ),
    "tos": (Words("-m tos {!}--tos {0x10|0x08/0x18|0x00|0x02/0x03}"),),
    "dscp": (
        Words("-m dscp {!}--dscp {0x00|0x04|0x02}"),
        Words("-m dscp {!}--dscp-class {CS0|AF11}"),
    ),
    "ecn": (
        Words("-m ecn {!}--ecn-ip-ect {0|1|2|3}"),
        Words("-m ecn {!}--ecn-tcp-{cwr|ece}", protocol="tcp"),
    ),
    "tcpmss": (Words("-m tcpmss {!}--mss {0:1000|1460|1400:1500}", protocol="tcp"),),
    "time": (
        Words("-m time --datestart {2020-01-01|2037-01-01T00:00:00}"),
        Words("-m time {!}--weekdays {Mon,Tue,Wed|Thu,Fri,Sat,Sun}"),
        Words("-m time {!}--monthdays {1,2,3,4,5,6,7,8,9,10,11|20,21,22,23,24,25,26,27}"),
        Words("-m time --timestart 00:00:00 --timestop 23:59:59"),
    ),
    "string": (
        Words("-m string {!}--string {xxx|hello|GET} --algo {bm|kmp} --to 65535"),
        Words("-m string {!}--hex-string |78787878| --algo {bm|kmp} --from {0|20|60} --to 65535"),
        Words("-m string {!}--string HELLO --icase --algo {bm|kmp} --to 65535"),
    ),
    "u32": (
        Words("-m u32 {!}--u32 0x0&0xffff=0x0:0x3c", 4),
        Words("-m u32 {!}--u32 0x6&0xff=0x6&&0x0>>0x16&0x3c@0xc>>0x1a&0x3c@0x0=0x0:0xffffffff", 4),
        Words("-m u32 {!}--u32 0x0>>0x16&0x3c@0x0>>0x10=0x400:0xffff", 4),
        Words("-m u32 {!}--u32 0x4>>0x10&0xffff=0x0:0x14", 6),
        Words("-m u32 {!}--u32 0x8=0xfd000001", 6),
    ),
    "bpf": (
        Words('-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"', 4),
        Words('-m bpf --bytecode "4,48 0 0 6,21 0 1 17,6 0 0 65535,6 0 0 0"', 6),
    ),
    "rpfilter": (
        Words(
            "-m rpfilter {--invert|} {--loose|} {--accept-local|} {--validmark|}",
            hooks="PREROUTING",
            tables="raw mangle",
        ),
    ),
    "socket": (
        Words("-m socket {--transparent|--nowildcard|}", hooks="PREROUTING INPUT", tables="mangle"),
    ),
    "policy": (
        Words("-m policy --dir in --pol none", hooks="PREROUTING INPUT FORWARD"),
        Words("-m policy --dir out --pol none", hooks="OUTPUT POSTROUTING FORWARD"),
        Words("-m policy --dir in --pol ipsec", hooks="PREROUTING INPUT FORWARD"),
    ),
    "devgroup": (
        Words("-m devgroup {!}--src-group {0x0|0x1|0x0/0x1}", hooks=IN),
        Words("-m devgroup {!}--dst-group {0x0|0x1|0x0/0x1}", hooks=OUT),
    ),
    "realm": (
        Words("-m realm {!}--realm {0|0x5|1/1}", 4, hooks="INPUT FORWARD OUTPUT POSTROUTING"),
    ),
    "quota": (Words("-m quota {!}--quota {100|300|1000}"),),
    "cpu": (Words("-m cpu {!}--cpu {0|1}"),),
    "cgroup": (Words("-m cgroup {!}--cgroup {0|1}", hooks="OUTPUT POSTROUTING"),),
    "helper": (Words("-m helper {!}--helper {ftp|sip}"),),
    "frag": (
        Words("-m frag --fragid {1:1000|100:65535} {--fragfirst|--fraglast|--fragmore|}", 6),
        Words("-m frag {!}--fragid {1:1000|7}", 6),
    ),
    "rt": (
        Words("-m rt {!}--rt-type {0|2|4}", 6),
        Words("-m rt {!}--rt-segsleft {0|1:10}", 6),
    ),
    "hbh": (Words("-m hbh {!}--hbh-len {8|16}", 6), Words("-m hbh --hbh-opts {1|1:4|5:2}", 6)),
    "dst": (Words("-m dst {!}--dst-len {8|16}", 6), Words("-m dst --dst-opts {1|1:4|201}", 6)),
    "mh": (Words("-m mh {!}--mh-type {0|0:3|5|7:}", 6, "mh"),),
    "eui64": (Words("-m eui64", 6, hooks="PREROUTING INPUT FORWARD"),),
    "ipv6header": (
        Words("-m ipv6header {!}--header {hop|dst|route|frag|esp|none|prot} --soft", 6),
        Words("-m ipv6header {!}--header {hop|dst|frag|prot|hop,prot}", 6),
    ),
}

_V4_ANSWERS = (
    "icmp-{port-unreachable|host-prohibited|net-unreachable|admin-prohibited|proto-unreachable"
    "|host-unreachable|net-prohibited}"
)
_V6_ANSWERS = "icmp6-{port-unreachable|adm-prohibited|no-route|addr-unreachable}"
_DNAT = "PREROUTING OUTPUT"
# Legacy's lines have no ids, and an IPv6 copy looks like its packet: only nft is asked.
TEE_V6 = Words("-j TEE --gateway fd00:2::77", 6, hooks="INPUT", tables="mangle")
TARGETS: dict[str, tuple[Words, ...]] = {
    "ACCEPT": (Words("-j ACCEPT"),) * 4,
    "DROP": (Words("-j DROP", tables="filter mangle raw security"),),
    "RETURN": (Words("-j RETURN"),) * 4,
    "": (Words(""),) * 3,
    "REJECT": (
        Words("-j REJECT --reject-with tcp-reset", protocol="tcp", tables="filter", hooks="INPUT FORWARD OUTPUT"),
        Words(f"-j REJECT --reject-with {_V4_ANSWERS}", 4, tables="filter", hooks="INPUT FORWARD OUTPUT"),
        Words(f"-j REJECT --reject-with {_V6_ANSWERS}", 6, tables="filter", hooks="INPUT FORWARD OUTPUT"),
    ),
    "LOG": (Words("-j LOG --log-prefix {x|y} {--log-level 7|--log-ip-options|}"),),
    "NFLOG": (Words("-j NFLOG --nflog-group {3|4} {--nflog-prefix p|--nflog-threshold 2|}"),),
    "MARK": (
        Words("-j MARK --set-mark {1|2|0}", tables="mangle"),
        Words("-j MARK --{set-xmark 0x2/0x2|or-mark 1|and-mark 0xfe|xor-mark 3|set-xmark 0x1/0xff}", tables="mangle"),
    ),
    "CONNMARK": (
        Words("-j CONNMARK --set-xmark {0x1|0x2/0x2|0x5/0xf}"),
        Words("-j CONNMARK --{save-mark|and-mark 0x5|or-mark 0x2|xor-mark 0x1}"),
        Words("-j CONNMARK --restore-mark {--nfmask 0x3 --ctmask 0x3|}", tables="mangle"),
    ),
    "DNAT": (
        Words("-j DNAT --to-destination {10.2.0.2|10.1.0.1|10.1.0.2|10.2.0.2-10.2.0.9} {--persistent|||}", 4, hooks=_DNAT, tables="nat"),
        Words("-j DNAT --to-destination {fd00:2::2|fd00:1::1|fd00:1::2|fd00:2::2-fd00:2::9} {--persistent|||}", 6, hooks=_DNAT, tables="nat"),
        Words("-j DNAT --to-destination {10.2.0.2:8080|10.1.0.1:8000-8010|10.1.0.77:80} {--random|--persistent|}",
              4, "tcp udp", _DNAT, "nat"),
        Words("-j DNAT --to-destination {[fd00:2::2]:8080|[fd00:1::1]:8000-8010|[fd00:1::77]:80}", 6, "tcp udp", _DNAT,
              "nat"),
    ),
    "SNAT": (
        Words("-j SNAT --to-source {10.2.0.1|10.2.0.5|10.1.0.1|10.2.0.5-10.2.0.8} {--persistent|||}", 4, hooks="POSTROUTING INPUT",
              tables="nat"),
        Words("-j SNAT --to-source {fd00:2::1|fd00:2::5|fd00:1::1|fd00:2::5-fd00:2::8} {--persistent|||}", 6, hooks="POSTROUTING INPUT", tables="nat"),
        Words("-j SNAT --to-source {10.2.0.1:2000-2003|10.2.0.5:600} {--random|--persistent|}", 4, "tcp udp",
              "POSTROUTING", "nat"),
        Words("-j SNAT --to-source {[fd00:2::1]:2000-2003|[fd00:2::5]:600} {--random-fully|}", 6, "tcp udp",
              "POSTROUTING", "nat"),
    ),
    "MASQUERADE": (
        Words("-j MASQUERADE {--random|--random-fully|||}", hooks="POSTROUTING", tables="nat"),
        Words("-j MASQUERADE --to-ports {2000-2010|600}", 0, "tcp udp", "POSTROUTING", "nat"),
    ),
    "REDIRECT": (
        Words("-j REDIRECT", hooks=_DNAT, tables="nat"),
        Words("-j REDIRECT --to-ports {8080|8000-8010}", 0, "tcp udp", _DNAT, "nat"),
    ),
    "NETMAP": (
        Words("-j NETMAP --to {10.2.0.0/24|10.1.0.0/28}", 4, hooks="PREROUTING OUTPUT POSTROUTING INPUT", tables="nat"),
        Words("-j NETMAP --to {fd00:2::/64|fd00:1::/112}", 6, hooks="PREROUTING OUTPUT POSTROUTING INPUT", tables="nat"),
    ),
    "NOTRACK": (Words("-j NOTRACK", tables="raw"),),
    "CT": (Words("-j CT --notrack", tables="raw"), Words("-j CT --zone {1|2}", tables="raw")),
    "TRACE": (Words("-j TRACE", tables="raw"),),
    "TOS": (
        Words("-j TOS --set-tos {0x10|0x08/0x18|0x02/0xff}", tables="mangle"),
        Words("-j TOS --{and-tos 0x18|or-tos 0x04|xor-tos 0x10}", tables="mangle"),
    ),
    "DSCP": (Words("-j DSCP --set-dscp {0x04|0x0a|0x00}", tables="mangle"),),
    "ECN": (Words("-j ECN --ecn-tcp-remove", 4, "tcp", tables="mangle"),),
    "TTL": (Words("-j TTL --ttl-{set 20|dec 1|inc 1|dec 3}", 4, tables="mangle"),),
    "HL": (Words("-j HL --hl-{set 20|dec 1|inc 1|dec 3}", 6, tables="mangle"),),
    "TCPMSS": (
        Words("-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {1000|536|1460}", 0, "tcp", tables="mangle"),
        Words("-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu", 0, "tcp", "FORWARD OUTPUT POSTROUTING",
              "mangle"),
    ),
    "TCPOPTSTRIP": (
        Words("-j TCPOPTSTRIP --strip-options {mss|timestamp,sack|wscale,sack-permitted}", 0, "tcp", tables="mangle"),
    ),
    "TPROXY": (
        Words("-j TPROXY --on-port {8080|0} --on-ip 10.1.0.1 --tproxy-mark 0x1/0x1", 4, "tcp udp", "PREROUTING",
              "mangle"),
        Words("-j TPROXY --on-port 8080 --on-ip fd00:1::1 --tproxy-mark 0x1/0x1", 6, "tcp udp", "PREROUTING", "mangle"),
    ),
    "TEE": (
        Words("-j TEE --gateway 10.2.0.77", 4, tables="mangle"),
        TEE_V6,
    ),
    "SET": (
        Words("-j SET --{add|del}-set grow4 {src|dst}", 4),
        Words("-j SET --{add|del}-set grow6 {src|dst}", 6),
        Words("-j SET --add-set grow4 src --exist --timeout 600", 4),
    ),
    "CLASSIFY": (Words("-j CLASSIFY --set-class 0001:000{1|2}", tables="mangle", hooks="POSTROUTING FORWARD OUTPUT"),),
    "CHECKSUM": (Words("-j CHECKSUM --checksum-fill", tables="mangle"),),
    "NFQUEUE": (Words("-j NFQUEUE --queue-num {0|3} {--queue-bypass|}"),),
    "AUDIT": (Words("-j AUDIT --type {accept|drop|reject}"),),
    "SYNPROXY": (
        Words("-j SYNPROXY {--sack-perm --mss 1460|--timestamp --wscale 7|}", 0, "tcp", "INPUT FORWARD", "filter"),
    ),
    "HMARK": (
        Words("-j HMARK --hmark-tuple {src,dst|src,dst,sport,dport} --hmark-mod {1|4} --hmark-offset 1"
              " --hmark-rnd 0xfeedcafe", tables="mangle"),
    ),
    "IDLETIMER": (Words("-j IDLETIMER --timeout 600 --label l{name}"),),
    "RATEEST": (
        Words("-j RATEEST --rateest-name e{name} --rateest-interval 250.0ms --rateest-ewmalog 500.0ms", tables="mangle"),
    ),
    "SECMARK": (Words("-j SECMARK --selctx system_u:object_r:x_t:s0", tables="mangle security"),),
    "CONNSECMARK": (Words("-j CONNSECMARK --{save|restore}", tables="mangle security"),),
}  # fmt: skip

# The ipsets that the rules name. ``grow4`` and ``grow6`` are changed by -j SET.
IPSETS = """\
create ip4 hash:ip
add ip4 10.1.0.2
add ip4 10.2.0.1
create net4 hash:net
add net4 10.2.0.0/24
add net4 10.2.0.2 nomatch
create bit4 bitmap:ip range 10.1.0.0/24
add bit4 10.1.0.1
add bit4 10.1.0.77
create ipport4 hash:ip,port
add ipport4 10.2.0.2,tcp:80
add ipport4 10.1.0.2,udp:53
add ipport4 10.1.0.1,icmp:echo-request
create netport4 hash:net,port
add netport4 10.2.0.0/16,tcp:443
add netport4 10.1.0.0/24,udp:53
create three4 hash:ip,port,ip
add three4 10.1.0.2,tcp:80,10.2.0.2
create threenet4 hash:ip,port,net
add threenet4 10.1.0.2,tcp:80,10.2.0.0/24
add threenet4 10.1.0.2,udp:53,10.2.0.0/24
create netiface4 hash:net,iface
add netiface4 10.1.0.0/24,r0
add netiface4 10.2.0.0/24,r1
create bitmac4 bitmap:ip,mac range 10.1.0.0/24
add bitmac4 10.1.0.2,02:00:00:00:01:02
add bitmac4 10.1.0.77
create netnet4 hash:net,net
add netnet4 10.1.0.0/24,10.2.0.0/24
add netnet4 10.1.0.2,10.2.0.0/24 nomatch
create ipmark4 hash:ip,mark
add ipmark4 10.1.0.2,0x00000001
create mac hash:mac
add mac 02:00:00:00:01:02
create bitport bitmap:port range 0-10000
add bitport 80
add bitport 443
create list4 list:set
add list4 ip4
add list4 net4
create grow4 hash:ip timeout 0
create ip6 hash:ip family inet6
add ip6 fd00:1::2
add ip6 fd00:2::1
create net6 hash:net family inet6
add net6 fd00:2::/64
create ipport6 hash:ip,port family inet6
add ipport6 fd00:2::2,tcp:80
create netport6 hash:net,port family inet6
add netport6 fd00:2::/64,tcp:443
create list6 list:set
add list6 ip6
create grow6 hash:ip family inet6 timeout 0
"""
