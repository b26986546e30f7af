"""connlimit: how many connections an address or a network has open.

Linux: net/netfilter/xt_connlimit.c connlimit_mt(), net/netfilter/nf_conncount.c. A rule counts the
connections that it has seen and that conntrack still holds. Those that ended are forgotten while the
list is looked through for the packet's own, so some behind it may count a little longer. (The kernel
looks through a list once in a tick of its clock; here each packet counts as a tick of its own.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import addresses, kinds
from nb_lib.connection import Tuple
from nb_lib.matches.conntrack import no_tracking, tracked
from nb_lib.net import BITS
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_COUNTS = ("--connlimit-upto", "--connlimit-above")
_NEITHER = 'You must specify "--connlimit-above" or "--connlimit-upto".'
_CLOSED = ("TIME_WAIT", "CLOSE")
_MOST_FORGOTTEN = 8  # at one look: CONNCOUNT_GC_MAX_NODES


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Turn every form into above or upto, with its mask and side written out."""
    name = kinds.one_of(settings, *_COUNTS)
    limit = settings.pop(name)
    if limit.inverted:
        name = {"--connlimit-upto": "--connlimit-above"}.get(name, "--connlimit-upto")
    side = "--connlimit-daddr" if "--connlimit-daddr" in settings else "--connlimit-saddr"
    mask = settings.get("--connlimit-mask", Setting(BITS[family]))
    return {name: Setting(limit.value), "--connlimit-mask": mask, side: Setting(True)}


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = packet.ct or tracked(packet, ctx)
    if ct is None:
        return no_tracking("connlimit")
    option = "--connlimit-upto" if "--connlimit-upto" in use.settings else "--connlimit-above"
    shift = BITS[packet.family] - use.value("--connlimit-mask")
    address = packet.dst if "--connlimit-daddr" in use.settings else packet.src
    key = ("connlimit", ctx.table, ctx.chain, ctx.number, ctx.part, int(address) >> shift)
    own = ct.connection.original if ct.connection is not None else _tuple(packet)
    states = {t: one.state for one in ctx.connections() for t in (one.original, one.reply)}
    seen = _counted(ctx.recall(key, ()), own, states)
    ctx.remember(key, seen)
    above = len(seen) > use.settings[option].value
    return HIT if above is (option == "--connlimit-above") else miss(option, len(seen))


def _tuple(packet: Packet) -> Tuple:
    """The tuple of a packet that has no connection: nf_ct_get_tuplepr()."""
    if packet.icmp_type is not None:
        kind = packet.icmp_type << 8 | (packet.icmp_code or 0)
        return Tuple(packet.src, packet.dst, packet.protocol, packet.icmp_id or 0, kind)
    return Tuple(packet.src, packet.dst, packet.protocol, packet.sport or 0, packet.dport or 0)


def _counted(seen: tuple[Tuple, ...], own: Tuple, states: dict[Tuple, str]) -> tuple[Tuple, ...]:
    """Return the connections that count, the packet's own among them: __nf_conncount_add()."""
    kept: list[Tuple] = []
    for place, one in enumerate(seen):
        if place - len(kept) > _MOST_FORGOTTEN:
            return (*kept, *seen[place:], own)
        if one == own and one in states:
            return (*kept, *seen[place:])
        if one in states and states[one] not in _CLOSED:
            kept.append(one)
    return (*kept, own)


def _listed(use: Use, _numeric: bool) -> str:
    """connlimit_print4(): the side, the prefix, the comparison."""
    side = "dst" if "--connlimit-daddr" in use.settings else "src"
    name, sign = (
        ("--connlimit-upto", "<=")
        if "--connlimit-upto" in use.settings
        else ("--connlimit-above", ">")
    )
    return f" #conn {side}/{use.value('--connlimit-mask')} {sign} {use.value(name)}"


_COUNT = kinds.Number(0, kinds.U32)
CONNLIMIT = Extension(
    "connlimit",
    (
        Option("--connlimit-upto", _COUNT, invertible=True, group="count",
               label="connections at most",
               help="so many connections are open, or fewer"),
        Option("--connlimit-above", _COUNT, invertible=True, group="count",
               label="connections above",
               help="more than so many connections are open"),
        Option("--connlimit-mask", addresses.PrefixLength(), label="prefix",
               help="count a whole network together"),
        Option("--connlimit-saddr", kinds.FLAG, group="side", label="source",
               help="count by source"),
        Option("--connlimit-daddr", kinds.FLAG, group="side", label="destination",
               help="count by destination"),
    ),
    test=_test, final=kinds.needs_one(*_COUNTS, said=_NEITHER), tidy=_tidy, conntrack=True,
    listed=_listed,
    summary="how many connections an address or a network has open",
    source="net/netfilter/xt_connlimit.c connlimit_mt(); iptables-extensions(8) connlimit",
)  # fmt: skip
