"""How long and how large the answer to one input may be."""

from __future__ import annotations

import re
import resource
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

from tests.fuzz.case import Case
from tests.fuzz.use import use

SECONDS = 4.0  # of this process' own time, whatever the neighbours do
SECONDS_A_LETTER = 1e-5
MEMORY = 1 << 30  # bytes of address space on top of what the process has
GROWTH = 96 << 20  # bytes by which one input may raise the process' peak
GROWTH_A_LETTER = 400


class TooLong(BaseException):
    """The time is over; no ``except Exception`` can hold it up."""


@dataclass(frozen=True)
class Outcome:
    """How it went: seconds, errors heard, and what went wrong (nothing, mostly)."""

    seconds: float
    heard: Counter[str] = field(default_factory=Counter)
    failure: str = ""  # a traceback
    where: str = ""  # its last line of ours: what the same mistake has in common


def limit_memory() -> None:
    """Let this process never have much more than it has now: MemoryError instead."""
    used = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))


def attempt(case: Case) -> Outcome:
    """Use an input within its bounds."""
    before, highest = time.process_time(), peak()
    signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS + case.size * SECONDS_A_LETTER)
    try:
        heard = use(case)
        failure = where = ""
    except (Exception, TooLong) as error:  # noqa: BLE001 - any of them is a finding
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        heard = Counter()
        failure, where = "".join(traceback.format_exception(error, limit=-40)), _where(error)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    grown = peak() - highest
    if not failure and grown > GROWTH + case.size * GROWTH_A_LETTER:
        failure = where = f"memory grew by {grown >> 20} MB"
    return Outcome(time.process_time() - before, heard, failure, where)


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise TooLong


def _where(error: BaseException) -> str:
    """Name the kind of error and the place that it comes from: what the same mistake has in common."""
    kind = type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "nb_lib" in f.filename]
    if isinstance(error, (TooLong, RecursionError, MemoryError)):
        return kind  # it shows itself anywhere
    if not frames or isinstance(error, AssertionError):
        return f"{kind} {re.sub('[^a-z ]+', ' ', str(error))[:50]}"
    return f"{kind} {frames[-1].filename.rpartition('nb_lib/')[2]} {frames[-1].name}"


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))
