"""Random rulesets and packets, from a seed: what the engine and the kernel are compared on.

Rules test what random packets have a fair chance to have, each option also negated; chains call and
goto one another downwards, so there are no loops; every table that may hold a target gets it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from nb_lib.headers import checksum
from nb_lib.packet import Packet, icmp, tcp, udp

CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
NETS = {4: ("10.1.0.0/24", "10.2.0.0/16", "10.1.0.2", "10.2.0.1", "0.0.0.1/0.0.0.255", "203.0.113.0/25"),
        6: ("fd00:1::/64", "fd00:2::2", "fd00::/16", "2001:db8::/33")}  # fmt: skip
FLAGS = (
    "SYN",
    "SYN,ACK",
    "ACK",
    "FIN,ACK",
    "RST",
    "RST,ACK",
    "PSH,ACK",
    "FIN",
    "SYN,FIN",
    "ACK,URG",
)
PORTS = (22, 53, 80, 443, 1024, 8080, 30000)
V4_ANSWERS = (
    "icmp-port-unreachable",
    "icmp-host-prohibited",
    "icmp-net-unreachable",
    "icmp-admin-prohibited",
)
V6_ANSWERS = ("icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-no-route")


class Rules:
    """Makes one ruleset."""

    def __init__(self, seed: int, family: int) -> None:
        self.random = random.Random(seed)
        self.family = family

    def dump(self) -> str:
        """Return a dump with one to five tables."""
        pick = self.random
        tables = [t for t in CHAINS if pick.random() < (0.9 if t in ("filter", "nat") else 0.4)]
        return "".join(self._table(table) for table in tables or ["filter"])

    def _table(self, table: str) -> str:
        pick = self.random
        users = [f"U{n}" for n in range(pick.randint(0, 3))]
        lines = [f"*{table}"]
        for chain in CHAINS[table]:
            droppable = table not in ("nat", "raw") and pick.random() < 0.15
            lines.append(f":{chain} {'DROP' if droppable else 'ACCEPT'} [0:0]")
        lines += [f":{user} - [0:0]" for user in users]
        # A user chain is called from one base chain's side only: -o is no test for PREROUTING.
        for chain in CHAINS[table]:
            lines += [self._rule(table, chain, chain, users) for _ in range(pick.randint(0, 5))]
        for number, user in enumerate(users):
            below = users[number + 1 :]
            lines += [self._rule(table, user, "", below) for _ in range(pick.randint(0, 4))]
        return "\n".join([*lines, "COMMIT", ""])

    def _rule(self, table: str, chain: str, hook: str, callable_: list[str]) -> str:
        protocol, tests = self._protocol()
        words = [f"-A {chain}", *self._core(hook), protocol, *tests]
        pick = self.random
        words += [self._match() for _ in range(pick.choice((0, 0, 1, 1, 2)))]
        words.append(self._target(table, hook, protocol, callable_))
        return " ".join(filter(None, words))

    def _not(self) -> str:
        return "! " if self.random.random() < 0.25 else ""

    def _core(self, hook: str) -> Iterator[str]:
        pick = self.random
        if pick.random() < 0.25:
            yield f"{self._not()}-s {pick.choice(NETS[self.family])}"
        if pick.random() < 0.25:
            yield f"{self._not()}-d {pick.choice(NETS[self.family])}"
        if hook in ("PREROUTING", "INPUT", "FORWARD") and pick.random() < 0.25:
            yield f"{self._not()}-i {pick.choice(('r0', 'r1', 'r+', 'lo'))}"
        if hook in ("POSTROUTING", "OUTPUT", "FORWARD") and pick.random() < 0.25:
            yield f"{self._not()}-o {pick.choice(('r0', 'r1', 'r+', 'lo'))}"

    def _protocol(self) -> tuple[str, list[str]]:
        """Return ``-p …`` and tests that need it."""
        pick = self.random
        kind = pick.choice(("tcp", "tcp", "udp", "icmp", "", ""))
        if kind == "":
            return "", []
        if kind == "icmp":
            return self._icmp()
        tests = []
        if pick.random() < 0.6:
            tests.append(f"{self._not()}--dport {self._ports()}")
        if pick.random() < 0.2:
            tests.append(f"{self._not()}--sport {self._ports()}")
        if kind == "tcp" and pick.random() < 0.3:
            mask = pick.choice(("SYN,ACK", "FIN,SYN,RST,ACK", "RST", "FIN,ACK", "SYN,FIN,PSH"))
            tests.append(f"{self._not()}--tcp-flags {mask} {pick.choice(mask.split(','))}")
        if not tests and pick.random() < 0.5:
            some = ",".join(map(str, pick.sample(PORTS, 3)))
            tests.append(
                f"-m multiport {self._not()}--{pick.choice(('dports', 'sports', 'ports'))} {some}"
            )
        return f"-p {kind}", tests

    def _icmp(self) -> tuple[str, list[str]]:
        pick = self.random
        if self.family == 4:
            return "-p icmp", [
                f"-m icmp {self._not()}--icmp-type {pick.choice((0, 3, '3/1', 8, 11))}"
            ]
        return "-p ipv6-icmp", [
            f"-m icmp6 {self._not()}--icmpv6-type {pick.choice((1, '1/4', 128, 129))}"
        ]

    def _ports(self) -> str:
        low = self.random.choice(PORTS)
        return (
            str(low)
            if self.random.random() < 0.6
            else f"{low}:{low + self.random.choice((1, 1000))}"
        )

    def _match(self) -> str:
        pick, no = self.random, self._not()
        v4 = self.family == 4
        span = "10.1.0.2-10.2.0.1" if v4 else "fd00:1::2-fd00:2::1"
        state = pick.choice(("NEW", "INVALID", "ESTABLISHED", "RELATED,ESTABLISHED"))
        side, kind = pick.choice(("src", "dst")), pick.choice(("LOCAL", "UNICAST", "MULTICAST"))
        return pick.choice((
            f"-m conntrack {no}--ctstate {state}",
            f"-m state {no}--state {state}",
            f"-m mark {no}--mark {pick.choice(('0x1', '0x0/0x3', '0x2/0x2'))}",
            f"-m addrtype {no}--{side}-type {kind}",
            f"-m length {no}--length {pick.choice(('0:60', '28:40', '41'))}",
            f"-m iprange {no}--{side}-range {span}",
            f"-m ttl --ttl-{pick.choice(('eq 64', 'lt 64', 'gt 10'))}" if v4
            else f"-m hl --hl-{pick.choice(('eq 64', 'lt 64', 'gt 10'))}",
            f"-m tos {no}--tos {pick.choice(('0x10', '0x08/0x18', '0x00'))}",
            f"-m dscp {no}--dscp {pick.choice(('0x00', '0x04'))}",
            f"-m pkttype {no}--pkt-type unicast",
            f"-m statistic --mode nth {no}--every 2 --packet {pick.choice((0, 1))}",
            '-m comment --comment "a remark"',
        ))  # fmt: skip

    def _target(self, table: str, hook: str, protocol: str, callable_: list[str]) -> str:
        pick = self.random
        choices = [
            "-j ACCEPT",
            "-j RETURN",
            "",
            "-j LOG --log-prefix x",
            "-j MARK --set-mark 1" if table == "mangle" else "",
        ]
        if table != "nat":
            choices.append("-j DROP")
        choices += [f"{pick.choice(('-j', '-j', '-g'))} {name}" for name in callable_] * 2
        if table == "filter" and hook:
            choices.append(self._reject(protocol))
        if table == "mangle":
            choices += [
                "-j MARK --set-xmark 0x2/0x2",
                "-j TOS --set-tos 0x10",
                "-j MARK --or-mark 1",
            ]
        if table == "raw":
            choices.append("-j CT --notrack")
        if table == "nat":
            choices += self._nat(hook, protocol)
        return pick.choice(choices)

    def _reject(self, protocol: str) -> str:
        if protocol == "-p tcp" and self.random.random() < 0.5:
            return "-j REJECT --reject-with tcp-reset"
        answers = V4_ANSWERS if self.family == 4 else V6_ANSWERS
        return f"-j REJECT --reject-with {self.random.choice(answers)}"

    def _nat(self, hook: str, protocol: str) -> list[str]:
        pick, v4 = self.random, self.family == 4
        ports = protocol in ("-p tcp", "-p udp") and pick.random() < 0.5
        to = pick.choice(("10.2.0.2", "10.1.0.1") if v4 else ("fd00:2::2", "fd00:1::1"))
        inside = to if v4 or not ports else f"[{to}]"
        if hook in ("PREROUTING", "OUTPUT"):
            redirect = "-j REDIRECT" + (" --to-ports 8080" if ports else "")
            return [f"-j DNAT --to-destination {inside}{':8080' if ports else ''}", redirect]
        if hook == "POSTROUTING":
            own = "10.2.0.1" if v4 else "fd00:2::1"
            return ["-j MASQUERADE", f"-j SNAT --to-source {own}"]
        return []


def packets(seed: int, family: int, count: int) -> list[tuple[str, Packet]]:
    """Return (device, packet) pairs with distinct identities; some belong to one another."""
    pick = random.Random(seed)
    made: list[tuple[str, Packet]] = []
    for number in range(1, count + 1):
        if made and pick.random() < 0.25:
            device, packet = _answer(pick, *pick.choice(made), number)
        else:
            device, packet = _packet(pick, family, number)
        made.append((device, _again(packet, number)))
    return made


HOSTS = {
    4: {
        "c0": ("10.1.0.2", "10.1.0.77"),
        "s0": ("10.2.0.2", "203.0.113.7"),
        "local": ("10.1.0.1", "10.2.0.1"),
    },
    6: {
        "c0": ("fd00:1::2", "fd00:1::77"),
        "s0": ("fd00:2::2", "2001:db8::7"),
        "local": ("fd00:1::1", "fd00:2::1"),
    },
}
AIMS = {
    4: ("10.1.0.1", "10.2.0.1", "10.2.0.2", "10.1.0.2", "203.0.113.9", "10.1.0.77"),
    6: ("fd00:1::1", "fd00:2::1", "fd00:2::2", "fd00:1::2", "2001:db8::9", "fd00:1::77"),
}


def _packet(pick: random.Random, family: int, number: int) -> tuple[str, Packet]:
    device = pick.choice(("c0", "c0", "s0", "local"))
    src, dst = pick.choice(HOSTS[family][device]), pick.choice(AIMS[family])
    near = {"c0": AIMS[family][3], "s0": AIMS[family][2]}.get(device)
    if dst == near or (
        device == "c0" and dst.endswith("77")
    ):  # no host sends to itself through the router
        dst = AIMS[family][0]
    return device, _make(pick, src, dst, 10000 + number, number)


def _make(pick: random.Random, src: str, dst: str, sport: int, number: int) -> Packet:
    common = {
        "ttl": pick.choice((64, 64, 64, 5, 128)),
        "tos": pick.choice((0, 0, 0x10, 0x08)),
        "ident": number,
    }
    payload = b"x" * pick.choice((0, 0, 1, 13, 200))
    kind = pick.random()
    if kind < 0.5:
        flags = pick.choice(("SYN", "SYN", "SYN", *FLAGS))
        return tcp(
            src, dst, sport=sport, dport=pick.choice(PORTS), flags=flags, payload=payload, **common
        )
    if kind < 0.8:
        return udp(src, dst, sport=sport, dport=pick.choice(PORTS), payload=payload, **common)
    return icmp(src, dst, id=number, payload=payload, **common)


def _answer(pick: random.Random, device: str, packet: Packet, number: int) -> tuple[str, Packet]:
    """Another packet of a flow: the same again, or what the other side would say to it untranslated."""
    if (
        pick.random() < 0.5
        or device == "local"
        or packet.dst.packed[-1] in (1, 0x11)
        or packet.protocol in (1, 58)
    ):
        return device, packet
    other = "s0" if device == "c0" else "c0"
    flags = (
        {"flags": pick.choice(("SYN,ACK", "ACK", "RST,ACK"))} if packet.flags is not None else {}
    )
    return other, packet.reply(ident=number, **flags)


def _again(packet: Packet, number: int) -> Packet:
    """The same bytes under another identity."""
    data = bytearray(packet.data)
    if packet.family == 4:
        data[4:6] = number.to_bytes(2, "big")
        data[10:12] = b"\0\0"
        data[10:12] = checksum(bytes(data[: packet.header_end])).to_bytes(2, "big")
    else:
        data[1:4] = (int.from_bytes(data[1:4], "big") & ~0xFFFFF | number).to_bytes(3, "big")
    return Packet(data=bytes(data))
