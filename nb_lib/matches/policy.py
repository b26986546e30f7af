"""policy: the IPsec transforms that a packet came through, or will go through.

Linux: net/netfilter/xt_policy.c policy_mt(), match_policy_in(). The fact ``ipsec`` lists the
transforms as dictionaries (``proto``, ``mode``, ``reqid``, ``spi``, ``src``, ``dst``) in the order in
which the rule's elements are compared with them; an empty list is a packet in clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds, ports
from nb_lib.listed import options_listed
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    Place,
    RefusedError,
    Setting,
    Use,
    before_or_after,
    miss,
    of_two,
    undecided,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nb_lib.packet import Packet

_ELEMENT = ("--reqid", "--spi", "--proto", "--mode", "--tunnel-src", "--tunnel-dst")
_MOST = 4  # XT_POLICY_MAX_ELEM
_EMPTY = ("policy match: empty policy element {}. --strict is in effect, but at least one of reqid, spi, "
          "tunnel-src, tunnel-dst, proto or mode is required.")  # fmt: skip
_PROTOCOLS = {"esp": 50, "ah": 51, "ipcomp": 108}


class _Protocol(kinds.Choice):
    """esp, ah or ipcomp, by name or number."""

    def read(self, word: str, family: int) -> Any:
        number = ports.Protocol().read(word, family)
        for name, one in _PROTOCOLS.items():
            if one == number:
                return name
        said = "policy match: protocol must be ah/esp/ipcomp"
        raise RefusedError(f"{word!r} is not one of esp, ah, ipcomp", said)

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the protocol by number, or by name."""
        return str(_PROTOCOLS[value]) if numeric else str(value)


def _elements(settings: Mapping[str, Setting]) -> list[dict[str, Setting]]:
    """Return the rule's elements: those that ``--next`` closed, and the last."""
    closed = settings["--next"].value if "--next" in settings else ()
    return [*map(dict, closed), {name: settings[name] for name in _ELEMENT if name in settings}]


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if "--dir" not in settings:
        said = "policy match: neither --dir in nor --dir out specified"
        raise RefusedError("policy needs --dir in or --dir out", said)
    settings = {"--pol": Setting("ipsec"), **settings}
    elements = _elements(settings)
    if len(elements) > _MOST:
        said = "policy match: maximum policy depth reached"
        raise RefusedError(f"a policy has at most {_MOST} elements", said)
    if settings["--pol"].value == "none":
        _check_none(settings)
        return {name: settings[name] for name in ("--dir", "--pol")}
    for number, element in enumerate(elements):
        _check_element(element, number, strict="--strict" in settings)
    if len(elements) > 1 and "--strict" not in settings:
        raise of_two("also", "--next", "--strict", "--next goes with --strict only")
    return settings


def _check_none(settings: Mapping[str, Setting]) -> None:
    """Refuse a policy's words where there is to be none."""
    for option, word in (("--strict", "--strict"), ("--next", "policy")):
        if option in settings:
            reason = f"{option} goes with --pol ipsec only"
            raise RefusedError(reason, f"policy match: policy none but {word} given")


def _place(use: Use) -> Place:
    direction = use.value("--dir")
    return before_or_after(before=direction == "in", after=direction == "out")


def _check_element(element: Mapping[str, Setting], number: int, *, strict: bool) -> None:
    """Refuse what no transform has. libxt_policy.c policy_check()."""
    if strict and not element:
        reason = "--strict needs an element to compare: --reqid, --spi, --proto, --mode …"
        raise RefusedError(reason, _EMPTY.format(number))
    tunnel = element.get("--mode") in (Setting("tunnel"), Setting("transport", inverted=True))
    if not tunnel and ("--tunnel-src" in element or "--tunnel-dst" in element):
        said = "policy match: --tunnel-src/--tunnel-dst is only valid in tunnel mode"
        raise RefusedError("--tunnel-src and --tunnel-dst need --mode tunnel", said)


def _listed(use: Use, numeric: bool) -> str:
    """Show each element, with its number if there are several."""
    text = f" policy match dir {use.value('--dir')} pol {use.value('--pol')}"
    text += " strict" * ("--strict" in use.settings)
    elements = _elements(use.settings)
    for number, element in enumerate(elements):
        text += f" [{number}]" * (len(elements) > 1)
        text += options_listed(use._replace(settings=element), numeric)
    return text


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


class _Tunnel(addresses.HostNetwork):
    """A tunnel's end, which is never shown by name."""

    def listed(self, value: Any, _numeric: bool) -> str:
        return self.save(value)


_NET = _Tunnel()

_DOUBLE = {"twice": "policy match: double {option} option"}
_ELEMENT_OPTIONS = (
    Option("--reqid", kinds.Number(0, kinds.U32), invertible=True, label="reqid",
           listed="{! }reqid {value}", says=_DOUBLE,
           help="the policy's reqid"),
    Option("--spi", kinds.Number(0, kinds.U32, form="#x"), invertible=True, label="SPI",
           listed="{! }spi {value}", says=_DOUBLE,
           help="the SPI"),
    Option("--proto", _Protocol(_PROTOCOLS.keys(), "esp|ah|ipcomp"), invertible=True,
           label="protocol", listed="{! }proto {value}", says=_DOUBLE,
           help="the transform's protocol"),
    Option("--mode", kinds.Choice(("transport", "tunnel"), "transport|tunnel"),
           invertible=True, label="mode", listed="{! }mode {value}",
           says=_DOUBLE | {"value": 'policy match: invalid mode "{word}"'},
           help="the transform's mode"),
    Option("--tunnel-dst", _NET, invertible=True, label="tunnel destination",
           listed="{! }tunnel-dst {value}", says=_DOUBLE,
           help="the tunnel's far end"),
    Option("--tunnel-src", _NET, invertible=True, label="tunnel source",
           listed="{! }tunnel-src {value}", says=_DOUBLE,
           help="the tunnel's near end"),
)  # fmt: skip

POLICY = Extension(
    "policy",
    (
        Option("--dir", kinds.Choice(("in", "out"), "in|out"), label="direction",
               says={"value": 'policy_match: invalid dir "{word}"'},
               help="in: how the packet was protected; out: how it will be"),
        Option("--pol", kinds.Choice(("none", "ipsec"), "none|ipsec"), label="policy",
               says={"value": 'policy match: invalid policy "{word}"'},
               help="in clear, or by IPsec"),
        Option("--strict", kinds.FLAG, label="strict",
               help="the whole policy, not one element of it"),
        *_ELEMENT_OPTIONS,
        Option("--next", kinds.FLAG, divides=_ELEMENT, label="next",
               help="the next element of the policy begins"),
    ),
    test=_test, tidy=_tidy, save=_save, place=_place, listed=_listed,
    summary="whether and how IPsec protects the packet",
    source="net/netfilter/xt_policy.c policy_mt(); iptables-extensions(8) policy",
)  # fmt: skip
