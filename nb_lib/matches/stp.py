"""stp: the fields of a bridge's own messages, BPDUs.

Linux: net/bridge/netfilter/ebt_stp.c ebt_stp_mt(), ebt_filter_config(); IEEE 802.1D.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nb_lib import kinds
from nb_lib.frame import write_mac
from nb_lib.kinds import U8, U16, U32
from nb_lib.matches.ethernet import MacMask
from nb_lib.net import BRIDGE
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_BPDU = bytes.fromhex("424203000000")  # LLC, then protocol and version 0
_WHOLE = 37


class _Field(NamedTuple):
    """Where a field of a configuration message begins, and its bytes."""

    at: int
    size: int


# The kernel gives the protocol one byte and not its two (struct stp_header), so that it takes the
# version for the type and reads every field a byte too early. So do we.
_FIELDS = {
    "--stp-type": _Field(5, 1), "--stp-flags": _Field(6, 1), "--stp-root-prio": _Field(7, 2),
    "--stp-root-addr": _Field(9, 6), "--stp-root-cost": _Field(15, 4),
    "--stp-sender-prio": _Field(19, 2), "--stp-sender-addr": _Field(21, 6),
    "--stp-port": _Field(27, 2), "--stp-msg-age": _Field(29, 2), "--stp-max-age": _Field(31, 2),
    "--stp-hello-time": _Field(33, 2), "--stp-forward-delay": _Field(35, 2),
}  # fmt: skip


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    data = packet.data
    if data[:6] != _BPDU:
        return miss("it is no BPDU")
    for option, (want, inverted) in use.settings.items():
        if option != "--stp-type" and len(data) < _WHOLE:
            return miss(option, "cut off")
        at, size = _FIELDS[option]
        part = data[at : at + size]
        have: Any = write_mac(part) if option.endswith("addr") else int.from_bytes(part, "big")
        if option in ("--stp-type", "--stp-flags"):
            fits = have == want
        elif option.endswith("addr"):
            fits = have in want
        else:
            fits = want[0] <= have <= want[1]
        if fits is inverted:
            return miss(option, have)
    return HIT


class _Byte(kinds.Choice):
    """A byte by name or number."""

    def read(self, word: str, family: int) -> int:
        if kinds.is_number(word):
            return kinds.parse_number(word, 0, U8)
        return int(super().read(word, family))

    def save(self, value: Any) -> str:
        return self.spelt.get(value) or str(value)


class _Range(kinds.NumberRange):
    """A range that a packet's number may be shown as well."""

    def show(self, value: Any) -> str:
        return str(value) if isinstance(value, int) else self.save(value)


_16, _32, _MAC = _Range(U16, ordered=True), _Range(U32, ordered=True), MacMask()
_HELP = {
    "prio": "the priority of the bridge", "addr": "the Ethernet address of the bridge",
    "cost": "the cost of the way to the root",
}  # fmt: skip
STP = Extension(
    "stp",
    (
        Option("--stp-type", _Byte({"config": 0, "tcn": 128}, "type"), invertible=True, label="type",
               help="config, tcn or a number"),
        Option("--stp-flags", _Byte({"topology-change": 1, "topology-change-ack": 128}, "flags"),
               invertible=True, label="flags", help="topology-change, topology-change-ack or a number"),
        Option("--stp-root-prio", _16, invertible=True, label="root priority", help=_HELP["prio"]),
        Option("--stp-root-addr", _MAC, invertible=True, label="root", help=_HELP["addr"]),
        Option("--stp-root-cost", _32, invertible=True, label="root cost", help=_HELP["cost"]),
        Option("--stp-sender-prio", _16, invertible=True, label="sender priority",
               help=_HELP["prio"]),
        Option("--stp-sender-addr", _MAC, invertible=True, label="sender", help=_HELP["addr"]),
        Option("--stp-port", _16, invertible=True, label="port", help="the port's number"),
        Option("--stp-msg-age", _16, invertible=True, label="age", help="the message's age"),
        Option("--stp-max-age", _16, invertible=True, label="greatest age",
               help="the age at which it is void"),
        Option("--stp-hello-time", _16, invertible=True, label="hello time",
               help="the time between two messages"),
        Option("--stp-forward-delay", _16, invertible=True, label="delay",
               help="how long a port listens before it forwards"),
    ),
    families=(BRIDGE,), test=_test,
    summary="the fields of a bridge's own messages",
    source="net/bridge/netfilter/ebt_stp.c ebt_stp_mt(); ebtables(8) stp",
)  # fmt: skip
