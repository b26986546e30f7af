"""hashlimit: a bucket of credit for each address or port, shared by all rules of one name.

How iptables reads and prints it: extensions/libxt_hashlimit.c; what it means: buckets.py.
"""

from __future__ import annotations

from typing import Any

from nb_lib import addresses, kinds, strto
from nb_lib.listed import options_listed
from nb_lib.matches.buckets import CREDIT, SCALE, HashRate, chunk_cost, test, to_bytes, to_cost
from nb_lib.matches.limit import parse_rate, split_rate
from nb_lib.net import BITS
from nb_lib.options import (
    BAD_VALUE,
    INVALID,
    Extension,
    Option,
    RefusedError,
    Setting,
    Settings,
    Use,
    of_two,
)

_GC = 1000
_LONGEST_NAME = 254  # NAME_MAX less the final zero
_MOST_ENTRIES = 1 << 20
_MAX_BURST = 1_000_000
_SIZES = (("m", 1 << 20), ("k", 1 << 10), ("", 1))
_RATES = ("--hashlimit-upto", "--hashlimit-above")
_RANGE = f'bad value for option "--hashlimit-burst", or out of range (1-{_MAX_BURST}).'


class _RateKind(kinds.Word):
    """``5/min``, or ``512kb/s``."""

    metavar = "rate"

    def read(self, word: str, _family: int) -> HashRate:
        at = word.find("b/s")
        if at > 0:
            count = strto.atoi(word)
            if count:
                cost = to_cost(count * dict(_SIZES).get(word[at - 1], 1))
                if not chunk_cost(cost):
                    raise RefusedError(f"rate too high {word!r}", kernel=INVALID)
                return HashRate(cost, 0)
        return HashRate(*parse_rate(word, SCALE, BAD_VALUE))

    def save(self, value: Any) -> str:
        if not value.bytes:
            count, unit, _ = split_rate(value.avg, SCALE)
            return f"{count}/{unit}"
        size = to_bytes(value.avg)
        fits = (
            (name, unit)
            for name, unit in _SIZES
            if unit == 1 or (size >= unit and to_cost(size & -unit & kinds.U32) == value.avg)
        )
        name, unit_size = next(fits)
        return f"{size // unit_size}{name}b/s"


class _Burst(kinds.Word):
    """A number of packets, or of bytes with ``k`` or ``m``."""

    metavar = "number[k|m]"

    def read(self, word: str, _family: int) -> int:
        found = kinds.leading_number(word)
        if not found or found[0] < 1 or (not found[1] and found[0] > _MAX_BURST):
            raise RefusedError(f"{word!r} is not a burst from 1 to {_MAX_BURST}", _RANGE)
        return found[0] * dict(_SIZES).get(found[1][:1], 1)


class _Modes(kinds.Choices):
    """What tells buckets apart; nothing at all makes one bucket."""

    metavar = "srcip|srcport|dstip|dstport[,…]"

    def read(self, word: str, family: int) -> tuple[Any, ...]:
        some = ",".join(filter(None, word.replace("|", ",").split(",")))
        return super().read(some, family) if some else ()

    def listed(self, value: Any, _numeric: bool) -> str:
        return "-".join(value)


class _Name(kinds.FileName):
    """A table's name, cut off where the kernel's field ends."""

    def read(self, word: str, family: int) -> Any:
        return super().read(kinds.cut(word, _LONGEST_NAME), family)


class _Entries(kinds.Number):
    """How many entries; the kernel takes no more than 2^20 (HASHLIMIT_MAX_SIZE)."""

    def read(self, word: str, family: int) -> int:
        return min(super().read(word, family), _MOST_ENTRIES)


class _Interval(kinds.Word):
    """Seconds, as atoi(3) reads them."""

    metavar = "seconds"

    def read(self, word: str, _family: int) -> int:
        if strto.atoi(word) <= 0:
            raise ValueError(f"{word!r} is not a number of seconds")
        return strto.atoi(word)


def _final(settings: Settings) -> None:
    """Refuse a burst that does not go with the rate. libxt_hashlimit.c hashlimit_mt_check()."""
    rates = [setting.value for name, setting in settings.items() if name in _RATES]
    if not rates:
        reason = "one of --hashlimit-upto, --hashlimit-above is needed"
        raise RefusedError(reason, "You have to specify --hashlimit")
    rate, burst = rates[-1], settings.get("--hashlimit-burst", Setting(0)).value
    if isinstance(rate, HashRate) and rate.bytes:
        least = to_bytes(rate.avg)
        if burst and (burst < least or not least):
            said = f"burst cannot be smaller than {least}b"
            raise RefusedError(f"the {said}", said)
    elif burst > _MAX_BURST:
        raise RefusedError(f"the burst is at most {_MAX_BURST}", _RANGE)
    if len(rates) > 1:  # the name is missed afterwards
        raise of_two("group", *_RATES)


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Bring a rule into the kernel's form: one of upto and above, the burst in its unit."""
    settings = dict(settings)
    name = next(name for name in _RATES if name in settings)
    rate, inverted = settings.pop(name)
    if inverted:
        name = {"--hashlimit-upto": "--hashlimit-above"}.get(name, "--hashlimit-upto")
    burst = settings.pop("--hashlimit-burst", None)
    given = burst is not None
    expiry = (60_000 if given else 15_000) if rate.bytes else rate.seconds * 1000
    if "--hashlimit-rate-match" in settings:
        settings.setdefault("--hashlimit-rate-interval", Setting(rate.seconds or 1))
        if not rate.bytes:
            rate = HashRate(rate.avg // rate.seconds, 1)
    settings[name] = Setting(rate)
    if not rate.bytes:
        settings["--hashlimit-burst"] = burst = burst or Setting(5)
        cost = rate.avg * CREDIT
        if not cost or cost * burst.value % 2**64 < cost % 2**64:
            reason = "the kernel cannot count such a rate with such a burst"
            raise RefusedError(reason, kernel="Numerical result out of range")
    elif burst and (amount := _byte_burst(burst.value, rate.avg)):
        settings["--hashlimit-burst"] = Setting(amount)
    given = "--hashlimit-burst" in settings
    _tidy_rest(settings, family, expiry, _usual_expiry(rate, given=given))
    return settings


def _byte_burst(burst: int, avg: int) -> int:
    """Return a burst in bytes as a number of seconds' worth; the kernel's has 32 bits."""
    least = to_bytes(avg)
    return (burst & kinds.U32) // least + bool(burst % least)


def _usual_expiry(rate: HashRate, *, given: bool) -> int:
    """Return the expiry that iptables-save leaves out: the unit of the rate that it prints."""
    if rate.bytes:
        return 60_000 if given else 15_000
    return split_rate(rate.avg, SCALE)[2] * 1000


def _tidy_rest(settings: dict[str, Setting], family: int, expiry: int, usual: int) -> None:
    """Leave out what equals the default; the default expiry follows from the rate."""
    expire = settings.setdefault("--hashlimit-htable-expire", Setting(expiry))
    if expire.value == usual:
        del settings["--hashlimit-htable-expire"]
    for name in ("--hashlimit-srcmask", "--hashlimit-dstmask"):
        if name in settings and settings[name].value == BITS[family]:
            del settings[name]


def _burst_text(rate: HashRate, burst: int) -> str:
    """Write a burst; one in bytes is a multiple of the rate."""
    if not rate.bytes:
        return str(burst)
    size = to_bytes(rate.avg) * burst
    name, unit = next((n, u) for n, u in _SIZES if size >= u)
    return f"{size // unit}{name}b"


def _save(use: Use) -> str:
    """Print as hashlimit_mt_save() does."""
    pieces = []
    rate = next(use.value(name) for name in _RATES if name in use.settings)
    for option in use.extension.options:
        value = use.value(option.name)
        if value is None or value == option.hidden:
            continue
        if (
            option.name == "--hashlimit-rate-interval"
            and "--hashlimit-rate-match" not in use.settings
        ):
            continue
        text = option.kind.save(value)
        if option.name == "--hashlimit-burst":
            text = _burst_text(rate, value)
        pieces.append(f"{option.name} {text}".rstrip())
    return " ".join(pieces)


def _listed(use: Use, numeric: bool) -> str:
    """Show the rate over its interval, and the expiry if it is not that rate's. hashlimit_mt_print()."""
    settings = dict(use.settings)
    name = next(name for name in _RATES if name in settings)
    rate, burst = settings[name].value, use.value("--hashlimit-burst", 0)
    usual = _usual_expiry(rate, given=bool(burst))
    if not rate.bytes:
        rate = HashRate(rate.avg * use.value("--hashlimit-rate-interval", 1), rate.seconds)
    expire = settings.pop("--hashlimit-htable-expire", Setting(usual))
    if expire.value != _usual_expiry(rate, given=bool(burst)):
        settings["--hashlimit-htable-expire"] = expire
    if "--hashlimit-rate-match" not in settings:
        settings.pop("--hashlimit-rate-interval", None)
    limit = f" limit: {'up to' if name == '--hashlimit-upto' else 'above'} {_RATE.save(rate)}"
    if burst:
        limit += f" burst {_burst_text(rate, burst)}"
    return limit + options_listed(use._replace(settings=settings), numeric)


_TIME = kinds.TakenNumber(0, kinds.U32, least=1, most=kinds.U32, metavar="milliseconds")
_RATE, _SAYS = _RateKind(), {"value": BAD_VALUE}
HASHLIMIT = Extension(
    "hashlimit",
    (
        Option("--hashlimit-upto", _RATE, ("--hashlimit",), invertible=True, group="rate",
               label="within",
               help="match while the bucket is below this rate"),
        Option("--hashlimit-above", _RATE, invertible=True, group="rate", label="above",
               help="match when the bucket is above this rate"),
        Option("--hashlimit-burst", _Burst(), label="burst",
               help="how much may pass at once before the rate counts"),
        Option("--hashlimit-mode", _Modes(("srcip", "srcport", "dstip", "dstport")),
               hidden=(), label="mode",
               listed="mode {value}", says=_SAYS,
               help="what has a bucket of its own: addresses, ports"),
        Option("--hashlimit-name", _Name("name", shortest=1), required=True, label="name",
               help="the table's name under /proc/net/ipt_hashlimit"),
        Option("--hashlimit-htable-size", _Entries(0, kinds.U32), hidden=0, label="size",
               listed="htable-size {value}",
               help="how many hash buckets"),
        Option("--hashlimit-htable-max", _Entries(0, kinds.U32), hidden=0, label="most",
               listed="htable-max {value}",
               help="how many entries at most"),
        Option("--hashlimit-htable-gcinterval", _TIME, hidden=_GC, label="collect",
               listed="htable-gcinterval {value}",
               help="milliseconds between collections of old entries"),
        Option("--hashlimit-htable-expire", _TIME, label="expire",
               listed="htable-expire {value}",
               help="milliseconds that an idle entry lives"),
        Option("--hashlimit-srcmask", addresses.PrefixLength(strict=True), label="source prefix",
               listed="srcmask {value}",
               help="group sources by this length of prefix"),
        Option("--hashlimit-dstmask", addresses.PrefixLength(strict=True),
               label="destination prefix",
               listed="dstmask {value}",
               help="group destinations by this length of prefix"),
        Option("--hashlimit-rate-match", kinds.FLAG, label="rate",
               listed="rate-match",
               help="match the rate, without limiting it"),
        Option("--hashlimit-rate-interval", _Interval(), hidden=1, label="interval",
               listed="rate-interval {value}", says=_SAYS,
               help="seconds over which the rate is taken"),
    ),
    test=test, final=_final, tidy=_tidy, save=_save, listed=_listed,
    summary="so many packets or bytes in a time, for each address or port",
    source="net/netfilter/xt_hashlimit.c hashlimit_mt_common(); iptables-extensions(8) hashlimit",
)  # fmt: skip
