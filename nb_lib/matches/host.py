"""cpu, cgroup, devgroup, realm, socket: facts about the host that no header holds.

Linux: net/netfilter/xt_cpu.c, xt_cgroup.c, xt_devgroup.c, xt_realm.c, xt_socket.c. Each asks for a
fact: ``cpu``, ``cgroup`` (class id), ``cgroup_path``, ``device_groups`` (device → group),
``realm`` (of the route), ``socket`` (``transparent``, True or False: does a socket here wait for
the packet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.kinds import Masked
from nb_lib.listed import headed
from nb_lib.options import (
    HIT,
    INVALID,
    Answer,
    Context,
    Extension,
    Option,
    Place,
    RefusedError,
    Setting,
    Use,
    before_or_after,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def fact(packet: Packet, ctx: Context, name: str) -> Any:
    """Return what the packet itself, or its host, was told about a fact; None if nothing."""
    return dict(packet.facts).get(name, ctx.fact(name))


def _test_cpu(use: Use, packet: Packet, ctx: Context) -> Answer:
    have = fact(packet, ctx, "cpu")
    if have is None:
        return undecided("--cpu", "the CPU that handles the packet (cpu=…)")
    setting = use.settings["--cpu"]
    return miss("--cpu", have) if (have == setting.value) is setting.inverted else HIT


def _test_cgroup(use: Use, packet: Packet, ctx: Context) -> Answer:
    """A packet that no socket of this host sent has no control group, whatever the rule negates."""
    if packet.in_iface or (not packet.facts and ctx.fact("socket") is False):
        return miss("no socket sent the packet")
    option = "--path" if "--path" in use.settings else "--cgroup"
    name = "cgroup_path" if option == "--path" else "cgroup"
    have = fact(packet, ctx, name)
    if have is None:
        return undecided(option, f"the sender's control group ({name}=…)")
    setting = use.settings[option]
    fits = _below(str(have), setting.value) if option == "--path" else have == setting.value
    return miss(option, have) if fits is setting.inverted else HIT


def _below(path: str, ancestor: str) -> bool:
    """Tell whether a path lies in another: cgroup_is_descendant()."""
    parts, above = path.strip("/").split("/"), ancestor.strip("/").split("/")
    return above == [""] or parts[: len(above)] == above


def _test_devgroup(use: Use, packet: Packet, ctx: Context) -> Answer:
    groups = ctx.fact("device_groups")
    for option, device in (("--src-group", packet.in_iface), ("--dst-group", packet.out_iface)):
        setting = use.settings.get(option)
        if setting is None:
            continue
        if groups is None or device not in groups:
            return undecided(option, f"the group of device {device} (device_groups={{…}})")
        value, mask = setting.value
        if ((groups[device] ^ value) & mask == 0) is setting.inverted:
            return miss(option, groups[device])
    return HIT


def _test_realm(use: Use, packet: Packet, ctx: Context) -> Answer:
    have = fact(packet, ctx, "realm")
    if have is None:
        return undecided("--realm", "the realm of the packet's route (realm=…)")
    setting = use.settings["--realm"]
    value, mask = setting.value
    return miss("--realm", have) if (have & mask == value) is setting.inverted else HIT


def _test_socket(use: Use, packet: Packet, ctx: Context) -> Answer:
    have = fact(packet, ctx, "socket")
    if have is None:
        return undecided(
            "socket",
            "whether a socket here waits for the packet (socket=True, False or 'transparent')",
        )
    if not have:
        return miss("no socket waits for the packet")
    if "--transparent" in use.settings and have != "transparent":
        return miss("--transparent")
    if "--restore-skmark" in use.settings:
        return undecided("--restore-skmark", use.beyond("--restore-skmark"))
    return HIT


def _tidy_cgroup(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if len(settings) != 1:
        raise RefusedError("cgroup needs either --path or --cgroup", kernel=INVALID)
    return settings


def _tidy_devgroup(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    said = "devgroup match: You must specify either '--src-group' or '--dst-group'"
    kinds.one_of(settings, "--src-group", "--dst-group", said=said)
    return settings


def _place_devgroup(use: Use) -> Place:
    return before_or_after(
        before="--src-group" in use.settings, after="--dst-group" in use.settings
    )


class _Path(kinds.Text):
    """A control group's path, always quoted."""

    metavar = "path"

    def save(self, value: Any) -> str:
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'

    def listed(self, value: Any, _numeric: bool) -> str:
        return str(value)


class _NamedMark(kinds.Mark):
    """A masked number; 0 has a name in iproute2's files. xtables.c xtables_parse_val_mask()."""

    def __init__(self, zero: str) -> None:
        super().__init__()
        self.zero = zero

    def read(self, word: str, family: int) -> Masked:
        return Masked(0, self.bits) if word == self.zero else super().read(word, family)

    def complaint(self, word: str) -> str:
        value = kinds.leading_number(word)
        if value and value[0] <= self.bits and value[1][:1] == "/":
            return super().complaint(word)
        return f'{{name}}: could not map name {word} to an integer value for option "{{option}}".\n'

    def save(self, value: Any) -> str:
        return self.zero if value == (0, self.bits) else str(super().save(value))

    def listed(self, value: Any, numeric: bool) -> str:
        return str(super().save(value)) if numeric else self.save(value)


_GROUP = _NamedMark("default")
CPU = Extension(
    "cpu",
    (Option("--cpu", kinds.Number(0, kinds.U32), invertible=True, required=True, label="CPU",
            listed="cpu {! }{value}",
            help="the CPU that handles the packet"),),
    test=_test_cpu,
    summary="the CPU that handles the packet",
    source="net/netfilter/xt_cpu.c cpu_mt(); iptables-extensions(8) cpu",
)  # fmt: skip

CGROUP = Extension(
    "cgroup",
    (
        Option("--path", _Path(), invertible=True, label="cgroup", listed="cgroup {! }{value}",
               help="the sender's control group lies here"),
        Option("--cgroup", kinds.Number(0, kinds.U32), invertible=True, label="class id",
               listed="cgroup {! }{value}",
               help="the sender's net_cls class id"),
    ),
    hooks=("INPUT", "OUTPUT", "POSTROUTING"), test=_test_cgroup, tidy=_tidy_cgroup,
    summary="the control group of the process that sent the packet",
    source="net/netfilter/xt_cgroup.c cgroup_mt_v2(); iptables-extensions(8) cgroup",
)  # fmt: skip

DEVGROUP = Extension(
    "devgroup",
    (
        Option("--src-group", _GROUP, invertible=True, label="device group in",
               listed="{! }src-group {value}",
               help="the group of the incoming device"),
        Option("--dst-group", _GROUP, invertible=True, label="device group out",
               listed="{! }dst-group {value}",
               help="the group of the outgoing device"),
    ),
    test=_test_devgroup, place=_place_devgroup, tidy=_tidy_devgroup,
    summary="the group of the device",
    source="net/netfilter/xt_devgroup.c devgroup_mt(); iptables-extensions(8) devgroup",
)  # fmt: skip

REALM = Extension(
    "realm",
    (Option("--realm", _NamedMark("cosmos"), invertible=True, required=True, label="realm",
            listed="{! }realm {value}",
            help="the realm of the packet's route"),),
    families=(4,), hooks=("INPUT", "FORWARD", "OUTPUT", "POSTROUTING"), test=_test_realm,
    summary="the realm of the packet's route",
    source="net/netfilter/xt_realm.c realm_mt(); iptables-extensions(8) realm",
)  # fmt: skip

SOCKET = Extension(
    "socket",
    (
        Option("--transparent", kinds.FLAG, label="a transparent socket",
               listed="--transparent",
               help="only sockets that are transparent"),
        Option("--nowildcard", kinds.FLAG, label="nowildcard", listed="--nowildcard",
               help="sockets bound to any address count as well"),
        Option("--restore-skmark", kinds.FLAG, label="mark", listed="--restore-skmark",
               help="give the packet the socket's mark"),
    ),
    hooks=("PREROUTING", "INPUT"), test=_test_socket, defrag=True,
    listed=headed(" socket"),
    beyond={"--restore-skmark": "a socket's mark is not modelled"},
    summary="a socket of this host waits for the packet",
    source="net/netfilter/xt_socket.c socket_match(); iptables-extensions(8) socket",
)  # fmt: skip
