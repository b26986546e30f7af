"""time: dates, times of day, days of the week and of the month.

Linux: net/netfilter/xt_time.c time_mt(). Times are UTC; with ``--kerneltz`` the fact
``minutes_west`` (of the kernel's time zone) is needed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss, undecided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nb_lib.packet import Packet

_DAY = 86_400
_LAST_SECOND = _DAY - 1
_END_OF_TIME = 2**31 - 1
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DATE = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:T(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?)?)?)?"
)


class _Date(kinds.Word):
    """``YYYY[-MM[-DD[Thh[:mm[:ss]]]]]``, kept as seconds since 1970."""

    metavar = "date"

    def read(self, word: str, _family: int) -> int:
        found = _DATE.fullmatch(word)
        try:
            year, month, day, hour, minute, second = (
                int(part or default) for part, default in zip(found.groups(), (0, 1, 1, 0, 0, 0),
                strict=True)
            ) if found else (0, 0, 0, 0, 0, 0)  # fmt: skip
            stamp = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
        except ValueError:
            stamp = -1
        if stamp < 0 or stamp > kinds.U32:
            raise ValueError(f"invalid date {word!r}: YYYY[-MM[-DD[Thh[:mm[:ss]]]]]")
        return stamp

    def save(self, value: Any) -> str:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _Daytime(kinds.Word):
    """``hh:mm[:ss]``, kept as seconds since midnight."""

    metavar = "hh:mm[:ss]"

    def read(self, word: str, _family: int) -> int:
        parts = word.split(":")
        fine = len(parts) in (2, 3) and all(re.fullmatch(r"\d{1,2}", part) for part in parts)
        hour, minute, second = ([int(part) for part in parts] + [0])[:3] if fine else (24, 0, 0)
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"invalid time {word!r}: hh:mm[:ss], from 00:00:00 to 23:59:59")
        return hour * 3600 + minute * 60 + second

    def save(self, value: Any) -> str:
        return f"{value // 3600:02}:{value // 60 % 60:02}:{value % 60:02}"


class _DayList(kinds.Word):
    """Days joined by commas, kept as numbers from 1 on."""

    metavar = "day[,…]"

    def __init__(self, most: int, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.most, self.names = most, names

    def read(self, word: str, _family: int) -> tuple[int, ...]:
        return tuple(sorted({self.day(part) for part in word.split(",")}))

    def day(self, word: str) -> int:
        """Return the number of one day."""
        for number, name in enumerate(self.names, 1):
            if word[:2] == name[:2]:
                return number
        try:
            return kinds.parse_number(word, 1, self.most)
        except ValueError:
            raise ValueError(f"{word!r} is not a valid day") from None

    def save(self, value: Any) -> str:
        return ",".join(self.names[day - 1] if self.names else str(day) for day in value)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Print as the kernel keeps it: listed days, both ends of a day's time."""
    settings = {"--datestop": Setting(_END_OF_TIME), **settings}
    if "--localtz" in settings:
        settings["--kerneltz"] = settings["--localtz"]
    start = settings.get("--timestart", Setting(0)).value
    stop = settings.get("--timestop", Setting(_LAST_SECOND)).value
    if "--contiguous" in settings and start <= stop:
        raise ValueError(
            "--contiguous only makes sense when the stop time is before the start time"
        )
    settings["--timestart"], settings["--timestop"] = Setting(start), Setting(stop)
    for name, most in (("--weekdays", 7), ("--monthdays", 31)):
        setting = settings.pop(name, None)
        if setting:
            every = range(1, most + 1)
            days = tuple(day for day in every if (day in setting.value) is not setting.inverted)
            if len(days) < most:
                settings[name] = Setting(days)
    unneeded = {"--utc", "--localtz"} | (
        {"--timestart", "--timestop"} if (start, stop) == (0, _LAST_SECOND) else set()
    )
    return {name: setting for name, setting in settings.items() if name not in unneeded}


def _test(use: Use, _packet: Packet, ctx: Context) -> Answer:
    stamp = int(ctx.now)
    if "--kerneltz" in use.settings:
        west = ctx.fact("minutes_west")
        if west is None:
            return undecided("--kerneltz", "the kernel's time zone (minutes_west=…)")
        stamp -= 60 * west
    if stamp < use.value("--datestart", 0):
        return miss("--datestart", stamp)
    if stamp > use.value("--datestop", _END_OF_TIME):
        return miss("--datestop", stamp)
    time, start, stop = (
        stamp % _DAY,
        use.value("--timestart", 0),
        use.value("--timestop", _LAST_SECOND),
    )
    if start < stop:
        if not start <= time <= stop:
            return miss("--timestart" if time < start else "--timestop", time)
    elif stop < time < start:
        return miss("--timestart", time)
    elif "--contiguous" in use.settings and time <= stop:
        stamp -= _DAY  # the hours after midnight still belong to the day before
    return _test_days(use, stamp)


def _test_days(use: Use, stamp: int) -> Answer:
    date = datetime.fromtimestamp(stamp, UTC)
    for option, day in (("--weekdays", date.isoweekday()), ("--monthdays", date.day)):
        days = use.value(option)
        if days is not None and day not in days:
            return miss(option, (day,))
    return HIT


_CLOCK, _WHEN = _Daytime(), _Date()
TIME = Extension(
    "time",
    (
        Option("--timestart", _CLOCK, label="time", help="not before this time of day"),
        Option("--timestop", _CLOCK, label="time", help="not after this time of day"),
        Option("--monthdays", _DayList(31), invertible=True, label="day of the month",
               help="only on these days of the month"),
        Option("--weekdays", _DayList(7, _DAYS), invertible=True, label="weekday",
               help="only on these days of the week"),
        Option("--datestart", _WHEN, hidden=0, label="date", help="not before this date"),
        Option("--datestop", _WHEN, label="date", help="not after this date"),
        Option("--kerneltz", kinds.FLAG, group="zone", label="kernel time",
               help="times are of the kernel's time zone"),
        Option("--localtz", kinds.FLAG, group="zone", label="kernel time",
               help="an older word for --kerneltz"),
        Option("--utc", kinds.FLAG, group="zone", label="UTC",
               help="times are UTC (as they are without being told)"),
        Option("--contiguous", kinds.FLAG, label="contiguous",
               help="a night belongs to the day on which it began"),
    ),
    test=_test, tidy=_tidy,
    summary="dates, times of day, days of the week and of the month",
    source="net/netfilter/xt_time.c time_mt(); iptables-extensions(8) time",
)  # fmt: skip
