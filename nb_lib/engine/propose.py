"""Addresses and routes for a dump that came without any: proposals, each with its reason.

A pasted dump often says enough: ``-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE`` puts 172.17.0.0/16
behind docker0. What it does not say is taken from the packet. Every proposal is a sentence that the
trace shows, so that nobody mistakes it for a fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from nb_lib.connection import Address
from nb_lib.engine.routing import Interface, RouteEntry, Routing, first_host, host_net
from nb_lib.errors import RulesetError
from nb_lib.net import Net
from nb_lib.packet import Packet
from nb_lib.rules import Rule, Ruleset

_WIRE = re.compile("e(th|n)")
MAX_RULES = 5000  # rules that are read for hints; a proposal is worth no more


class Hints(NamedTuple):
    """What rules say of where things lie: networks with a device and the rule, and the way to the world."""

    behind: tuple[tuple[Net, str, str], ...]
    outside: str


def hints(ruleset: Ruleset) -> Hints:
    """Read what the rules of a dump say of where things lie."""
    behind: list[tuple[Net, str, str]] = []
    outside = ""
    for rule in _rules(ruleset):
        net, device, why = _behind(rule)
        if net is not None and _wide(net):
            behind.append((net, device, why))
        outside = outside or _outside(rule)
    return Hints(tuple(behind), outside)


def propose(
    routing: Routing, known: Hints, packet: Packet, interface: str
) -> tuple[Routing, tuple[str, ...]]:
    """Return ``routing`` filled up for one packet, and the assumptions as sentences."""
    interfaces: list[Interface] = list(routing.interfaces)
    routes: list[RouteEntry] = list(routing.routes)
    said: list[str] = []
    for net, device, why in known.behind:
        if not any(r.net == net for r in routes):
            routes.append(RouteEntry(net, device))
            interfaces.append(Interface(device, first_host(net), net))
            said.append(f"{net} lies behind {device}, where the host is {first_host(net)} ({why})")
    outside = known.outside or interface or "eth0"
    found = replace(routing, interfaces=tuple(interfaces), routes=tuple(routes))
    if interface and interface != "lo" and not _reached(found, packet.src, interface):
        routes.append(RouteEntry(host_net(packet.src), interface))
        said.append(f"{packet.src} lies behind {interface} (the packet came by it)")
    if not interface and not found.is_local(packet.src):
        interfaces.append(Interface(outside, packet.src, host_net(packet.src)))
        said.append(f"{packet.src} is the host's address on {outside} (the packet starts there)")
    if not any(r.net.mask == 0 and r.net.family == packet.family for r in routes):
        routes.append(RouteEntry(Net(packet.family, 0, 0), outside))
        said.append(f"everything else lies behind {outside}")
    if (
        interface
        and not any(i.device == interface for i in interfaces)
        and _unrouted(found, packet.dst)
    ):
        interfaces.append(Interface(interface, packet.dst, host_net(packet.dst)))
        said.append(
            f"{packet.dst} is the host's address on {interface} (nothing says where else it lies)"
        )
    return replace(routing, interfaces=tuple(interfaces), routes=tuple(routes)), tuple(said)


def _rules(ruleset: Ruleset) -> Iterator[Rule]:
    """The readable rules, up to a limit; rules in error are someone else's to report."""
    left = MAX_RULES
    for name in ("nat", "filter"):
        if name not in ruleset:
            continue
        for chain in ruleset[name]:
            for index in range(min(len(chain.rules), left)):
                try:
                    yield chain.rules[index]
                except RulesetError:
                    continue
            left = max(0, left - len(chain.rules))


def _behind(rule: Rule) -> tuple[Net | None, str, str]:
    """A network and the device that it must lie behind, by the idioms of Docker, libvirt and CNI."""
    core = rule.core.settings
    target = rule.target.name if rule.target else ""
    source, destination, out = core.get("-s"), core.get("-d"), core.get("-o")
    if target == "MASQUERADE" and source and not source.inverted and out and out.inverted:
        return (
            source.value,
            _name(out.value),
            f"-s {source.value} ! -o {_name(out.value)} -j MASQUERADE",
        )
    if target == "ACCEPT" and destination and not destination.inverted and out and not out.inverted:
        return (
            destination.value,
            _name(out.value),
            f"-d {destination.value} -o {_name(out.value)} -j ACCEPT",
        )
    return None, "", ""


def _outside(rule: Rule) -> str:
    """The device that masquerades is the one towards the world."""
    out = rule.core.settings.get("-o")
    if rule.target and rule.target.name in ("MASQUERADE", "SNAT") and out and not out.inverted:
        return _name(out.value)
    return ""


def _name(device: object) -> str:
    return str(device).rstrip("+")


def _wide(net: Net) -> bool:
    return (
        net.prefix is not None and 0 < net.prefix < net.mask.bit_length() + 1 and net.host is None
    )


def _reached(routing: Routing, address: Address, device: str) -> bool:
    entry = routing.lookup(address)
    return entry is not None and entry.device == device


def _unrouted(routing: Routing, address: Address) -> bool:
    return routing.address_type(address) == "UNICAST" and routing.lookup(address) is None


def outer(routing: Routing, family: int) -> Interface | None:
    """Return the interface by which strangers come, as far as its name tells, None if none is known."""
    own = [one for one in routing.interfaces
           if one.address.version == family and not one.address.is_loopback
           and not one.address.is_link_local]  # fmt: skip
    return next((one for one in own if _WIRE.match(one.device)), own[0] if own else None)
