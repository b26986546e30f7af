"""policy: the IPsec transforms that a packet came through, or will go through.

Linux: net/netfilter/xt_policy.c policy_mt(), match_policy_in(). The fact ``ipsec`` lists the
transforms as dictionaries (``proto``, ``mode``, ``reqid``, ``spi``, ``src``, ``dst``); an empty
list is a packet in clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss, undecided

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nb_lib.packet import Packet

_ELEMENT = ("--reqid", "--spi", "--proto", "--mode", "--tunnel-src", "--tunnel-dst")
_PROTOCOLS = {"esp": 50, "ah": 51, "ipcomp": 108}


class _Protocol(kinds.Choice):
    """esp, ah or ipcomp, by name or number."""

    def read(self, word: str, family: int) -> Any:
        return super().read({"50": "esp", "51": "ah", "108": "ipcomp"}.get(word, word), family)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if "--dir" not in settings:
        raise ValueError("policy needs --dir in or --dir out")
    settings = {"--pol": Setting("ipsec"), **settings}
    tunnel = settings.get("--mode") == Setting("tunnel")
    if not tunnel and ("--tunnel-src" in settings or "--tunnel-dst" in settings):
        raise ValueError("--tunnel-src and --tunnel-dst need --mode tunnel")
    if "--strict" in settings and not any(name in settings for name in _ELEMENT):
        raise ValueError("--strict needs an element to compare: --reqid, --spi, --proto, --mode …")
    if settings["--pol"].value == "none":
        if "--strict" in settings:
            raise ValueError("--strict goes with --pol ipsec only")
        return {name: settings[name] for name in ("--dir", "--pol")}
    return settings


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    transforms = dict(packet.facts).get("ipsec", ctx.fact("ipsec"))
    if transforms is None:
        return undecided("--pol", "whether IPsec is at work (ipsec=() if not)")
    wants_none = use.value("--pol") == "none"
    if not transforms:
        return HIT if wants_none else miss("--pol", "none")
    if wants_none:
        return miss("--pol", "ipsec")
    strict = "--strict" in use.settings
    if strict and len(transforms) != 1:
        return miss("--strict", f"{len(transforms)} transforms")
    elements = use.settings.keys() & set(_ELEMENT)
    if strict or elements:
        return HIT if any(_fits(use, one) for one in transforms) else miss("no transform like it")
    return HIT


def _fits(use: Use, transform: Mapping[str, Any]) -> bool:
    """Compare one transform with the rule's element. Linux: xt_policy.c match_xfrm_state()."""
    for option in _ELEMENT:
        setting = use.settings.get(option)
        if (
            setting
            and _COMPARE.get(option, _same)(setting.value, transform.get(_NAMES[option]))
            is setting.inverted
        ):
            return False
    return True


def _same(want: Any, have: Any) -> bool:
    return bool(want == have)


def _inside(want: Any, have: Any) -> bool:
    return have is not None and have in want


_NAMES = {"--reqid": "reqid", "--spi": "spi", "--proto": "proto", "--mode": "mode",
          "--tunnel-src": "src", "--tunnel-dst": "dst"}  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"--tunnel-src": _inside, "--tunnel-dst": _inside}
_NET = addresses.HostNetwork()

POLICY = Extension(
    "policy",
    (
        Option("--dir", kinds.Choice(("in", "out"), "in|out"), label="direction",
               help="in: how the packet was protected; out: how it will be"),
        Option("--pol", kinds.Choice(("none", "ipsec"), "none|ipsec"), label="policy",
               help="in clear, or by IPsec"),
        Option("--strict", kinds.FLAG, label="strict",
               help="the whole policy, not one element of it"),
        Option("--reqid", kinds.Number(0, kinds.U32), invertible=True, label="reqid",
               help="the policy's reqid"),
        Option("--spi", kinds.Number(0, kinds.U32, form="#x"), invertible=True, label="SPI",
               help="the SPI"),
        Option("--proto", _Protocol(_PROTOCOLS.keys(), "esp|ah|ipcomp"), invertible=True,
               label="protocol",
               help="the transform's protocol"),
        Option("--mode", kinds.Choice(("transport", "tunnel"), "transport|tunnel"),
               invertible=True, label="mode",
               help="the transform's mode"),
        Option("--tunnel-dst", _NET, invertible=True, label="tunnel destination",
               help="the tunnel's far end"),
        Option("--tunnel-src", _NET, invertible=True, label="tunnel source",
               help="the tunnel's near end"),
    ),
    test=_test, tidy=_tidy,
    summary="whether and how IPsec protects the packet",
    source="net/netfilter/xt_policy.c policy_mt(); iptables-extensions(8) policy",
)  # fmt: skip
