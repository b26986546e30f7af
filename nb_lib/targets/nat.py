"""DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP: translate the connection's addresses.

A target only says what it wants; the engine settles it for the connection's first packet.
Linux: net/netfilter/xt_nat.c, xt_MASQUERADE.c, xt_REDIRECT.c, xt_NETMAP.c, nf_nat_core.c.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nb_lib import addresses, kinds, ports
from nb_lib.effects import Nat
from nb_lib.kinds import IPV4
from nb_lib.net import BITS, Net, make_address, strict_address
from nb_lib.options import Action, Context, Extension, Option, RefusedError, Settings, Use

if TYPE_CHECKING:
    from collections.abc import Callable

    from nb_lib.connection import Address
    from nb_lib.packet import Packet
    from nb_lib.rules import Rule

# extensions/libxt_NAT.c: with these protocols a port may be given; ICMP's is its identifier.
_WITH_PORTS = frozenset({1, 6, 17, 33, 132, 58})


_PLAIN = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+):([1-9][0-9]{0,4})\Z")


class NatRange(NamedTuple):
    """Addresses and ports to choose from; None: as they are."""

    low: Address | None = None
    high: Address | None = None
    port_low: int | None = None
    port_high: int | None = None
    port_base: int | None = None


class _Ports(kinds.Word):
    """``PORT[-PORT[/BASE]]``."""

    metavar = "port[-port]"

    def __init__(self, *, shifted: bool = False) -> None:
        super().__init__()
        self.shifted = shifted

    def read(self, word: str, _family: int) -> NatRange:
        """Linux user space: extensions/libxt_NAT.c parse_ports()."""
        low, rest = _port(word)
        if not rest:
            return NatRange(port_low=low, port_high=low)
        if rest[0] != "-":
            raise _garbage("value", rest[1:] if rest[0] == ":" else rest)
        high, behind = _port(rest[1:], services=())
        if high < low:
            reason = f"{word!r} is a range from the greater to the smaller port"
            raise RefusedError(reason, f"Port range `{rest[1:]}' funky")
        if behind and behind[0] != "/":
            raise _garbage("range", behind)
        if behind and not self.shifted:
            said = "Shifted portmap ranges not supported with this kernel"
            raise RefusedError(f"{word!r}: a base port goes with DNAT only", said)
        return NatRange(
            port_low=low, port_high=high, port_base=_base(behind[1:]) if behind else None
        )

    def save(self, value: Any) -> str:
        text = str(value.port_low)
        if value.port_high != value.port_low:
            text += f"-{value.port_high}"
        return text if value.port_base is None else f"{text}/{value.port_base}"


def _port(word: str, services: tuple[str, ...] = ("tcp", "udp")) -> tuple[int, str]:
    """Read the port that a word begins with, or the service that it names; return it and the rest."""
    number = kinds.leading_number(word)
    if number and number[0] <= kinds.U16:
        return number
    try:
        return ports.find_service(word, services), ""
    except ValueError as error:
        raise RefusedError(str(error), f"Port `{word}' not valid") from None


def _base(word: str) -> int:
    """Read the port that a range is counted from; what stands behind it is overlooked."""
    number = kinds.leading_number(word)
    if number and not number[0]:
        raise RefusedError("a range is not counted from port 0", f"Port `{word}' not valid")
    return _port(word)[0]


def _garbage(after: str, rest: str) -> RefusedError:
    return RefusedError(f"{rest!r} stands behind a port", f"Garbage after port {after}: `{rest}'")


class _Target(_Ports):
    """``[ADDRESS[-ADDRESS]][:PORT[-PORT]]``; an IPv6 address with a port stands in brackets."""

    metavar = "[address[-address]][:port[-port]]"

    def pattern(self, family: int) -> str:
        """An IPv4 address and a port."""
        return rf"{addresses.IPV4_PATTERN}:[1-9][0-9]{{0,3}}" if family == 4 else ""

    def read(self, word: str, family: int) -> NatRange:
        plain = _PLAIN.match(word) if family == 4 else None
        if plain and int(plain[2]) <= 0xFFFF:  # kube-proxy writes tens of thousands of these
            address, port = strict_address(plain[1], family), int(plain[2])
            return NatRange(address, address, port, port)
        where, ports = _split(word, family)
        found = super().read(ports, family) if ports is not None else NatRange()
        if not where and ports is not None:
            return found
        low, dash, high = where.partition("-")
        first = _address(low, family)
        return found._replace(low=first, high=_address(high, family) if dash else first)

    def save(self, value: Any) -> str:
        text = ""
        if value.low is not None:
            text = addresses.write_address(value.low)
            if value.high != value.low:
                text += f"-{addresses.write_address(value.high)}"
        if value.port_low is None:
            return text
        if isinstance(value.low, IPv6Address):
            text = f"[{text}]"
        return f"{text}:{super().save(value)}"


def _split(word: str, family: int) -> tuple[str, str | None]:
    """Split addresses from ports. Linux user space: extensions/libxt_NAT.c parse_to()."""
    before, bracket, inside = word.partition("[")
    if bracket:
        address, closed, rest = inside.partition("]")
        if not closed or family == IPV4:
            raise RefusedError(f"{word!r} is not [ADDRESS]:PORT", "Invalid address format")
    else:
        address, rest = word, word if word.count(":") < 2 else ""  # more colons are of an address
    before, colon, ports = rest.partition(":")
    if not bracket and colon:
        address = before
    # A colon in the third place is taken for the one behind "[]", which stands for no address.
    return "" if colon and word.find(":") == 2 else address, ports if colon else None


def _address(word: str, family: int) -> Address:
    try:
        return strict_address(word, family)
    except ValueError:
        raise RefusedError(f"bad IP address {word!r}", f'Bad IP address "{word}"') from None


def _check_ports(option: str) -> Callable[[Use, Rule], str]:
    """Return a ``check``: a port needs a protocol that has ports."""

    def check(use: Use, rule: Rule) -> str:
        wanted = use.settings.get(option)
        if wanted is not None and wanted.value.port_low is not None:
            _need_protocol(rule.core.settings)
        return ""

    return check


def _need_protocol(core: Settings) -> None:
    protocol = core.get("-p")
    if protocol is None or protocol.value not in _WITH_PORTS:
        said = "Need TCP, UDP, SCTP or DCCP with port specification"
        raise RefusedError("a port needs -p tcp, udp, sctp or dccp before it", said)


def _before_ports(_word: str, _family: int, _settings: Settings, core: Settings | None) -> None:
    if core is not None:
        _need_protocol(core)


def _before_target(word: str, family: int, _settings: Settings, core: Settings | None) -> None:
    if core is not None and _split(word, family)[1] is not None:
        _need_protocol(core)


def _wish(use: Use, side: Literal["src", "dst"], option: str) -> Nat:
    """Return what the rule asks for."""
    low, high, port_low, port_high, base = use.value(option) or NatRange()
    settings = use.settings
    return Nat(side, low, high, port_low, port_high, port_base=base, random="--random" in settings,
               random_fully="--random-fully" in settings,
               persistent="--persistent" in settings)  # fmt: skip


def _dnat(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("ACCEPT", effects=(_wish(use, "dst", "--to-destination"),))


def _snat(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("ACCEPT", effects=(_wish(use, "src", "--to-source"),))


def _masquerade(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("ACCEPT", effects=(_wish(use, "src", "--to-ports")._replace(of_interface=True),))


def _redirect(use: Use, _packet: Packet, _ctx: Context) -> Action:
    return Action("ACCEPT", effects=(_wish(use, "dst", "--to-ports")._replace(to_local=True),))


class _NetKind(addresses.Network):
    """The network to map to; a mask that is no prefix counts as a host."""

    def read(self, word: str, family: int) -> Net:
        net = addresses.HostNetwork().read(word, family)
        full = (1 << BITS[family]) - 1
        mask = full if Net(family, 0, net.mask).prefix is None else net.mask
        return Net(family, int(net.host) & mask, mask)

    def listed(self, value: Any, _numeric: bool) -> str:
        return self.save(value)


def _netmap(use: Use, _packet: Packet, ctx: Context) -> Action:
    """Exchange the network and keep the host. Linux: net/netfilter/xt_NETMAP.c netmap_tg4()."""
    net: Net = use.settings["--to"].value
    low = make_address(net.family, net.value)
    high = make_address(net.family, net.value | ((1 << BITS[net.family]) - 1) ^ net.mask)
    side: Literal["src", "dst"] = "dst" if ctx.hook in ("PREROUTING", "OUTPUT") else "src"
    return Action("ACCEPT", effects=(Nat(side, low, high, netmap=net.mask),))


_RANDOM = Option("--random", kinds.FLAG, label="random", listed="random",
                 help="choose the port at random")  # fmt: skip
_FULLY = Option("--random-fully", kinds.FLAG, label="random", listed="random-fully",
                help="choose the port at random, without a hash")  # fmt: skip
_PERSISTENT = Option("--persistent", kinds.FLAG, label="persistent", listed="persistent",
                     help="give a client the same address each time")  # fmt: skip


def _to_ports(listed: str) -> Option:
    return Option("--to-ports", _Ports(), label="ports", listed=listed, before=_before_ports,
                  help="the port, or a range to choose from")  # fmt: skip


DNAT = Extension(
    "DNAT",
    (Option("--to-destination", _Target(shifted=True), required=True, label="destination",
            listed="to:{value}", before=_before_target,
            help="the new destination: address, range of addresses, port, range of ports"),
     _RANDOM, _PERSISTENT),
    tables=("nat",), hooks=("PREROUTING", "OUTPUT"), act=_dnat,
    check=_check_ports("--to-destination"),
    conntrack=True,
    summary="send the connection to another address or port",
    source="net/netfilter/xt_nat.c xt_dnat_target_v2(); iptables-extensions(8) DNAT",
)  # fmt: skip

SNAT = Extension(
    "SNAT",
    (Option("--to-source", _Target(), required=True, label="source", listed="to:{value}",
            before=_before_target,
            help="the new source: address, range of addresses, port, range of ports"),
     _RANDOM, _FULLY, _PERSISTENT),
    tables=("nat",), hooks=("POSTROUTING", "INPUT"), act=_snat, check=_check_ports("--to-source"),
    conntrack=True,
    summary="let the connection come from another address or port",
    source="net/netfilter/xt_nat.c xt_snat_target_v2(); iptables-extensions(8) SNAT",
)  # fmt: skip

MASQUERADE = Extension(
    "MASQUERADE", (_to_ports("masq ports: {value}"), _RANDOM, _FULLY),
    tables=("nat",), hooks=("POSTROUTING",), act=_masquerade, check=_check_ports("--to-ports"),
    conntrack=True,
    summary="SNAT to the address of the outgoing interface",
    source="net/netfilter/xt_MASQUERADE.c masquerade_tg(); iptables-extensions(8) MASQUERADE",
)  # fmt: skip

REDIRECT = Extension(
    "REDIRECT", (_to_ports("redir ports {value}"), _RANDOM),
    tables=("nat",), hooks=("PREROUTING", "OUTPUT"), act=_redirect,
    check=_check_ports("--to-ports"), conntrack=True,
    summary="DNAT to this host itself",
    source="net/netfilter/xt_REDIRECT.c redirect_tg4(); iptables-extensions(8) REDIRECT",
)  # fmt: skip

NETMAP = Extension(
    "NETMAP",
    (Option("--to", _NetKind(), required=True, label="network", listed="to:{value}",
            help="the network that takes the place of the old one"),),
    tables=("nat",), act=_netmap, conntrack=True,
    summary="map a whole network onto another, host by host",
    source="net/netfilter/xt_NETMAP.c netmap_tg4(); iptables-extensions(8) NETMAP",
)  # fmt: skip
