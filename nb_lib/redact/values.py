"""What a rule holds: the values of its options, each exchanged by what it is.

What a value is decides, not where it stands: an address is exchanged in whatever option it is found. Of a
text its option says what it names. What is neither known nor harmless is left as it is, and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

from nb_lib import kinds
from nb_lib.addresses import HostMask
from nb_lib.connection import Address
from nb_lib.matches.iprange import AddressRange
from nb_lib.matches.ipset import SetRef
from nb_lib.net import Net
from nb_lib.options import Option, Setting, Use
from nb_lib.redact.redactor import Redactor
from nb_lib.rules import Rule
from nb_lib.targets.nat import NatRange

DEVICES = frozenset({("", "-i"), ("", "-o"), ("physdev", "--physdev-in"), ("physdev", "--physdev-out"),
                     ("TEE", "--oif")})  # fmt: skip
TEXTS = frozenset({("comment", "--comment"), ("LOG", "--log-prefix"), ("NFLOG", "--nflog-prefix"),
                   ("ULOG", "--ulog-prefix")})  # fmt: skip
NAMES = frozenset({
    ("CT", "--timeout"), ("IDLETIMER", "--label"), ("LED", "--led-trigger-id"), ("RATEEST", "--rateest-name"),
    ("SECMARK", "--selctx"), ("bpf", "--object-pinned"), ("cgroup", "--path"),
    ("hashlimit", "--hashlimit-name"), ("nfacct", "--nfacct-name"), ("rateest", "--rateest1"),
    ("rateest", "--rateest2"), ("recent", "--name"),
})  # fmt: skip
MACS = frozenset({("mac", "--mac-source"), ("CLUSTERIP", "--clustermac")})
# Texts of a fixed set of words, and masks that look like addresses.
KEPT = frozenset({("CT", "--helper"), ("CT", "--zone"), ("CT", "--zone-orig"), ("CT", "--zone-reply"),
                  ("helper", "--helper"), ("osf", "--genre"), ("recent", "--mask"),
                  ("sctp", "--chunk-types")})  # fmt: skip
# What hides addresses or names in data, or computes with addresses: nothing can be exchanged in it.
HIDDEN = {
    "u32": "it compares bytes of the packet, which may be those of an address",
    "bpf": "it is a program, which may hold addresses",
    "string": "it searches the packet for a text, which stays as it is",
    "dst": "options are data, which may hold an address",
    "hbh": "options are data, which may hold an address",
    "eui64": "it compares an address with the Ethernet address, and they are exchanged independently",
    "cluster": "it divides by a hash of the address, which is another one afterwards",
    "HMARK": "it computes a mark from addresses, which are others afterwards",
    "CLUSTERIP": "it divides by a hash of the address, which is another one afterwards",
    "SNPT": "it computes a part of the address from both prefixes",
    "DNPT": "it computes a part of the address from both prefixes",
}
_NO_PREFIX = "its mask is no prefix: such addresses cannot be exchanged together"
_UNBOUNDED = (
    "it carries over the hosts of networks that the rule does not bound, or that are too large"
)
_PLAIN = (bool, int, float, Fraction, Enum, type(None))


class Left(NamedTuple):
    """What could not be exchanged: the text, where, and why."""

    text: str
    why: str
    lineno: int = 0

    def __str__(self) -> str:
        where = f"line {self.lineno}: " if self.lineno else ""
        return f"{where}{self.text}: {self.why}"


def rule(redactor: Redactor, chain: str, old: Rule) -> tuple[Rule, tuple[Left, ...]]:
    """Return a rule of a chain with everything exchanged, and what could not be."""
    left: list[Left] = []
    if old.target and old.target.name == "NETMAP" and not _netmapped(chain, old, old.target):
        left.append(Left("NETMAP", _UNBOUNDED))
    core = _use(redactor, old.core, left)
    matches = tuple(_use(redactor, use, left) for use in old.matches)
    target = _use(redactor, old.target, left) if old.target else None
    jump = redactor.name(old.jump) if old.jump else ""
    return old._replace(core=core, matches=matches, target=target, jump=jump), tuple(left)


def _use(redactor: Redactor, use: Use, left: list[Left]) -> Use:
    if not use.extension.known:
        if use.raw:
            left.append(Left(f"{use.name} {use.raw}", "nobody here knows what its words mean"))
        return use
    if use.name in HIDDEN:
        left.append(Left(use.name, HIDDEN[use.name]))
    if not use.settings:
        return use
    return use._replace(settings={
        name: _setting(redactor, use, name, setting, left) for name, setting in use.settings.items()
    })  # fmt: skip


def _setting(
    redactor: Redactor, use: Use, name: str, setting: Setting, left: list[Left]
) -> Setting:
    option = use.extension.by_name.get(name)
    if option and option.divides:  # of each part behind a --next: the options that it held
        parts = tuple(
            tuple((inner, _setting(redactor, use, inner, held, left)) for inner, held in part)
            for part in setting.value
        )
        return setting._replace(value=parts)
    try:
        return setting._replace(value=_Exchange(redactor, use, name).value(setting.value))
    except _CannotError as error:
        if use.name not in HIDDEN:
            text = use.extension.by_name[name].kind.save(setting.value)
            left.append(Left(f"{name} {text}", str(error)))
        return setting


class _CannotError(Exception):
    """A value that cannot be exchanged; the text says why."""


class _Exchange:
    """Exchanges the values of one option."""

    def __init__(self, redactor: Redactor, use: Use, name: str) -> None:
        self.redactor = redactor
        self.place = use.name, name
        self.option: Option | None = use.extension.by_name.get(name)

    def value(self, value: Any) -> Any:
        """Return what takes the place of a value. Raise _CannotError."""
        if isinstance(value, _PLAIN) or self.place in KEPT:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Address):
            return self.redactor.addresses.address(value)
        if isinstance(value, Net | HostMask):
            return self.network(value)
        if isinstance(value, SetRef):
            return value._replace(name=self.redactor.name(value.name))
        if isinstance(value, tuple):
            if (
                isinstance(value, NatRange)
                and value.low
                and value.high
                and int(value.low) > int(value.high)
            ):
                raise _CannotError("its range runs backwards: what is taken of it cannot be kept")
            parts = map(self.value, value)
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        raise _CannotError("nobody here knows what it may hold")

    def network(self, value: Net | HostMask) -> Net | HostMask:
        """Return what takes the place of a network, or of a host with a mask."""
        family = value.family if isinstance(value, Net) else value.host.version
        if Net(family, 0, value.mask).prefix is None:
            raise _CannotError(_NO_PREFIX)
        addresses = self.redactor.addresses
        if isinstance(value, Net):
            return addresses.net(value)
        return value._replace(host=addresses.address(value.host))

    def text(self, text: str) -> str:
        """Return what takes the place of a text."""
        if self.option and isinstance(self.option.kind, kinds.Choice):
            return text
        for places, exchange in (
            (DEVICES, self.redactor.device), (TEXTS, self.redactor.text), (NAMES, self.redactor.name),
            (MACS, self.redactor.addresses.mac),
        ):  # fmt: skip
            if self.place in places:
                return exchange(text)
        raise _CannotError("nobody here knows what it names")


# ── What has to be known before anything is exchanged ───────────────────────────────


# The side of a packet that NETMAP maps in a built-in chain; in others it depends on the caller.
_NETMAPPED = {"PREROUTING": ("-d",), "OUTPUT": ("-d",), "INPUT": ("-s",), "POSTROUTING": ("-s",)}
_SMALL = {4: 16, 6: 48}  # bits of a network that may keep its hosts' part


def learn(redactor: Redactor, chain: str, rule: Rule) -> None:
    """Look at the networks and ranges that a rule names: their order has to stay."""
    addresses = redactor.addresses
    target = rule.target
    for use in (rule.core, *rule.matches, *((target,) if target else ())):
        for value in _values(use):
            if isinstance(value, Net):
                addresses.learn(value)
            elif isinstance(value, HostMask):
                family, host = value.host.version, int(value.host)
                addresses.learn(Net(family, host & value.mask, value.mask))
            elif isinstance(value, AddressRange | NatRange) and value.low and value.high:
                addresses.learn_range(value.low, value.high)
    if target and target.name == "NETMAP":
        for net in _netmapped(chain, rule, target):
            addresses.hold(net)


def _netmapped(chain: str, rule: Rule, netmap: Use) -> tuple[Net, ...]:
    """Return the networks whose hosts NETMAP carries over; empty if the rule does not bound them."""
    core = rule.core.settings
    of = [
        core[option].value
        for option in _NETMAPPED.get(chain, ("-s", "-d"))
        if option in core and not core[option].inverted
    ]
    nets = (netmap.settings["--to"].value, *of)
    bounded = len(of) == len(_NETMAPPED.get(chain, ("-s", "-d")))
    small = all((net.prefix or 0) >= _SMALL[rule.family] for net in nets)
    return nets if bounded and small else ()


def _values(use: Use) -> Iterator[Any]:
    return (setting.value for setting in use.settings.values())
