"""Rules to put before the real iptables: each option of each extension, in right and wrong forms.

``generated()`` crosses every option of the registries with words of every kind; ``written()`` reads
what an administrator writes: combinations, odd orders, defaults written out, missing parts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nb_lib.matches import MATCHES, find_match
from nb_lib.matches.core import CORE
from nb_lib.targets import TARGETS, find_target
from tests.extensions.judge import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nb_lib.options import Extension, Option

# Words of every kind; each option meets all of them.
WORDS = (
    '""', "0", "1", "5", "10", "010", "0x10", "0X1f", "-1", "+3", "31", "32", "63", "64", "128", "129",
    "255", "256", "1000", "65535", "65536", "1000000", "4294967295", "4294967296", "1e3", "0.5", "1.5",
    "1/2", "0x1/0xff", "0xf/5/6", "1:2", "2:1", ":5", "5:", ":", "1:2:3", "1-2", "2-1", "1,2", "1,,2",
    "5/min", "5/sec", "1/day", "3kb/s", "a", "http", "domain:http", "a_b", '"a b"', '"it\'s"', "none",
    "any", "all", "tcp", "UDP", "icmp", "ipv6-icmp", "esp", "1.2.3.4", "1.2.3.4/24", "1.2.3.4/255.0.255.0",
    "1.2.3", "1.2.3.4-1.2.3.9", "1.2.3.9-1.2.3.4", "1.2.3.4:80", "fd00::1", "FD00::1/64", "::ffff:1.2.3.4",
    "fd00::1-fd00::9", "[fd00::1]:80", "eth0", "eth+", "+", "averyveryverylongname", "NEW", "new,est",
    "INVALID,UNTRACKED", "LOCAL", "src", "src,dst", "root", "0:1:2:3:4:5", "00:11:22:AA:BB:CC", "SYN",
    "echo-request", "host-unreach", "unicast", "in", "out", "srcip,dstport", "nth", "random", "0x2f",
    "EF", "CS1", "250ms", "4s", "0.5sec", "src,sport", "wscale,timestamp", "REQUEST,ack",
    "hop,dst", "6&0xFF=1", "a:ffff", "accept", "AF11",
    "Minimize-Delay", "mon,tue", "10:00", "2024-01-02", "2024-01-02T03:04:05",
)  # fmt: skip
# Options that need a companion before they can be judged: extension → option → what to add.
COMPANIONS: dict[str, dict[str, str]] = {
    "core": {"": ""},
    "hashlimit": {
        "": "--hashlimit-upto 5/s --hashlimit-name n",
        "--hashlimit-above": "--hashlimit-name n",
        "--hashlimit-upto": "--hashlimit-name n",
        "--hashlimit-name": "--hashlimit-upto 5/s",
        "--hashlimit-rate-interval": "--hashlimit-upto 5/s --hashlimit-name n --hashlimit-rate-match",
    },
    "recent": {
        "--seconds": "--rcheck",
        "--reap": "--update --seconds 4",
        "--hitcount": "--update",
        "--rttl": "--rcheck",
        "--name": "--set",
        "--mask": "--set",
        "--rsource": "--set",
        "--rdest": "--set",
    },
    "policy": {
        "--dir": "--pol none",
        "--pol": "--dir in",
        "": "--dir in --pol ipsec",
        "--tunnel-src": "--dir in --pol ipsec --mode tunnel",
        "--tunnel-dst": "--dir in --pol ipsec --mode tunnel",
    },
    "addrtype": {"--limit-iface-in": "--src-type LOCAL", "--limit-iface-out": "--src-type LOCAL"},
    "owner": {"--suppl-groups": "--gid-owner 5"},
    "connlimit": {
        "--connlimit-mask": "--connlimit-above 3",
        "--connlimit-saddr": "--connlimit-above 3",
        "--connlimit-daddr": "--connlimit-above 3",
    },
    "statistic": {
        "--mode": "--probability 0.5",
        "--probability": "--mode random",
        "--every": "--mode nth",
        "--packet": "--mode nth --every 4",
    },
    "rt": {
        "--rt-0-res": "--rt-type 0",
        "--rt-0-addrs": "--rt-type 0",
        "--rt-0-not-strict": "--rt-type 0 --rt-0-addrs fd00::1",
    },
    "set": {"": "--match-set s4 src", "--match-set": ""},
    "CONNMARK": {
        "--nfmask": "--save-mark",
        "--ctmask": "--restore-mark",
        "--mask": "--save-mark",
        "--left-shift-mark": "--set-xmark 1",
        "--right-shift-mark": "--save-mark",
    },
    "connbytes": {
        "--connbytes": "--connbytes-dir both --connbytes-mode bytes",
        "--connbytes-dir": "--connbytes 5 --connbytes-mode bytes",
        "--connbytes-mode": "--connbytes 5 --connbytes-dir both",
    },
    "connlabel": {"--set": "--label 5"},
    "string": {
        "--string": "--algo bm",
        "--hex-string": "--algo kmp",
        "--algo": "--string x",
        "": "--string x --algo bm",
    },
    "time": {"--contiguous": "--timestart 22:00 --timestop 06:00"},
    "ipv6header": {"--soft": "--header hop"},
    "NFQUEUE": {"--queue-cpu-fanout": "--queue-balance 1:3"},
    "TEE": {"--oif": "--gateway 1.2.3.4"},
    "SET": {
        "--exist": "--add-set s4 src",
        "--timeout": "--add-set s4 src",
        "--map-mark": "--map-set s4 src",
        "--map-prio": "--map-set s4 src",
        "--map-queue": "--map-set s4 src",
        "--map-set": "--map-mark",
    },
    "TPROXY": {"--on-ip": "--on-port 80", "--tproxy-mark": "--on-port 80"},
    "IDLETIMER": {
        "--timeout": "--label x",
        "--label": "--timeout 5",
        "--alarm": "--timeout 5 --label y",
    },
    "RATEEST": {
        "--rateest-name": "--rateest-interval 1s --rateest-ewmalog 2s",
        "--rateest-interval": "--rateest-name a --rateest-ewmalog 32s",
        "--rateest-ewmalog": "--rateest-name a --rateest-interval 250ms",
    },
    "HMARK": {
        "": "--hmark-tuple src --hmark-mod 10 --hmark-rnd 1",
        "--hmark-mod": "--hmark-tuple src --hmark-rnd 1",
        "--hmark-rnd": "--hmark-tuple src --hmark-mod 10",
        "--hmark-tuple": "--hmark-mod 10 --hmark-rnd 1",
        "--hmark-src-prefix": "--hmark-mod 10 --hmark-rnd 1",
    },
    "DNAT": {"--random": "--to-destination 1.2.3.4", "--persistent": "--to-destination 1.2.3.4"},
    "SNAT": {
        "--random": "--to-source 1.2.3.4",
        "--persistent": "--to-source 1.2.3.4",
        "--random-fully": "--to-source 1.2.3.4",
    },
}
# Names that the running kernel must know: modules, policies.
LOOKED_UP = {
    "CT": ("--helper", "--timeout"),
    "cgroup": ("--path",),
    "SECMARK": ("--selctx",),
    "SET": ("--map-set", "--map-mark", "--map-prio", "--map-queue"),
}
# What the namespace needs before rules can name it.
SETUP = "ipset create s4 hash:ip; ipset create s6 hash:ip family inet6; modprobe -a nf_conntrack_ftp || true"


def written() -> Iterator[Case]:
    """Yield the rules of written.txt."""
    lines = (Path(__file__).parent / "written.txt").read_text().splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            family, table, rule = line.split(" ", 2)
            yield _own_names(Case(int(family), table, rule), f"w{number}")


def generated() -> Iterator[Case]:
    """Yield each option of each extension with each word, for the families that have it."""
    for number, case in enumerate(_generated()):
        yield _own_names(case, str(number))


def _own_names(case: Case, suffix: str) -> Case:
    """Rules of one hashlimit or rateest name share their state, so each gets a name of its own."""
    rule = re.sub(r"(--hashlimit-name n|--rateest-name a)(?= |$)", rf"\g<1>{suffix}", case.rule)
    return case._replace(rule=rule)


def _generated() -> Iterator[Case]:
    for family in (4, 6):
        for option in CORE.options:
            yield from _option(family, "filter", "", "core", option)
        for name in sorted({key.partition("/")[0] for key in MATCHES}):
            extension = find_match(name, family)
            if extension is not None:
                yield from _extension(family, extension, f"-m {name}")
        for name in sorted(
            {key.partition("/")[0] for key in TARGETS} - {"QUEUE"}
        ):  # the kernel may lack it
            extension = find_target(name, family)
            if extension is not None:
                yield from _extension(family, extension, f"-j {name}")


def _extension(family: int, extension: Extension, load: str) -> Iterator[Case]:
    protocol = f"-p {extension.protocols[0]} " if extension.protocols else ""
    table = extension.tables[0] if extension.tables else "filter"
    if load.startswith("-j") and table == "nat":
        protocol = "-p tcp "
    yield Case(family, table, f"{protocol}{load}")
    if protocol:
        yield Case(family, table, load)
        yield Case(family, table, f"! {protocol}{load}")
        yield Case(family, table, f"-p 47 {load}")
    for option in extension.options:
        yield from _option(family, table, f"{protocol}{load}", extension.name, option)


def _option(family: int, table: str, start: str, extension: str, option: Option) -> Iterator[Case]:
    if option.name in LOOKED_UP.get(extension, ()):
        return
    companions = COMPANIONS.get(extension, {})
    beside = companions.get(option.name, companions.get("", ""))
    beside = beside.replace("s4", f"s{family}")
    for name in (option.name, *option.aliases):
        yield Case(family, table, f"{start} {beside} {name}".strip())
        yield Case(family, table, f"{start} {beside} ! {name}".strip())
    words = WORDS if option.kind.arity else ()
    if option.kind.arity == 2:
        words = tuple(
            f"{word} {other}" for word in WORDS[::3] for other in ("1", "SYN", "src,dst", "ALL")
        )
    if option.name.endswith("-set") and option.kind.arity == 2:
        words = tuple(f"s{family} {word}" for word in WORDS)
    for word in words:
        yield Case(family, table, f"{start} {beside} {option.name} {word}".strip())
    for word in words[::6]:
        yield Case(family, table, f"{start} {beside} ! {option.name} {word}".strip())
        yield Case(
            family, table, f"{start} {beside} {option.name} {word} {option.name} {word}".strip()
        )
