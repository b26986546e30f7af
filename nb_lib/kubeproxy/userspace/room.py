"""userspace mode in the loop: sockets of the process' own, and a command for each rule that leads to them.

There is no restore: a rule is asked for with ``-C`` and put if it is not there; one that is no longer wanted
is deleted. A change of endpoints alone concerns the sockets, and no rule. Nothing watches for a flush: each
sync period every rule is asked for again.

Source: pkg/proxy/userspace/proxier.go NewProxier(), syncProxyRules(), ensurePortals(), closePortal() (1.21).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from nb_lib.kubeproxy.commands import Command, Place
from nb_lib.kubeproxy.objects import Address, Key, Service
from nb_lib.kubeproxy.rooms import ensure, forgotten
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace.rules import CHAINS, Rule, prepared, wanted


class Room:
    """The family that userspace mode serves."""

    partial = True

    def __init__(self, tracked: Tracked, place: Place) -> None:
        self.tracked, self.place = tracked, place
        self._services: dict[Key, Service] = {}
        self._rules: tuple[Rule, ...] = ()
        self._emptied = False

    def start(self) -> None:
        """Make the chains, and empty what another process has left: its sockets are gone."""
        if self._emptied:
            return
        self._prepare()
        for table, chain in CHAINS:
            self.place.run(["iptables", "-F", chain, "-t", table])
        self._emptied = True

    def commands(self, now: float, *, whole: bool) -> Iterator[Command]:  # noqa: ARG002 - no clock here
        """Yield the rules that have to go, then those that are not there, then what is forgotten."""
        tracked = self.tracked
        ports = self.place.listen(tracked)
        if not whole and tracked.services == self._services:
            return
        self._services = dict(tracked.services)
        rules = tuple(wanted(self._services.values(), ports, self._node_ip()))
        self._prepare()
        kept = set(rules)
        for rule in self._rules:
            if rule not in kept and self._there(rule):
                yield Command(tuple(rule.command("-D")))
        for rule in rules:
            if not self._there(rule):
                yield Command(tuple(rule.command()))
        self._rules = rules
        yield from forgotten(self._gone())

    def intact(self) -> bool:
        """Nobody knows: the period is over."""
        return False

    def close(self) -> None:
        """Close the sockets: what is in them ends with the process."""
        self.place.close()

    def _node_ip(self) -> Address:
        """Return where the node's own calls are sent: what the sockets are bound to, or its address."""
        tracked = self.tracked
        given, node = tracked.config.bind_address, tracked.node
        known = [*(node.addresses if node else ()), *tracked.config.addresses]
        mine = (one for one in known if one.version == tracked.family and not one.is_loopback)
        if given.is_unspecified or given.version != tracked.family:
            return next(mine, ip_address("127.0.0.1"))
        return given

    def _prepare(self) -> None:
        for make, jump in prepared():
            ensure(self.place, [make, jump.command()])

    def _there(self, rule: Rule) -> bool:
        return not self.place.run(rule.command("-C")).status

    def _gone(self) -> Iterator[list[str]]:
        """Yield what conntrack forgets: UDP to the cluster IP of a service that is gone."""
        for name, before in self.tracked.before.items():
            if name.protocol == "UDP" and before.portal and name not in self.tracked.portals:
                yield ["conntrack", "-D", "--orig-dst", str(before.portal.cluster_ip), "-p", "udp"]
