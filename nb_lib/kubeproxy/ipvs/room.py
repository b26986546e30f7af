"""IPVS mode in the loop: addresses, virtual servers, sets, and rules that hardly ever change.

kube-proxy tells the kernel of virtual servers and addresses by netlink, one by one; here they are lines of
``ipvsadm --restore`` and commands of ``ip``. What is new comes before the rules that let it in, what is gone
goes after them. Real servers with connections leave later (``graceful``), so every sync looks at all of them;
a sync comes each period, whatever has changed.

Source: pkg/proxy/ipvs/proxier.go syncProxyRules(), syncService(), cleanLegacyService(), NewProxier().
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from nb_lib.kubeproxy.commands import Command, Place
from nb_lib.kubeproxy.ipvs.changes import added_servers, deleted_servers, set_changes
from nb_lib.kubeproxy.ipvs.graceful import settled
from nb_lib.kubeproxy.ipvs.mode import DEVICE, PROGRAMS, computed, prepared, sysctls
from nb_lib.kubeproxy.rooms import ensure, forgotten
from nb_lib.kubeproxy.stale import stale
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.text.ipset import IpSet, parse_ipsets
from nb_lib.text.ipvs import Counts, VirtualServer, parse_ipvs

_RESTORE = ("ipvsadm", "--restore")


class Room:
    """One family in IPVS mode."""

    partial = False

    def __init__(self, tracked: Tracked, place: Place) -> None:
        self.tracked, self.place = tracked, place

    def start(self) -> None:
        """Make the settings and the device; what is there already stays."""
        for name, value in sysctls(self.tracked.config, self.tracked.era).items():
            self.place.run(["sysctl", "-w", f"{name}={value}"])
        self.place.run(["ip", "link", "add", DEVICE, "type", "dummy"])

    def commands(self, now: float, *, whole: bool) -> Iterator[Command]:  # noqa: ARG002 - it always is
        """Yield what is new, the sets, the rules, what is gone, and what conntrack forgets."""
        tracked, family = self.tracked, self.tracked.family
        ensure(self.place, prepared(tracked.era, family))
        wanted, held = computed(tracked), self._servers()
        servers = settled(held, wanted.virtual_servers, self._counts(held))
        addresses, there = list(map(str, wanted.addresses)), self._addresses()
        for address in addresses:
            if address not in there:
                yield self._address("add", address)
        if text := added_servers(held, servers):
            yield Command(_RESTORE, text)
        if text := set_changes(self._sets(), wanted.sets.values()):
            yield Command(("ipset", "-exist", "restore"), text)
        yield Command((f"{PROGRAMS[family]}-restore", "--noflush", "--counters"), wanted.rules)
        if text := deleted_servers(held, servers):
            yield Command(_RESTORE, text)
        for address in there:
            if address not in addresses:
                yield self._address("del", address)
        yield from forgotten(stale(tracked))

    def intact(self) -> bool:
        """Nobody knows: the period is over."""
        return False

    def close(self) -> None:
        """The process holds nothing."""

    # ── What is there ───────────────────────────────────────────────────────────────

    def _servers(self) -> tuple[VirtualServer, ...]:
        found = parse_ipvs(self.place.run(["ipvsadm", "-Sn"]).stdout)
        return tuple(one for one in found if one.family == self.tracked.family)

    def _counts(self, held: tuple[VirtualServer, ...]) -> Counts:
        """Return the connections, active and not, of each real server, as ``ipvsadm -Ln`` has them."""
        found: dict[str, tuple[int, int]] = {}
        named = ""
        for words in map(str.split, self.place.run(["ipvsadm", "-Ln"]).stdout.splitlines()):
            if words[:1] == ["->"] and words[-1].isdecimal():
                found[f"{named} {words[1]}"] = int(words[-2]), int(words[-1])
            elif len(words) > 1:
                named = f"{words[0]} {words[1]}"
        return {
            (service.key, server): found.get(f"{service} {server}", (0, 0))
            for service in held
            for server in service.servers
        }

    def _sets(self) -> dict[str, IpSet]:
        return parse_ipsets(self.place.run(["ipset", "save"]).stdout)

    def _addresses(self) -> list[str]:
        printed = self.place.run(["ip", "-j", "addr", "show", "dev", DEVICE]).stdout
        held = (info for link in json.loads(printed or "[]") for info in link.get("addr_info", ()))
        family = "inet" if self.tracked.family == 4 else "inet6"
        return [info["local"] for info in held if info["family"] == family]

    def _address(self, verb: str, address: str) -> Command:
        length = 32 if self.tracked.family == 4 else 128
        return Command(("ip", "addr", verb, f"{address}/{length}", "dev", DEVICE))
