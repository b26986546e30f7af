"""Packets that a ruleset has something to say to, drawn by a seed.

Packets from everywhere would meet policies only. These come from the networks, devices, protocols and ports
that the rules name, from their edges, and now and then from elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from nb_lib.connection import Address
from nb_lib.errors import RulesetError
from nb_lib.kinds import U16, Masked, Range
from nb_lib.matches.iprange import AddressRange
from nb_lib.net import BITS, Net, make_address, parse_net
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.rules import Rule, Ruleset
from nb_lib.targets.nat import NatRange
from nb_lib.text import nft
from nb_lib.text.nft import values

MAX_RULES = 5000  # that are looked at, evenly spread
_ANYWHERE = {4: ("0.0.0.0/0", "10.0.0.0/8", "192.168.0.0/16", "203.0.113.0/24", "224.0.0.0/4", "127.0.0.0/8"),
             6: ("::/0", "2001:db8::/32", "fd00::/8", "fe80::/64", "ff02::/112")}  # fmt: skip
_FLAGS = ("SYN", "SYN,ACK", "ACK", "RST", "FIN,ACK")
_PORTS = (22, 53, 80, 443)


class Sample(NamedTuple):
    """A packet to be sent: by which device it comes (empty: the host sends it), and its header."""

    interface: str
    proto: str
    src: Address
    dst: Address
    sport: int
    dport: int
    flags: str = "SYN"
    mark: int = 0

    def packet(self) -> Packet:
        """Return the packet."""
        if self.proto == "icmp":
            return icmp(self.src, self.dst, mark=self.mark)
        if self.proto == "udp":
            return udp(self.src, self.dst, sport=self.sport, dport=self.dport, mark=self.mark)
        return tcp(self.src, self.dst, sport=self.sport, dport=self.dport, flags=self.flags,
                   mark=self.mark)  # fmt: skip

    def __str__(self) -> str:
        way = f"in {self.interface}" if self.interface else "sent here"
        ports = "" if self.proto == "icmp" else f" ports {self.sport} → {self.dport}"
        return f"{self.proto} {self.src} → {self.dst}{ports}, {way}"


def samples(
    ruleset: Ruleset | nft.Ruleset, count: int, seed: int = 0, *, family: int = 4
) -> Iterator[Sample]:
    """Yield ``count`` packets for a ruleset; the same seed gives the same packets.

    A listing of nft may hold rules for both families: ``family`` says for which.
    """
    named = _Listed(ruleset, family) if isinstance(ruleset, nft.Ruleset) else _Named(ruleset)
    draw = random.Random(seed)
    for _ in range(count):
        yield named.sample(draw)


class _Drawn:
    """What rules name, and packets drawn of it."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.nets: dict[str, list[Net]] = {"src": [], "dst": []}
        self.devices: list[str] = []
        self.ports: list[int] = list(_PORTS)
        self.marks: list[int] = [0]

    def sample(self, draw: random.Random) -> Sample:
        """Draw one packet."""
        way = draw.random()
        device = draw.choice(self.devices) if self.devices and way > 0.3 else "eth0"
        port = draw.choice(self.ports)
        return Sample(
            "" if way < 0.15 else device,
            draw.choice(("tcp", "tcp", "tcp", "udp", "icmp")),
            self._address(draw, "src"), self._address(draw, "dst"),
            draw.choice((draw.randrange(1024, U16), draw.choice(self.ports), 40000)),
            min(U16, port + draw.choice((0, 0, 0, 0, 1))),
            draw.choice(_FLAGS) if draw.random() < 0.3 else "SYN",
            draw.choice(self.marks) if draw.random() < 0.2 else 0,
        )  # fmt: skip

    def _address(self, draw: random.Random, side: str) -> Address:
        other = "src" if side == "dst" else "dst"
        where = draw.random()
        nets = self.nets[side] if where < 0.7 else self.nets[other] if where < 0.85 else []
        net = draw.choice(nets or [parse_net(text, self.family) for text in _ANYWHERE[self.family]])
        free = ~net.mask & (1 << BITS[self.family]) - 1
        host = draw.choice(
            (draw.getrandbits(BITS[self.family]) & free, 1 & free, free, 0, 2 & free)
        )
        number = net.value | host
        if draw.random() < 0.05:  # beside it
            number ^= (free + 1) & ((1 << BITS[self.family]) - 1)
        return make_address(self.family, number)


class _Named(_Drawn):
    """What the rules of a ruleset name."""

    def __init__(self, ruleset: Ruleset) -> None:
        super().__init__(ruleset.family)
        for rule in _some(ruleset):
            self._look(rule)

    def _look(self, rule: Rule) -> None:
        core = rule.core.settings
        for option, side in (("-s", "src"), ("-d", "dst")):
            if option in core:
                self.nets[side].append(core[option].value)
        for option in ("-i", "-o"):
            if option in core:
                self.devices.append(core[option].value.replace("+", "1"))
        target = (rule.target,) if rule.target else ()
        for use in (*rule.matches, *target):
            for setting in use.settings.values():
                self._value(setting.value)

    def _value(self, value: Any) -> None:
        if isinstance(value, AddressRange):
            self.nets["dst"] += map(_host, value)
        elif isinstance(value, NatRange):
            self.nets["dst"] += [_host(one) for one in (value.low, value.high) if one is not None]
            self.ports += [port for port in (value.port_low,) if port]
        elif isinstance(value, Range) and value.high <= U16:
            self.ports += value
        elif isinstance(value, Masked):
            self.marks.append(value.value)
        elif type(value) is tuple:
            for one in value:
                self._value(one)


class _Listed(_Drawn):
    """What a listing of nft names."""

    def __init__(self, ruleset: nft.Ruleset, family: int) -> None:
        super().__init__(family)
        for value in values.parts(ruleset):
            self._value(value)

    def _value(self, value: Any) -> None:
        if isinstance(value, values.Prefix):
            self._net(f"{value.address}/{value.length}")
        elif isinstance(value, str):
            self._net(value)
        elif isinstance(value, values.Match) and value.left in (
            values.Meta("iifname"),
            values.Meta("oifname"),
        ):
            self.devices += [one for one in values.parts(value.right) if isinstance(one, str)]
        elif isinstance(value, int) and 0 < value <= U16:
            self.ports.append(value)

    def _net(self, text: str) -> None:
        """Note an address or a network; most words are neither."""
        if text[:1].isalnum() and (":" in text if self.family == 6 else text.count(".") == 3):
            with suppress(ValueError):
                net = parse_net(text, self.family)
                for side in self.nets.values():
                    side.append(net)


def _host(address: Address) -> Net:
    return Net(address.version, int(address), (1 << BITS[address.version]) - 1)


def _some(ruleset: Ruleset) -> Iterator[Rule]:
    """Yield the readable rules, of many only some."""
    chains = [chain for table in ruleset for chain in table]
    step = 1 + sum(len(chain.rules) for chain in chains) // MAX_RULES
    for chain in chains:
        for at in range(0, len(chain.rules), step):
            try:
                yield chain.rules[at]
            except RulesetError:
                continue
