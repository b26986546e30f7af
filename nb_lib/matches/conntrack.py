"""conntrack and state: what the connection table says of a packet.

Linux: net/netfilter/xt_conntrack.c conntrack_mt(). ``state`` is an older spelling of ``--ctstate``
that iptables keeps apart when it prints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds, ports
from nb_lib.connection import Connection, Tracked
from nb_lib.listed import AS_SAVED
from nb_lib.matches.limit import HZ
from nb_lib.options import (
    BAD_VALUE,
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Settings,
    Use,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED")
# Which word an abbreviation means: the order in which iptables compares them.
_LOOKUP = ("INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT")
_PRINT = (*_STATES, "SNAT", "DNAT")
_STATUSES = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")
_INVALID = Tracked("INVALID")


class States(kinds.Choices):
    """States joined by commas; each may be cut short (``EST``) and in any case."""

    metavar = "state[,…]"

    def __init__(self, lookup: tuple[str, ...], printed: tuple[str, ...], bad: str) -> None:
        super().__init__(lookup, prefix=True, bad=bad)
        self.order = printed

    def read(self, word: str, family: int) -> tuple[str, ...]:
        """Read the states; they are kept in the order in which they are printed."""
        found = super().read(word, family)
        return tuple(state for state in self.order if state in found)


class _PlainStates(States):
    """The states of ``state``."""

    def complaint(self, part: str, rest: str) -> str:
        """Ask for a word where the last one is missing. libxt_state parse_states()."""
        missing = '"--state" requires a list of states with no spaces, e.g. ESTABLISHED,RELATED'
        return super().complaint(part, rest) if rest else missing


class _Statuses(States):
    """Statuses; NONE is the absence of all others, so it disappears beside them."""

    def read(self, word: str, family: int) -> tuple[str, ...]:
        found = super().read(word, family)
        return tuple(status for status in found if status != "NONE")

    def save(self, value: Any) -> str:
        return ",".join(value) or "NONE"


class Expiry(kinds.NumberRange):
    """Seconds, or a range of them."""

    metavar = "seconds[:seconds]"


def tracked(packet: Packet, ctx: Context) -> Tracked | None:
    """Return what conntrack says of the packet; None if nobody told.

    Before conntrack has seen it a packet counts as INVALID: nf_ct_get() finds nothing.
    """
    ct = packet.ct
    if ct is None:
        return _INVALID if ctx.table.endswith("raw") else None
    return ct if ct.connection or ct.state == "UNTRACKED" else _INVALID


def no_tracking(option: str) -> Answer:
    """Return the answer to a packet of which conntrack's view is unknown."""
    return undecided(option, "what conntrack says of the packet (ct=…)")


def _test_state(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = tracked(packet, ctx)
    if ct is None:
        return no_tracking("--state")
    setting = use.settings["--state"]
    if (ct.state in setting.value) is setting.inverted:
        return miss("--state", ct.state)
    return HIT


def _test_conntrack(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = tracked(packet, ctx)
    if ct is None:
        return no_tracking("conntrack")
    settings = use.settings
    setting = settings.get("--ctstate")
    if setting and (not _states(ct).isdisjoint(setting.value)) is setting.inverted:
        return miss("--ctstate", ct.state)
    if ct.connection is None:
        # conntrack_mt(): without an entry only the state could be asked for.
        return HIT if setting else miss("no conntrack entry", f"({ct.state})")
    if len(settings) == 1 and setting:
        return HIT
    return _entry(use, ct, ct.connection, ctx)


def _states(ct: Tracked) -> frozenset[str]:
    """The packet's state, and SNAT or DNAT if its connection is translated."""
    nat = ct.connection.status & {"SNAT", "DNAT"} if ct.connection else frozenset()
    return nat | {ct.state}


def _entry(use: Use, ct: Tracked, connection: Connection, ctx: Context) -> Answer:
    """Compare the fields of the conntrack entry, in the kernel's order."""
    for option, setting in use.settings.items():
        if option in ("--ctdir", "--ctstate"):
            continue
        have, fits = _FIELDS[option](connection, setting, ctx)
        if fits is setting.inverted:
            return miss(option, have)
    wanted = use.settings.get("--ctdir")
    if wanted and (ct.direction == wanted.value) is wanted.inverted:
        return miss("--ctdir", ct.direction)
    return HIT


_Field = Callable[[Connection, Setting, Context], tuple[Any, bool]]


def _field(direction: str, name: str) -> _Field:
    """Return the comparison of an address or a port of one direction's tuple."""

    def compare(connection: Connection, setting: Setting, _ctx: Context) -> tuple[Any, bool]:
        have = getattr(getattr(connection, direction), name)
        if name.endswith("port"):
            return (have, have), setting.value.low <= have <= setting.value.high
        return have, have in setting.value

    return compare


def _protocol(connection: Connection, setting: Setting, _ctx: Context) -> tuple[Any, bool]:
    have = connection.original.protocol
    return have, have == setting.value


def _status(connection: Connection, setting: Setting, _ctx: Context) -> tuple[Any, bool]:
    have = tuple(status for status in _STATUSES if status in connection.status)
    return have, not connection.status.isdisjoint(setting.value)


def _expiry(connection: Connection, setting: Setting, ctx: Context) -> tuple[Any, bool]:
    """nf_ct_expires() counts whole ticks; the time of an entry begins when it is confirmed."""
    left = 0
    if "CONFIRMED" in connection.status:
        left = max(0, int(connection.expires * HZ) - int(ctx.now * HZ)) // HZ
    return (left, left), setting.value.low <= left <= setting.value.high


_FIELDS: dict[str, _Field] = {
    "--ctproto": _protocol,
    "--ctorigsrc": _field("original", "src"),
    "--ctorigdst": _field("original", "dst"),
    "--ctreplsrc": _field("reply", "src"),
    "--ctrepldst": _field("reply", "dst"),
    "--ctorigsrcport": _field("original", "sport"),
    "--ctorigdstport": _field("original", "dport"),
    "--ctreplsrcport": _field("reply", "sport"),
    "--ctrepldstport": _field("reply", "dport"),
    "--ctstatus": _status,
    "--ctexpire": _expiry,
}


class _Host(addresses.HostNetwork):
    """An address of a connection, and its mask."""

    def listed(self, value: Any, numeric: bool) -> str:
        """conntrack_dump_addr(): the address of zeros is any, whatever its mask."""
        return super().listed(value, numeric) if numeric or int(value.host) else "anywhere"


class _Ports(ports.NumericPortRange):
    """Ports; a range that ends in 0 is its first port alone."""

    def read(self, word: str, family: int) -> Any:
        ports = super().read(word, family)
        return ports if ports.high else ports._replace(high=ports.low)


def _final(settings: Settings) -> None:
    if not settings:
        said = "conntrack: At least one option is required"
        raise RefusedError("conntrack needs at least one option", said)


_HOST = _Host()
_PORT = _Ports("tcp", "udp")
STATE = Extension(
    "state",
    (Option("--state", _PlainStates(_LOOKUP[:5], _STATES, 'Bad state "{rest}"'), invertible=True,
            required=True, label="state", listed=AS_SAVED,
            help="what conntrack says of the packet"),),
    test=_test_state, conntrack=True,
    summary="the packet's connection-tracking state",
    source="net/netfilter/xt_state.c, xt_conntrack.c conntrack_mt(); iptables-extensions(8) state",
)  # fmt: skip

CONNTRACK = Extension(
    "conntrack",
    (
        Option("--ctstate", States(_LOOKUP, _PRINT, 'Bad ctstate "{rest}"'), invertible=True,
               listed=AS_SAVED, label="ctstate",
               help="what conntrack says of the packet, or that its connection is translated"),
        Option("--ctproto", ports.NumericProtocol(), invertible=True, listed=AS_SAVED,
               label="protocol of the connection",
               help="the connection's transport protocol"),
        Option("--ctorigsrc", _HOST, invertible=True, listed=AS_SAVED,
               label="original source", help="who opened the connection"),
        Option("--ctorigdst", _HOST, invertible=True, listed=AS_SAVED,
               label="original destination", help="to whom it was opened, before any translation"),
        Option("--ctreplsrc", _HOST, invertible=True, listed=AS_SAVED,
               label="reply source", help="who answers"),
        Option("--ctrepldst", _HOST, invertible=True, listed=AS_SAVED,
               label="reply destination", help="to whom the answers go"),
        Option("--ctorigsrcport", _PORT, invertible=True, listed=AS_SAVED,
               label="original source port", help="the opener's port"),
        Option("--ctorigdstport", _PORT, invertible=True, listed=AS_SAVED,
               label="original destination port", help="the port that was asked for, before any translation"),
        Option("--ctreplsrcport", _PORT, invertible=True, listed=AS_SAVED,
               label="reply source port", help="the port from which answers come"),
        Option("--ctrepldstport", _PORT, invertible=True, listed=AS_SAVED,
               label="reply destination port", help="the port to which answers go"),
        Option("--ctstatus", _Statuses(_STATUSES, _STATUSES, 'Bad ctstatus "{rest}"'), invertible=True,
               listed=AS_SAVED, label="ctstatus", help="how far the connection has come"),
        Option("--ctexpire", Expiry(kinds.U32), invertible=True, listed=AS_SAVED,
               label="seconds left", help="how long the entry lives without another packet"),
        Option("--ctdir", kinds.Choice(("ORIGINAL", "REPLY"), fold=True), label="direction",
               says={"value": BAD_VALUE}, listed=AS_SAVED,
               help="whether the packet goes with the opener or answers"),
    ),
    test=_test_conntrack, final=_final, conntrack=True,
    summary="state, addresses, ports, status and age of the packet's connection",
    source="net/netfilter/xt_conntrack.c conntrack_mt(); iptables-extensions(8) conntrack",
)  # fmt: skip
