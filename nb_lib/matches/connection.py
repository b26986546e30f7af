"""connbytes, connlabel, helper: more of what conntrack remembers of a connection.

Linux: net/netfilter/xt_connbytes.c connbytes_mt(), xt_connlabel.c connlabel_mt(), xt_helper.c
helper_mt().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nb_lib import kinds, strto
from nb_lib.kinds import Range
from nb_lib.matches.conntrack import no_tracking, tracked
from nb_lib.options import (
    HIT,
    SAYINGS,
    Answer,
    Context,
    Extension,
    Option,
    RefusedError,
    Settings,
    Use,
    miss,
)

if TYPE_CHECKING:
    from nb_lib.connection import Connection
    from nb_lib.packet import Packet

_MOST_LABELS = 128
NO_NAMES = "Warning: cannot open /etc/xtables/connlabel.conf: No such file or directory\n"


class _Amount(kinds.NumberRange):
    """``FROM[:TO]``; without TO there is no upper end.

    ``0:0`` is saved as ``0``, which means something else: iptables' own slip, kept.
    """

    metavar = "from[:to]"

    def read(self, word: str, family: int) -> Range:
        found = super().read(word, family)
        if ":" not in word:
            return Range(found.low, kinds.U64)
        if found.low > found.high:
            reason = f"{word!r} is a range from the greater to the smaller"
            raise RefusedError(reason, f"{found.low} should be less than {found.high}")
        return found

    def save(self, value: Any) -> str:
        return str(value[0]) if value[1] in (0, kinds.U64) else f"{value[0]}:{value[1]}"


def _counted(connection: Connection, mode: str, direction: str) -> int:
    """Return packets, bytes or the average packet of one direction or both."""
    chosen = {"original": (0,), "reply": (1,)}.get(direction, (0, 1))
    packets = sum(connection.packets[way] for way in chosen)
    size = sum(connection.bytes[way] for way in chosen)
    if mode == "avgpkt":
        return size // packets if packets else 0
    return packets if mode == "packets" else size


def _test_connbytes(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = tracked(packet, ctx)
    if ct is None:
        return no_tracking("--connbytes")
    if ct.connection is None or ct.connection.is_template:
        return miss("no conntrack entry", f"({ct.state})")
    setting = use.settings["--connbytes"]
    have = _counted(ct.connection, use.value("--connbytes-mode"), use.value("--connbytes-dir"))
    if (setting.value.low <= have <= setting.value.high) is setting.inverted:
        return miss("--connbytes", str(have))
    return HIT


def _final(settings: Settings) -> None:
    """Miss the direction before the mode, as the options stand in libxt_connbytes.c connbytes_opts."""
    if "--connbytes" in settings and "--connbytes-dir" not in settings:
        said = SAYINGS["missing"].replace("{option}", "--connbytes-dir")
        raise RefusedError("connbytes: --connbytes-dir is missing", said)


class _Label(kinds.Word):
    """A label's number, of which 32 bits are looked at and 16 kept; names stand in a file of the host.

    Linux user space: extensions/libxt_connlabel.c connlabel_value_parse().
    """

    metavar = "number"

    def read(self, word: str, family: int) -> int:
        number, rest = strto.strtoul(super().read(word, family))
        if rest or number >> 31 & 1:
            said = f"label '{word}' not found or invalid value"
            raise RefusedError(f"{word!r} is no label's number", said, warning=NO_NAMES)
        if number & kinds.U16 >= _MOST_LABELS:
            reason = f"{word!r} is not a number from 0 to {_MOST_LABELS - 1}"
            raise RefusedError(reason, kernel="Numerical result out of range")
        return number & kinds.U16

    def save(self, value: Any) -> str:
        return f'"{value}"'

    def listed(self, value: Any, _numeric: bool) -> str:
        return str(value)


def _test_connlabel(use: Use, packet: Packet, ctx: Context) -> Answer:
    ct = tracked(packet, ctx)
    if ct is None:
        return no_tracking("--label")
    setting = use.settings["--label"]
    labels = 0
    if ct.connection is not None and not ct.connection.is_template:
        key = ("connlabel", ct.connection.id)
        labels = ct.connection.labels | ctx.recall(key, 0)
        if "--set" in use.settings:
            labels |= 1 << setting.value
            ctx.remember(key, labels)
    return miss("--label") if bool(labels >> setting.value & 1) is setting.inverted else HIT


def _test_helper(use: Use, packet: Packet, ctx: Context) -> Answer:
    """Compare the helper of the connection that announced this one."""
    ct = tracked(packet, ctx)
    if ct is None:
        return no_tracking("--helper")
    setting = use.settings["--helper"]
    master = ct.connection.master if ct.connection else None
    helper = next(
        (entry.helper for entry in ctx.connections() if master is not None and entry.id == master),
        "",
    )
    fits = bool(helper) and setting.value[: len(helper)] in (helper, "")
    return miss("--helper", helper or "none") if fits is setting.inverted else HIT


CONNBYTES = Extension(
    "connbytes",
    (
        Option("--connbytes", _Amount(kinds.U64),
               invertible=True, required=True, label="so far",
               listed="{! }connbytes {value}",
               help="how much the connection has carried"),
        Option("--connbytes-mode", kinds.Choice(("packets", "bytes", "avgpkt"),
               "packets|bytes|avgpkt"), required=True,
               label="mode", says={"value": "Unknown --connbytes-mode `{word}'"},
               listed="connbytes mode {value}", help="packets, bytes, or bytes a packet"),
        Option("--connbytes-dir", kinds.Choice(("original", "reply", "both"),
               "original|reply|both"), required=True,
               label="direction", says={"value": "Unknown --connbytes-dir `{word}'"},
               listed="connbytes direction {value}", help="which direction is counted"),
    ),
    test=_test_connbytes, final=_final, conntrack=True,
    summary="how many packets or bytes the connection has carried",
    source="net/netfilter/xt_connbytes.c connbytes_mt(); iptables-extensions(8) connbytes",
)  # fmt: skip

CONNLABEL = Extension(
    "connlabel",
    (
        Option("--label", _Label("number", shortest=1), invertible=True, required=True,
               label="label", listed="connlabel {! }{value}", help="the connection has this label"),
        Option("--set", kinds.FLAG, label="set", listed="set",
               help="give the label to the connection if it has it not"),
    ),
    test=_test_connlabel, conntrack=True,
    summary="labels of the connection",
    source="net/netfilter/xt_connlabel.c connlabel_mt(); iptables-extensions(8) connlabel",
)  # fmt: skip

HELPER = Extension(
    "helper",
    (Option("--helper", kinds.CutText("name", 29), invertible=True, required=True, label="helper",
            listed='helper match {! }"{value}"', help="the helper that announced this connection"),),
    test=_test_helper, conntrack=True,
    summary="the helper that announced this connection (ftp, sip …)",
    source="net/netfilter/xt_helper.c helper_mt(); iptables-extensions(8) helper",
)  # fmt: skip
