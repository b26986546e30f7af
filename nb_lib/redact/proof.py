"""Is the meaning kept? Packets take their way through the original, their pseudonyms through the other.

Both hosts remember their packets, so what conntrack knows is compared as well. Equal are the rules that
match and their verdicts, the fate, and the packet as it ended, all renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from nb_lib.connection import Address
from nb_lib.engine import Host
from nb_lib.engine.load import host_of, recognise
from nb_lib.packet import Packet
from nb_lib.redact.files import Redacted
from nb_lib.redact.redactor import Redactor
from nb_lib.rules import Ruleset
from nb_lib.sample import Sample, samples
from nb_lib.targets.nat import NatRange
from nb_lib.trace import Fate, Trace

_FAMILIES = {
    "ip": 4,
    "inet": 4,
    "ip6": 6,
    "arp": 0,
    "bridge": 0,
    "netdev": 0,
}  # whose packets are sent
_ARRIVED = ("forward", "local")


class Difference(NamedTuple):
    """A packet that does not take the same way: both traces, and what of them differs."""

    sample: Sample
    what: str
    original: Trace
    redacted: Trace


class Proof(NamedTuple):
    """How many packets were sent, and those that took another way."""

    packets: int
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        if not self.differences:
            return f"{self.packets} packets take the same way through both"
        first = self.differences[0]
        return (f"{len(self.differences)} of {self.packets} packets take another way; the first: "
                f"{first.sample}: {first.what}")  # fmt: skip


def proof(
    files: Mapping[str, str],
    redacted: Redacted,
    *,
    count: int = 200,
    seed: int = 0,
    tell: Callable[[int], object] = lambda _done: None,
) -> Proof:
    """Send ``count`` packets for each dump of ``files`` through it and through the redacted one.

    ``tell`` hears how many were sent.
    """
    both = Both(host_of(_named(files)), host_of(_named(redacted.files)), redacted.redactor)
    sent: list[Difference | None] = []
    for sample in _samples(both.original, count, seed):
        tell(len(sent))
        sent.append(both.send(sample))
    return Proof(len(sent), tuple(filter(None, sent)))


def _samples(host: Host, count: int, seed: int) -> Iterator[Sample]:
    for ruleset in host.rulesets.values():
        yield from samples(ruleset, count, seed)
    if host.nftables is not None:
        for family in sorted({_FAMILIES[table.family] for table in host.nftables.ruleset} - {0}):
            yield from samples(host.nftables.ruleset, count, seed, family=family)


def _named(files: Mapping[str, str]) -> dict[str, str]:
    """Give each file the name by which a host's folder knows it."""
    return {recognise(text, name): text for name, text in files.items()}


class Both:
    """A host and its redacted form, to which packets are sent alike."""

    def __init__(self, original: Host, redacted: Host, redactor: Redactor) -> None:
        self.original, self.redacted, self.redactor = original, redacted, redactor
        self._sent = 0
        rulesets = redacted.rulesets.values()
        self._pools = [pool for ruleset in rulesets for pool in _pools(ruleset)]

    def send(self, sample: Sample) -> Difference | None:
        """Send one packet through the original, and its pseudonym through the other, and its answer back.

        None: both did the same.
        """
        address, device = self.redactor.addresses.address, self.redactor.device
        renamed = sample._replace(interface=device(sample.interface), src=address(sample.src),
                                  dst=address(sample.dst))  # fmt: skip
        way = sample.interface, renamed.interface
        one, two = self._traces(sample.packet(), renamed.packet(), *way)
        if (what := self._differs(one, two)) is None and one.fate.kind in _ARRIVED:
            back = (one.fate.device, two.fate.device) if one.fate.kind == "forward" else ("", "")
            one, two = self._traces(one.reply(), two.reply(), *back)
            what = self._differs(one, two)
        return Difference(sample, what, one, two) if what else None

    def _traces(self, packet: Packet, renamed: Packet, *devices: str) -> tuple[Trace, Trace]:
        """Send a packet through both; what is drawn for it is drawn alike, whatever was drawn before."""
        self._sent += 1
        traces = []
        for host, one, device in zip(
            (self.original, self.redacted), (packet, renamed), devices, strict=True
        ):
            host.state.random.seed(self._sent)
            traces.append(host.receive(one, device) if device else host.send(one))
        return traces[0], traces[1]

    def _differs(self, one: Trace, two: Trace) -> str | None:
        """Return what two traces that should be alike differ in."""
        for what, mine, its in (
            ("steps", self._steps(one), two.steps),
            ("fate", self._fate(one.fate), _plain(two.fate)),
            ("packet", self._packet(one.packet, rename=True), self._packet(two.packet)),
        ):
            if mine != its:
                return f"{what}: {mine} expected, {its} found"
        return None

    def _steps(self, trace: Trace) -> tuple[tuple[str, str, int | str, str], ...]:
        name = self.redactor.name
        found = []
        for table, chain, number, verdict in trace.steps:
            word, blank, called = verdict.partition(" ")  # JUMP X
            found.append((name(table), name(chain), number, word + blank + name(called)))
        return tuple(found)

    def _fate(self, fate: Fate) -> Fate:
        redactor = self.redactor
        place = fate.place and fate.place._replace(
            table=redactor.name(fate.place.table), chain=redactor.name(fate.place.chain)
        )
        return _plain(fate)._replace(device=redactor.device(fate.device), place=place)

    def _packet(self, packet: Packet, *, rename: bool = False) -> tuple[object, ...]:
        src, dst, out = packet.src, packet.dst, packet.out_iface
        if rename:
            address = self.redactor.addresses.address
            src, dst, out = address(src), address(dst), self.redactor.device(out)
        return self._pooled(src), self._pooled(dst), packet.sport, packet.dport, packet.mark, out

    def _pooled(self, address: Address) -> Address:
        """Return the first address of a pool for any of it: a hash of addresses decides which is taken."""
        for low, high in self._pools:
            if low.version == address.version and int(low) <= int(address) <= int(high):
                return low
        return address


def _plain(fate: Fate) -> Fate:
    """Return a fate without the sentence that tells what is missing, which names sets and others."""
    return fate._replace(detail="") if fate.kind == "undecided" else fate


def _pools(ruleset: Ruleset) -> Iterator[tuple[Address, Address]]:
    """Yield the ranges from which NAT takes addresses."""
    nat = ruleset.tables.get("nat")
    for chain in nat or ():
        for rule in chain.rules:
            for setting in rule.target.settings.values() if rule.target else ():
                value = setting.value
                if (
                    isinstance(value, NatRange)
                    and value.low
                    and value.high
                    and value.low != value.high
                ):
                    yield value.low, value.high
