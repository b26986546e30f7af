"""hashlimit: a bucket of credit for each address or port, shared by all rules of one name.

How iptables reads and prints it: extensions/libxt_hashlimit.c; what it means: buckets.py.
"""

from __future__ import annotations

from typing import Any

from nb_lib import addresses, kinds, strto
from nb_lib.matches.buckets import CREDIT, SCALE, HashRate, test, to_bytes, to_cost
from nb_lib.matches.limit import parse_rate, split_rate
from nb_lib.net import BITS
from nb_lib.options import Extension, Option, Setting, Use

_GC = 1000
_MOST_ENTRIES = 1 << 20
_MAX_BURST = 1_000_000
_SIZES = (("m", 1 << 20), ("k", 1 << 10), ("", 1))


class _RateKind(kinds.Word):
    """``5/min``, or ``512kb/s``."""

    metavar = "rate"

    def read(self, word: str, _family: int) -> HashRate:
        at = word.find("b/s")
        if at > 0:
            count = strto.atoi(word)
            if count:
                cost = to_cost(count * dict(_SIZES).get(word[at - 1], 1))
                if not cost:
                    raise ValueError(f"rate too high {word!r}")
                return HashRate(cost, 0)
        return HashRate(*parse_rate(word, SCALE))

    def save(self, value: Any) -> str:
        if not value.bytes:
            count, unit, _ = split_rate(value.avg, SCALE)
            return f"{count}/{unit}"
        size = to_bytes(value.avg)
        fits = (
            (name, unit)
            for name, unit in _SIZES
            if unit == 1 or (size >= unit and to_cost(size & -unit) == value.avg)
        )
        name, unit_size = next(fits)
        return f"{size // unit_size}{name}b/s"


class _Burst(kinds.Word):
    """A number of packets, or of bytes with ``k`` or ``m``."""

    metavar = "number[k|m]"

    def read(self, word: str, _family: int) -> int:
        found = kinds.leading_number(word)
        if not found or found[0] < 1 or (not found[1] and found[0] > _MAX_BURST):
            raise ValueError(f"{word!r} is not a burst from 1 to {_MAX_BURST}")
        return found[0] * dict(_SIZES).get(found[1][:1], 1)


class _Modes(kinds.Choices):
    """What tells buckets apart; nothing at all makes one bucket."""

    metavar = "srcip|srcport|dstip|dstport[,…]"

    def read(self, word: str, family: int) -> tuple[Any, ...]:
        return super().read(word, family) if word else ()


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


def _tidy(settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Bring a rule into the kernel's form: one of upto and above, the burst in its unit."""
    settings = dict(settings)
    name = kinds.one_of(settings, "--hashlimit-upto", "--hashlimit-above")
    rate = settings[name]
    if rate.inverted:
        del settings[name]
        name = {"--hashlimit-upto": "--hashlimit-above"}.get(name, "--hashlimit-upto")
        settings[name] = Setting(rate.value)
    burst = settings.pop("--hashlimit-burst", None)
    given = burst is not None
    if rate.value.bytes:
        if burst:
            settings["--hashlimit-burst"] = Setting(_byte_burst(burst.value, rate.value.avg))
    else:
        settings["--hashlimit-burst"] = burst or Setting(5)
        if settings["--hashlimit-burst"].value > _MAX_BURST:
            raise ValueError(f"the burst is at most {_MAX_BURST}")
        cost = rate.value.avg * CREDIT
        if cost * settings["--hashlimit-burst"].value % 2**64 < cost % 2**64:
            raise ValueError("the burst is too large for so slow a rate")
    _tidy_rest(settings, family, rate.value, burst_given=given)
    return settings


def _byte_burst(burst: int, avg: int) -> int:
    """Return a burst in bytes as a number of seconds' worth, rounded up."""
    least = to_bytes(avg)
    if burst < least or not least:
        raise ValueError(f"the burst cannot be smaller than {least}b")
    return -(-burst // least)


def _tidy_rest(
    settings: dict[str, Setting], family: int, rate: HashRate, *, burst_given: bool
) -> None:
    """Leave out what equals the default; the default expiry follows from the rate."""
    expire = settings.get("--hashlimit-htable-expire")
    if rate.bytes:
        usual = 60_000 if burst_given else 15_000
    else:
        usual = split_rate(rate.avg, SCALE)[2] * 1000
        given = rate.seconds * 1000
        if expire is None and given != usual:
            settings["--hashlimit-htable-expire"] = Setting(given)
    if expire is not None and expire.value == usual:
        del settings["--hashlimit-htable-expire"]
    for name in ("--hashlimit-srcmask", "--hashlimit-dstmask"):
        if name in settings and settings[name].value == BITS[family]:
            del settings[name]
    if "--hashlimit-rate-match" not in settings:
        settings.pop("--hashlimit-rate-interval", None)
    elif "--hashlimit-rate-interval" not in settings:
        settings["--hashlimit-rate-interval"] = Setting(rate.seconds or 1)


def _save(use: Use) -> str:
    """Print as hashlimit_mt_save() does; a burst in bytes is a multiple of the rate."""
    pieces = []
    rate = next(
        use.value(name)
        for name in ("--hashlimit-upto", "--hashlimit-above")
        if name in use.settings
    )
    for option in use.extension.options:
        value = use.value(option.name)
        if value is None or value == option.hidden:
            continue
        text = option.kind.save(value)
        if option.name == "--hashlimit-burst" and rate.bytes:
            size = to_bytes(rate.avg) * value
            name, unit = next((n, u) for n, u in _SIZES if size >= u)
            text = f"{size // unit}{name}b"
        pieces.append(f"{option.name} {text}".rstrip())
    return " ".join(pieces)


_TIME, _RATE = kinds.Number(1, kinds.U32, "milliseconds"), _RateKind()
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
               help="what has a bucket of its own: addresses, ports"),
        Option("--hashlimit-name", kinds.FileName("name", 254), required=True, label="name",
               help="the table's name under /proc/net/ipt_hashlimit"),
        Option("--hashlimit-htable-size", _Entries(0, kinds.U32), hidden=0, label="size",
               help="how many hash buckets"),
        Option("--hashlimit-htable-max", _Entries(0, kinds.U32), hidden=0, label="most",
               help="how many entries at most"),
        Option("--hashlimit-htable-gcinterval", _TIME, hidden=_GC, label="collect",
               help="milliseconds between collections of old entries"),
        Option("--hashlimit-htable-expire", _TIME, label="expire",
               help="milliseconds that an idle entry lives"),
        Option("--hashlimit-srcmask", addresses.PrefixLength(strict=True), label="source prefix",
               help="group sources by this length of prefix"),
        Option("--hashlimit-dstmask", addresses.PrefixLength(strict=True),
               label="destination prefix",
               help="group destinations by this length of prefix"),
        Option("--hashlimit-rate-match", kinds.FLAG, label="rate",
               help="match the rate, without limiting it"),
        Option("--hashlimit-rate-interval", _Interval(), hidden=1, label="interval",
               help="seconds over which the rate is taken"),
    ),
    test=test, tidy=_tidy, save=_save,
    summary="so many packets or bytes in a time, for each address or port",
    source="net/netfilter/xt_hashlimit.c hashlimit_mt_common(); iptables-extensions(8) hashlimit",
)  # fmt: skip
