"""What tells of a host, damaged: addresses and routes as JSON, ipsets, settings, the command's arguments."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.text import EDGES, MARKUP, ODD, damaged
from tests.recordings import archive

HERE = Path(__file__).parents[2] / "data" / "kube-proxy"
VALUES = [
    *(None, True, -1, 0, 1, 33, 129, 2**40, 1e400, "", "x", "10.0.0.1", "fd00::1", "10.0.0.0/8"),
    *("default", [], {}, [[]], [None], {"x": None}, "☃", "\udc80", *MARKUP[:5]),
]
NESTED = ("[" * 100_000, '{"a":' * 50_000, '[{"addr_info":' * 5_000)
SETS = """\
create banned hash:ip family inet hashsize 1024 maxelem 65536 timeout 600 counters comment
add banned 192.0.2.1 timeout 595 packets 1 bytes 60 comment "a b"
create web hash:ip,port family inet hashsize 1024
add web 10.1.0.2,tcp:80
create nets hash:net,iface family inet6
add nets fd00::/8,eth0 nomatch
create map bitmap:port range 0-1024
add map 80
create all list:set size 8
add all banned
create pair hash:net,port,net family inet
add pair 10.0.0.0/8,icmp:8/0,10.2.0.0/16
create m hash:ip,mark family inet
add m 10.1.0.2,0x1
create a bitmap:ip,mac range 10.1.0.0/24
add a 10.1.0.2,00:11:22:33:44:55
"""
MATCHES = """\
*filter
-A INPUT -m set --match-set banned src -j DROP
-A INPUT -m set ! --match-set web src,dst
-A INPUT -m set --match-set nets src,src
-A INPUT -m set --match-set map dst
-A INPUT -m set --match-set all src
-A INPUT -m set --match-set pair src,dst,dst
-A INPUT -m set --match-set m src,src
-A INPUT -m set --match-set a src,src
-A INPUT -j SET --add-set web src,dst --timeout 4
COMMIT
"""


@cache
def _files() -> dict[str, str]:
    saved = archive("dumps.tar.xz")["dumps/fail2ban.ipset.txt"].decode()
    return {
        "ip-addr.json": (HERE / "ip-addr.json").read_text(),
        "ip-route.json": (HERE / "ip-route.json").read_text(),
        "ip6-route.json": '[{"dst":"default","gateway":"fd00:2::2","dev":"eth1","metric":1024}]',
        "ipset-save.txt": SETS + saved[:2000],
        "sysctl.txt": (HERE / "sysctl.txt").read_text()
        + "net.netfilter.nf_conntrack_udp_timeout = 30\nnet.ipv4.conf.all.rp_filter = 1\n",
    }


def files(pick: Random) -> tuple[tuple[str, str], ...]:
    """Return some files of a host's folder, most of them damaged."""
    names = pick.sample(sorted(_files()), pick.randint(1, 4))
    return tuple((name, _file(pick, name)) for name in names)


def _file(pick: Random, name: str) -> str:
    text = _files()[name]
    if name.endswith("json"):
        if pick.random() < 0.01:
            return pick.choice(NESTED)
        if pick.random() < 0.7:
            return json.dumps(_changed(pick, json.loads(text)))
    return damaged(pick, text)


def _changed(pick: Random, value: Any) -> Any:
    """Exchange a part of a structure for something else."""
    if pick.random() < 0.15 or not value or not isinstance(value, (list, dict)):
        return pick.choice(VALUES)
    if isinstance(value, list):
        at = pick.randrange(len(value))
        return [*value[:at], _changed(pick, value[at]), *value[at + 1 :]]
    name = pick.choice(sorted(value))
    return {key: part for key, part in value.items() if key != name} | (
        {name: _changed(pick, value[name])} if pick.random() < 0.85 else {}
    )


ODD_WORDS = (
    *(
        *EDGES,
        *ODD,
        *MARKUP[:3],
        "",
        "a=b",
        "=",
        "10.1.0.2",
        "10.1.0.2:80",
        "[fd00::1]:80",
        "fd00::1",
    ),
    *("[", "]", "[::", "1.2.3.4:99999", ":80", "10.1.0.2:", "%", "fe80::1%eth0"),
)
OPTIONS = {
    "--addr": ("eth0=10.1.0.1/24", "eth0=fd00:1::1/64"),
    "--route": ("default=eth0", "10.0.0.0/8=eth0 via 10.1.0.2"),
    "--sysctl": ("net.ipv4.ip_forward=0", "net.ipv4.conf.all.rp_filter=1"),
    "--mark": ("1", "0xff"),
    "--flags": ("SYN", "SYN,ACK", "NONE", "ALL"),
}
PROTOCOLS = ("tcp", "udp", "icmp", "sctp", "47", "icmpv6")


def arguments(pick: Random) -> tuple[str, ...]:
    """Return arguments of ``python -m nb_lib trace FILE``, some of them wrong."""

    def word(*usual: str) -> str:
        return pick.choice(usual if pick.random() < 0.8 else ODD_WORDS)

    found = ["--in", word("eth0", "lo", "x")] if pick.random() < 0.8 else ["--local"]
    for flag, usual in OPTIONS.items():
        if pick.random() < 0.35:
            found += [f"{flag}={word(*usual)}"]
    found += ["--json"] * (pick.random() < 0.3) + ["--legacy"] * (pick.random() < 0.3)
    ends = word("10.1.0.2:4000", "fd00:1::2"), word("10.2.0.2:80", "10.1.0.1:80", "fd00:2::2")
    return (*found, "--", word(*PROTOCOLS), *ends)
