"""srh: the segment routing header of IPv6 (RFC 8754).

Linux: net/ipv6/netfilter/ip6t_srh.c srh1_mt6(). Three options about one field share its number: iptables
keeps the last. The tag is compared as memory holds it, so on a little-endian machine (as here) the bytes
of ``--srh-tag`` are those of the wire in the other order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import addresses, kinds
from nb_lib.headers import ROUTING
from nb_lib.listed import headed
from nb_lib.net import BITS, Net, make_address
from nb_lib.options import HIT, Answer, Context, Extension, Option, Setting, Use, miss

if TYPE_CHECKING:
    from nb_lib.packet import Packet

_SEGMENT_ROUTING = 4  # IPV6_SRCRT_TYPE_4
_FIXED, _SEGMENT = 8, 16  # bytes before the segments, and of one segment
_FIELDS = ("hdr-len", "segs-left", "last-entry")


class _Segment(addresses.HostNetwork):
    """``ADDRESS[/MASK]``; a mask that is no prefix counts as a host's, and the prefix is printed."""

    def read(self, word: str, family: int) -> addresses.HostMask:
        host, mask = super().read(word, family)
        full = (1 << BITS[family]) - 1
        return addresses.HostMask(host, full if Net(family, 0, mask).prefix is None else mask)

    def save(self, value: addresses.HostMask) -> str:
        prefix = Net(value.host.version, 0, value.mask).prefix
        return f"{addresses.write_address(value.host)}/{prefix}"

    def listed(self, value: addresses.HostMask, _numeric: bool) -> str:
        return self.save(value)


def _tidy(settings: dict[str, Setting], _family: int) -> dict[str, Setting]:
    """Give the options about one field the number that came last."""
    for field in _FIELDS:
        mine = [name for name in settings if name.startswith(f"--srh-{field}-")]
        for name in mine:
            settings[name] = Setting(settings[mine[-1]].value, settings[name].inverted)
    return settings


def _test(use: Use, packet: Packet, _ctx: Context) -> Answer:
    at = next((at for kind, at in packet.extensions if kind == ROUTING), None)
    if at is None:
        return miss("no routing header")
    header = packet.data[at : at + (packet.data[at + 1] + 1) * 8]
    if len(header) < (header[1] + 1) * 8:
        return miss("the routing header is cut short")
    left, last = header[3], header[4]
    if header[2] != _SEGMENT_ROUTING or left > last:
        return miss("no segment routing header")
    return _fields(use, header) or _segments(use, header) or HIT


def _fields(use: Use, header: bytes) -> Answer | None:
    """Compare the fixed fields; None if all fit."""
    have = {"next-hdr": header[0], "hdr-len": header[1], "segs-left": header[3], "last-entry": header[4],
            "tag": int.from_bytes(header[6:8], "little")}  # fmt: skip
    for option, setting in use.settings.items():
        name = option.removeprefix("--srh-")
        field, _, how = (
            name.rpartition("-") if name.endswith(("-eq", "-gt", "-lt")) else (name, "", "")
        )
        if field not in have:
            continue
        value, want = have[field], setting.value
        fits = {"gt": value > want, "lt": value < want}.get(how, value == want)
        if fits is setting.inverted:
            return miss(option, str(value))
    return None


def _segments(use: Use, header: bytes) -> Answer | None:
    """Compare the previous, the next and the last segment; None if all fit."""
    left, last = header[3], header[4]
    places = {"--srh-psid": left + 1 if left < last else None, "--srh-nsid": left - 1 if left else None,
              "--srh-lsid": 0}  # fmt: skip
    for option, place in places.items():
        setting = use.settings.get(option)
        if setting is None:
            continue
        at = _FIXED + _SEGMENT * place if place is not None else len(header)
        packed = header[at : at + _SEGMENT]
        if len(packed) < _SEGMENT:
            return miss(option, "none")
        segment = make_address(6, int.from_bytes(packed, "big"))
        if (segment in setting.value) is setting.inverted:
            return miss(option, segment)
    return None


class _Bound(kinds.Number):
    """A byte that a field is to be equal to, above or below."""

    def __init__(self, word: str) -> None:
        super().__init__(0, kinds.U8)
        self.word = word

    def show(self, value: int | str) -> str:
        """Write ``below 3``."""
        return f"{self.word} {value}".strip()


_BYTE, _SID = kinds.Number(0, kinds.U8), _Segment()


def _three(field: str, what: str) -> tuple[Option, ...]:
    """Return the options that compare one field, which may be equal to, above or below a number."""
    return tuple(
        Option(f"--srh-{field}-{how}", _Bound(word), invertible=True, label=what,
               listed=f"{field}-{how}:{{!}}{{value}}",
               help=f"the header's {what} is {word or 'exactly'} this")
        for how, word in (("eq", ""), ("gt", "above"), ("lt", "below"))
    )  # fmt: skip


SRH = Extension(
    "srh",
    (
        Option("--srh-next-hdr", _BYTE, invertible=True, label="next header",
               listed="next-hdr:{!}{value}",
               help="the number of the header behind it"),
        *_three("hdr-len", "length"),
        *_three("segs-left", "segments left"),
        *_three("last-entry", "last entry"),
        Option("--srh-tag", kinds.Number(0, kinds.U16), invertible=True, label="tag",
               listed="tag:{!}{value}",
               help="the header's tag"),
        Option("--srh-psid", _SID, invertible=True, label="previous segment",
               listed="psid {!} {value}",
               help="the segment that was visited before"),
        Option("--srh-nsid", _SID, invertible=True, label="next segment",
               listed="nsid {!} {value}",
               help="the segment that comes next"),
        Option("--srh-lsid", _SID, invertible=True, label="last segment",
               listed="lsid {!} {value}",
               help="the segment at the path's end"),
    ),
    families=(6,), test=_test, tidy=_tidy, listed=headed(" srh"),
    summary="the segment routing header of IPv6",
    source="net/ipv6/netfilter/ip6t_srh.c srh1_mt6(); iptables-extensions(8) srh",
)  # fmt: skip
