"""rateest: compare rates that ``-j RATEEST`` measures, with one another or with a number.

Linux: net/netfilter/xt_rateest.c xt_rateest_mt(). The fact ``rates`` is a dictionary: the estimator's
name → (bytes a second, packets a second).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.matches.host import fact
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss, undecided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nb_lib.packet import Packet

_LONGEST = 15  # IFNAMSIZ, without its closing zero
_UNITS = {"": 1, "bit": 1, "bps": 8} | {
    prefix + word + unit: base**power * bits
    for power, prefix in enumerate("kmgt", 1)
    for word, base in (("", 1000), ("i", 1024))
    for unit, bits in (("bit", 1), ("bps", 8))
}
_MODES = {"--rateest-lt": "below", "--rateest-gt": "above", "--rateest-eq": "equal to"}


class _Name(kinds.Word):
    """An estimator's name; what is too long is cut off."""

    metavar = "name"

    def read(self, word: str, _family: int) -> str:
        return kinds.cut(word, _LONGEST)


class _Optional(kinds.Word):
    """A number that may be left out: none is 0."""

    arity = -1

    def parse(self, words: Sequence[str], family: int) -> int:
        return self.read(words[0], family) if words else 0

    def read(self, word: str, _family: int) -> int:
        return kinds.parse_number(word, 0, kinds.U32)


class _Rate(_Optional):
    """A rate in bits a second unless its unit says otherwise, kept in bytes a second."""

    metavar = "[rate]"

    def read(self, word: str, _family: int) -> int:
        found = kinds.strtod(word)
        if found is None or found[1].lower() not in _UNITS:
            raise ValueError(f"{word!r} is not a rate: 100kbit, 2mbit, 10kbps")
        return kinds.to_u32(found[0] * _UNITS[found[1].lower()] / 8)

    def save(self, value: Any) -> str:
        bits = value * 8
        for size, unit in ((10**6, "Mbit"), (10**3, "Kbit")):
            if bits >= 1000 * size:
                return f"{bits / size:.0f}{unit}"
        return f"{bits}bit"


class _Shape(NamedTuple):
    """What a rule compares: the one or two estimators, how, and whether their distance to a rate."""

    first: str
    second: str | None
    mode: str
    inverted: bool
    delta: bool


def _shape(settings: Any) -> _Shape:
    mode = [name for name in settings if name in _MODES][-1]
    return _Shape(settings["--rateest1"].value, _value(settings, "--rateest2", None), mode,
                  any(settings[name].inverted for name in _MODES if name in settings),
                  "--rateest-delta" in settings)  # fmt: skip


def _value(settings: Any, name: str, default: Any = 0) -> Any:
    return settings[name].value if name in settings else default


def _compared(settings: Any) -> list[str]:
    """Return which rates are compared: ``bps``, ``pps`` or both."""
    return [what for what in ("bps", "pps")
            if f"--rateest-{what}1" in settings or f"--rateest-{what}2" in settings]  # fmt: skip


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if "--rateest1" not in settings or not settings["--rateest1"].value:
        raise ValueError("rateest needs the name of an estimator (--rateest1)")
    if "--rateest2" in settings and not settings["--rateest2"].value:
        raise ValueError("the second estimator has no name (--rateest2)")
    if not _compared(settings):
        raise ValueError("rateest compares rates: --rateest-bps or --rateest-pps")
    modes = [name for name in settings if name in _MODES]
    if not modes:
        raise ValueError("rateest needs --rateest-lt, --rateest-gt or --rateest-eq")
    shape = _shape(settings)
    kept = {name: setting for name, setting in settings.items() if name not in _MODES}
    return {**kept, shape.mode: Setting(True, shape.inverted)}


def _save(use: Use) -> str:
    """Print the rule: each comparison names its mode again."""
    settings = use.settings
    shape = _shape(settings)
    words = ["--rateest-delta"] * shape.delta
    words += ["--rateest" if shape.second is None else "--rateest1", shape.first]
    mode = ["!"] * shape.inverted + [shape.mode]
    for what in _compared(settings):
        one, two = (f"--rateest-{what}{n}" for n in (1, 2))
        kind = _KINDS[what]
        if shape.delta:
            words += [
                one,
                kind.save(_value(settings, one)),
                *mode,
                two,
                kind.save(_value(settings, two)),
            ]
        else:
            words += [*mode, f"--rateest-{what}"]
            words += [kind.save(_value(settings, two))] * (shape.second is None)
    return " ".join(words + ["--rateest2", shape.second] * (shape.second is not None))  # type: ignore[list-item]


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    settings, shape = use.settings, _shape(use.settings)
    rates = fact(packet, ctx, "rates") or {}
    for name in (shape.first, *([shape.second] if shape.second is not None else [])):
        if name not in rates:
            missing = (
                f"what estimator {name} measures (rates={{{name!r}: (bytes, packets)}} a second)"
            )
            return undecided("--rateest1", missing)
    fits = True
    for index, what in enumerate(("bps", "pps")):
        if what in _compared(settings):
            fits &= _compare(settings, shape, what, index, rates)
    if fits is not shape.inverted:
        return HIT
    size, packets = rates[shape.first]
    return miss(f"{shape.first} has {size} bytes and {packets} packets a second")


def _compare(settings: Any, shape: _Shape, what: str, index: int, rates: Any) -> bool:
    """Compare one rate, or how far it is below a given one, with another."""
    limits = [_value(settings, f"--rateest-{what}{n}") for n in (1, 2)]
    one = rates[shape.first][index]
    two = limits[1] if shape.second is None else rates[shape.second][index]
    if shape.delta:
        one = max(limits[0] - one, 0)
        two = two if shape.second is None else max(limits[1] - two, 0)
    fits = {"--rateest-lt": one < two, "--rateest-gt": one > two, "--rateest-eq": one == two}
    return bool(fits[shape.mode])


_BYTES, _PACKETS = _Rate(), _Optional("[number]")
_KINDS = {"bps": _BYTES, "pps": _PACKETS}
RATEEST = Extension(
    "rateest",
    (
        Option("--rateest1", _Name(), ("--rateest",), label="estimator", help="the estimator"),
        Option("--rateest2", _Name(), label="second estimator", help="one to compare it with"),
        Option("--rateest-bps1", _BYTES, label="rate", help="with --rateest-delta: the rate to be below"),
        Option("--rateest-pps1", _PACKETS, label="packets a second", help="the same in packets"),
        Option("--rateest-bps2", _BYTES, ("--rateest-bps",), label="rate",
               help="compare bytes, with this rate if there is no second estimator"),
        Option("--rateest-pps2", _PACKETS, ("--rateest-pps",), label="packets a second",
               help="compare packets, with this number if there is no second estimator"),
        Option("--rateest-delta", kinds.FLAG, label="difference",
               help="compare how far the rates are below the given ones"),
        *(Option(name, kinds.FLAG, invertible=True, label="rate", help=f"the first is {words} the second")
          for name, words in _MODES.items()),
    ),
    test=_test, tidy=_tidy, save=_save,
    summary="compare rates that -j RATEEST measures",
    source="net/netfilter/xt_rateest.c xt_rateest_mt(); iptables-extensions(8) rateest",
)  # fmt: skip
