"""ipvs: the connection of IPVS that a packet belongs to.

Linux: net/netfilter/xt_ipvs.c ipvs_mt(). The fact ``ipvs`` is a dictionary that describes the
connection (``proto``, ``vaddr``, ``vport``, ``method``, ``dir``, ``vportctl``), False for a packet that
belongs to none.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds, ports
from nb_lib.matches.host import fact
from nb_lib.options import (
    BAD_VALUE,
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet


class _Port(kinds.Word):
    """One port."""

    metavar = "port"

    def read(self, word: str, _family: int) -> int:
        return ports.resolve_port(word or "0", ("tcp", "udp"))


class _Address(addresses.HostNetwork):
    """``ADDRESS[/MASK]``; ``-L`` calls no address at all *anywhere*, whatever its mask."""

    def listed(self, value: addresses.HostMask, numeric: bool) -> str:
        return super().listed(value, numeric) if numeric or int(value.host) else "anywhere"


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Every other option says ``--ipvs`` too."""
    if not settings:
        said = "IPVS: At least one option is required"
        raise RefusedError("ipvs needs at least one option", said)
    plain = settings.get("--ipvs")
    if plain and plain.inverted and len(settings) > 1:
        said = "! --ipvs cannot be together with other options"
        raise RefusedError("! --ipvs stands alone", said)
    if len(settings) > 1:
        settings.pop("--ipvs", None)
    return settings


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    connection = fact(packet, ctx, "ipvs")
    if connection is None:
        return undecided("ipvs", "the packet's IPVS connection (ipvs={'vaddr': …}, False for none)")
    plain = use.settings.get("--ipvs")
    if plain is not None:
        return miss("--ipvs") if bool(connection) is plain.inverted else HIT
    if not connection:
        return miss("the packet belongs to no IPVS connection")
    for option, setting in use.settings.items():
        have = _have(connection, option)
        if have is None:
            return undecided(option, f"the IPVS connection's {_KEYS[option]}")
        fits = have in setting.value if option == "--vaddr" else have == setting.value
        if fits is setting.inverted:
            return miss(option, have)
    return HIT


def _have(connection: Any, option: str) -> Any:
    have = connection.get(_KEYS[option])
    return ip_address(have) if option == "--vaddr" and isinstance(have, str) else have


_KEYS = {"--vproto": "proto", "--vaddr": "vaddr", "--vport": "vport", "--vdir": "dir",
         "--vmethod": "method", "--vportctl": "vportctl"}  # fmt: skip
_BAD = {"value": BAD_VALUE}
IPVS = Extension(
    "ipvs",
    (
        Option("--ipvs", kinds.FLAG, invertible=True, label="of IPVS",
               listed="{! }ipvs",
               help="the packet belongs to an IPVS connection"),
        Option("--vproto", ports.NumericProtocol(), invertible=True, label="protocol",
               listed="{! }vproto {value}",
               help="the virtual service's protocol"),
        Option("--vaddr", _Address(), invertible=True, label="virtual address",
               listed="{! }vaddr {value}",
               help="the virtual service's address"),
        Option("--vport", _Port(), invertible=True, label="virtual port",
               listed="{! }vport {value}",
               help="the virtual service's port"),
        Option("--vdir", kinds.Choice(("ORIGINAL", "REPLY"), "ORIGINAL|REPLY", fold=True),
               label="direction", listed="vdir {value}", says=_BAD,
               help="from the client, or back to it"),
        Option("--vmethod", kinds.Choice(("GATE", "IPIP", "MASQ"), "GATE|IPIP|MASQ", fold=True),
               invertible=True, label="method", listed="{! }vmethod {value}", says=_BAD,
               help="how packets reach the real server"),
        Option("--vportctl", _Port(), invertible=True, label="controlling port",
               listed="{! }vportctl {value}",
               help="the port of the connection that expected this one (21 for FTP)"),
    ),
    test=_test, tidy=_tidy,
    summary="the IPVS connection that the packet belongs to",
    source="net/netfilter/xt_ipvs.c ipvs_mt(); iptables-extensions(8) ipvs",
)  # fmt: skip
