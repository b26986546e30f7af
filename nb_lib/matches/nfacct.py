"""nfacct: count into an accounting object, and match once its quota is used up.

Linux: net/netfilter/xt_nfacct.c nfacct_mt(), net/netfilter/nfnetlink_acct.c nfnl_acct_overquota(). An
object without a quota always matches. The fact ``nfacct`` is a dictionary: object → whether it is over
its quota, None if it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.matches.host import fact
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss, undecided

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_LONGEST = 31  # NFACCT_NAME_MAX, without its closing zero


class _Name(kinds.Text):
    """An object's name; what is too long is cut off. iptables-save prints two blanks before it."""

    metavar = "name"

    def read(self, word: str, family: int) -> str:
        return kinds.cut(super().read(word, family), _LONGEST)

    def save(self, value: Any) -> str:
        return f" {kinds.quote(value)}"


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    name = use.value("--nfacct-name")
    objects = fact(packet, ctx, "nfacct")
    if objects is None or name not in objects:
        missing = f"whether {name} is over its quota (nfacct={{{name!r}: …}}; None: it has none)"
        return undecided("--nfacct-name", missing)
    return miss(f"{name} is below its quota") if objects[name] is False else HIT


NFACCT = Extension(
    "nfacct",
    (Option("--nfacct-name", _Name(shortest=1), required=True, label="accounting object",
            listed="nfacct-name {value}",
            help="the object that counts the packet"),),
    test=_test,
    summary="count into an accounting object; match unless it has a quota that is not used up",
    source="net/netfilter/xt_nfacct.c nfacct_mt(); iptables-extensions(8) nfacct",
)  # fmt: skip
