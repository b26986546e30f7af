"""rateest: compare rates that ``-j RATEEST`` measures, with one another or with a number.

Linux: net/netfilter/xt_rateest.c xt_rateest_mt(). The fact ``rates`` is a dictionary: the estimator's
name → (bytes a second, packets a second).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds, strto
from nb_lib.matches.host import fact
from nb_lib.options import (
    HIT,
    INVALID,
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
    from collections.abc import Sequence

    from nb_lib.packet import Packet

_NO_ENTRY = "No such file or directory"  # strerror(ENOENT)
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
    """A number that may be left out: none is 0. ``what`` it is called if it is none."""

    arity = -1
    what = "pps"

    def parse(self, words: Sequence[str], family: int) -> int:
        return self.read(words[0], family) if words else 0

    def read(self, word: str, _family: int) -> int:
        try:
            return kinds.parse_number(word, 0, kinds.U32)
        except ValueError as error:
            raise self.unreadable(word, str(error)) from None

    def unreadable(self, word: str, reason: str) -> RefusedError:
        """Return what iptables says of a word that is no such number."""
        return RefusedError(reason, f"rateest: could not parse {self.what} `{word}'")


class _Rate(_Optional):
    """A rate in bits a second unless its unit says otherwise, kept in bytes a second."""

    metavar = "[rate]"
    what = "rate"

    def read(self, word: str, _family: int) -> int:
        found = strto.strtod(word)
        if found is None or found[1].lower() not in _UNITS:
            raise self.unreadable(word, f"{word!r} is not a rate: 100kbit, 2mbit, 10kbps")
        return strto.to_u32(found[0] * _UNITS[found[1].lower()] / 8)

    def save(self, value: Any) -> str:
        bits = value * 8
        for size, unit in ((10**6, "Mbit"), (10**3, "Kbit")):
            if bits >= 1000 * size:
                return f"{bits / size:.0f}{unit}"
        return f"{bits}bit"

    def listed(self, value: Any, numeric: bool) -> str:
        """Write the rate in bytes, or with a unit."""
        return str(value) if numeric else self.save(value)


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
    """Refuse what the kernel refuses. xt_rateest.c xt_rateest_mt_checkentry()."""
    if not _compared(settings):
        reason = "rateest compares rates: --rateest-bps or --rateest-pps"
        raise RefusedError(reason, kernel=INVALID)
    if not any(name in _MODES for name in settings):
        reason = "rateest needs --rateest-lt, --rateest-gt or --rateest-eq"
        raise RefusedError(reason, kernel=INVALID)
    if "--rateest1" not in settings or not settings["--rateest1"].value:
        reason = "rateest needs the name of an estimator (--rateest1)"
        raise RefusedError(reason, kernel=_NO_ENTRY)
    if "--rateest2" in settings and not settings["--rateest2"].value:
        raise RefusedError("the second estimator has no name (--rateest2)", kernel=_NO_ENTRY)
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


def _listed(use: Use, numeric: bool) -> str:
    """Show the first estimator's rates, and the second's behind the comparison. rateest_print()."""
    settings, shape = use.settings, _shape(use.settings)
    absolute = shape.second is None
    mode = " !" * shape.inverted + f" {shape.mode.removeprefix('--rateest-')}"
    text = f" rateest match {shape.first}{' delta' * shape.delta}"
    behind = ""
    for what in _compared(settings):
        one, two = (
            f" {_KINDS[what].listed(_value(settings, f'--rateest-{what}{n}'), numeric)}"
            for n in (1, 2)
        )
        compared = two + mode if what == "bps" else mode + two
        text += f" {what}{one * shape.delta}{compared * absolute}"
        behind += f" {what}{two * shape.delta}"
    return text if absolute else f"{text}{mode} {shape.second}{behind}"


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


def _not_inverted(name: str) -> dict[str, str]:
    """What is said of a ``!``: libxt_rateest.c rateest_parse() calls several options by one name."""
    return {"inverted": f"rateest: {name} can't be inverted"}


_BYTES, _PACKETS = _Rate(), _Optional("[number]")
_KINDS = {"bps": _BYTES, "pps": _PACKETS}
RATEEST = Extension(
    "rateest",
    (
        Option("--rateest1", _Name(), ("--rateest",), label="estimator",
               says=_not_inverted("rateest"), help="the estimator"),
        Option("--rateest2", _Name(), label="second estimator",
               says=_not_inverted("rateest"), help="one to compare it with"),
        Option("--rateest-bps1", _BYTES, label="rate", says=_not_inverted("rateest-bps"),
               help="with --rateest-delta: the rate to be below"),
        Option("--rateest-pps1", _PACKETS, label="packets a second",
               says=_not_inverted("rateest-pps"), help="the same in packets"),
        Option("--rateest-bps2", _BYTES, ("--rateest-bps",), label="rate",
               says=_not_inverted("rateest-bps"),
               help="compare bytes, with this rate if there is no second estimator"),
        Option("--rateest-pps2", _PACKETS, ("--rateest-pps",), label="packets a second",
               says=_not_inverted("rateest-pps"),
               help="compare packets, with this number if there is no second estimator"),
        Option("--rateest-delta", kinds.FLAG, label="difference",
               says=_not_inverted("rateest-delta"),
               help="compare how far the rates are below the given ones"),
        *(Option(name, kinds.FLAG, invertible=True, label="rate",
                 says={"twice": "rateest: can't specify lt/gt/eq twice"},
                 help=f"the first is {words} the second")
          for name, words in _MODES.items()),
    ),
    test=_test, tidy=_tidy, save=_save, listed=_listed,
    says={"twice": "rateest: can't specify {option} twice"},
    summary="compare rates that -j RATEEST measures",
    source="net/netfilter/xt_rateest.c xt_rateest_mt(); iptables-extensions(8) rateest",
)  # fmt: skip
