"""The buckets of hashlimit: how much credit each address or port has left.

Linux: net/netfilter/xt_hashlimit.c hashlimit_mt_common(), rateinfo_recalc(), user2credits(),
hashlimit_byte_cost(). Entries are forgotten when they expire; the kernel's collector may be up to
``--hashlimit-htable-gcinterval`` later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nb_lib.headers import AH, ESP, WITH_PORTS
from nb_lib.matches.limit import HZ
from nb_lib.net import BITS
from nb_lib.options import HIT, Answer, Context, Outcome, Use, miss
from nb_lib.packet import Packet

_PORTS_AT = {**dict.fromkeys(WITH_PORTS | {ESP}, 0), AH: 4}
SCALE = 1_000_000  # XT_HASHLIMIT_SCALE_v2
_PER_JIFFY = 1 << ((2**64 - 1) // (HZ * 86_400)).bit_length() - 1
_PER_JIFFY_BYTES = 1 << ((2**32 - 1) // HZ).bit_length() - 1
_FULL_BYTES = _PER_JIFFY_BYTES * HZ
CREDIT = _PER_JIFFY * HZ // SCALE  # user2credits() divides the constants first


class HashRate(NamedTuple):
    """A rate in packets or bytes: the kernel's ``avg``, and the unit's seconds (0: bytes)."""

    avg: int
    seconds: int

    @property
    def bytes(self) -> bool:
        """Whether bytes are counted."""
        return not self.seconds


def to_cost(size: int) -> int:
    """Return what 16 bytes cost at a rate of ``size`` bytes a second: bytes_to_cost()."""
    return (2**32 - 1) // ((size >> 4 & 0xFFFFFFFF) + 1)


def to_bytes(cost: int) -> int:
    """Return the rate that a cost stands for, in bytes a second: cost_to_bytes()."""
    return ((2**32 - 1) // cost - 1) << 4


def chunk_cost(cost: int) -> int:
    """Return the credits that 16 bytes cost: user2credits_byte()."""
    return cost * HZ * _PER_JIFFY_BYTES >> 32


class _Bucket(NamedTuple):
    """``struct rateinfo``: times in jiffies."""

    prev: int
    credit: int
    refills: int
    expires: int
    window: bool = False
    current: int = 0


def test(use: Use, packet: Packet, ctx: Context) -> Answer:
    """Take the packet's cost from its bucket, and tell whether there was enough."""
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
    usual = (
        (60_000 if use.value("--hashlimit-burst") else 15_000)
        if rate.bytes
        else rate.seconds * 1000
    )
    return int(use.value("--hashlimit-htable-expire", usual)) * HZ // 1000


def _key(use: Use, packet: Packet) -> tuple[Any, ...] | None:
    """Return what tells this packet's bucket from others; None if its ports cannot be read."""
    modes = use.value("--hashlimit-mode", ())
    bits = BITS[packet.family]
    found: list[Any] = []
    for mode, address, name in (
        ("srcip", packet.src, "--hashlimit-srcmask"),
        ("dstip", packet.dst, "--hashlimit-dstmask"),
    ):
        if mode in modes:
            found.append(int(address) >> bits - use.value(name, bits))
    names = [mode for mode in ("srcport", "dstport") if mode in modes]
    if names:
        ports = _ports(packet)
        if ports is None:
            return None
        found += [ports[mode == "dstport"] for mode in names]
    return tuple(found)


def _ports(packet: Packet) -> tuple[int, int] | None:
    """Return what counts as ports, (0, 0) if the protocol has none, None if the packet ends before them.

    Of ESP and AH it is the SPI: include/net/ip.h proto_ports_offset().
    """
    at = _PORTS_AT.get(packet.protocol)
    if at is None or packet.fragment_offset:
        return 0, 0
    at += packet.header_end
    data = packet.data[at : at + 4]
    return (data[0] << 8 | data[1], data[2] << 8 | data[3]) if len(data) == 4 else None


def _new(use: Use, rate: HashRate, now: int) -> _Bucket:
    burst = use.value("--hashlimit-burst", 0)
    if rate.bytes:
        return _Bucket(now, _FULL_BYTES, burst, 0)
    return _Bucket(now, rate.avg * burst * CREDIT, 0, 0)


def _refill(use: Use, rate: HashRate, bucket: _Bucket, now: int) -> _Bucket:
    """Add the credit of the time that has passed. Linux: rateinfo_recalc()."""
    delta = now - bucket.prev
    if not delta:
        return bucket
    if "--hashlimit-rate-match" in use.settings:
        interval = use.value("--hashlimit-rate-interval") * HZ
        if delta < interval:
            return bucket
        over = bucket.current * interval > delta * _match_rate(rate)
        return bucket._replace(prev=now, window=over, current=0)
    if rate.bytes:
        return bucket._replace(
            prev=now, credit=min(_FULL_BYTES, bucket.credit + _PER_JIFFY_BYTES * delta)
        )
    cap = rate.avg * use.value("--hashlimit-burst") * CREDIT
    return bucket._replace(prev=now, credit=min(cap, bucket.credit + delta * _PER_JIFFY))


def _match_rate(rate: HashRate) -> int:
    """Return what --hashlimit-rate-match compares with, in packets or bytes an interval."""
    if rate.bytes:
        return to_bytes(rate.avg)
    return SCALE // max(1, rate.avg // rate.seconds)


def _match_burst(rate: HashRate, burst: int) -> int:
    """Return how much a window may hold at once: rateinfo_init()."""
    usual = _match_rate(rate)
    if rate.bytes:
        return burst * usual if burst else usual
    return burst + usual


def _spend(use: Use, rate: HashRate, bucket: _Bucket, packet: Packet) -> tuple[bool, _Bucket]:
    """Tell whether the packet is below the limit, and take its cost."""
    if "--hashlimit-rate-match" in use.settings:
        bucket = bucket._replace(current=bucket.current + (packet.length if rate.bytes else 1))
        burst = _match_burst(rate, use.value("--hashlimit-burst", 0))
        return not bucket.window and bucket.current <= burst, bucket
    cost = rate.avg * CREDIT
    if rate.bytes:
        chunks = (packet.length >> 4) + 1
        cost = min(_FULL_BYTES, chunks * chunk_cost(rate.avg))
        if bucket.credit < cost and bucket.refills:
            bucket = bucket._replace(refills=bucket.refills - 1, credit=_FULL_BYTES)
    if bucket.credit < cost:
        return False, bucket
    return True, bucket._replace(credit=bucket.credit - cost)
