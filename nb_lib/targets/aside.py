"""Targets whose work lies beside the packet's way: queues, copies, timers, labels, priorities.

NFQUEUE, TEE, AUDIT, IDLETIMER, RATEEST, CLASSIFY, SECMARK, CONNSECMARK. The trace tells what they
ask for. The fact ``queues`` lists the queues that programs listen to. Linux: net/netfilter/
xt_NFQUEUE.c, xt_TEE.c, xt_AUDIT.c, xt_IDLETIMER.c, xt_RATEEST.c, xt_CLASSIFY.c, xt_SECMARK.c,
xt_CONNSECMARK.c.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from nb_lib import addresses, kinds, strto
from nb_lib.effects import Copy, Note
from nb_lib.listed import headed
from nb_lib.options import (
    INVALID,
    SAYINGS,
    Act,
    Action,
    Context,
    Extension,
    Option,
    RefusedError,
    Setting,
    Use,
    of_two,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nb_lib.connection import Address
    from nb_lib.kinds import Range
    from nb_lib.packet import Packet


class _Cut(kinds.Word):
    """A name of which only the first fifteen characters are kept."""

    def read(self, word: str, _family: int) -> str:
        return kinds.cut(word, _NAME)


def _tell(words: Callable[[Use], str]) -> Act:
    """Return an ``act`` that only tells something."""

    def act(use: Use, _packet: Packet, _ctx: Context) -> Action:
        return Action("CONTINUE", effects=(Note(words(use)),))

    return act


_NAME = 15

# --- NFQUEUE ---


class _Balance(kinds.NumberRange):
    """``FIRST:LAST``, at least two queues."""

    metavar = "first:last"

    def read(self, word: str, family: int) -> Range:
        found = super().read(word, family)
        if self.separator not in word:
            raise RefusedError(f"{word!r} is one queue, not a range", f'Bad range "{word}"')
        if found.low >= found.high:
            reason = f"{word!r} is not a range from a smaller to a greater number"
            raise RefusedError(reason, f"{found.low} should be less than {found.high}")
        if found == (0, self.high):
            raise RefusedError(f"{word!r} is more queues than the kernel counts", kernel=INVALID)
        return found


def _tidy_nfqueue(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    if "--queue-cpu-fanout" in settings and "--queue-balance" not in settings:
        raise of_two("also", "--queue-cpu-fanout", "--queue-balance")
    return settings if "--queue-balance" in settings else {"--queue-num": Setting(0), **settings}


def _queue_words(use: Use) -> str:
    queues = use.value("--queue-balance")
    which = (
        f"queues {queues[0]} to {queues[1]}" if queues else f"queue {use.value('--queue-num', 0)}"
    )
    bypass = ", or through if nobody listens there" if "--queue-bypass" in use.settings else ""
    return f"NFQUEUE: to a program, by {which}{bypass}"


def _queue(use: Use, _packet: Packet, ctx: Context) -> Action:
    """Queue the packet; where it is known that nobody listens, it is lost, or goes on unseen."""
    told = (Note(_queue_words(use)),)
    first, last = use.value("--queue-balance") or (use.value("--queue-num", 0),) * 2
    listeners = ctx.fact("queues")
    if listeners is None or any(first <= queue <= last for queue in listeners):
        return Action("QUEUE", effects=told)
    return Action("BYPASS" if "--queue-bypass" in use.settings else "DROP", effects=told)


NFQUEUE = Extension(
    "NFQUEUE",
    (
        Option("--queue-num", kinds.Number(0, kinds.U16), group="queue", label="queue",
               listed="num {value}", help="the queue's number"),
        Option("--queue-balance", _Balance(kinds.U16), group="queue", label="queues",
               listed="balance {value}", help="spread connections over these queues"),
        Option("--queue-bypass", kinds.FLAG, label="bypass", listed="bypass",
               help="let the packet through if nobody listens"),
        Option("--queue-cpu-fanout", kinds.FLAG, label="fanout", listed="cpu-fanout",
               help="choose the queue by CPU"),
    ),
    act=_queue, tidy=_tidy_nfqueue, listed=headed(" NFQUEUE"),
    summary="hand the packet to a program in user space, which decides",
    source="net/netfilter/xt_NFQUEUE.c nfqueue_tg_v3(); iptables-extensions(8) NFQUEUE",
)  # fmt: skip

# --- TEE ---


class _Gateway(addresses.Host):
    """A neighbour's address."""

    def read(self, word: str, family: int) -> Address:
        found = super().read(word, family)
        if not int(found):
            raise RefusedError(f"{word!r} is nobody's address", kernel=INVALID)
        return found


def _tee(use: Use, _packet: Packet, _ctx: Context) -> Action:
    gateway = use.value("--gateway")
    said = Note(f"TEE: a copy goes to {gateway}")
    return Action("CONTINUE", effects=(said, Copy(gateway, use.value("--oif", ""))))


TEE = Extension(
    "TEE",
    (
        Option("--gateway", _Gateway(), required=True, label="gateway", listed="gw:{value}",
               help="send a copy to this neighbour"),
        Option("--oif", _Cut("name"), hidden="", label="interface", listed="oif={value}",
               help="by this interface"),
    ),
    act=_tee, listed=headed(" TEE"),
    summary="send a copy to another machine, and go on",
    source="net/netfilter/xt_TEE.c tee_tg4(); iptables-extensions(8) TEE",
)  # fmt: skip

# --- AUDIT ---

AUDIT = Extension(
    "AUDIT",
    (Option("--type", kinds.Choice(("accept", "drop", "reject"), "accept|drop|reject", fold=True),
            required=True, label="type", listed="{value}",
            says={"value": 'Bad action type value "{word}"'}, help="how the audit record calls it"),),
    listed=headed(" AUDIT"),
    act=_tell(lambda use: f"AUDIT: a record of type {use.value('--type')}"),
    summary="write an audit record, and go on",
    source="net/netfilter/xt_AUDIT.c audit_tg(); iptables-extensions(8) AUDIT",
)  # fmt: skip

# --- IDLETIMER ---

_LABEL = 27
IDLETIMER = Extension(
    "IDLETIMER",
    (
        Option("--timeout", kinds.TakenNumber(0, kinds.U32, least=1, most=kinds.U32 // 1000),
               required=True, label="timeout", listed="timeout:{value}", help="seconds of silence"),
        Option("--label", kinds.FileName("label", _LABEL), required=True, label="timer",
               listed="label:{value}", help="the timer's name"),
        Option("--alarm", kinds.FLAG, label="alarm", listed="alarm",
               help="a timer that goes on while the machine sleeps"),
    ),
    act=_tell(lambda use: f"IDLETIMER: timer {use.value('--label')} starts again"),
    summary="restart a timer, and go on",
    source="net/netfilter/xt_IDLETIMER.c idletimer_tg_target(); iptables-extensions(8) IDLETIMER",
)  # fmt: skip

# --- RATEEST ---

_UNITS = {"s": 1_000_000, "sec": 1_000_000, "secs": 1_000_000, "ms": 1_000, "msec": 1_000,
          "msecs": 1_000,
          "us": 1, "usec": 1, "usecs": 1, "": 1}  # fmt: skip
_LEAST_INTERVAL, _INTERVALS = 250_000, 6  # from a quarter of a second to eight
_AVERAGES = range(1, 31)


class _Duration(kinds.Word):
    """A number and a unit, kept in microseconds."""

    metavar = "time"

    def read(self, word: str, _family: int) -> int:
        found = strto.strtod(word)
        if found is None or found[1].lower() not in _UNITS:
            raise ValueError(f"{word!r} is not a time")
        return strto.to_u32(found[0] * _UNITS[found[1].lower()])

    def save(self, value: Any) -> str:
        for name, size in (("s", 1_000_000), ("ms", 1_000)):
            if value >= size:
                return f"{value / size:.1f}{name}"
        return f"{value}us"


def _tidy_rateest(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Round the interval up to one of the kernel's six, and the average to a power of two of it.

    Linux user space: extensions/libxt_RATEEST.c RATEEST_final_check(); it prints in 32 bits.
    """
    interval = settings.get("--rateest-interval", Setting(0)).value
    average = settings.get("--rateest-ewmalog", Setting(0)).value
    kept = next((step for n in range(_INTERVALS) if interval <= (step := _LEAST_INTERVAL << n)), 0)
    if not kept:
        raise RefusedError(
            "--rateest-interval is out of range", "RATEEST: interval value is too large"
        )
    power = next((n - 1 for n in range(1, 32) if interval / -math.log(1 - 0.5**n) > average), 31)
    if power not in _AVERAGES:
        raise RefusedError(
            "--rateest-ewmalog is out of range", "RATEEST: ewmalog value is out of range"
        )
    if "--rateest-name" not in settings:
        said = SAYINGS["missing"].replace("{option}", "--rateest-name")
        raise RefusedError("--rateest-name is missing", said)
    shown = {
        "--rateest-interval": Setting(kept),
        "--rateest-ewmalog": Setting(kept << power & kinds.U32),
    }
    return {**settings, **shown}


RATEEST = Extension(
    "RATEEST",
    (
        Option("--rateest-name", _Cut("name"), label="name", listed="name {value}",
               help="the estimator's name"),
        Option("--rateest-interval", _Duration(), label="interval", listed="interval {value}",
               says={"value": 'RATEEST: bad interval value "{word}"'},
               help="how often the rate is measured"),
        Option("--rateest-ewmalog", _Duration(), label="average", listed="ewmalog {value}",
               says={"value": 'RATEEST: bad ewmalog value "{word}"'},
               help="over what time it is averaged"),
    ),
    tidy=_tidy_rateest, act=_tell(lambda use: f"RATEEST: counted by {use.value('--rateest-name')}"),
    summary="count the packet for a rate estimator, and go on",
    source="net/netfilter/xt_RATEEST.c xt_rateest_tg(); iptables-extensions(8) RATEEST",
)  # fmt: skip

# --- CLASSIFY ---


class _Class(kinds.Word):
    """``MAJOR:MINOR``, both hexadecimal."""

    metavar = "major:minor"

    def read(self, word: str, _family: int) -> tuple[int, int]:
        found = re.match(r"(?:0x)?([0-9a-fA-F]+):(?:0x)?([0-9a-fA-F]+)", word)
        if not found:
            raise ValueError(f"{word!r} is not MAJOR:MINOR")
        return int(found[1], 16) & kinds.U16, int(found[2], 16) & kinds.U16

    def save(self, value: Any) -> str:
        return f"{value[0]:04x}:{value[1]:04x}"

    def listed(self, value: Any, _numeric: bool) -> str:
        return f"{value[0]:x}:{value[1]:x}"


CLASSIFY = Extension(
    "CLASSIFY",
    (Option("--set-class", _Class(), required=True, label="class",
            says={"value": 'Bad class value "{word}"'}, listed="set {value}",
            help="the queueing class"),),
    listed=headed(" CLASSIFY"),
    hooks=("OUTPUT", "FORWARD", "POSTROUTING"),
    act=_tell(lambda use: f"CLASSIFY: into class {_Class().save(use.value('--set-class'))}"),
    summary="choose the packet's class for traffic shaping",
    source="net/netfilter/xt_CLASSIFY.c classify_tg(); iptables-extensions(8) CLASSIFY",
)  # fmt: skip

# --- SECMARK, CONNSECMARK ---

SECMARK = Extension(
    "SECMARK",
    (Option("--selctx", kinds.Word("context", 255), required=True, label="context",
            listed="selctx {value}", help="the SELinux context"),),
    listed=headed(" SECMARK"),
    tables=("mangle", "security"),
    act=_tell(lambda use: f"SECMARK: labelled {use.value('--selctx')}"),
    summary="give the packet a security label",
    source="net/netfilter/xt_SECMARK.c secmark_tg(); iptables-extensions(8) SECMARK",
)  # fmt: skip


def _tidy_connsecmark(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    kinds.one_of(settings, "--save", "--restore", said="CONNSECMARK target: parameter required")
    return settings


CONNSECMARK = Extension(
    "CONNSECMARK",
    (
        Option("--save", kinds.FLAG, group="mode", label="save", listed="save",
               help="copy the packet's label to the connection"),
        Option("--restore", kinds.FLAG, group="mode", label="restore", listed="restore",
               help="copy the connection's label to the packet"),
    ),
    tables=("mangle", "security"), tidy=_tidy_connsecmark, conntrack=True, listed=headed(" CONNSECMARK"),
    act=_tell(lambda use: "CONNSECMARK: label " + ("saved" if "--save" in use.settings else "restored")),
    summary="copy a security label from packet to connection, or back",
    source="net/netfilter/xt_CONNSECMARK.c connsecmark_tg(); iptables-extensions(8) CONNSECMARK",
)  # fmt: skip
