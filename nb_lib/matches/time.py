"""time: dates, times of day, days of the week and of the month.

Linux: net/netfilter/xt_time.c time_mt(). Times are UTC; with ``--kerneltz`` the fact
``minutes_west`` (of the kernel's time zone) is needed.
"""

from __future__ import annotations

from datetime import UTC, datetime
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
    of_two,
    undecided,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nb_lib.packet import Packet

_DAY = 86_400
_LAST_SECOND = _DAY - 1
_END_OF_TIME = 2**31 - 1
_NO_DAY = 32
_INVALID_DATE = 'Invalid date "{}" specified. Should be YYYY[-MM[-DD[Thh[:mm[:ss]]]]]'
_INVALID_TIME = 'invalid time "{}" specified, should be hh:mm[:ss] format and within the boundaries'
_MKTIME = "mktime: No such file or directory\n"  # perror(3), with whatever errno is left
_LOCALTZ = ('WARNING: --localtz is being replaced by --kerneltz, since "local" is ambiguous. Note the '
            "kernel timezone has caveats - see manpage for details.\n")  # fmt: skip
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class _Date(kinds.Word):
    """``YYYY[-MM[-DD[Thh[:mm[:ss]]]]]``, kept as seconds since 1970."""

    metavar = "date"

    def read(self, word: str, _family: int) -> int:
        parts = _numbers(word, "--T::")
        year, month, day, hour, minute, second = [*parts, *(0, 1, 1, 0, 0, 0)[len(parts) :]]
        fine = (
            1970 <= year <= 2038 and month <= 12 and day <= 31 and _is_daytime(hour, minute, second)
        )
        stamp = -1
        if (
            fine
        ):  # month 0 is the last of the year before, day 0 that of the month before: mktime(3)
            start = datetime(year - (not month), month or 12, 1, tzinfo=UTC)
            stamp = int(start.timestamp()) + (day - 1) * _DAY + hour * 3600 + minute * 60 + second
        if stamp < 0:
            reason = f"invalid date {word!r}: YYYY[-MM[-DD[Thh[:mm[:ss]]]]]"
            if fine:
                raise RefusedError(reason, "mktime returned an error", status=1, warning=_MKTIME)
            raise RefusedError(reason, _INVALID_DATE.format(word))
        return stamp

    def save(self, value: Any) -> str:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _Daytime(kinds.Word):
    """``hh:mm[:ss]``, kept as seconds since midnight. libxt_time.c time_parse_minutes()."""

    metavar = "hh:mm[:ss]"

    def read(self, word: str, _family: int) -> int:
        found: list[int] = []
        rest = word
        for most in (23, 59, 59):
            number, behind = strto.strtoul(rest, 10)
            fine = behind[:1] == ":" if behind or not found else True
            if number > most or not fine or (behind and len(found) == 2):
                reason = f"invalid time {word!r}: hh:mm[:ss], from 00:00:00 to 23:59:59"
                raise RefusedError(reason, _INVALID_TIME.format(rest))
            found.append(number)
            if not behind:
                break
            rest = behind[1:]
        hour, minute, second = [*found, 0][:3]
        return hour * 3600 + minute * 60 + second

    def save(self, value: Any) -> str:
        return f"{value // 3600:02}:{value // 60 % 60:02}:{value % 60:02}"


def _numbers(word: str, separators: str) -> list[int]:
    """Read numbers with these separators between them, 0 where none is written; [] if more is there."""
    found = []
    for separator in separators:
        number, word = strto.strtoul(word, 10)
        found.append(number)
        if not word.startswith(separator):
            break
        word = word[1:]
    else:
        number, word = strto.strtoul(word, 10)
        found.append(number)
    return found if not word else []


def _unreadable(word: str, names: Sequence[str]) -> RefusedError:
    """Return what is said of a word that is no day of the month, or none of the week (of ``names``)."""
    said = f"{word} is not a valid day{' specifier' if names else ' for --monthdays'}"
    if names and strto.strtoul(word) == (0, ""):
        said = "No, the week does NOT begin with Sunday."
    return RefusedError(f"{word!r} is not a valid day", said)


def _is_daytime(hour: int, minute: int, second: int) -> bool:
    return hour <= 23 and minute <= 59 and second <= 59


class _DayList(kinds.Word):
    """Days joined by commas, kept as numbers from 1 on; of each only the first letters are read.

    A number that is no day is read too, and names none. libxt_time.c time_parse_monthdays(),
    time_parse_weekdays().
    """

    metavar = "day[,…]"

    def __init__(self, letters: int, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.letters, self.names = letters, names

    def read(self, word: str, _family: int) -> tuple[int, ...]:
        parts = word.split(",")
        if parts[-1] == "":
            parts.pop()
        return tuple(sorted({self.day(part[: self.letters]) for part in parts}))

    def day(self, word: str) -> int:
        """Return the number of one day."""
        number, rest = strto.strtoul(word)
        if not self.names and not rest and number <= 31:
            return number
        if self.names and not rest and number:
            bit = number & 31  # the processor shifts by so many, and eight bits are kept
            return bit if bit < 8 else _NO_DAY
        for index, name in enumerate(self.names, 1):
            if word[:2] == name[:2]:
                return index
        raise _unreadable(word, self.names)

    def save(self, value: Any) -> str:
        days = [day for day in value if 0 < day < _NO_DAY]
        return ",".join(self.names[day - 1] if self.names else str(day) for day in days)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Print as the kernel keeps it: listed days, both ends of a day's time."""
    if "--utc" in settings and {"--kerneltz", "--localtz"} & settings.keys():
        raise of_two("group", "--utc", "--kerneltz")
    settings = {"--datestop": Setting(_END_OF_TIME), **settings}
    if "--localtz" in settings:
        settings["--kerneltz"] = settings["--localtz"]
    start = settings.get("--timestart", Setting(0)).value
    stop = settings.get("--timestop", Setting(_LAST_SECOND)).value
    if "--contiguous" in settings and start < stop:
        reason = "--contiguous only makes sense when the stop time is before the start time"
        said = "time: --contiguous only makes sense when stoptime is smaller than starttime"
        raise RefusedError(reason, said)
    settings["--timestart"], settings["--timestop"] = Setting(start), Setting(stop)
    for name, most in (("--weekdays", 7), ("--monthdays", 31)):
        setting = settings.pop(name, None)
        if setting:
            every = range(1, most + 1)
            days = {day for day in setting.value if day < _NO_DAY}
            if setting.inverted:
                days ^= {*every}
            if days != {*every}:
                settings[name] = Setting(tuple(sorted(days)))
    unneeded = {"--utc", "--localtz"} | (
        {"--timestart", "--timestop"} if (start, stop) == (0, _LAST_SECOND) else set()
    )
    return {name: setting for name, setting in settings.items() if name not in unneeded}


def _listed(use: Use, _numeric: bool) -> str:
    """Show times, days and dates. libxt_time.c time_print()."""
    value = use.value
    text = " TIME"
    if "--timestart" in use.settings:
        text += f" from {_CLOCK.save(value('--timestart'))} to {_CLOCK.save(value('--timestop'))}"
    if (days := value("--weekdays")) is not None:
        text += f" on {','.join(_DAYS[day - 1] for day in days if day)}"
    if (days := value("--monthdays")) is not None:
        text += f" on {','.join(_nth(day) for day in days if day)}"
    if start := value("--datestart"):
        text += f" starting from {_moment(start)}"
    if (stop := value("--datestop")) != _END_OF_TIME:
        text += f" until date {_moment(stop)}" if stop else " until date"
    text += " UTC" * ("--kerneltz" not in use.settings)
    return text + " contiguous" * ("--contiguous" in use.settings)


def _nth(day: int) -> str:
    return f"{day}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th') }"  # 11st and 12nd too


def _moment(stamp: int) -> str:
    return _WHEN.save(stamp).replace("T", " ")


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
        Option("--monthdays", _DayList(2), invertible=True, label="day of the month",
               help="only on these days of the month"),
        Option("--weekdays", _DayList(3, _DAYS), invertible=True, label="weekday",
               help="only on these days of the week"),
        Option("--datestart", _WHEN, hidden=0, label="date", help="not before this date"),
        Option("--datestop", _WHEN, hidden=0, label="date", help="not after this date"),
        Option("--kerneltz", kinds.FLAG, label="kernel time",
               help="times are of the kernel's time zone"),
        Option("--localtz", kinds.FLAG, label="kernel time",
               warns=lambda *_: _LOCALTZ,
               help="an older word for --kerneltz"),
        Option("--utc", kinds.FLAG, label="UTC",
               help="times are UTC (as they are without being told)"),
        Option("--contiguous", kinds.FLAG, label="contiguous",
               help="a night belongs to the day on which it began"),
    ),
    test=_test, tidy=_tidy, listed=_listed,
    summary="dates, times of day, days of the week and of the month",
    source="net/netfilter/xt_time.c time_mt(); iptables-extensions(8) time",
)  # fmt: skip
