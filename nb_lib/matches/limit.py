"""limit: a bucket of credit that fills with time, one per rule.

iptables-nft writes the match as an nftables limit, which counts nanoseconds; the match itself
(legacy) counts jiffies. Linux: net/netfilter/nft_limit.c nft_limit_eval(),
net/netfilter/xt_limit.c limit_mt(), user2credits().
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nb_lib import kinds, strto
from nb_lib.options import (
    HIT,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    miss,
)

if TYPE_CHECKING:
    from nb_lib.packet import Packet

HZ = 250  # CONFIG_HZ of Debian's and most distributions' kernels
SCALE = 10_000  # XT_LIMIT_SCALE: a rate is kept as the time of one packet, in 1/10000 s
UNITS = (("day", 86_400), ("hour", 3_600), ("min", 60), ("sec", 1))
_WORDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
# CREDITS_PER_JIFFY: the greatest power of two so that a day's credit fits in 32 bits.
_PER_JIFFY = 1 << ((2**32 - 1) // (HZ * 86_400)).bit_length() - 1
_FULL_32 = 2**32 - 1


def parse_rate(word: str, scale: int, said: str = "") -> tuple[int, int]:
    """Read ``5/min``: return the time of one packet in 1/scale seconds, and the unit's seconds.

    ``said`` is what iptables says of a word that is no rate.
    """
    number, slash, unit = word.partition("/")
    said = said or f'bad rate "{word}"\''
    seconds = 1
    if slash:
        found = [size for name, size in _WORDS.items() if unit and name.startswith(unit.lower())]
        if not found:
            raise RefusedError(f"bad rate {word!r}: the unit is second, minute, hour or day", said)
        seconds = found[0]
    count = strto.atoi(number) & kinds.U32  # a negative one is too fast
    if not count:
        raise RefusedError(f"bad rate {word!r}", said)
    if scale * seconds < count:
        raise RefusedError(f"rate too fast {word!r}", f'Rate too fast "{word}"')
    return scale * seconds // count, seconds


def split_rate(period: int, scale: int) -> tuple[int, str, int]:
    """Return a rate as iptables prints it: count, unit's name, unit's seconds."""
    index = 1
    while index < len(UNITS):
        size = UNITS[index][1] * scale
        if period > size or size // period < size % period:
            break
        index += 1
    name, seconds = UNITS[index - 1]
    return seconds * scale // period, name, seconds


class _Rate(kinds.Word):
    """``NUMBER[/second|minute|hour|day]``, kept as the time of one packet."""

    metavar = "rate[/unit]"

    def read(self, word: str, _family: int) -> int:
        return parse_rate(word, SCALE)[0]

    def save(self, value: Any) -> str:
        count, unit, _ = split_rate(value, SCALE)
        return f"{count}/{unit}"


def _test(use: Use, _packet: Packet, ctx: Context) -> Answer:
    period, burst = use.settings["--limit"].value, use.settings["--limit-burst"].value
    spend = _spend_jiffies if ctx.backend == "legacy" else _spend_nanoseconds
    key = ("limit", ctx.table, ctx.chain, ctx.number, ctx.part, period, burst)
    left, state = spend(period, burst, ctx.now, ctx.recall(key, None))
    ctx.remember(key, state)
    return HIT if left else miss("--limit")


def _spend_nanoseconds(
    period: int, burst: int, now: float, state: Any
) -> tuple[bool, tuple[int, int]]:
    """Take one packet's time from the bucket, as nft_limit_eval() does."""
    rate, _, seconds = split_rate(period, SCALE)
    cost = seconds * 10**9 // rate
    full = cost * burst
    time = round(now * 10**9)
    tokens, last = state or (full, time)
    tokens = min(full, tokens + time - last)
    return tokens >= cost, (tokens - cost if tokens >= cost else tokens, time)


def _spend_jiffies(period: int, burst: int, now: float, state: Any) -> tuple[bool, tuple[int, int]]:
    """Take one packet's credit from the bucket, as limit_mt() does."""
    cost, full = _credits(period), _credits(period * burst)
    time = int(now * HZ)
    credit, last = state or (full, time)
    credit = min(full, credit + (time - last) * _PER_JIFFY)
    return credit >= cost, (credit - cost if credit >= cost else credit, time)


def _credits(time: int) -> int:
    """Turn 1/10000 s into credits. Linux: xt_limit.c user2credits(), with its care for 32 bits."""
    if time > _FULL_32 // (HZ * _PER_JIFFY):
        return time // SCALE * HZ * _PER_JIFFY
    return time * HZ * _PER_JIFFY // SCALE


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """A burst of none is the default of five (nft_limit_init())."""
    if settings["--limit-burst"].value == 0:
        settings = settings | {"--limit-burst": Setting(5)}
    return settings


def _tidy_legacy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Refuse what the kernel's 32 bits cannot hold: limit_mt_check()."""
    period, burst = settings["--limit"].value, settings["--limit-burst"].value
    if not burst or _credits(period * burst & kinds.U32) & kinds.U32 < _credits(period) & kinds.U32:
        reason = "the kernel cannot count so slow a rate with such a burst"
        raise RefusedError(reason, kernel="Numerical result out of range")
    return settings


_RATE = _Rate()


def _listed(use: Use, _numeric: bool) -> str:
    return f" limit: avg {_RATE.save(use.value('--limit'))} burst {use.value('--limit-burst')}"


_LIMIT = Extension(
    "limit",
    (
        Option("--limit", _RATE, default=3_600 * SCALE // 3, label="within",
               help="how many packets may match in the long run, per second unless told otherwise"),
        Option("--limit-burst", kinds.Number(0, 10_000), default=5, hidden=5, label="burst",
               help="how many may match at once before the rate counts"),
    ),
    test=_test, tidy=_tidy, listed=_listed,
    summary="so many packets in a time, for the whole rule",
    source="net/netfilter/xt_limit.c limit_mt(), nft_limit.c; iptables-extensions(8) limit",
)  # fmt: skip

# nft counts in nanoseconds, legacy in 32 bits of credits.
LIMIT = replace(_LIMIT, legacy=replace(_LIMIT, tidy=_tidy_legacy))
