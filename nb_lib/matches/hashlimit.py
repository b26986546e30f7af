"""hashlimit: a bucket of credit for each address or port, shared by all rules of one name.

Linux: net/netfilter/xt_hashlimit.c hashlimit_mt_common(), rateinfo_recalc(), user2credits(),
hashlimit_byte_cost(). Entries are forgotten when they expire; the kernel's collector may be up to
``--hashlimit-htable-gcinterval`` later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nb_lib import addresses, kinds
from nb_lib.matches.limit import HZ, parse_rate, split_rate
from nb_lib.net import BITS
from nb_lib.options import HIT, Answer, Context, Extension, Option, Outcome, Setting, Use, miss
from nb_lib.packet import WITH_PORTS, Packet

SCALE = 1_000_000  # XT_HASHLIMIT_SCALE_v2
_PER_JIFFY = 1 << ((2**64 - 1) // (HZ * 86_400)).bit_length() - 1
_PER_JIFFY_BYTES = 1 << ((2**32 - 1) // HZ).bit_length() - 1
_FULL_BYTES = _PER_JIFFY_BYTES * HZ
_CREDIT = _PER_JIFFY * HZ // SCALE  # user2credits() divides the constants first
_GC = 1000
_MOST_ENTRIES = 1 << 20
_MAX_BURST = 1_000_000
_SIZES = (("m", 1 << 20), ("k", 1 << 10), ("", 1))


class HashRate(NamedTuple):
    """A rate in packets or bytes: the kernel's ``avg``, and the unit's seconds (0: bytes)."""

    avg: int
    seconds: int

    @property
    def bytes(self) -> bool:
        """Whether bytes are counted."""
        return not self.seconds


class _RateKind(kinds.Word):
    """``5/min``, or ``512kb/s``."""

    metavar = "rate"

    def read(self, word: str, _family: int) -> HashRate:
        at = word.find("b/s")
        if at > 0:
            count = kinds.atoi(word)
            if count:
                cost = _to_cost(count * dict(_SIZES).get(word[at - 1], 1))
                if not cost:
                    raise ValueError(f"rate too high {word!r}")
                return HashRate(cost, 0)
        return HashRate(*parse_rate(word, SCALE))

    def save(self, value: Any) -> str:
        if not value.bytes:
            count, unit, _ = split_rate(value.avg, SCALE)
            return f"{count}/{unit}"
        size = _to_bytes(value.avg)
        for name, unit_size in _SIZES:
            if size >= unit_size and _to_cost(size & ~(unit_size - 1)) == value.avg:
                break
        return f"{size // unit_size}{name}b/s"


def _to_cost(size: int) -> int:
    return (2**32 - 1) // ((size >> 4 & 0xFFFFFFFF) + 1)


def _to_bytes(cost: int) -> int:
    return ((2**32 - 1) // cost - 1) << 4


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
        if kinds.atoi(word) <= 0:
            raise ValueError(f"{word!r} is not a number of seconds")
        return kinds.atoi(word)


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
        cost = rate.value.avg * _CREDIT
        if cost * settings["--hashlimit-burst"].value % 2**64 < cost % 2**64:
            raise ValueError("the burst is too large for so slow a rate")
    _tidy_rest(settings, family, rate.value, burst_given=given)
    return settings


def _byte_burst(burst: int, avg: int) -> int:
    """Return a burst in bytes as a number of seconds' worth, rounded up."""
    least = _to_bytes(avg)
    if burst < least or not least:
        raise ValueError(f"the burst cannot be smaller than {least}b")
    return -(-burst // least)


def _tidy_rest(settings: dict[str, Setting], family: int, rate: HashRate, *, burst_given: bool) -> None:
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
    rate = next(use.value(name) for name in ("--hashlimit-upto", "--hashlimit-above") if name in use.settings)
    for option in use.extension.options:
        value = use.value(option.name)
        if value is None or value == option.hidden:
            continue
        text = option.kind.save(value)
        if option.name == "--hashlimit-burst" and rate.bytes:
            size = _to_bytes(rate.avg) * value
            name, unit = next((n, u) for n, u in _SIZES if size >= u)
            text = f"{size // unit}{name}b"
        pieces.append(f"{option.name} {text}".rstrip())
    return " ".join(pieces)


class _Bucket(NamedTuple):
    """``struct rateinfo``: times in jiffies."""

    prev: int
    credit: int
    refills: int
    expires: int
    window: bool = False
    current: int = 0


def _test(use: Use, packet: Packet, ctx: Context) -> Answer:
    option = "--hashlimit-upto" if "--hashlimit-upto" in use.settings else "--hashlimit-above"
    who = _key(use, packet)
    if who is None:
        return Answer(Outcome.HOTDROP)
    rate: HashRate = use.settings[option].value
    key = ("hashlimit", use.value("--hashlimit-name"), packet.family)
    buckets: dict[Any, _Bucket] = dict(ctx.recall(key, ()))
    now = int(ctx.now * HZ)
    bucket = buckets.get(who)
    if bucket is None or bucket.expires <= now:
        bucket = _new(use, rate, now)
    else:
        bucket = _refill(use, rate, bucket, now)
    below, bucket = _spend(use, rate, bucket, packet)
    buckets[who] = bucket._replace(expires=now + _expiry(use, rate))
    ctx.remember(key, tuple(item for item in buckets.items() if item[1].expires > now))
    return HIT if below is (option == "--hashlimit-upto") else miss(option)


def _expiry(use: Use, rate: HashRate) -> int:
    """Return the life of an idle entry, in jiffies."""
    usual = (60_000 if use.value("--hashlimit-burst") else 15_000) if rate.bytes else rate.seconds * 1000
    return int(use.value("--hashlimit-htable-expire", usual)) * HZ // 1000


def _key(use: Use, packet: Packet) -> tuple[Any, ...] | None:
    """Return what tells this packet's bucket from others; None if its ports cannot be read."""
    modes = use.value("--hashlimit-mode", ())
    bits = BITS[packet.family]
    found: list[Any] = []
    for mode, address, name in (("srcip", packet.src, "--hashlimit-srcmask"), ("dstip", packet.dst, "--hashlimit-dstmask")):
        if mode in modes:
            found.append(int(address) >> bits - use.value(name, bits))
    for mode, port in (("srcport", packet.sport), ("dstport", packet.dport)):
        if mode in modes:
            if port is None and packet.protocol in WITH_PORTS:
                return None
            found.append(port or 0)
    return tuple(found)


def _new(use: Use, rate: HashRate, now: int) -> _Bucket:
    burst = use.value("--hashlimit-burst", 0)
    if rate.bytes:
        return _Bucket(now, _FULL_BYTES, burst, 0)
    return _Bucket(now, rate.avg * burst * _CREDIT, 0, 0)


def _refill(use: Use, rate: HashRate, bucket: _Bucket, now: int) -> _Bucket:
    """Add the credit of the time that has passed. Linux: rateinfo_recalc()."""
    delta = now - bucket.prev
    if not delta:
        return bucket
    if "--hashlimit-rate-match" in use.settings:
        interval = use.value("--hashlimit-rate-interval") * HZ
        if delta < interval:
            return bucket
        over = bucket.current * interval > delta * _match_rate(use, rate)
        return bucket._replace(prev=now, window=over, current=0)
    if rate.bytes:
        return bucket._replace(prev=now, credit=min(_FULL_BYTES, bucket.credit + _PER_JIFFY_BYTES * delta))
    cap = rate.avg * use.value("--hashlimit-burst") * _CREDIT
    return bucket._replace(prev=now, credit=min(cap, bucket.credit + delta * _PER_JIFFY))


def _match_rate(use: Use, rate: HashRate) -> int:
    """Return what --hashlimit-rate-match compares with, in packets or bytes an interval."""
    if rate.bytes:
        return _to_bytes(rate.avg)
    return SCALE // max(1, rate.avg // use.value("--hashlimit-rate-interval"))


def _spend(use: Use, rate: HashRate, bucket: _Bucket, packet: Packet) -> tuple[bool, _Bucket]:
    """Tell whether the packet is below the limit, and take its cost."""
    if "--hashlimit-rate-match" in use.settings:
        bucket = bucket._replace(current=bucket.current + (packet.length if rate.bytes else 1))
        burst = use.value("--hashlimit-burst", 0) or _match_rate(use, rate)
        return not bucket.window and bucket.current <= burst, bucket
    cost = rate.avg * _CREDIT
    if rate.bytes:
        chunks = (packet.length >> 4) + 1
        cost = min(_FULL_BYTES, chunks * (rate.avg * HZ * _PER_JIFFY_BYTES >> 32))
        if bucket.credit < cost and bucket.refills:
            bucket = bucket._replace(refills=bucket.refills - 1, credit=_FULL_BYTES)
    if bucket.credit < cost:
        return False, bucket
    return True, bucket._replace(credit=bucket.credit - cost)


_TIME, _RATE = kinds.Number(1, kinds.U32, "milliseconds"), _RateKind()
HASHLIMIT = Extension(
    "hashlimit",
    (
        Option("--hashlimit-upto", _RATE, ("--hashlimit",), invertible=True, group="rate", label="within",
               help="match while the bucket is below this rate"),
        Option("--hashlimit-above", _RATE, invertible=True, group="rate", label="above",
               help="match when the bucket is above this rate"),
        Option("--hashlimit-burst", _Burst(), label="burst", help="how much may pass at once before the rate counts"),
        Option("--hashlimit-mode", _Modes(("srcip", "srcport", "dstip", "dstport")), hidden=(), label="mode",
               help="what has a bucket of its own: addresses, ports"),
        Option("--hashlimit-name", kinds.FileName("name", 254), required=True, label="name",
               help="the table's name under /proc/net/ipt_hashlimit"),
        Option("--hashlimit-htable-size", _Entries(0, kinds.U32), hidden=0, label="size", help="how many hash buckets"),
        Option("--hashlimit-htable-max", _Entries(0, kinds.U32), hidden=0, label="most", help="how many entries at most"),
        Option("--hashlimit-htable-gcinterval", _TIME, hidden=_GC, label="collect",
               help="milliseconds between collections of old entries"),
        Option("--hashlimit-htable-expire", _TIME, label="expire", help="milliseconds that an idle entry lives"),
        Option("--hashlimit-srcmask", addresses.PrefixLength(strict=True), label="source prefix",
               help="group sources by this length of prefix"),
        Option("--hashlimit-dstmask", addresses.PrefixLength(strict=True), label="destination prefix",
               help="group destinations by this length of prefix"),
        Option("--hashlimit-rate-match", kinds.FLAG, label="rate", help="match the rate, without limiting it"),
        Option("--hashlimit-rate-interval", _Interval(), hidden=1, label="interval",
               help="seconds over which the rate is taken"),
    ),
    test=_test, tidy=_tidy, save=_save,
    summary="so many packets or bytes in a time, for each address or port",
    source="net/netfilter/xt_hashlimit.c hashlimit_mt_common(); iptables-extensions(8) hashlimit",
)  # fmt: skip
