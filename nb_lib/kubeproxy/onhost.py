"""A Host as the place of kube-proxy's commands: they change its rules, ``conntrack -D`` its connections.

Packets and syncs then take turns on one machine, with one memory::

    loop = proxier("data/kube-proxy/nginx-1-endpoint")
    loop.start()
    loop.place.host.receive(tcp("10.244.1.200:40000", "172.17.45.122:80"), "veth0")
    loop.apply(objects_of("data/kube-proxy/nginx-3-endpoints"))
    loop.sync()

Source of ``conntrack -D``: conntrack-tools 1.4.7, src/conntrack.c delete_cb(), filter_nat().
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nb_lib.cli import State
from nb_lib.connection import Connection
from nb_lib.engine import Host
from nb_lib.engine.conntrack import Conntrack
from nb_lib.engine.routing import make_interface
from nb_lib.headers import PROTOCOL_NAMES
from nb_lib.kubeproxy.choice import USERSPACE
from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import era
from nb_lib.kubeproxy.hosts import Emulated
from nb_lib.kubeproxy.loop import Proxier
from nb_lib.kubeproxy.nodes import FLAGS, node, objects_of, with_node
from nb_lib.kubeproxy.objects import KubeObject
from nb_lib.rules import Ruleset
from nb_lib.text.ipset import IpSet

_NOT_FOUND = Done(127, "", "conntrack: not found\n")

# What each option of ``conntrack -D`` that kube-proxy uses asks of an entry.
_ASKS: Mapping[str, Callable[[Connection, str], bool]] = {
    "-p": lambda one, value: PROTOCOL_NAMES.get(one.original.protocol) == value,
    "-f": lambda one, value: one.original.dst.version == {"ipv4": 4, "ipv6": 6}[value],
    "--orig-dst": lambda one, value: str(one.original.dst) == value,
    "--dport": lambda one, value: str(one.original.dport) == value,
    "--dst-nat": lambda one, value: "DNAT" in one.status and str(one.reply.src) == value,
}


def _with_sets(host: Host, sets: Mapping[str, IpSet]) -> Host:
    other = host.with_ruleset(host.ruleset)
    other.state = replace(host.state, sets={**host.state.sets, **sets})
    return other


def _with_links(host: Host, links: Mapping[str, Iterable[str]]) -> Host:
    """Put the addresses of devices that were made beside the others."""
    other = host.with_ruleset(host.ruleset)
    kept = tuple(one for one in host.routing.interfaces if one.device not in links)
    made = (make_interface(name, one) for name, found in links.items() for one in found)
    other.routing = replace(host.routing, interfaces=(*kept, *made))
    return other


def _with_sysctls(host: Host, settings: Mapping[str, int]) -> Host:
    return host.with_sysctls(**{name.replace(".", "__"): value for name, value in settings.items()})


# What else an emulated host holds, and how a Host is given it.
_PUT: Mapping[str, Callable[[Host, Any], Host]] = {
    "nft": Host.with_nftables,
    "ipsets": _with_sets,
    "links": _with_links,
    "sysctls": _with_sysctls,
    "virtual_servers": Host.with_virtual_servers,
}


class OnHost(Emulated):
    """A place on a Host. ``host`` is as the last command left it; its memory is the same all the time.

    Without ``conntrack`` that program is missing on the host, as it was from some images of kube-proxy.
    """

    def __init__(self, host: Host, *, conntrack: bool = True) -> None:
        held = {(family, one.backend): one for family, one in host.rulesets.items()}
        super().__init__(State(held))
        if host.nftables is not None:
            self.nft = host.nftables.ruleset
        self._host, self.conntrack = host, conntrack
        self._put: dict[str, object] = {name: getattr(self, name) for name in _PUT}

    @property
    def host(self) -> Host:
        """The host with all that is loaded now."""
        for (family, _backend), ruleset in self.state.rulesets.items():
            if self._host.rulesets.get(family) is not ruleset:
                self._host = self._host.with_ruleset(ruleset)
        for name, put in _PUT.items():
            now = getattr(self, name)
            if now is not self._put[name]:
                self._host, self._put[name] = put(self._host, now), now
        return self._host

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        """Run iptables or one of its kin on the rules, ``conntrack -D`` on the connections."""
        if words[0] != "conntrack":
            return super().run(words, stdin)
        self.ran.append(list(words))
        if not self.conntrack:
            return _NOT_FOUND
        count = len(forget(self._host.conntrack, words))
        return Done(int(not count), "", f"{count} flow entries have been deleted.\n")


def proxier(
    objects: str | Path | Iterable[KubeObject],
    version: str = "1.30",
    *,
    mode: str = "iptables",
    flags: Iterable[str] = FLAGS,
    conntrack: bool = True,
    **facts: Any,
) -> Proxier:
    """Return kube-proxy's loop on an empty node, before its start.

    ``objects``, ``flags`` and ``facts`` are those of ``nodes.node``, ``conntrack`` is that of ``OnHost``.
    """
    flags = tuple(flags)
    # An empty node, with the settings that kube-proxy makes.
    host = node([], version=version, flags=flags, **facts)
    for family in tuple(host.rulesets):
        host = host.with_ruleset(Ruleset(family))
    config = Config.from_flags(flags, [one.address for one in host.routing.interfaces])
    place = OnHost(host, conntrack=conntrack)
    families = (4,) if mode == USERSPACE else ()
    held = with_node(objects_of(objects), config)
    return Proxier(config, era(version), place, held, mode=mode, families=families)


def forget(table: Conntrack, words: Sequence[str]) -> list[Connection]:
    """Do what ``conntrack -D`` with these options does to a table; return what was deleted.

    Raises ValueError for other commands, and for options that kube-proxy never gives.
    """
    if list(words[:2]) != ["conntrack", "-D"]:
        raise ValueError(f"{' '.join(words)} deletes no connection")
    asked = list(_pairs(words[2:]))
    given = [value for option, value in asked if option == "-f"]
    if not given:
        asked.append(("-f", "ipv4"))  # conntrack's default
    found = [one for one in table if all(_ASKS[option](one, value) for option, value in asked)]
    for one in found:
        table.delete(one)
    return found


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option not in _ASKS:
            raise ValueError(f"conntrack -D {option} is not known here")
        yield option, value
