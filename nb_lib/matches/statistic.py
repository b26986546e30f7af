"""statistic: by chance, or every nth packet.

Linux: net/netfilter/xt_statistic.c statistic_mt(). A probability is kept in 31 bits, so a third is
printed 0.33333333349; it is explored as the simplest fraction that has the same 31 bits.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.listed import options_listed
from nb_lib.options import (
    HIT,
    SAYINGS,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
    of_two,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

ONE = 1 << 31
_OFF = Fraction(1, 2) + Fraction(ONE, 2 * 10**10)  # half a unit, and half of a tenth decimal


@lru_cache(maxsize=4096)
def simplest(value: int) -> Fraction:
    """Return the fraction that people mean by a stored probability: that of smallest denominator.

    iptables stores p · 2^31, rounded to the nearest whole number (libxt_statistic.c, lround()), of a
    number written with ten decimals or more (kube-proxy's habit). So the fraction lies within half
    a unit and the error of the eleventh decimal; it is found in the Stern–Brocot tree.
    """
    return _between((value - _OFF) / ONE, (value + _OFF) / ONE)


def _between(low: Fraction, high: Fraction) -> Fraction:
    """Return the simplest fraction of an interval that holds no more than one whole number."""
    whole = low.numerator // low.denominator
    if low.denominator == 1:
        return low
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / _between(1 / (high - whole), 1 / (low - whole))


class _Probability(kinds.Word):
    """A number from 0 to 1, kept in 31 bits."""

    metavar = "probability"

    def read(self, word: str, _family: int) -> int:
        try:
            value = float(word)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            said = '{name}: bad value for option "{option}", or out of range (0-1).\n'
            raise RefusedError(f"{word!r} is not a probability from 0 to 1", said)
        return round(value * ONE)

    def save(self, value: Any) -> str:
        return f"{value / ONE:.11f}"

    def show(self, value: Any) -> str:
        return str(simplest(value))


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Look at the options together. libxt_statistic.c statistic_check(), then xtables_options_fcheck()."""
    mode = settings["--mode"].value if "--mode" in settings else "random"
    probability, every, packet = (
        settings.get(f"--{o}") for o in ("probability", "every", "packet")
    )
    if mode == "random" and not probability:
        said = "--probability must be specified when using random mode"
        raise RefusedError("--mode random needs --probability", said)
    if mode == "nth" and not (every or packet):
        said = "--every and --packet must be specified when using nth mode"
        raise RefusedError("--mode nth needs --every", said)
    last = every.value - 1 if every else 0
    if mode == "nth" and packet and packet.value > last:
        said = "the --packet p must be 0 <= p <= n-1"
        raise RefusedError("--packet must be less than --every", said)
    if "--mode" not in settings:
        said = SAYINGS["missing"].replace("{option}", "--mode")
        raise RefusedError("statistic: --mode is missing", said)
    if probability and (every or packet):
        raise of_two("group", "--probability", "--every" if every else "--packet")
    if bool(every) != bool(packet):
        raise of_two("also", *(("--every", "--packet") if every else ("--packet", "--every")))
    return settings


def _listed(use: Use, numeric: bool) -> str:
    """Leave out the first packet, which it is anyway."""
    shown = {n: s for n, s in use.settings.items() if n != "--packet" or s.value}
    return " statistic" + options_listed(use._replace(settings=shown), numeric)


def _test(use: Use, _packet: Packet, ctx: Context) -> Answer:
    setting = use.settings.get("--probability")
    if setting is None:
        return _nth(use, ctx)
    value = setting.value
    drawn = value >= ONE or (value > 0 and ctx.choose(simplest(value)))
    return miss("--probability") if drawn is setting.inverted else HIT


def _nth(use: Use, ctx: Context) -> Answer:
    """Count to ``--every``; the first packet matches unless ``--packet`` says otherwise."""
    setting = use.settings["--every"]
    key = ("statistic", ctx.table, ctx.chain, ctx.number, ctx.part)
    last = setting.value - 1
    count = ctx.recall(key, last - use.value("--packet", 0))
    count = 0 if count == last else count + 1
    ctx.remember(key, count)
    return miss("--every", f"packet {count}") if (count == 0) is setting.inverted else HIT


STATISTIC = Extension(
    "statistic",
    (
        Option("--mode", kinds.Choice(("random", "nth"), "random|nth"), label="mode",
               listed="mode {value}", says={"value": 'Bad mode "{word}"'},
               help="by chance, or every nth packet"),
        Option("--probability", _Probability(), invertible=True, label="drawn at",
               listed="{! }probability {value}",
               help="the chance of a match"),
        Option("--every", kinds.Number(1, kinds.U32), invertible=True,
               label="the one of every", listed="{! }every {value}", help="one packet of so many"),
        Option("--packet", kinds.Number(0, kinds.U32), label="first",
               listed="packet {value}",
               help="which of them, counted from 0"),
    ),
    test=_test, tidy=_tidy, listed=_listed,
    summary="by chance, or every nth packet",
    source="net/netfilter/xt_statistic.c statistic_mt(); iptables-extensions(8) statistic",
)  # fmt: skip
