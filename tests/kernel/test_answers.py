"""What the router says by itself, beside the live kernel: REJECT's answers, its stack's errors, its sockets.

Each answer goes through OUTPUT and POSTROUTING, where rules mark it, route it anew, drop it, translate
it, or reject it in turn. The router's guard lets packets through to the sockets here.
"""

from __future__ import annotations

import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from nb_lib.engine import Host
from nb_lib.engine.routing import make_route
from nb_lib.headers import ACK, SYN
from nb_lib.packet import Packet, icmp, raw, tcp, udp
from nb_lib.text import parse
from nb_lib.trace import Trace
from tests.engine.router import ADDRESSES, C6, PEERS, R6, S6, T6, C, R, S, T
from tests.kernel.compare import FACTS, SYSCTLS, answers_of, difference, left_by
from tests.kernel.lab import Lab, run
from tests.kernel.netlink import inside
from tests.kernel.oracle import Oracle, Seen
from tests.kernel.test_conversations import labelled

pytestmark = [pytest.mark.kernel, pytest.mark.needs("nft")]

RULESETS = int(os.environ.get("NB_ANSWERS", "40"))
LENGTH = 30
MTU = 1400
LISTENING = ("tcp:80", "udp:53")
ENDS = {4: (C, R, S, T), 6: (C6, R6, S6, T6)}
# Routes that lead nowhere, and a mark that leads back: ip rule has no part in it.
NOWHERE = {"unreachable": {4: "198.51.100.0/25", 6: "2001:db8:1::/48"},
           "prohibit": {4: "198.51.100.128/25", 6: "2001:db8:2::/48"},
           "blackhole": {4: "203.0.113.0/24", 6: "2001:db8:3::/48"}}  # fmt: skip
LOST = {4: ("198.51.100.1", "198.51.100.130", "203.0.113.7"),
        6: ("2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1")}  # fmt: skip
SEEN_OF_SYN_ACK = ("src", "dst", "sport", "dport", "flags", "ack", "tos", "ttl")
FAR = {4: "198.18.{}.{}", 6: "2001:db8:f::{}:{}"}
ERRORS = {4: ("icmp-port-unreachable", "icmp-admin-prohibited"),
          6: ("icmp6-port-unreachable", "icmp6-adm-prohibited")}  # fmt: skip


def dump(seed: int, family: int) -> str:
    """Return rules that reject on the way in and through, and treat what comes out."""
    pick = random.Random(seed)
    reject = [f"REJECT --reject-with {how}" for how in ERRORS[family]]
    reset = "-p tcp -j REJECT --reject-with tcp-reset"
    any_icmp = "icmp" if family == 4 else "ipv6-icmp"
    out = [f"-j {reject[0]}", reset, f"-p {any_icmp} -j {reject[1]}", f"-p tcp -j {reject[1]}",
           "-p tcp --tcp-flags RST RST -j DROP", f"-p {any_icmp} -j DROP",
           "-m conntrack --ctstate RELATED -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP"]  # fmt: skip
    lines = ["*mangle"]
    if pick.random() < 0.4:
        lines += [pick.choice(("-A OUTPUT -j MARK --set-mark 9", "-A OUTPUT -j TOS --set-tos 0x10",
                               "-A OUTPUT -m conntrack --ctstate RELATED",
                               "-A POSTROUTING -m conntrack --ctdir REPLY"))]  # fmt: skip
    lines += ["COMMIT", "*filter"]
    for chain in ("INPUT", "FORWARD"):
        if pick.random() < 0.5:
            lines.append(f"-A {chain} {pick.choice((reset, f'-j {reject[0]}'))}")
    lines += [f"-A OUTPUT {pick.choice(out)}" for _ in range(pick.choice((0, 1, 1, 2)))]
    lines.append("COMMIT")
    if pick.random() < 0.6:
        lines += ["*nat", "-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 80",
                  "-A PREROUTING -p udp --dport 54 -j REDIRECT --to-ports 9",
                  "-A POSTROUTING -p tcp -j MASQUERADE", "COMMIT"]  # fmt: skip
    return "\n".join(lines) + "\n"


def packet(pick: random.Random, family: int, number: int) -> tuple[str, Packet]:
    """Return a packet that the router may answer."""
    c, r, s, t = ENDS[family]
    dst = pick.choice((s, r, r, t))
    if pick.random() < 0.03:
        # The kernel tells a sender five times, then once a second, that there is no route: take another.
        c = (FAR[family]).format(
            pick.randrange(1, 9999) if family == 6 else pick.randrange(1, 255), number
        )
        dst = pick.choice(LOST[family])
    common = {"ttl": pick.choice((64, 64, 1)), "tos": pick.choice((0, 0, 0x10, 0x0B)), "ident": number,
              "payload": bytes(pick.choice((0, 5, 600, 1372)))}  # fmt: skip
    if family == 4:
        common["dont_fragment"] = pick.random() < 0.5
    sport, dport = 2000 + number, pick.choice((80, 80, 81, 53, 54, 9))
    kind = pick.choice(("tcp", "tcp", "udp", "udp", "icmp", "raw"))
    if kind == "tcp":
        flags = pick.choice(("SYN", "SYN", "ACK", "SYN,ACK", "FIN", "RST", "FIN,ACK"))
        made = tcp(c, dst, sport=sport, dport=dport, flags=flags, ack=77, **common)
    elif kind == "udp":
        made = udp(c, dst, sport=sport, dport=dport, **common)
    elif kind == "icmp":
        types = (8, 8, 0, 3) if family == 4 else (128, 128, 129, 1)
        made = icmp(
            c, dst, type=pick.choice(types), code=pick.choice((0, 0, 1)), id=number, **common
        )
    else:
        made = raw(c, dst, pick.choice((200, 132)), **common)
    if made.payload and pick.random() < 0.05:
        made = Packet(data=made.data[:-1] + bytes([made.data[-1] ^ 255]))
    return "c0", made if family == 4 else labelled(made, number)


def packets(pick: random.Random, family: int) -> Iterator[tuple[str, Packet]]:
    """Yield packets. A SYN is followed by a RST, or a SYN-ACK would be repeated a second later."""
    number = 0
    while number < LENGTH:
        wire, made = packet(pick, family, number := number + 1)
        yield wire, made
        if made.flags == SYN:
            ends = {"sport": made.sport, "dport": made.dport}
            number += 1
            made = tcp(made.src, made.dst, flags="RST", seq=1001, ident=number, **ends)
            yield wire, made if family == 4 else labelled(made, number)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Lab() as lab, closing(Oracle(lab)) as live, ExitStack() as open_sockets:
        lines = [f"link set r1 mtu {MTU}"]
        for kind, nets in NOWHERE.items():
            lines += [f"route add {kind} {nets[4]}", f"-6 route add {kind} {nets[6]}"]
        for line in lines:
            run("ip", "-n", lab.router, *line.split())
        # On a busy machine a second passes between two packets: nothing may come by itself then.
        run("sysctl", "-qw", "net.ipv4.tcp_synack_retries=0", namespace=lab.router)
        with inside(lab.router):
            for kind, port in ((socket.SOCK_STREAM, 80), (socket.SOCK_DGRAM, 53)):
                held = open_sockets.enter_context(socket.socket(socket.AF_INET6, kind))
                held.bind(("::", port))
                if kind == socket.SOCK_STREAM:
                    held.listen(64)
        yield live


def router(text: str, family: int) -> Host:
    routes = [make_route("default" if f == 4 else "::/0", "r1", via=ENDS[f][2]) for f in (4, 6)]
    routes += [make_route(nets[f], "", kind=kind) for kind, nets in NOWHERE.items() for f in (4, 6)]
    facts = {**FACTS, "mtu": MTU, "listening": LISTENING}
    return Host(
        parse(text, family=family), addresses=ADDRESSES, routes=routes, sysctls=SYSCTLS, facts=facts
    )


def alike(trace: Trace, seen: Seen) -> None:
    """A SYN-ACK's number, window and options are the socket's own: take ours, if the rest agrees."""
    for ours, theirs in zip(answers_of(trace.events), seen.answers, strict=False):
        left = left_by(ours.events, ours.answer)
        if len(left) == len(theirs.out) == 1:
            mine, found = Packet(data=left[0][1]), Packet(data=theirs.out[0][1])
            same = all(getattr(found, name) == getattr(mine, name) for name in SEEN_OF_SYN_ACK)
            if same and found.flags == SYN | ACK:
                theirs.out[:] = left


def differs(oracle: Oracle, seed: int, family: int, met: Counter[str]) -> str:
    """Send a seed's packets through its rules; say which nb_lib's router first answers otherwise, and how."""
    text = dump(seed, family)
    oracle.load(text, family)
    rules = "flush chain inet guard inp\nadd rule inet guard inp accept\n"
    run("nft", "-f", "-", text=rules, namespace=oracle.lab.router)
    pick = random.Random(f"{seed} {family}")
    host = router(text, family)
    for wire, sent in packets(pick, family):
        (seen,) = oracle.send([(wire, sent.data)])
        trace = host.receive(sent, PEERS[wire])
        alike(trace, seen)
        met["packets"] += 1
        met["answers"] += len(seen.answers)
        if found := difference(trace, seen):
            return f"seed {seed}\n{text}{wire} {sent}\n{found}\n{trace}"
    return ""


@pytest.mark.parametrize("family", [4, 6])
def test_the_router_answers_as_the_kernel_does(oracle: Oracle, family: int, figure) -> None:
    """What differs once, and not again, was seen wrongly: it may happen to one ruleset."""
    met: Counter[str] = Counter()
    once = [seed for seed in range(RULESETS) if differs(oracle, seed, family, met)]
    wrong = [found for seed in once if (found := differs(oracle, seed, family, met))]
    oracle.forget()
    figure(f"answers of the router, IPv{family}", RULESETS - len(wrong), RULESETS,
           f"rulesets, {met['packets']:,} packets, {met['answers']:,} answers")  # fmt: skip
    assert not wrong, "\n\n".join(wrong[:2])
    assert len(once) <= 1, f"the lab sees too much that is not so: seeds {once}"
