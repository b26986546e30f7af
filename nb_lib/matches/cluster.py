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
)

if TYPE_CHECKING:
    from nb_lib.connection import Connection
    from nb_lib.packet import Packet

_MOST = 32  # XT_CLUSTER_NODES_MAX


class _Hex(kinds.Number):
    """A number printed with all eight digits."""

    def save(self, value: Any) -> str:
        return f"0x{value:08x}"


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Write the local node as a mask."""
    mask = settings.get("--cluster-local-nodemask")
    if mask is None:
        node = settings["--cluster-local-node"]
        mask = Setting(1 << node.value - 1, node.inverted)
    kept = {name: settings[name] for name in ("--cluster-total-nodes", "--cluster-hash-seed")}
    return {"--cluster-local-nodemask": mask, **kept}


def _final(settings: Settings) -> None:
    """Compare the nodes with their number. Linux user space: libxt_cluster.c cluster_check()."""
    _NEEDS_ONE(settings)
    total = settings.get("--cluster-total-nodes")
    if total is None or "--cluster-hash-seed" not in settings:
        return
    mask, node = settings.get("--cluster-local-nodemask"), settings.get("--cluster-local-node")
    said = ""
    if mask is not None and mask.value >> total.value:
        said = "`--cluster-local-nodemask' too big for `--cluster-total-nodes'"
    elif node is not None and node.value > total.value:
        said = "`--cluster-local-node' must be <= `--cluster-total-nodes'"
    if said:
        reason = f"there are only {total.value} nodes (--cluster-total-nodes)"
        raise RefusedError(reason, f"cluster match: {said}")


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
    "--cluster-local-node", "--cluster-local-nodemask",
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
