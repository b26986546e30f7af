"""Where kube-proxy's commands run: on an emulated host, or on the machine's own, in its network namespace."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from nb_lib.cli import State, run
from nb_lib.kubeproxy.choice import Abilities
from nb_lib.kubeproxy.commands import Done
from nb_lib.kubeproxy.emulated import ip, ipset, ipvsadm
from nb_lib.kubeproxy.emulated import nft as nft_program
from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.objects import Address
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace.rules import PROTOCOLS
from nb_lib.kubeproxy.userspace.sockets import Sockets
from nb_lib.text import nft
from nb_lib.text.ipset import IpSet
from nb_lib.text.ipvs import VirtualServer

_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_WAITING = ("-w", "5")  # for iptables' lock
FIRST_SOCKET = 40_001  # of userspace mode: the kernel gives a real one any free port
_NOT_RUN = 127  # as a shell says it
_MODULES, _LOCALNET = "/proc/modules", "/proc/sys/net/ipv4/conf/all/route_localnet"
_PATIENCE = 120  # seconds for one command: 10,000 services take iptables-nft half a minute


class Emulated:
    """A host that is not there.

    ``state`` is what its iptables holds, ``nft`` its nft tables, ``ipsets`` and ``virtual_servers`` IPVS'
    share, ``links`` the addresses of devices that were made, ``sysctls`` the settings; ``ran`` are the
    conntrack commands, ``ports`` the sockets of userspace mode.
    """

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.nft = nft.Ruleset()
        self.ipsets: Mapping[str, IpSet] = {}
        self.virtual_servers: tuple[VirtualServer, ...] = ()
        self.links: Mapping[str, tuple[str, ...]] = {}
        self.sysctls: dict[str, int] = {}
        self.ports: dict[PortName, int] = {}
        self.ran: list[list[str]] = []

    def abilities(self, scheduler: str = "") -> Abilities:
        """Return what the host can do: everything, with any scheduler."""
        return Abilities(modules=frozenset(Abilities(modules=None).missing(scheduler)))

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        """Run a program; of conntrack, note what was asked."""
        program, *rest = words
        if program.startswith(("iptables", "ip6tables")):
            result = run(self.state, words, stdin=stdin)
            self.state = result.state
            return Done(result.status, result.stdout, result.stderr)
        known = {"conntrack": self._conntrack, "ip": self._ip, "ipset": self._ipset,
                 "ipvsadm": self._ipvsadm, "nft": self._nft, "sysctl": self._sysctl}  # fmt: skip
        if program not in known:
            return Done(_NOT_RUN, "", f"{program}: this host has no such program\n")
        return known[program](rest, stdin)

    def _conntrack(self, words: list[str], _stdin: str) -> Done:
        self.ran.append(["conntrack", *words])
        return Done(1, "", "0 flow entries have been deleted.\n")

    def _ip(self, words: list[str], _stdin: str) -> Done:
        done, self.links = ip.run(self.links, words)
        return done

    def _ipset(self, words: list[str], stdin: str) -> Done:
        done, self.ipsets = ipset.run(self.ipsets, words, stdin)
        known = {
            one.name: (f"{one.method}:{','.join(one.parts)}", one.bound)
            for one in self.ipsets.values()
        }
        self.state = replace(self.state, sets=known)
        return done

    def _ipvsadm(self, words: list[str], stdin: str) -> Done:
        done, self.virtual_servers = ipvsadm.run(self.virtual_servers, words, stdin)
        return done

    def _nft(self, words: list[str], stdin: str) -> Done:
        if words[-2:] == ["-f", "-"]:
            done, self.nft = nft_program.load(self.nft, stdin, check="--check" in words)
        else:
            done, self.nft = nft_program.run(self.nft, words)
        return done

    def _sysctl(self, words: list[str], _stdin: str) -> Done:
        settings = [word.partition("=") for word in words[1:]]
        if words[:1] != ["-w"] or not all(value.isdecimal() for *_, value in settings):
            return Done(1, "", f"sysctl: {' '.join(words)} is not known here\n")
        self.sysctls = {**self.sysctls, **{name: int(value) for name, _, value in settings}}
        return Done(0)

    def listen(self, tracked: Tracked) -> Mapping[PortName, int]:
        """Number the sockets of userspace mode, one after the other."""
        first = max(self.ports.values(), default=FIRST_SOCKET - 1) + 1
        new = [
            name
            for name, one in tracked.portals.items()
            if one.protocol in PROTOCOLS and name not in self.ports
        ]
        kept = {name: port for name, port in self.ports.items() if name in tracked.portals}
        self.ports = kept | {name: first + number for number, name in enumerate(new)}
        return self.ports

    def close(self) -> None:
        """Let go of the sockets."""
        self.ports = {}


class Real:
    """This machine, in the network namespace that the program runs in. It needs root.

    ``backend`` is ``nft`` or ``legacy``; empty for what the machine calls iptables. A program that is
    missing, or does not end, has the status 127 and says so.
    """

    def __init__(self, backend: str = "") -> None:
        self.suffix = f"-{backend}" if backend else ""
        self._sockets: Sockets | None = None

    def run(self, words: Sequence[str], stdin: str = "") -> Done:
        """Run a program of the machine's."""
        program, *rest = words
        base, dash, action = program.partition("-")
        if base in ("iptables", "ip6tables"):
            program = f"{base}{self.suffix}{dash}{action}"
            rest = [*(() if action == "save" else _WAITING), *rest]
        found = {**os.environ, "PATH": _PATH}
        try:
            done = subprocess.run(
                [program, *rest], input=stdin, capture_output=True, text=True, check=False,
                timeout=_PATIENCE, env=found,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return Done(_NOT_RUN, "", f"{program}: {error}\n")
        return Done(done.returncode, done.stdout, done.stderr)

    def listen(self, tracked: Tracked) -> Mapping[PortName, int]:
        """Open the sockets of userspace mode, and serve them in a thread."""
        self._sockets = self._sockets or Sockets()
        return self._sockets.listen(tracked)

    def close(self) -> None:
        """Close them."""
        if self._sockets:
            self._sockets.close()
            self._sockets = None

    def addresses(self) -> tuple[Address, ...]:
        """Return the addresses of the interfaces."""
        listed = json.loads(self.run(["ip", "-j", "addr", "show"]).stdout or "[]")
        held = (info for link in listed for info in link.get("addr_info", ()))
        return tuple(ip_address(info["local"]) for info in held if "local" in info)

    def abilities(self, scheduler: str = "") -> Abilities:
        """Return what the machine can do, as far as the choice of a mode depends on it."""
        found = self.run(["modprobe", "-va", "ip_vs"])
        missing = found.status == _NOT_RUN
        return Abilities(
            iptables=self._has_nat("iptables"),
            ip6tables=self._has_nat("ip6tables"),
            modules=self._modules(scheduler),
            modprobe=Abilities().modprobe if missing else (found.stderr.strip(), found.status),
            route_localnet=_unreadable(_LOCALNET),
        )

    def _has_nat(self, program: str) -> bool:
        return not self.run([program, "-S", "POSTROUTING", "-t", "nat"]).status

    def _modules(self, scheduler: str) -> frozenset[str] | None:
        """Return which modules of IPVS there are, None where the kernel knows no modules."""
        if _unreadable(_MODULES):
            return None
        loaded = {line.split()[0] for line in Path(_MODULES).read_text().splitlines()}
        wanted = Abilities(modules=None).missing(scheduler)
        return frozenset(
            name for name in wanted if name in loaded or not self.run(["modprobe", name]).status
        )


def _unreadable(path: str) -> str:
    """Return why a file cannot be read, nothing if it can."""
    try:
        Path(path).read_bytes()
    except OSError as error:
        return f"open {path}: {error.strerror}"
    return ""
