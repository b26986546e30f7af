"""ttl and hl: how many hops the packet may still take.

Linux: net/netfilter/xt_hl.c ttl_mt(), hl_mt6().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    (option, setting), *_ = use.settings.items()
    have, want = packet.ttl, setting.value
    fits = (
        have == want
        if option.endswith("eq")
        else have < want
        if option.endswith("lt")
        else have > want
    )
    return miss(option, have) if fits is setting.inverted else HIT


def _listed(use: Use, _numeric: bool) -> str:
    """Show the comparison as it would stand in C. libxt_ttl.c ttl_print(), libip6t_hl.c hl_print()."""
    (option, setting), *_ = use.settings.items()
    sign = "!=" if setting.inverted else _SIGNS[option[-2:]]
    name = use.name.upper()
    return f" {name} match {name} {sign} {setting.value}"


_SIGNS = {"eq": "==", "lt": "<", "gt": ">"}


def _extension(name: str, family: int, label: str, function: str) -> Extension:
    """Build ttl or hl; they differ in name and family alone."""
    number = kinds.Number(0, 255)
    equal, lower, greater = f"--{name}-eq", f"--{name}-lt", f"--{name}-gt"
    said = f"{name.upper()} match: You must specify one of `{equal}', `{lower}', `{greater}"
    said += "'" * (name == "hl")  # ttl's lacks the last quotation mark

    def tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
        kinds.one_of(settings, equal, lower, greater, said=said)
        return settings

    return Extension(
        name,
        (
            Option(lower, number, group="compare", label=f"{label} below",
                   help=f"the {label} is less"),
            Option(greater, number, group="compare", label=f"{label} above",
                   help=f"the {label} is more"),
            Option(equal, number, (f"--{name}",), invertible=True, group="compare", label=label,
                   help=f"the {label} is this number"),
        ),
        families=(family,), test=_test, tidy=tidy, listed=_listed,
        summary=f"the packet's {label}",
        source=f"net/netfilter/xt_hl.c {function}(); iptables-extensions(8) {name}",
    )  # fmt: skip


TTL = _extension("ttl", 4, "TTL", "ttl_mt")
HL = _extension("hl", 6, "hop limit", "hl_mt6")
