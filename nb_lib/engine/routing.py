"""Where a packet goes: addresses, routes, and what the kernel refuses to route.

The host's addresses make its local table (``ip route show table local``); its routes are the main
table. Decisions are those of net/ipv4/route.c ip_route_input_slow() and ip_route_output_key_hash(),
net/ipv4/fib_frontend.c fib_validate_source(), net/ipv6/route.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from nb_lib.connection import Address
from nb_lib.engine import timeouts
from nb_lib.errors import HostError
from nb_lib.net import BITS, Net, make_address, parse_address, parse_net
from nb_lib.trace import Route

LOOPBACK = {4: parse_net("127.0.0.0/8", 4), 6: parse_net("::1/128", 6)}
LOOPBACK_MTU = {4: 65_535, 6: 65_536}  # lo has the latter; IP_MAX_MTU is less
_MULTICAST = {4: parse_net("224.0.0.0/4", 4), 6: parse_net("ff00::/8", 6)}
_NOBODY = IPv4Address(0)  # alone: the rest of 0/8 is unicast (since Linux 5.3)
_LIMITED = IPv4Address("255.255.255.255")
_LOCAL_GROUPS = parse_net("224.0.0.0/24", 4)
_ALL_HOSTS = IPv4Address("224.0.0.1")


class Interface(NamedTuple):
    """An address on a device: ``eth0``, 192.168.99.10 in 192.168.99.0/24."""

    device: str
    address: Address
    net: Net

    @property
    def broadcast(self) -> Address | None:
        """The subnet's broadcast address (IPv4 with room for one)."""
        if self.net.family != 4 or self.net.prefix is None or self.net.prefix > 30:
            return None
        return IPv4Address(self.net.value | (~self.net.mask & 0xFFFFFFFF))


class RouteEntry(NamedTuple):
    """A line of ``ip route``: ``net`` by ``device``, perhaps ``via`` a gateway.

    ``kind`` is unicast, local, blackhole, unreachable or prohibit. ``mark`` and ``mark_mask`` limit the
    entry to packets with that mark, as ``ip rule fwmark`` does.
    """

    net: Net
    device: str
    via: Address | None = None
    source: Address | None = None
    metric: int = 0
    kind: str = "unicast"
    mark: int = 0
    mark_mask: int = 0

    def __str__(self) -> str:
        """Write the entry as ``ip route`` prints it."""
        words = ["default" if not self.net.mask else str(self.net)]
        if self.kind != "unicast":
            words.insert(0, self.kind)
        if self.via is not None:
            words += ["via", str(self.via)]
        if self.device:
            words += ["dev", self.device]
        if self.mark_mask:
            words += ["fwmark", f"{self.mark:#x}/{self.mark_mask:#x}"]
        return " ".join(words)


class Refused(NamedTuple):
    """Why the kernel does not route a packet.

    ``setting`` would change it; ``answer`` is the ICMP error that the kernel sends, if any, and
    ``rest`` the second word of its header.
    """

    reason: str
    setting: str = ""
    answer: tuple[int, int] | None = None
    rest: bytes = b"\0" * 4


@dataclass(frozen=True)
class Routing:
    """Addresses, routes and the settings that decide about them."""

    interfaces: tuple[Interface, ...] = ()
    routes: tuple[RouteEntry, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    groups: frozenset[Address] = frozenset()  # multicast groups that the host has joined

    @cached_property
    def local(self) -> frozenset[Address]:
        """The host's own addresses, without 127/8."""
        return frozenset(i.address for i in self.interfaces)

    @cached_property
    def broadcasts(self) -> frozenset[Address]:
        """The broadcast addresses of the host's subnets."""
        return frozenset(b for i in self.interfaces if (b := i.broadcast) is not None)

    @cached_property
    def _table(self) -> tuple[RouteEntry, ...]:
        """Connected networks and routes, the most specific first, then by metric."""
        connected = tuple(
            RouteEntry(i.net, i.device, source=i.address) for i in self.interfaces
            if i.device != "lo" and i.net.host is None
        )  # fmt: skip
        known = set()
        merged = []
        for entry in (*self.routes, *connected):
            key = (entry.net, entry.device, entry.mark_mask)
            if key not in known:
                known.add(key)
                merged.append(entry)
        return tuple(sorted(merged, key=lambda e: (-e.mark_mask, -e.net.mask, e.metric)))

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """Every device that has an address or a route."""
        named = [i.device for i in self.interfaces] + [r.device for r in self.routes]
        return tuple(dict.fromkeys(d for d in named if d))

    def sysctl(self, name: str, device: str = "", family: int = 4) -> int:
        """Return a setting: ``ip_forward``, or a per-device one as the kernel combines it.

        For ``rp_filter`` the larger of ``conf.all`` and ``conf.DEVICE`` holds, for other settings either
        (include/linux/inetdevice.h IN_DEV_MAXCONF, IN_DEV_ORCONF).
        """
        if not device:
            return self.setting(f"net.ipv{family}.{name}")
        return max(self.setting(f"net.ipv{family}.conf.{d}.{name}") for d in ("all", device))

    def setting(self, name: str, default: int = 0) -> int:
        """Return a setting by its full name. Raise HostError if it is no number."""
        value = self.sysctls.get(name, default)
        try:
            return int(value)
        except ValueError:
            raise HostError(f"{name}={value}: a number is expected") from None

    @cached_property
    def timeouts(self) -> dict[str, int]:
        """How long conntrack keeps silent connections: engine/timeouts.py."""
        given = {name for name in timeouts.DEFAULTS if timeouts.PREFIX + name in self.sysctls}
        return {
            **timeouts.DEFAULTS,
            **{name: self.setting(timeouts.PREFIX + name) for name in given},
        }

    @cached_property
    def forwarding(self) -> dict[int, bool]:
        """Whether the host forwards, by family."""
        names = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
        return {family: self.setting(name) != 0 for family, name in names.items()}

    def is_local(self, address: Address) -> bool:
        """Whether the address is one of the host's own."""
        return address in self.local or address in LOOPBACK[address.version]

    def address_type(self, address: Address, device: str = "") -> str:
        """Return the type that ``-m addrtype`` sees: net/ipv4/fib_frontend.c inet_addr_type()."""
        if address.version == 4:
            if address in (_NOBODY, _LIMITED) or address in self.broadcasts:
                return "BROADCAST"
        elif address == IPv6Address(0):
            return "UNSPEC"
        if address in _MULTICAST[address.version]:
            return "MULTICAST"
        if device:
            mine = any(i.address == address and i.device == device for i in self.interfaces)
            loopback = device == "lo" and address.is_loopback
            return "LOCAL" if mine or loopback else "UNICAST"
        return "LOCAL" if self.is_local(address) else "UNICAST"

    def joined(self, group: Address) -> bool:
        """Whether the host listens to a multicast group: by itself to all hosts', or because it was told to.

        Linux: net/ipv4/igmp.c ip_mc_up(), net/ipv6/addrconf.c addrconf_join_solict(), RFC 4291 2.8.
        """
        if group in self.groups:
            return True
        if group.version == 4:
            return group == _ALL_HOSTS
        scope, who = int(group) >> 112 & 0xF, int(group) & ((1 << 112) - 1)
        if who == 1:
            return scope == 2
        if who == 2 and self.forwarding[6]:
            return scope in (2, 5)
        tails = {int(address) & 0xFFFFFF for address in self.local if address.version == 6}
        return scope == 2 and who >> 24 == 0x1FF and who & 0xFFFFFF in tails

    def lookup(self, address: Address, mark: int = 0) -> RouteEntry | None:
        """Return the route of the main table that holds for ``address``."""
        number, family = int(address), address.version
        for entry in self._table:
            net = entry.net
            if (
                net.family == family
                and number & net.mask == net.value
                and mark & entry.mark_mask == entry.mark
            ):
                return entry
        return None

    def input(self, src: Address, dst: Address, device: str, mark: int = 0) -> Route | Refused:
        """Decide about a packet that came in by ``device``."""
        refused = self._martian(src, dst, device) if src.version == 4 else None
        if refused:
            return refused
        kind = self.address_type(dst)
        if kind == "MULTICAST":
            if self.joined(dst):
                return Route("LOCAL", device, rule=f"multicast {dst}")
            return Refused(
                f"the host has not joined the multicast group {dst}", f"ip maddr add {dst}"
            )
        refused = self._source(src, device, mark)
        if refused:
            return refused
        if kind in ("LOCAL", "BROADCAST"):
            return Route("LOCAL", device, rule=f"{kind.lower()} {dst}")
        entry = self.lookup(dst, mark)
        if entry is not None and entry.kind == "local":
            return Route("LOCAL", device, rule=str(entry))
        return self._forward(entry, dst, device)

    def _martian(self, src: Address, dst: Address, device: str) -> Refused | None:
        """Sources and destinations that must not come from a wire."""
        if src in _MULTICAST[4] or src == _LIMITED:
            return Refused(f"martian source {src}: nobody can send from it")
        if dst == _LIMITED or (src == dst == IPv4Address(0)):
            return None
        if src == IPv4Address(0) and dst not in _LOCAL_GROUPS:
            return Refused(f"martian source {src}: this host")
        if dst == IPv4Address(0):
            return Refused(f"martian destination {dst}: this host")
        if device == "lo":
            return None
        localnet = self.sysctl("route_localnet", device)
        for address, role in ((src, "source"), (dst, "destination")):
            if address in LOOPBACK[4] and not localnet:
                return Refused(f"martian {role} {address}: 127/8 does not come by a wire",
                               f"net.ipv4.conf.{device}.route_localnet=1")  # fmt: skip
        return None

    def _source(self, src: Address, device: str, mark: int) -> Refused | None:
        """net/ipv4/fib_frontend.c __fib_validate_source()."""
        if src.version == 6 or device == "lo":
            return None
        if (
            self.is_local(src)
            and src not in LOOPBACK[4]
            and not self.sysctl("accept_local", device)
        ):
            return Refused(f"martian source {src}: it is the host's own address",
                           f"net.ipv4.conf.{device}.accept_local=1")  # fmt: skip
        mode = self.sysctl("rp_filter", device)
        if not mode or src == IPv4Address(0):
            return None
        entry = self.lookup(src, mark if self.sysctl("src_valid_mark", device) else 0)
        if entry is None or (mode == 1 and entry.device != device):
            way = f"by {entry.device}" if entry else "by no route"
            return Refused(f"rp_filter: an answer to {src} would leave {way}, the packet came by {device}",
                           f"net.ipv4.conf.{device}.rp_filter=0")  # fmt: skip
        return None

    def _forwards(self, family: int, device: str) -> bool:
        """Whether what comes in by a device may go on; ip_forward sets ``conf.DEV.forwarding`` for all."""
        general = self.forwarding[family]
        if family == 4:
            return self.setting(f"net.ipv4.conf.{device}.forwarding", int(general)) != 0
        return general or self.setting(f"net.ipv6.conf.{device}.force_forwarding") != 0

    def _forward(self, entry: RouteEntry | None, dst: Address, device: str) -> Route | Refused:
        if not self._forwards(dst.version, device):
            name = "net.ipv4.ip_forward" if dst.version == 4 else "net.ipv6.conf.all.forwarding"
            if self.forwarding[dst.version]:
                name = f"net.ipv4.conf.{device}.forwarding"
            return Refused(f"{dst} is not this host's, and it does not forward", f"{name}=1")
        if dst.version == 6 and dst.is_link_local and entry is not None and entry.device != device:
            entry = None  # the way to a link-local address leads by the link it came from
        if entry is None or entry.kind == "unreachable":
            code = (3, 0 if entry is None else 1) if dst.version == 4 else (1, 0)
            return Refused(f"no route to {dst}", f"ip route add {dst} …", code)
        if entry.kind != "unicast":
            filtered = (3, 13) if dst.version == 4 else (1, 1)
            return Refused(f"route {entry}", answer=filtered if entry.kind == "prohibit" else None)
        return Route("FORWARD", entry.device, entry.via, rule=str(entry))

    def output(self, src: Address | None, dst: Address, mark: int = 0) -> Route | Refused:
        """Decide about a packet that the host sends itself (or routes again)."""
        if self.is_local(dst) or dst == IPv4Address(0):  # 0.0.0.0 is "this host"
            return Route("OUTPUT", "lo", source=src or dst, rule=f"local {dst}")
        entry = self.lookup(dst, mark)
        if dst == _LIMITED and entry is not None:
            return Route("OUTPUT", entry.device, source=src or entry.source, rule=str(entry))
        if entry is None or entry.kind != "unicast":
            return Refused(f"no route to {dst}", f"ip route add {dst} …")
        if (
            src is not None
            and src.version == 4
            and src in LOOPBACK[4]
            and not self.sysctl("route_localnet", entry.device)
        ):
            return Refused(f"the source {src} may not leave by {entry.device}",
                           f"net.ipv4.conf.{entry.device}.route_localnet=1")  # fmt: skip
        source = src or entry.source or self.pick_source(entry.device, entry.via or dst)
        return Route("OUTPUT", entry.device, entry.via, source, rule=str(entry))

    def pick_source(self, device: str, towards: Address) -> Address | None:
        """Return the address that a device speaks with: net/ipv4/devinet.c inet_select_addr()."""
        family = towards.version
        if family == 6 and self.is_local(towards):
            return towards  # RFC 6724, rule 1: the same address
        mine = [
            i for i in self.interfaces if i.device == device != "lo" and i.address.version == family
        ]
        near = [i for i in mine if towards in i.net]
        anywhere = [i for i in self.interfaces if i.address.version == family and i.device != "lo"]
        return next((found[0].address for found in (near, mine, anywhere) if found), None)


# --- reading what ``ip`` prints ---


def read_addresses(data: Iterable[Mapping[str, object]]) -> tuple[Interface, ...]:
    """Read ``ip -j addr``, parsed from JSON. Raise HostError if it is something else."""
    try:
        return tuple(
            make_interface(str(link["ifname"]), f"{info['local']}/{info['prefixlen']}")
            for link in data
            for info in link.get("addr_info", ())  # type: ignore[attr-defined]
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HostError(f"this is not the output of `ip -j addr`: {error}") from None


def make_interface(device: str, address: str) -> Interface:
    """Return the interface of ``10.0.0.1/24`` on ``device``. Raise HostError."""
    name = address.partition("/")[0]
    try:
        family = 6 if ":" in name else 4
        return Interface(device, parse_address(name, family), parse_net(address, family))
    except ValueError as error:
        raise HostError(f"{device}={address}: {error}") from None


def read_routes(data: Iterable[Mapping[str, object]], family: int = 4) -> tuple[RouteEntry, ...]:
    """Read ``ip -j route``, parsed from JSON. Raise HostError if it is something else."""
    try:
        return tuple(
            make_route(
                str(line["dst"]), str(line.get("dev", "")), via=line.get("gateway"),
                source=line.get("prefsrc"), metric=int(str(line.get("metric", 0))),
                kind=str(line.get("type", "unicast")), family=family,
            )
            for line in data
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HostError(f"this is not the output of `ip -j route`: {error}") from None


def make_route(net: str, device: str, *, via: object = None, source: object = None, metric: int = 0,
               kind: str = "unicast", family: int = 0, mark: str = "") -> RouteEntry:  # fmt: skip
    """Return a route; ``net`` is ``10.0.0.0/8`` or ``default``, ``mark`` is ``0x1`` or ``0x1/0xff``."""
    try:
        if net == "default":
            family = parse_address(str(via)).version if via else family or 4
            target = Net(family, 0, 0)
        else:
            target = parse_net(net, 6 if ":" in net else 4)
        value, _, mask = mark.partition("/")
        mark_mask = (int(mask, 0) if mask else 0xFFFFFFFF) if mark else 0
        return RouteEntry(target, device, parse_address(str(via)) if via else None,
                          parse_address(str(source)) if source else None, metric, kind,
                          int(value, 0) if mark else 0, mark_mask)  # fmt: skip
    except ValueError as error:
        raise HostError(f"route {net} dev {device}: {error}") from None


def host_net(address: Address) -> Net:
    """Return the network that holds one address."""
    return Net(address.version, int(address), (1 << BITS[address.version]) - 1)


def first_host(net: Net) -> Address:
    """Return the first address of a network that a host may have."""
    return make_address(net.family, net.value + 1)


__all__ = ["Interface", "Refused", "RouteEntry", "Routing", "first_host", "host_net", "make_interface",
           "make_route", "read_addresses", "read_routes"]  # fmt: skip
