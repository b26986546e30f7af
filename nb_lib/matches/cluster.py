"""cluster: the node of a cluster that is to deal with a connection, chosen by its source.

Linux: net/netfilter/xt_cluster.c xt_cluster_mt(), xt_cluster_hash(). All nodes see all packets; each
takes those whose hash falls to it. The kernel hashes an address as its memory holds it, so the choice
differs between little-endian machines (as here) and others; of an IPv6 address it takes the first word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.jhash import jhash, scale
from nb_lib.listed import headed
from nb_lib.matches.conntrack import no_tracking, tracked
from nb_lib.options import (
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
    of_two,
)

if TYPE_CHECKING:
    from nb_lib.connection import Connection
    from nb_lib.packet import Packet

_LOCAL = ("--cluster-local-node", "--cluster-local-nodemask")
_MOST = 32  # XT_CLUSTER_NODES_MAX


class _Hex(kinds.Number):
    """A number printed with all eight digits."""

    def save(self, value: Any) -> str:
        return f"0x{value:08x}"


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Write the local node as a mask."""
    name = next(name for name in _LOCAL if name in settings)
    mask = _mask(name, settings[name])
    kept = {name: settings[name] for name in ("--cluster-total-nodes", "--cluster-hash-seed")}
    return {"--cluster-local-nodemask": mask, **kept}


def _final(settings: Settings) -> None:
    """Compare the nodes with their number. Linux user space: libxt_cluster.c cluster_check()."""
    _NEEDS_ONE(settings)
    total = settings.get("--cluster-total-nodes")
    if total is None:
        return
    given = [name for name in settings if name in _LOCAL]
    if "--cluster-hash-seed" not in settings:
        if len(given) > 1:  # the seed is missed afterwards
            raise of_two("group", *_LOCAL)
        return
    name = given[-1]  # both fill one field
    if _mask(name, settings[name]).value >> total.value:
        said = "`--cluster-local-nodemask' too big for `--cluster-total-nodes'"
        if "--cluster-local-node" in settings:
            said = "`--cluster-local-node' must be <= `--cluster-total-nodes'"
        reason = f"there are only {total.value} nodes (--cluster-total-nodes)"
        raise RefusedError(reason, f"cluster match: {said}")


def _mask(name: str, local: Setting) -> Setting:
    """Return the local node as a mask."""
    return Setting(1 << local.value - 1, local.inverted) if name == _LOCAL[0] else local


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = packet.ct or tracked(packet, ctx)
    if ct is None:
        return no_tracking("cluster")
    if ct.connection is None:
        return miss("the packet belongs to no connection")
    node = _node(use, _first(ct.connection, ctx))
    mask = use.settings["--cluster-local-nodemask"]
    if bool(mask.value >> node & 1) is mask.inverted:
        return miss("--cluster-local-nodemask", 1 << node)
    return HIT


def _first(connection: Connection, ctx: Context) -> Connection:
    """Return the connection that expected this one, or itself."""
    return next((one for one in ctx.connections() if one.id == connection.master), connection)


def _node(use: Use, connection: Connection) -> int:
    word = int.from_bytes(connection.original.src.packed[:4], "little")
    return scale(
        jhash((word,), use.value("--cluster-hash-seed")), use.value("--cluster-total-nodes")
    )


_NEEDS_ONE = kinds.needs_one(
    *_LOCAL,
    said="cluster match: `--cluster-local-node' or`--cluster-local-nodemask' is missing",
)  # fmt: skip
_NODE = kinds.Number(1, _MOST)
CLUSTER = Extension(
    "cluster",
    (
        Option("--cluster-local-node", _NODE, invertible=True, group="local", label="node",
               help="the node that this host is, from 1"),
        # iptables takes masks up to 32 only, and prints greater ones: of six nodes or more a saved rule
        # may not load again.
        Option("--cluster-local-nodemask", _Hex(1, _MOST), invertible=True, group="local",
               label="node mask",
               listed="{!}node_mask={value}", help="the nodes that this host stands for, a bit for each"),
        Option("--cluster-total-nodes", _NODE, required=True, label="nodes",
               listed="total_nodes={value}",
               help="how many nodes there are"),
        Option("--cluster-hash-seed", _Hex(0, kinds.U32), required=True, label="seed",
               listed="hash_seed={value}",
               help="the hash's seed, the same on all nodes"),
    ),
    test=_test, final=_final, tidy=_tidy, conntrack=True, listed=headed(" cluster"),
    summary="whether the connection falls to this node of a cluster",
    source="net/netfilter/xt_cluster.c xt_cluster_mt(); iptables-extensions(8) cluster",
)  # fmt: skip
