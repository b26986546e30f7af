"""Rules to put before the real iptables: each option of each extension, in right and wrong forms.

``generated()`` crosses every option that the help texts name with words of every kind, plain, negated and
twice, for both families; ``written()`` reads what an administrator writes: combinations, odd orders,
defaults written out, missing parts. ``cases()`` puts each before iptables-nft and iptables-legacy.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nb_lib.hooks import BUILTIN
from nb_lib.matches import find_match
from nb_lib.matches.core import CORE
from nb_lib.options import unknown
from nb_lib.targets import find_target
from tests.extensions.judge import Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nb_lib.options import Extension, Option
    from tests.extensions.helps import Helps

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
    "5kbit", "1.5Mibps", '"1,6 0 0 1"', '"2,48 0 0 9,22 0 0 0"', '"2,6 0 0 1"', "01:00:5e:0:0:20", "MASQ",
    "fd00:1::/48", "fd00:1::/56", "inf",
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
    "bpf": {"": '--bytecode "1,6 0 0 1"', "--bytecode": "", "--object-pinned": ""},
    "cluster": {
        "": "--cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 1",
        "--cluster-total-nodes": "--cluster-local-node 1 --cluster-hash-seed 1",
        "--cluster-local-node": "--cluster-total-nodes 20 --cluster-hash-seed 1",
        "--cluster-local-nodemask": "--cluster-total-nodes 20 --cluster-hash-seed 1",
        "--cluster-hash-seed": "--cluster-total-nodes 2 --cluster-local-node 1",
    },
    "ipvs": {"": "--vproto 6", "--vproto": ""},
    "nfacct": {"": "--nfacct-name a", "--nfacct-name": ""},
    "osf": {"": "--genre Linux", "--genre": ""},
    "rateest": {
        "": "--rateest a --rateest-lt --rateest-pps 5",
        "--rateest1": "--rateest-lt --rateest-bps",
        "--rateest2": "--rateest1 a --rateest-lt --rateest-bps",
        "--rateest-bps1": "--rateest a --rateest-delta --rateest-gt",
        "--rateest-pps1": "--rateest a --rateest-delta --rateest-gt",
        "--rateest-bps2": "--rateest a --rateest-eq",
        "--rateest-pps2": "--rateest a --rateest-eq",
        "--rateest-lt": "--rateest a --rateest-pps 5",
        "--rateest-gt": "--rateest a --rateest-pps 5",
        "--rateest-eq": "--rateest a --rateest-pps 5",
    },
    "CLUSTERIP": {
        "": "--new --hashmode sourceip --clustermac 01:00:5e:00:00:20 --total-nodes 2 --local-node 1",
        "--new": "--hashmode sourceip --clustermac 01:00:5e:00:00:20 --total-nodes 2 --local-node 1",
        "--hashmode": "--new --clustermac 01:00:5e:00:00:20 --total-nodes 2 --local-node 1",
        "--clustermac": "--new --hashmode sourceip --total-nodes 2 --local-node 1",
        "--total-nodes": "--new --hashmode sourceip --clustermac 01:00:5e:00:00:20 --local-node 1",
        "--local-node": "--new --hashmode sourceip --clustermac 01:00:5e:00:00:20 --total-nodes 2",
    },
    "LED": {"": "--led-trigger-id x", "--led-trigger-id": ""},
    "DNPT": {
        "--src-pfx": "--dst-pfx fd00:5::/64",
        "": "--src-pfx fd00:5::/64 --dst-pfx fd00:6::/64",
    },
    "SNPT": {
        "--dst-pfx": "--src-pfx fd00:5::/64",
        "": "--src-pfx fd00:5::/64 --dst-pfx fd00:6::/64",
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
    "bpf": ("--object-pinned",),
}
# Extensions whose kernel half the machine may lack: iptables' own half is asked, over a stand-in.
WITHOUT_KERNEL = ("ipvs", "CLUSTERIP", "LED", "ULOG")
FIRST = 12  # rules of an extension in each table and each of the hooks come first
TABLES = ("filter", "nat", "mangle", "raw", "security")


def cases(helps: Helps, every: int = 1) -> list[Case]:
    """Return the written rules, and one of ``every`` so many generated ones, for each backend."""
    return [
        case._replace(backend=backend)
        for case in dict.fromkeys([*written(), *generated(helps, every)])
        for backend in _backends(case.rule)
    ]


def _backends(rule: str) -> tuple[str, ...]:
    rare = any(f" {name} " in f"{rule} " for name in WITHOUT_KERNEL)
    return ("stand-in",) if rare else ("nft", "legacy")


def written() -> Iterator[Case]:
    """Yield the rules of written.txt."""
    lines = (Path(__file__).parent / "written.txt").read_text().splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            family, place, rule = line.split(" ", 2)
            table, _, caller = place.partition(":")
            yield _own_names(Case(int(family), table, rule, caller=caller), f"w{number}")


def generated(helps: Helps, every: int = 1) -> Iterator[Case]:
    """Yield each option of each extension with each word, for the families that have it.

    Of each extension the first rules, which hold no more than it needs, and then one of ``every`` many.
    """
    number = 0
    for group in _groups(helps):
        for place, case in enumerate(group):
            number += 1
            if place < FIRST or not place % every:
                yield _own_names(case, str(number))


def _own_names(case: Case, suffix: str) -> Case:
    """Rules of one hashlimit or rateest name share their state, so each gets a name of its own."""
    rule = re.sub(r"(--hashlimit-name n|--rateest-name a)(?= |$)", rf"\g<1>{suffix}", case.rule)
    return case._replace(rule=rule)


def _groups(helps: Helps) -> Iterator[Iterable[Case]]:
    """Yield the rules of each extension and family."""
    for family in (4, 6):
        for option in CORE.options:
            yield _option(Case(family, "filter", ""), "core", option.name, option)
    for key, named in helps.items():
        flag, name, family = key.split()
        find = find_target if flag == "-j" else find_match
        yield _extension(int(family), f"{flag} {name}", find(name, int(family)), named)


def _extension(
    family: int, load: str, extension: Extension | None, named: Sequence[str]
) -> Iterator[Case]:
    """Rules of one extension; if nb_lib does not know it, of its bare options."""
    extension = extension or unknown(load.split()[1])
    protocol = f"-p {extension.protocols[0]} " if extension.protocols else ""
    table = extension.tables[0] if extension.tables else "filter"
    if load.startswith("-j") and table == "nat":
        protocol = "-p tcp "
    bare = Case(family, table, f"{protocol}{load}")
    whole = COMPANIONS.get(extension.name, {}).get("", "").replace("s4", f"s{family}")
    full = bare._replace(rule=f"{bare.rule} {whole}".strip())
    yield from (full._replace(table=other) for other in TABLES)
    mangle = "nat" if table == "nat" else "mangle"
    yield from (full._replace(table=mangle, caller=caller) for caller in BUILTIN[mangle])
    yield bare
    yield bare._replace(rule=f"{bare.rule} --nosuch 1")
    if protocol:
        yield from (bare._replace(rule=rule) for rule in (load, f"! {bare.rule}", f"-p 47 {load}"))
    aliases = [
        alias for name in named if (of := extension.by_name.get(name)) for alias in of.aliases
    ]
    for name in dict.fromkeys([*named, *extension.by_name, *aliases]):
        yield from _option(bare, extension.name, name, extension.by_name.get(name))


def _option(bare: Case, extension: str, name: str, option: Option | None) -> Iterator[Case]:
    """Rules of one option, behind ``bare`` and what else the option needs."""
    key = option.name if option else name
    if key in LOOKED_UP.get(extension, ()):
        return
    companions = COMPANIONS.get(extension, {})
    beside = companions.get(key, companions.get("", "")).replace("s4", f"s{bare.family}")
    before = f"{bare.rule} {beside}".strip()

    def case(text: str) -> Case:
        return bare._replace(rule=f"{before} {text}".strip())

    yield case(name)
    yield case(f"! {name}")
    words = _words(bare.family, key, option)
    if option is not None and name != option.name:  # an alias: the same, in fewer words
        words = words[::12]
    for word in words:
        yield case(f"{name} {word}")
    for word in words[::6]:
        yield case(f"! {name} {word}")
        yield case(f"{name} {word} {name} {word}")
    for word in words[::24]:
        yield case(f"{name}={word}")
        yield case(f"{name[:-1]} {word}")


def _words(family: int, name: str, option: Option | None) -> tuple[str, ...]:
    """Return what is written behind an option."""
    arity = option.kind.arity if option else 1
    if arity == 2 and name.endswith("-set"):
        return tuple(f"s{family} {word}" for word in WORDS)
    if arity == 2:
        others = ("1", "SYN", "src,dst", "ALL")
        return tuple(f"{word} {other}" for word in WORDS[::3] for other in others)
    return WORDS if arity else WORDS[:2]
