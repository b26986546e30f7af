"""The rules that depend on time or on what came before, and the packets that are sent through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import NamedTuple

from nb_lib.headers import ACK, RST, SYN
from nb_lib.packet import Packet, tcp, udp

NAPS = (0, 0, 0.02, 0.1, 0.2, 0.3)
SLOW = (0.2, 0.3, 0.4)
SIZES = (0, 20, 200, 500)
SPORTS = (4000, 4000, 4000, 4001, 4001, 4002)  # some flows are busy, some are forgotten
PREFIX = {4: "10.{}.0.{}", 6: "fd00:{}::{}"}


class Step(NamedTuple):
    """Wait, then put a packet on a wire (c0 or s0)."""

    nap: float
    wire: str
    packet: Packet


class Chain(NamedTuple):
    """Rules that see the packets of one port, and the packets."""

    name: str
    port: int
    rules: tuple[str, ...]
    packets: Callable[[Random, int], Iterator[Step]]
    sets: tuple[str, ...] = ()  # lines of `ipset restore`


def address(family: int, net: int, host: int) -> str:
    """Return an address of the client's net (1) or the server's (2)."""
    return PREFIX[family].format(net, host)


# --- packets ---


def datagrams(port: int, pick: Random, family: int, naps: Sequence[float] = NAPS) -> Iterator[Step]:
    """UDP one way, from three clients."""
    for _ in range(30):
        yield Step(pick.choice(naps), "c0", udp(
            address(family, 1, pick.choice((2, 3, 77))), address(family, 2, 2), sport=4000, dport=port,
            payload=bytes(pick.choice(SIZES)), ttl=pick.choice((64, 64, 63)),
        ))  # fmt: skip


def flows(port: int, pick: Random, family: int) -> Iterator[Step]:
    """UDP both ways, of three flows; conntrack forgets the quieter ones."""
    naps = (*NAPS, 0.6)
    for _ in range(30):
        sent = udp(address(family, 1, 2), address(family, 2, 2), sport=pick.choice(SPORTS),
                   dport=port, payload=bytes(pick.choice(SIZES)))  # fmt: skip
        yield Step(pick.choice(naps), "c0", sent)
        if pick.random() < 0.5:
            yield Step(pick.choice(NAPS), "s0", sent.reply(payload=bytes(pick.choice(SIZES))))


def connections(port: int, pick: Random, family: int) -> Iterator[Step]:
    """TCP connections and UDP flows that are opened, answered, reset and forgotten."""
    open_: list[Packet] = []
    for sport in range(4000, 4030):
        ends = address(family, 1, pick.choice((2, 3, 77))), address(family, 2, pick.choice((2, 77)))
        if pick.random() < 0.3:
            yield Step(pick.choice(NAPS), "c0", udp(*ends, sport=sport, dport=port))
            continue
        syn = tcp(*ends, sport=sport, dport=port, flags=SYN, seq=100)
        yield Step(pick.choice(NAPS), "c0", syn)
        if pick.random() < 0.8:
            open_.append(syn)
            yield Step(0, "s0", syn.reply(flags=SYN | ACK, seq=500, ack=101))
        if open_ and pick.random() < 0.6:
            old = open_.pop(pick.randrange(len(open_)))
            yield Step(pick.choice(NAPS), "s0", old.reply(flags=RST | ACK, seq=501, ack=101))


# --- rules ---

LIMIT = ("-m limit --limit 10/s --limit-burst 3", "-m limit --limit 200/min")
# An entry is forgotten when the collector passes: these would be full again by then.
HASHLIMIT = (
    "-m hashlimit --hashlimit-upto 3/s --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name a",
    (
        "-m hashlimit --hashlimit-above 90/min --hashlimit-burst 2 --hashlimit-mode srcip"
        " --hashlimit-srcmask {short} --hashlimit-name b"
    ),
    "-m hashlimit --hashlimit-upto 300b/s --hashlimit-mode dstip --hashlimit-name c",
    "-m hashlimit --hashlimit-upto 300b/s --hashlimit-burst 1kb --hashlimit-mode dstip --hashlimit-name d",
    "-m hashlimit --hashlimit-above 5/s --hashlimit-rate-match --hashlimit-mode dstip --hashlimit-name e",
    "-m hashlimit ! --hashlimit-upto 4/s --hashlimit-burst 2 --hashlimit-name f",
    "-m hashlimit ! --hashlimit-above 4/s --hashlimit-burst 2 --hashlimit-name g",
    (
        "-m hashlimit --hashlimit-upto 2/s --hashlimit-burst 1 --hashlimit-mode srcip,dstport "
        "--hashlimit-htable-expire 60000 --hashlimit-name h"
    ),
)
HITS = (
    "-m recent --rcheck --seconds 1 --hitcount 3 --name r1",
    "-m recent --set --name r1",
    "-m recent --update --seconds 1 --hitcount 3 --name r2 --rttl",
    "-m recent --set --name r2",
    "-m recent ! --update --seconds 1 --name r5 --rdest",
    "-m statistic --mode nth --every 5 --packet 0 -m recent --set --name r5 --rdest",
)
GONE = (
    "-m recent --update --seconds 1 --reap --name r3",
    "-m recent ! --rcheck --name r3",
    "-m statistic --mode nth --every 3 --packet 1 -m recent --set --name r3",
    "-m recent --remove --name r4 --mask {mask}",
    "-m statistic --mode nth --every 4 --packet 0 -m recent --set --name r4 --mask {mask}",
)
NTH = (
    "-m statistic --mode nth --every 3 --packet 2",
    "-m statistic --mode nth ! --every 4 --packet 0",
)
QUOTA = ("-m quota --quota 3000", "-m quota ! --quota 1200")
# A match behind one that fails is not asked, so it spends nothing.
ORDER = ("-m length --length 28:60 -m limit --limit 5/s --limit-burst 2",)
CONNBYTES = tuple(
    f"-m connbytes {amount} --connbytes-mode {mode} --connbytes-dir {way}"
    for way in ("original", "reply", "both")
    for amount, mode in (
        ("--connbytes 2", "packets"),
        ("! --connbytes 2:4", "packets"),
        ("--connbytes 300:900", "bytes"),
        ("! --connbytes 500", "bytes"),
        ("--connbytes 60:200", "avgpkt"),
        ("! --connbytes 100", "avgpkt"),
    )
)
CONNLIMIT = (
    "-m connlimit --connlimit-upto 2",
    "-m connlimit --connlimit-above 2 --connlimit-saddr",
    "-m connlimit --connlimit-above 4 --connlimit-mask {net}",
    "-m connlimit --connlimit-upto 3 --connlimit-daddr",
    "-m connlimit --connlimit-above 3 --connlimit-mask {short} --connlimit-daddr",
    "-m connlimit ! --connlimit-upto 1",
    "-m connlimit ! --connlimit-above 1 --connlimit-mask 0",
)
EXPIRY = (
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate ESTABLISHED",
    "-m conntrack ! --ctstate NEW --ctdir ORIGINAL",
    "-m conntrack --ctstatus ASSURED",
    "-m conntrack ! --ctstatus SEEN_REPLY",
    # Each timeout is whole seconds, and a tick may pass between its renewal and the rule.
    "-m conntrack --ctexpire 0",
    "-m conntrack --ctexpire 1:2",
    "-m conntrack ! --ctexpire 1:2",
    "-m conntrack --ctexpire 3:4 --ctdir REPLY",
)
SETS = ("create a{v} hash:ip {family} timeout 3", "create b{v} hash:ip,port {family} timeout 1",
        "create c{v} hash:net {family} timeout 0")  # fmt: skip
SET = (
    "-m set --match-set a{v} src",
    "-m set ! --match-set a{v} src",
    "-m set --match-set b{v} src,src",
    "-m set ! --match-set c{v} src",
    "-m statistic --mode nth --every 3 --packet 0 -j SET --add-set a{v} src --timeout 1",
    "-m statistic --mode nth --every 4 --packet 1 -j SET --add-set b{v} src,src --exist",
    "-m statistic --mode nth --every 9 --packet 2 -j SET --del-set a{v} src",
    "-m statistic --mode nth --every 5 --packet 3 -j SET --add-set c{v} src --exist --timeout 2",
    "-m statistic --mode nth --every 11 --packet 5 -j SET --add-set a{v} src",
)


def clock(now: int) -> tuple[str, ...]:
    """Rules whose times begin and end while the packets come."""

    def at(seconds: float, form: str = "%H:%M:%S") -> str:
        return (datetime.fromtimestamp(now, UTC) + timedelta(seconds=seconds)).strftime(form)

    day, yesterday = at(0, "%a"), at(-86_400, "%a")
    date, past = int(at(0, "%d")), int(at(-86_400, "%d"))
    moment = "%Y-%m-%dT%H:%M:%S"
    inside = f"--timestart {at(4)} --timestop {at(6)}"
    outside = f"--timestart {at(7)} --timestop {at(5)}"
    return tuple(f"-m time {options}" for options in (
        inside, f"--timestart {at(5)}", f"--timestop {at(5)}", outside,
        f"{inside} --kerneltz", f"{outside} --weekdays {day}", f"{outside} ! --weekdays {day}",
        f"{outside} --contiguous --weekdays {day}", f"{outside} --contiguous --weekdays {yesterday}",
        f"{outside} --contiguous ! --weekdays {yesterday}", f"{outside} --contiguous --monthdays {past}",
        f"--weekdays {day} --monthdays {date}", f"! --weekdays {day},{yesterday}",
        f"! --monthdays {date}", f"--monthdays {date} {inside}",
        f"--datestart {at(4, moment)}", f"--datestop {at(5, moment)}",
        f"--datestart {at(4, moment)} --datestop {at(7, moment)} --timestart {at(5)} --kerneltz",
    ))  # fmt: skip


def chains(family: int, now: int) -> list[Chain]:
    """Return every chain, for a family; ``now`` is when the rules are made."""
    words = {
        4: {"v": "4", "family": "", "short": "31", "net": "24", "mask": "255.255.255.254"},
        6: {"v": "6", "family": "family inet6", "short": "127", "net": "64",
            "mask": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"},
    }[family]  # fmt: skip
    made = (
        ("limit", LIMIT, datagrams), ("hashlimit", HASHLIMIT, datagrams), ("recent-hits", HITS, datagrams),
        ("recent-gone", GONE, datagrams), ("nth", NTH, datagrams), ("quota", QUOTA, datagrams),
        ("order", ORDER, datagrams), ("connbytes", CONNBYTES, flows), ("connlimit", CONNLIMIT, connections),
        ("expiry", EXPIRY, flows), ("set", SET, flows), ("time", clock(now), partial(datagrams, naps=SLOW)),
    )  # fmt: skip
    return [
        Chain(
            name,
            port,
            tuple(rule.format(**words) for rule in rules),
            partial(packets, port),
            tuple(line.format(**words) for line in SETS) if name == "set" else (),
        )
        for port, (name, rules, packets) in enumerate(made, 5000)
    ]
