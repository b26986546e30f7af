"""Where a node lets Services answer: read from its rules, maps and virtual servers, whatever the mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple

from nb_lib.engine import Host
from nb_lib.errors import NbError
from nb_lib.headers import PROTOCOL_NAMES
from nb_lib.kubeproxy.nftables.base import NAME as TABLE
from nb_lib.kubeproxy.objects import Address
from nb_lib.net import BITS, make_address
from nb_lib.packet import endpoint
from nb_lib.rules import Chain, Rule, Ruleset
from nb_lib.text import nft
from nb_lib.text.nft.values import Concat, Verdict

# The chains that kube-proxy asks first: of iptables mode, of userspace mode; for who has no endpoint.
_CHAINS = {
    "nat": ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-PORTALS-CONTAINER", "KUBE-NODEPORT-CONTAINER"),
    "filter": ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"),
}
# The maps of nftables mode.
_MAPS = ("service-ips", "no-endpoint-services", "service-nodeports", "no-endpoint-nodeports")
_PROTOCOLS = ("tcp", "udp", "sctp")
_MOST_PORT = 65_535
_FAMILIES = {4: "ip", 6: "ip6"}
_DUMMY = "kube-ipvs0"  # IPVS mode's device, which has the Services' addresses
NAME = re.compile(r"[\w.-]+/[\w.-]+(?::[\w.-]*\w)?")  # namespace/name:port
_CHAIN = re.compile(r"\w+-[A-Z2-7]{8}-([\w.-]+/[\w.-]+)/(?:tcp|udp|sctp)/([\w.-]*)")


class Front(NamedTuple):
    """An address and a port at which a Service answers; ``address`` is None for a nodePort.

    ``service`` is ``namespace/name`` or ``namespace/name:port``, empty where the rules do not say.
    """

    service: str
    family: int
    protocol: str  # tcp, udp, sctp
    address: Address | None
    port: int

    @property
    def place(self) -> tuple[int, str, Address | None, int]:
        """What packets tell it by."""
        return self[1:]

    def __str__(self) -> str:
        where = endpoint(self.address, self.port) if self.address else f"nodePort {self.port}"
        return where if self.protocol == "tcp" else f"{where}/{self.protocol}"


def fronts(host: Host, family: int = 4, most: int | None = None) -> Iterator[Front]:
    """Yield where Services answer, each place once; of each chain ``most`` rules are looked at."""
    found: set[tuple[int, str, Address | None, int]] = set()
    for front in _all(host, family, most):
        if front.place not in found:
            found.add(front.place)
            yield front


def _all(host: Host, family: int, most: int | None) -> Iterator[Front]:
    yield from _of_rules(host.family(family), most)
    for table in host.nftables.ruleset if host.nftables is not None else ():
        if (table.family, table.name) == (_FAMILIES[family], TABLE):
            yield from _of_maps(table, family, most)
    yield from _of_servers(host, family)


def _of_rules(ruleset: Ruleset, most: int | None) -> Iterator[Front]:
    for name, chains in _CHAINS.items():
        table = ruleset.tables.get(name)
        held = [table.chains.get(chain) for chain in chains] if table is not None else []
        for chain in filter(None, held):
            for rule in _readable(chain, most):
                if front := _of_rule(rule, ruleset.family):
                    yield front


def _readable(chain: Chain, most: int | None) -> Iterator[Rule]:
    for at in range(min(len(chain.rules), len(chain.rules) if most is None else most)):
        try:
            yield chain.rules[at]
        except NbError:  # an option that is not known: kube-proxy did not write it
            continue


def _of_rule(rule: Rule, family: int) -> Front | None:
    """Return the place that a rule asks for, None if it asks for a network or for no port."""
    core, said, protocol = rule.core.settings, "", ""
    port = None
    for use in rule.matches:
        if use.name == "comment":
            found = NAME.match(str(use.value("--comment", "")))
            said = found[0] if found else ""
        elif use.name in _PROTOCOLS:
            protocol, port = use.name, use.settings.get("--dport")
    if port is None or port.inverted:
        return None
    if "-d" not in core:
        return Front(said, family, protocol, None, port.value.low)
    to = core["-d"].value
    if core["-d"].inverted or to.mask != (1 << BITS[to.family]) - 1:
        return None
    return Front(said, family, protocol, make_address(to.family, to.value), port.value.low)


def _of_maps(table: nft.Table, family: int, most: int | None) -> Iterator[Front]:
    for name in _MAPS:
        held = table.set.get(name)
        for element in islice(held.elements, most) if held is not None else ():
            if front := _of_element(element, family):
                yield front


def _of_element(element: nft.Element, family: int) -> Front | None:
    """Return the place that leads to a Service, None for an element that kube-proxy did not write."""
    key, goal = element.key, element.data
    if not (isinstance(key, Concat) and isinstance(goal, Verdict) and len(key.parts) in (2, 3)):
        return None
    *address, protocol, port = map(str, key.parts)
    chain = _CHAIN.match(goal.target)
    said = ":".join(filter(None, chain.groups())) if chain else element.comment
    try:
        to = ip_address(address[0]) if address else None
    except ValueError:
        return None
    if protocol not in _PROTOCOLS or not port.isdecimal() or int(port) > _MOST_PORT:
        return None
    return Front(said, family, protocol, to, int(port))


def _of_servers(host: Host, family: int) -> Iterator[Front]:
    """Yield IPVS' virtual servers; one at an address of the node's own devices is a nodePort."""
    own = {one.address for one in host.routing.interfaces if one.device != _DUMMY}
    for one in host.ipvs.services.values() if host.ipvs is not None else ():
        if one.address is not None and one.address.version == family:
            address = None if one.address in own else one.address
            yield Front("", family, PROTOCOL_NAMES[one.protocol], address, one.port)
