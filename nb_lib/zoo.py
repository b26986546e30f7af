"""The zoo of matches and targets: each meets a few packets, and its card says how that went.

The book's appendix shows a card for each entry of the registries::

    card("tcp", "-p tcp -m tcp --dport 80:90", tcp("10.0.0.5", "10.0.0.1", dport=85))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nb_lib.connection import Connection
from nb_lib.engine import Host
from nb_lib.errors import HostError
from nb_lib.matches import LINK_MATCHES, core
from nb_lib.net import ARP, BRIDGE
from nb_lib.options import Extension
from nb_lib.packet import Packet
from nb_lib.rules import Rule, Ruleset
from nb_lib.targets import LINK_TARGETS
from nb_lib.text import parse
from nb_lib.text.ipset import parse_ipsets
from nb_lib.trace import Place
from nb_lib.views.sheet import Sheet
from nb_lib.views.zoo import Card, Meeting

# The host of the examples: a router with the internet at eth0 and its own network at eth1.
ADDRESSES = {"eth0": ["192.0.2.1/24", "2001:db8::1/64"], "eth1": ["10.0.0.1/24", "fd00::1/64"]}
ROUTES = {"default": "eth0"}
OWN = ("OUTPUT", "POSTROUTING")  # a packet meets these on its way out, and may have started here


def card(
    name: str, rules: str, *packets: Packet | float, at: str = "filter INPUT", ipsets: str = "",
    known: Iterable[Connection] = (), **host: Any,
) -> Card:  # fmt: skip
    """Let packets meet a rule, and return what it said to each.

    ``name`` is the extension's; empty for what every rule may ask. ``rules`` stand in the chain ``at``, a
    table and a built-in chain, one a line, without ``-A``; the last that uses the extension is looked at.
    A number among the ``packets`` lets so many seconds pass. A packet whose source is the host's own is sent,
    another comes in by the device at which its source lives. ``ipsets`` is what ``ipset save`` prints,
    ``known`` what conntrack has in its table, ``host`` as in ``Host``.

    Raises RulesetError for a rule that iptables refuses, HostError if no rule uses the extension.
    """
    family = next((one.family for one in packets if isinstance(one, Packet)), 4)
    table, chain = at.split()
    lines = "".join(f"-A {chain} {rule}\n" for rule in rules.splitlines())
    ruleset = parse(f"*{table}\n{lines}COMMIT\n", family=family)
    extension, number = _asked(ruleset, name, at, family)
    facts = {"addresses": ADDRESSES, "routes": ROUTES, "ipsets": parse_ipsets(ipsets), **host}
    there = Host(ruleset, **facts)
    for entry in known:
        there.conntrack.insert(entry)
    met = tuple(_meet(there, packets))
    return Card(extension, f"-t {table}\n{lines}".rstrip(), Place(table, chain, number), met)


def link_layer() -> Sheet:
    """Return what rules of arptables and ebtables may ask and do, beside the words of every rule."""
    rows = [
        (
            name,
            flag,
            one.summary,
            " ".join(option.name for option in one.options),
            one.source.partition(";")[0],
        )
        for family, name in ((BRIDGE, "ebtables"), (ARP, "arptables"))
        for flag, registry in (("asks", LINK_MATCHES), ("does", LINK_TARGETS))
        for flag, one in ((f"{flag} {one.name}", one) for one in registry[family].values())
    ]
    heads = ("program", "a rule", "what", "options", "in Linux")
    return Sheet(heads, rows, "Rules for frames and for ARP")


def _asked(ruleset: Ruleset, name: str, at: str, family: int) -> tuple[Extension, int]:
    """Return the extension of a name and the number of the rule that uses it."""
    table, chain = at.split()
    rules: Iterable[Rule] = ruleset[table][chain].rules
    for number, rule in reversed([*enumerate(rules, 1)]):
        if not name:
            return core(family), number
        for use in (*rule.matches, *filter(None, (rule.target,))):
            if use.name == name:
                return use.extension, number
    raise HostError(f"no rule uses {name}")


def _meet(host: Host, packets: Iterable[Packet | float]) -> Iterator[Meeting]:
    for one in packets:
        if not isinstance(one, Packet):
            host.wait(one)
            yield Meeting(None, told=f"{one:,g} s pass")
        elif host.routing.is_local(one.src):
            yield Meeting(one, host.send(one), "sent here")
        else:
            yield Meeting(one, host.receive(one, one.in_iface or _device(host, one)))


def _device(host: Host, packet: Packet) -> str:
    """Return the device at which a packet's source lives."""
    route = host.routing.lookup(packet.src)
    return route.device if route else "eth1"
