"""What a rule asks of a packet, part by part, and when one rule's packets are all among another's.

The comparison is sound and not complete: it says *yes* only where the kernel cannot say otherwise. What
remembers, counts or draws (limit, recent, statistic …), and what another rule may change in between (a
mark), is never taken for an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nb_lib.addresses import fits
from nb_lib.connection import Address
from nb_lib.kinds import U16, Range
from nb_lib.net import Net
from nb_lib.options import Use
from nb_lib.rules import Rule

# Matches whose options all have to hold, each by itself, and which the packet alone decides.
_APART = {
    "tcp": ("--sport", "--dport", "--tcp-flags"), "udp": ("--sport", "--dport"),
    "multiport": ("--sports", "--dports"), "icmp": ("--icmp-type",), "icmp6": ("--icmpv6-type",),
    "conntrack": ("--ctstate",), "state": ("--state",), "iprange": ("--src-range", "--dst-range"),
    "mac": ("--mac-source",), "pkttype": ("--pkt-type",), "physdev": ("--physdev-in", "--physdev-out"),
}  # fmt: skip
_TOGETHER = ("addrtype", "owner", "policy", "ah", "esp")  # compared as a whole
_IGNORED = ("comment",)
# What other names the same question of a packet has.
_SAME = {"--sports": "--sport", "--dports": "--dport", "--state": "--ctstate"}


class Part(NamedTuple):
    """One thing that a rule asks: of which extension, which option, for what; ``inverted`` by a ``!``."""

    extension: str
    option: str
    value: Any
    inverted: bool = False

    @property
    def question(self) -> str:
        """What is asked, however it is spelt."""
        return _SAME.get(self.option, self.option)


def parts(rule: Rule) -> tuple[Part, ...] | None:
    """Return what a rule asks; None if something of it is not the packet's alone to answer."""
    found = [Part("", name, *setting) for name, setting in rule.core.settings.items()]
    for use in rule.matches:
        if use.name in _IGNORED:
            continue
        asked = _asked(use)
        if asked is None:
            return None
        found += asked
    return tuple(found)


def known_parts(rule: Rule) -> tuple[Part, ...]:
    """Return what a rule asks, without that which is not the packet's alone to answer."""
    found = [Part("", name, *setting) for name, setting in rule.core.settings.items()]
    for use in rule.matches:
        found += _asked(use) or ()
    return tuple(found)


def _asked(use: Use) -> tuple[Part, ...] | None:
    if use.name in _TOGETHER:
        return (Part(use.name, "", tuple(sorted(use.settings.items(), key=lambda pair: pair[0]))),)
    options = _APART.get(use.name)
    if options is None or not use.settings.keys() <= {*options} or _both_negated(use):
        return None
    return tuple(Part(use.name, name, *setting) for name, setting in use.settings.items())


def _both_negated(use: Use) -> bool:
    """Whether both ports are: that is *not both* to iptables-nft, and *neither* to legacy."""
    return (
        sum(use.settings[name].inverted for name in ("--sport", "--dport") if name in use.settings)
        > 1
    )


def within(inner: tuple[Part, ...], outer: tuple[Part, ...], *, whole: bool) -> bool:
    """Tell whether every packet that answers ``inner`` answers ``outer``.

    ``whole``: packets come here put together. A fragment has ports for one extension and none for another
    (iptables-nft), so that only the same extension's are compared otherwise.
    """
    return all(any(_implies(one, asked, whole) for one in inner) for asked in outer)


def _implies(one: Part, asked: Part, whole: bool) -> bool:
    """Whether a packet of which ``one`` is true makes ``asked`` true."""
    if one.question != asked.question or (one.extension != asked.extension and not whole):
        return False
    if one == asked:
        return True
    compare = _COMPARED.get(asked.question)
    return compare is not None and compare(one, asked)


# ── Kinds of question ───────────────────────────────────────────────────────────────


def _nets(one: Part, asked: Part) -> bool:
    inner, outer = one.value, asked.value
    if asked.inverted:
        return _inside(outer, inner) if one.inverted else _apart(inner, outer)
    return not one.inverted and _inside(inner, outer)


def _inside(inner: Net, outer: Net) -> bool:
    return inner.mask & outer.mask == outer.mask and inner.value & outer.mask == outer.value


def _apart(one: Net, other: Net) -> bool:
    common = one.mask & other.mask
    return one.value & common != other.value & common


def _devices(one: Part, asked: Part) -> bool:
    if one.inverted or asked.inverted or asked.value[-1:] != "+":
        return False  # the same name was found before
    return str(one.value).removesuffix("+").startswith(asked.value[:-1])


def _protocols(one: Part, asked: Part) -> bool:
    return asked.inverted and not one.inverted and bool(one.value != asked.value)


def _ports(one: Part, asked: Part) -> bool:
    if one.inverted and one.extension == "multiport":
        return False  # to iptables-nft, "! --dports 80,81" is not both, to legacy neither
    if asked.inverted and asked.extension == "multiport":
        return False
    inner, outer = _ranges(one), _ranges(asked)
    return all(any(o.low <= i.low and i.high <= o.high for o in outer) for i in inner)


def _ranges(part: Part) -> list[Range]:
    """Return the ports that a part lets through, none of them touching another."""
    held = part.value if isinstance(part.value[0], tuple) else (part.value,)
    joined: list[Range] = []
    for low, high in sorted(held):
        if joined and low <= joined[-1].high + 1:
            joined[-1] = Range(joined[-1].low, max(high, joined[-1].high))
        else:
            joined.append(Range(low, high))
    return list(_gaps(joined)) if part.inverted else joined


def _gaps(ranges: list[Range]) -> Iterator[Range]:
    start = 0
    for low, high in ranges:
        if start < low:
            yield Range(start, low - 1)
        start = high + 1
    if start <= U16:
        yield Range(start, U16)


def _flags(one: Part, asked: Part) -> bool:
    if one.inverted or asked.inverted:
        return False
    inner, outer = one.value, asked.value
    return bool(inner.mask & outer.mask == outer.mask and inner.value & outer.mask == outer.value)


def _states(one: Part, asked: Part) -> bool:
    inner, outer = {*one.value}, {*asked.value}
    if asked.inverted:
        return outer <= inner if one.inverted else _exclude(inner, outer)
    return not one.inverted and inner <= outer


def _exclude(inner: set[str], outer: set[str]) -> bool:
    """Whether no packet is in a state of both: SNAT and DNAT go together with any."""
    return inner.isdisjoint(outer) and not {"SNAT", "DNAT"} & (inner | outer)


def _address_ranges(one: Part, asked: Part) -> bool:
    if one.inverted or asked.inverted:
        return False
    return bool(asked.value.low <= one.value.low and one.value.high <= asked.value.high)


_COMPARED = {
    "-s": _nets, "-d": _nets, "-i": _devices, "-o": _devices, "--physdev-in": _devices,
    "--physdev-out": _devices, "-p": _protocols, "--sport": _ports, "--dport": _ports, "--tcp-flags": _flags,
    "--ctstate": _states, "--src-range": _address_ranges, "--dst-range": _address_ranges,
}  # fmt: skip


# ── May a rule take a certain packet? ───────────────────────────────────────────────


def open_to(
    asked: tuple[Part, ...], *, dst: Address, protocol: int, dport: int, out: str = ""
) -> bool:
    """Tell whether a rule may take the first packet of a translated connection to ``dst``.

    ``protocol`` and ``dport`` are 0, and ``out``, the device by which it leaves, is empty if they are not
    known. What is not looked at counts as *may*.
    """
    return not any(
        _refuses(part, dst, protocol, dport) or _refuses_device(part, "-o", out) for part in asked
    )


def _refuses_device(part: Part, option: str, device: str) -> bool:
    return part.question == option and bool(device) and fits(device, part.value) is part.inverted


def _refuses(part: Part, dst: Address, protocol: int, dport: int) -> bool:
    if part.question == "-d":
        return bool((dst in part.value) is part.inverted)
    if part.question == "-p" and protocol:
        return bool((part.value == protocol) is part.inverted)
    if part.question == "--dport" and dport:
        return not any(low <= dport <= high for low, high in _ranges(part))
    if part.question == "--ctstate":
        return ({*part.value}.isdisjoint({"NEW", "DNAT"})) is not part.inverted
    return False


def open_from(asked: tuple[Part, ...], *, src: Net, device: str, out: str) -> bool:
    """Tell whether a rule may take the first packet of a connection out of a network.

    It comes from ``src`` by ``device`` and leaves by ``out``. What is not looked at counts as *may*.
    """
    return not any(_refuses_from(part, src, device, out) for part in asked)


def _refuses_from(part: Part, src: Net, device: str, out: str) -> bool:
    if part.question == "-s":
        return _inside(src, part.value) if part.inverted else _apart(src, part.value)
    if part.question == "--ctstate":
        return ({*part.value}.isdisjoint({"NEW", "DNAT"})) is not part.inverted
    return _refuses_device(part, "-i", device) or _refuses_device(part, "-o", out)
