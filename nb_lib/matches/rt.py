"""rt: the IPv6 routing header.

Linux: net/ipv6/netfilter/ip6t_rt.c rt_mt6().
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nb_lib import addresses, kinds
from nb_lib.headers import ROUTING
from nb_lib.listed import headed
from nb_lib.net import parse_address
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
from nb_lib.packet import Packet

_MOST = 16


class _Addresses(kinds.Word):
    """Up to sixteen addresses, joined by commas."""

    metavar = "address[,…]"

    def read(self, word: str, family: int) -> tuple[Any, ...]:
        parts = word.split(",")
        found = tuple(_address(part, family) for part in parts[:_MOST])
        if len(parts) > _MOST:
            raise RefusedError(f"more than {_MOST} addresses", "too many addresses")
        return found

    def save(self, value: Any) -> str:
        return ",".join(map(addresses.write_address, value))


def _address(word: str, family: int) -> Any:
    try:
        return parse_address(word, family)
    except ValueError as error:
        raise RefusedError(str(error), f"bad address: {word}") from None


def _of_type_0(option: str) -> Callable[[str, int, Settings, Settings | None], None]:
    """Refuse what only a header of type 0 has, unless that was said before. libip6t_rt.c rt_parse()."""

    def before(_word: str, _family: int, settings: Settings, _core: Settings | None) -> None:
        if settings.get("--rt-type") != Setting(0):
            said = f"`--rt-type 0' required before `{option}'"
            raise RefusedError(f"{option} needs --rt-type 0", said)

    return before


def _before_not_strict(
    _word: str, _family: int, settings: Settings, _core: Settings | None
) -> None:
    if "--rt-0-addrs" not in settings:
        said = "`--rt-0-addr ...' required before `--rt-0-not-strict'"
        raise RefusedError("--rt-0-not-strict needs --rt-0-addrs", said)


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    at = next((at for kind, at in packet.extensions if kind == ROUTING), None)
    if at is None:
        return miss("no routing header")
    data = packet.data
    size = (data[at + 1] + 1) * 8
    if len(data) < at + size:
        return miss("the routing header is cut short")
    for option, have in (
        ("--rt-segsleft", data[at + 3]),
        ("--rt-len", size),
        ("--rt-type", data[at + 2]),
    ):
        setting = use.settings.get(option)
        if setting is None:
            continue
        low, high = (
            setting.value if isinstance(setting.value, tuple) else (setting.value, setting.value)
        )
        if (low <= have <= high) is setting.inverted:
            return miss(option, (have, have) if isinstance(setting.value, tuple) else have)
    return _type_0(use, data[at : at + size])


def _type_0(use: Use, header: bytes) -> Answer:
    """Compare the reserved field and the addresses of a type 0 header."""
    if "--rt-0-res" in use.settings and any(header[4:8]):
        return miss("--rt-0-res")
    wanted = use.value("--rt-0-addrs")
    if wanted is None:
        return HIT
    packed = [header[at : at + 16] for at in range(8, len(header), 16)]
    asked = [address.packed for address in wanted]
    if "--rt-0-not-strict" not in use.settings:
        return (
            HIT
            if packed[: len(asked)] == asked and len(packed) == len(asked)
            else miss("--rt-0-addrs")
        )
    rest = iter(packed)
    return (
        HIT
        if all(any(one == address for one in rest) for address in asked)
        else miss("--rt-0-addrs")
    )


RT = Extension(
    "rt",
    (
        Option("--rt-type", kinds.Number(0, kinds.U32), invertible=True, label="routing type",
               listed="type:{!}{value}",
               help="the header's type"),
        Option("--rt-segsleft", kinds.NumberRange(kinds.U32),
               invertible=True, hidden=kinds.Range(0, kinds.U32), label="segments left",
               listed="segsleft{s}:{!}{value}",
               help="how many hops are still to be visited"),
        Option("--rt-len", kinds.Number(0, kinds.U32), invertible=True, label="header length",
               listed="length:{!}{value}",
               help="the header's length in bytes"),
        Option("--rt-0-res", kinds.FLAG, label="reserved field zero", listed="reserved",
               before=_of_type_0("--rt-0-res"),
               help="the reserved field is zero (type 0)"),
        Option("--rt-0-addrs", _Addresses(), label="addresses", listed="0-addrs {value}",
               before=_of_type_0("--rt-0-addrs"),
               help="the header's addresses (type 0)"),
        Option("--rt-0-not-strict", kinds.FLAG, label="not strict", listed="0-not-strict",
               before=_before_not_strict,
               help="other addresses may stand between"),
    ),
    families=(6,), test=_test, listed=headed(" rt"),
    summary="the IPv6 routing header",
    source="net/ipv6/netfilter/ip6t_rt.c rt_mt6(); iptables-extensions(8) rt",
)  # fmt: skip
