"""policy: the IPsec transforms that a packet came through, or will go through.

Linux: net/netfilter/xt_policy.c policy_mt(), match_policy_in(). The fact ``ipsec`` lists the
transforms as dictionaries (``proto``, ``mode``, ``reqid``, ``spi``, ``src``, ``dst``) in the order in
which the rule's elements are compared with them; an empty list is a packet in clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Place,
    Setting,
    Use,
    before_or_after,
    miss,
    undecided,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nb_lib.packet import Packet

_ELEMENT = ("--reqid", "--spi", "--proto", "--mode", "--tunnel-src", "--tunnel-dst")
_MOST = 4  # XT_POLICY_MAX_ELEM
_PROTOCOLS = {"esp": 50, "ah": 51, "ipcomp": 108}


class _Protocol(kinds.Choice):
    """esp, ah or ipcomp, by name or number."""

    def read(self, word: str, family: int) -> Any:
        return super().read({"50": "esp", "51": "ah", "108": "ipcomp"}.get(word, word), family)


def _elements(settings: Mapping[str, Setting]) -> list[dict[str, Setting]]:
    """Return the rule's elements: those that ``--next`` closed, and the last."""
    closed = settings["--next"].value if "--next" in settings else ()
    return [*map(dict, closed), {name: settings[name] for name in _ELEMENT if name in settings}]


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if "--dir" not in settings:
        raise ValueError("policy needs --dir in or --dir out")
    settings = {"--pol": Setting("ipsec"), **settings}
    elements = _elements(settings)
    if len(elements) > _MOST:
        raise ValueError(f"a policy has at most {_MOST} elements")
    if len(elements) > 1 and "--strict" not in settings:
        raise ValueError("--next goes with --strict only")
    if settings["--pol"].value == "none":
        if "--strict" in settings:
            raise ValueError("--strict goes with --pol ipsec only")
        return {name: settings[name] for name in ("--dir", "--pol")}
    for element in elements:
        _check_element(element, strict="--strict" in settings)
    return settings


def _place(use: Use) -> Place:
    direction = use.value("--dir")
    return before_or_after(before=direction == "in", after=direction == "out")


def _check_element(element: Mapping[str, Setting], *, strict: bool) -> None:
    """Refuse what no transform has."""
    tunnel = element.get("--mode") in (Setting("tunnel"), Setting("transport", inverted=True))
    if not tunnel and ("--tunnel-src" in element or "--tunnel-dst" in element):
        raise ValueError("--tunnel-src and --tunnel-dst need --mode tunnel")
    if strict and not element:
        raise ValueError("--strict needs an element to compare: --reqid, --spi, --proto, --mode …")


def _save(use: Use) -> str:
    """Print each element, and ``--next`` between two."""
    words = [f"--dir {use.value('--dir')} --pol {use.value('--pol')}"]
    words += ["--strict"] * ("--strict" in use.settings)
    for number, element in enumerate(_elements(use.settings)):
        words += ["--next"] * bool(number)
        for option in _ELEMENT_OPTIONS:
            if setting := element.get(option.name):
                words += ["!"] * setting.inverted + [option.name, option.kind.save(setting.value)]
    return " ".join(words)


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    transforms = dict(packet.facts).get("ipsec", ctx.fact("ipsec"))
    if transforms is None:
        return undecided("--pol", "whether IPsec is at work (ipsec=() if not)")
    wants_none = use.value("--pol") == "none"
    if not transforms:
        return HIT if wants_none else miss("--pol", "none")
    if wants_none:
        return miss("--pol", "ipsec")
    elements = _elements(use.settings)
    if "--strict" in use.settings:
        if len(transforms) != len(elements):
            return miss("--strict", f"{len(transforms)} transforms")
        fits = all(map(_fits, elements, transforms))
    else:
        fits = any(_fits(elements[0], one) for one in transforms)
    return HIT if fits else miss("no transform like it")


def _fits(element: Mapping[str, Setting], transform: Mapping[str, Any]) -> bool:
    """Compare one transform with an element. Linux: xt_policy.c match_xfrm_state()."""
    for option, setting in element.items():
        compare = _COMPARE.get(option, _same)
        if compare(setting.value, transform.get(_NAMES[option])) is setting.inverted:
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

_ELEMENT_OPTIONS = (
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
)  # fmt: skip

POLICY = Extension(
    "policy",
    (
        Option("--dir", kinds.Choice(("in", "out"), "in|out"), label="direction",
               help="in: how the packet was protected; out: how it will be"),
        Option("--pol", kinds.Choice(("none", "ipsec"), "none|ipsec"), label="policy",
               help="in clear, or by IPsec"),
        Option("--strict", kinds.FLAG, label="strict",
               help="the whole policy, not one element of it"),
        *_ELEMENT_OPTIONS,
        Option("--next", kinds.FLAG, divides=_ELEMENT, label="next",
               help="the next element of the policy begins"),
    ),
    test=_test, tidy=_tidy, save=_save, place=_place,
    summary="whether and how IPsec protects the packet",
    source="net/netfilter/xt_policy.c policy_mt(); iptables-extensions(8) policy",
)  # fmt: skip
