"""Where a mission's packets are sent: a host with the player's rules, and what has to come of each packet.

A requirement of a mission is a function of a ``Stage``. It sends packets, some always the same, some drawn
from ``pick``, and says of each what has to happen (``Expect``). The first that goes another way ends it.
Only what happens to packets is looked at, never what was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from nb_lib.engine import Host
from nb_lib.net import parse_address
from nb_lib.packet import Packet, endpoint
from nb_lib.trace import Exploration, Fate, Noted, Trace

OUTSIDE = ("192.0.2.{}", "198.51.100.{}", "203.0.113.{}")  # RFC 5737: the internet of examples


class Expect(NamedTuple):
    """What has to come of a packet: a sentence that follows "the packet", and the question."""

    text: str
    holds: Callable[[Trace], bool]


ANYTHING = Expect("may go any way", lambda _: True)


class Sent(NamedTuple):
    """A packet that was sent to judge: whose, by which device ("": the host's own), what came of it."""

    says: str
    by: str
    trace: Trace
    expect: Expect
    after: float = 0.0  # seconds that have passed on the stage

    @property
    def good(self) -> bool:
        """Whether it went as it had to."""
        return self.expect.holds(self.trace)

    @property
    def why(self) -> str:
        """Say what went wrong, or right."""
        return f"{self.says}: the packet {self.expect.text}; it {outcome(self.trace)}."


class WrongError(Exception):
    """A packet went another way than it has to: the requirement is not met."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Stage:
    """A host, the packets that were sent to it, and luck."""

    def __init__(self, host: Host, pick: Random, address: str) -> None:
        self.host, self.pick = host, pick
        self.address = address  # the host's own, outside
        self.sent: list[Sent] = []
        self.passed = 0.0
        self._port = pick.randint(20_000, 50_000)

    # --- what is sent ---

    def into(self, says: str, packet: Packet, by: str, expect: Expect) -> Trace:
        """Let a packet come in by a device."""
        return self._judged(says, by, self.host.receive(packet, by), expect)

    def out(self, says: str, packet: Packet, expect: Expect) -> Trace:
        """Let the host send a packet."""
        return self._judged(says, "", self.host.send(packet), expect)

    def back(self, trace: Trace, expect: Expect, says: str = "", **fields: Any) -> Trace:
        """Let the receiver of a packet answer: another machine by the device it left by, or this host."""
        reply = trace.reply(**fields)
        says = says or "The answer to it"
        if trace.fate.kind == "local":
            return self.out(says, reply, expect)
        return self.into(says, reply, trace.fate.device, expect)

    def ways(self, says: str, packet: Packet, by: str) -> Exploration:
        """Return every way that chance gives a packet; nothing is remembered."""
        found = self.host.explore(packet, by)
        self.sent.append(Sent(says, by, found[0], ANYTHING, self.passed))
        return found

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.host.wait(seconds)
        self.passed += seconds

    def demand(self, good: bool, why: str) -> None:
        """End the requirement unless something is as it has to be."""
        if not good:
            raise WrongError(why)

    def _judged(self, says: str, by: str, trace: Trace, expect: Expect) -> Trace:
        self.sent.append(Sent(says, by, trace, expect, self.passed))
        if not self.sent[-1].good:
            raise WrongError(self.sent[-1].why)
        return trace

    # --- what is drawn ---

    def port(self) -> int:
        """Return a client's port that no packet of this stage had yet."""
        self._port += self.pick.randint(1, 40)
        return self._port

    def outsider(self) -> str:
        """Return an address of the internet."""
        return self.pick.choice(OUTSIDE).format(self.pick.randint(1, 254))

    def neighbour(self, but: tuple[str, ...] = ()) -> str:
        """Return another machine in the network inside, 10.1.0.0/24."""
        return self.pick.choice([name for n in range(5, 16) if (name := f"10.1.0.{n}") not in but])

    def other_port(self, *but: int) -> int:
        """Return a service's port that is none of some."""
        known = (
            21,
            23,
            25,
            53,
            81,
            110,
            111,
            143,
            443,
            445,
            993,
            3000,
            3306,
            5432,
            5900,
            6379,
            8000,
            8443,
        )
        return self.pick.choice([port for port in known if port not in but])


# --- what may be expected ---


def delivered(dst: str = "", dport: int | None = None) -> Expect:
    """It reaches this host, at an address and a port if they are given."""
    where = _named("", dst, dport)
    text = f"has to be delivered to this host{where and f' as {where}'}"
    return Expect(text, lambda t: t.fate.kind == "local" and _has(t.packet, dst=dst, dport=dport))


def leaves(device: str, *, src: str = "", sport: int | None = None, dst: str = "",
           dport: int | None = None) -> Expect:  # fmt: skip
    """It leaves by a device, with the addresses and ports that are given."""
    named = [_named("from ", src, sport), _named("to ", dst, dport)]
    text = " ".join([f"has to leave by {device}", *filter(None, named)])
    wanted = {"src": src, "sport": sport, "dst": dst, "dport": dport}
    return Expect(text, lambda t: (t.fate.kind, t.fate.device) == ("forward", device)
                  and _has(t.packet, **wanted))  # fmt: skip


def stopped() -> Expect:
    """A rule or a policy drops or rejects it."""
    return Expect("has to be dropped or rejected", lambda t: t.fate.kind in ("drop", "reject"))


def refused() -> Expect:
    """It is rejected: its sender hears of it."""
    return Expect(
        "has to be rejected, so that its sender hears of it", lambda t: t.fate.kind == "reject"
    )


def never_at(dst: str) -> Expect:
    """It does not get to a machine, however that is brought about."""
    return Expect(
        f"must not get to {dst}",
        lambda t: t.fate.kind in ("drop", "reject", "lost", "error") or str(t.packet.dst) != dst,
    )


def both(one: Expect, text: str, holds: Callable[[Trace], bool]) -> Expect:
    """Expect something more."""
    return Expect(f"{one.text} {text}", lambda t: one.holds(t) and holds(t))


def logged(trace: Trace) -> bool:
    """Whether some rule wrote the packet to a log."""
    return any(isinstance(e, Noted) and e.text.startswith(("LOG:", "NFLOG:")) for e in trace.events)


def _has(packet: Packet, **wanted: Any) -> bool:
    have = {
        "src": str(packet.src),
        "dst": str(packet.dst),
        "sport": packet.sport,
        "dport": packet.dport,
    }
    return all(value in ("", None) or have[name] == value for name, value in wanted.items())


def _named(word: str, address: str, port: int | None) -> str:
    if address:
        return word + endpoint(parse_address(address), port)
    return f"{word}port {port}" if port is not None else ""


# --- what came of it ---


def outcome(trace: Trace) -> str:
    """Say how a packet ended, after "it"."""
    fate, packet = trace.fate, trace.packet
    ends = f"{endpoint(packet.src, packet.sport)} → {endpoint(packet.dst, packet.dport)}"
    match fate.kind:
        case "local":
            return f"was delivered here as {ends}"
        case "forward":
            return f"left by {fate.device} as {ends}"
        case "drop":
            return f"was dropped by {_where(fate)}"
        case "reject":
            return f"was rejected by {_where(fate)} ({fate.detail})"
        case "lost":
            lost = next((e.reason for e in trace.events if hasattr(e, "reason")), fate.detail)
            return f"was lost: {lost}"
        case "undecided":
            return f"is undecided at {_where(fate)}: {fate.detail}"
    return f"ended so: {fate}"


def _where(fate: Fate) -> str:
    if fate.place is None:
        return "the kernel"
    table, chain, number = fate.place
    return f"rule {number} of {chain} ({table})" if number else f"the policy of {chain} ({table})"
